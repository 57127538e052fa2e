"""The process ``sql``: what may be asked, how it is answered, and what is said of a wrong query."""

import csv
import io
import math
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill import Progress, Table
from gristmill.errors import InvalidInputsError
from gristmill.processes.charts import chart_of
from gristmill.processes.dataset import DataSet
from gristmill.processes.run_data import RunData
from gristmill.processes.selects import select
from gristmill.processes.sql import SqlOutputs, sql

SHOPS = {"city": ["Bern", "Chur", "Thun"], "staff": [4, 2, None]}
SALES = {"city": ["Bern", "Bern", "Chur"], "amount": [1.5, 2.5, float("nan")]}


@contextmanager
def tables(**given: Any) -> Iterator[dict[str, DataSet]]:
    """Data sets as a run has them."""
    with RunData() as data:
        made = {name: data.given(name, Table.from_columns(columns)) for name, columns in given.items()}
        data.lock()
        yield made


def ask(query: str, limit: int = 10_000) -> SqlOutputs:
    with tables(shops=SHOPS, sales=SALES) as made:
        return sql(query, made, limit, progress=Progress())


def refused(query: str) -> str:
    with pytest.raises(InvalidInputsError) as caught:
        ask(query)
    assert [fault.pointer for fault in caught.value.faults] == ["/inputs/query"]
    assert "\n" not in caught.value.detail
    return caught.value.faults[0].detail


def rows(answer: SqlOutputs) -> list[list[str]]:
    return list(csv.reader(io.StringIO(answer["table"])))


def test_a_result_that_is_nested_too_deep_is_the_querys_fault() -> None:
    deep = "1.5::DOUBLE"
    for _ in range(200):
        deep = f"struct_pack(a := {deep})"
    assert "'deep'" in refused(f"SELECT {deep} AS deep")


def test_dates_and_times_as_excel_writes_them_are_read_as_the_page_says() -> None:
    page = (Path(__file__).parents[1] / "docs" / "datasets.md").read_text(encoding="utf-8")
    day, both, clock = re.findall(r"try_strptime\(.*?\)(?:::\w+)?", page)
    (with_half_days,) = re.findall(r"'%d/%m/%Y %I:%M %p'", page)
    given = {
        "Datum": ["29.08.2025", "unknown", None],
        "at": ["26/10/2024 00:00", "01/02/2024 23:59", None],
        "half": ["26/10/2024 1:30 PM", None, None],
        "Zeit": ["1:30 PM", "noon", "12:05 AM"],
    }
    with tables(t=given) as made:
        parts = [
            f'{day} AS "Datum"',
            f'{both.replace("Datum", "at")} AS "at"',
            f'try_strptime("half", {with_half_days}) AS "half"',
            f'{clock} AS "Zeit"',
        ]
        answer = sql(f"SELECT {', '.join(parts)} FROM t", made, 10, progress=Progress())

    assert answer["table"].splitlines()[1:] == [
        "2025-08-29,2024-10-26 00:00:00,2024-10-26 13:30:00,13:30:00",
        ",2024-02-01 23:59:00,,",
        ",,,00:05:00",
    ]


def test_data_sets_are_joined_under_their_names() -> None:
    answer = ask("SELECT city, sum(amount) AS total FROM sales JOIN shops USING (city) GROUP BY city ORDER BY city")

    assert answer["table"] == "city,total\nBern,4.0\nChur,nan\n"
    assert [(one.name, one.type) for one in answer["sql"].columns] == [("city", "VARCHAR"), ("total", "DOUBLE")]
    assert (answer["sql"].rows, answer["sql"].cut) == (2, False)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("FROM shops SELECT count(*) AS n", "n\n3\n"),
        ("WITH a AS (SELECT 1 AS x) SELECT * FROM a", "x\n1\n"),
        ("WITH RECURSIVE r AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM r WHERE i < 3) FROM r", "i\n1\n2\n3\n"),
        ("VALUES (1, 'a'), (2, NULL)", "col0,col1\n1,a\n2,\n"),
        ("TABLE shops LIMIT 1", "city,staff\nBern,4\n"),
        ("(SELECT 1 AS x)", "x\n1\n"),
        ("PIVOT sales ON city USING count(*)", "amount,Bern,Chur\n1.5,1,0\n2.5,1,0\nnan,0,1\n"),
        ("PIVOT sales ON city IN ('Bern') USING sum(amount)", "Bern\n4.0\n"),
        ("UNPIVOT shops ON staff", "city,name,value\nBern,staff,4\nChur,staff,2\n"),
        ("SELECT column_name FROM (DESCRIBE shops)", "column_name\ncity\nstaff\n"),
        ("SELECT column_name, count FROM (SUMMARIZE shops)", "column_name,count\ncity,3\nstaff,3\n"),
        ("SELECT 1 AS x;", "x\n1\n"),
        ("SELECT 1 AS x ; ; -- done; \n/* really; */ ", "x\n1\n"),
        ("-- first\nSELECT ';' AS x -- ;", "x\n;\n"),
        ("SELECT 1 AS é; -- é", "é\n1\n"),
        ("SELECT 1 AS x WHERE false", "x\n"),
    ],
)
def test_each_reading_statement_is_answered(query: str, expected: str) -> None:
    assert ask(query)["table"] == expected


def test_describe_and_summarize_work_alone() -> None:
    assert [row[0] for row in rows(ask("DESCRIBE shops"))] == ["column_name", "city", "staff"]
    assert [row[0] for row in rows(ask("SUMMARIZE SELECT staff FROM shops"))] == ["column_name", "staff"]


@pytest.mark.parametrize(
    "query",
    [
        "CREATE TABLE x AS SELECT 1",
        "CREATE TABLE x AS PIVOT sales ON city",
        "INSERT INTO shops VALUES ('Biel', 1)",
        "UPDATE shops SET staff = 1",
        "DELETE FROM shops",
        "MERGE INTO shops USING sales USING (city) WHEN MATCHED THEN DELETE",
        "DROP VIEW shops",
        "ALTER TABLE shops RENAME TO x",
        "COPY shops TO 'x.csv'",
        "COPY (SELECT 1) TO '/dev/stdout'",
        "EXPORT DATABASE 'x'",
        "IMPORT DATABASE 'x'",
        "ATTACH 'x.db'",
        "DETACH memory",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET threads = 4",
        "RESET lock_configuration",
        "SET VARIABLE x = 1",
        "PRAGMA database_list",
        "PRAGMA profile_output = 'x'",
        "CALL duckdb_databases()",
        "CALL enable_logging(storage := 'file', storage_path := 'x')",
        "CHECKPOINT",
        "FORCE CHECKPOINT",
        "VACUUM",
        "ANALYZE",
        "BEGIN",
        "COMMIT",
        "PREPARE x AS SELECT 1",
        "EXECUTE x",
        "DEALLOCATE x",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE SELECT 1",
        "CREATE SECRET x (TYPE http)",
        "CREATE MACRO x() AS 1",
        "CREATE TYPE x AS INTEGER",
        "SELECT 1; SELECT 2",
        "SELECT 1; DROP VIEW shops",
        "",
        " ;; ",
        "-- nothing",
    ],
)
def test_whatever_is_not_one_reading_statement_is_refused(query: str) -> None:
    assert "it must be one statement that reads: SELECT" in refused(query)


@pytest.mark.parametrize(
    "query",
    [
        "WITH x AS (INSERT INTO shops VALUES ('Biel', 1) RETURNING *) SELECT * FROM x",
        "WITH x AS (DELETE FROM sales RETURNING *) SELECT * FROM x",
        "WITH x AS (UPDATE sales SET amount = 0 RETURNING *) PIVOT x ON city",
        "WITH x AS (COPY (SELECT 1) TO 'x.csv') SELECT 1",
        "WITH x AS (COPY (SELECT 1) TO 'x.csv') PIVOT sales ON city",
        "SELECT * FROM (WITH x AS (DELETE FROM sales RETURNING *) FROM x)",
        "FROM query('DELETE FROM sales')",
        "FROM query('SELECT 1; DROP TABLE sales')",
        "SELECT 1) x; DROP TABLE sales; SELECT * FROM (SELECT 1",
        "SELECT 1) UNION ALL (SELECT 2",
    ],
)
def test_a_change_hidden_in_a_select_is_refused(query: str) -> None:
    with tables(shops=SHOPS, sales=SALES) as made:
        with pytest.raises(InvalidInputsError, match="/inputs/query"):
            sql(query, made, progress=Progress())

        assert sql("FROM sales", made, progress=Progress())["sql"].rows == 3


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("SELECT nope FROM shops", ["nope", 'Candidate bindings: "city"', "(line 1, character 8, at 'nope')"]),
        ("SELECT city\nFROM shops\nWHERE x = 1", ['"x"', "(line 3, character 7, at 'x')"]),
        ("SELECT city\n" * 9 + "FROM", ["Parser Error", "(line 2,"]),
        ("FROM shops WHERE " + "staff > 1 AND " * 50 + "bad", ['"bad"', "(line 1, character 718, at 'bad')"]),
        ("SELECT * FROM nope", ["nope does not exist", "the tables are: shops, sales"]),
        ("SELECT city::INTEGER FROM shops", ["Conversion Error", "'Bern'", "line 1"]),
        ("SELECT sum(city) FROM shops", ["sum(VARCHAR)", "line 1"]),
        ("SELECT nope()", ["nope does not exist"]),
        ("SELECT 1 / 0 + 'x'", ["Conversion Error"]),
        ("SELECT error('my words')", ["my words"]),
        ("SELECT ?", ["parameters"]),
        ("SELECT $name", ["parameters"]),
        ("SELECT 127::TINYINT + 1::TINYINT", ["Out of Range"]),
        ("SELECT 'open", ["Parser Error"]),
        ("SELECT 1 /* open", ["Parser Error"]),
        ("SELECT 'é101'::BIT", ["Conversion Error"]),
        ("SELECT " + "'é' || " * 60 + "nope", ["nope", "line 1, character 428"]),
        ("FROM 'x.csv'", ["can read the tables shops, sales, and no files"]),
    ],
)
def test_an_error_of_the_query_says_what_and_where(query: str, words: list[str]) -> None:
    said = refused(query)
    for word in words:
        assert word in said


@pytest.mark.parametrize(
    ("query", "said"),
    [
        ("SELECT " + "+".join(["1"] * 5000), "Max expression depth limit of 1000 exceeded."),
        (
            "PIVOT (SELECT i, i AS j FROM range(110000) t(i)) ON i USING sum(j)",
            "Pivot column limit of 100000 exceeded.",
        ),
        ("show '/x'", "Table with name /x does not exist!; the tables are: shops, sales"),
    ],
)
def test_an_error_advises_nothing_that_a_query_cannot_do_and_shows_nothing_around_it(query: str, said: str) -> None:
    assert refused(query).endswith(said)


def test_a_result_is_cut_at_the_limit_and_says_so() -> None:
    answer = ask("SELECT * FROM range(100) ORDER BY range DESC", limit=3)

    assert answer["table"] == "range\n99\n98\n97\n"
    assert (answer["sql"].rows, answer["sql"].cut) == (3, True)
    assert not ask("FROM range(3)", limit=3)["sql"].cut


def test_a_cut_result_costs_only_its_rows() -> None:
    assert ask("SELECT * FROM range(1_000_000_000_000)", limit=2)["sql"].cut


def test_each_type_is_written_as_the_mapping_says() -> None:
    answer = ask(
        "SELECT 9007199254740993 AS big, 1.10::DECIMAL(9, 2) AS exact, 'NaN'::DOUBLE AS n, '-inf'::DOUBLE AS i,"
        " sqrt(-1) AS m, [1, NULL] AS list, {'k': 'v'} AS one, MAP {'a': 1} AS map, 'ab'::BLOB AS bytes,"
        " TIMESTAMPTZ '2026-01-02 03:04:05+01' AS moment, INTERVAL 1 DAY AS span, '' AS empty, NULL AS none,"
        " DATE '2026-01-02' AS day, true AS yes, 1e300::DOUBLE AS huge, 170141183460469231731687303715884105727 AS most"
    )
    (header, row) = rows(answer)
    assert dict(zip(header, row, strict=True)) == {
        "big": "9007199254740993",
        "exact": "1.10",
        "n": "nan",
        "i": "-inf",
        "m": "nan",
        "list": "[1,null]",
        "one": '{"k":"v"}',
        "map": '[{"key":"a","value":1}]',
        "bytes": "YWI=",
        "moment": "2026-01-02T02:04:05Z",
        "span": "P0M1DT0.000000S",
        "empty": "",
        "none": "",
        "day": "2026-01-02",
        "yes": "true",
        "huge": "1e+300",
        "most": "170141183460469231731687303715884105727",
    }
    assert ',"",,2026' in answer["table"]


def test_columns_of_one_name_are_told_apart() -> None:
    assert ask("SELECT 1 AS a, 2 AS a, 3 AS A")["table"].startswith("a,a_1,A_2\n")


def test_odd_names_of_tables_and_columns_are_only_names() -> None:
    names = ['a"b', "%", "x; DROP", "الاسم", "🙂", "select", "result of the query", "a" * 80]
    for name in names:
        with tables(**{other: {other: [1, 2]} for other in names}) as made:
            quoted = '"' + name.replace('"', '""') + '"'
            answer = sql(f"SELECT {quoted} FROM {quoted}", made, progress=Progress())

        assert rows(answer) == [[name], ["1"], ["2"]]


@settings(max_examples=25, deadline=None)
@example([("#", 'a"b'), ("a,b", "\r"), (" ", "\n"), ("", None), ("\0", "NULL")])
@given(st.lists(st.tuples(*[st.none() | st.text(st.characters(exclude_categories=["Cs"]))] * 2), max_size=20))
def test_csv_is_what_duckdb_itself_writes(tmp_path_factory: pytest.TempPathFactory, given: list[Any]) -> None:
    columns = {"a": [first for first, _ in given], "b": [second for _, second in given]}
    with tables(t=columns) as made:
        answer = sql("SELECT a, b FROM t", made, progress=Progress())
    path = tmp_path_factory.getbasetemp() / "expected.csv"
    with duckdb.connect() as connection:
        connection.execute("CREATE TABLE t (a VARCHAR, b VARCHAR)")
        if given:
            connection.executemany("INSERT INTO t VALUES (?, ?)", given)
        connection.execute(f"COPY t TO '{path}' (HEADER)")
    assert answer["table"] == Path(path).read_bytes().decode()


def test_python_variables_are_no_tables() -> None:
    frame = Table.from_columns({"x": [1]})
    arrays = {"x": [1]}
    del frame, arrays
    for name in ("frame", "arrays", "given", "made", "tables"):
        assert "does not exist" in refused(f"FROM {name}")


LETTERS = "SELECT chr(65 + i::INTEGER) AS letter, i * 10 AS tens FROM range({}) t(i)"
DAYS = "SELECT DATE '2026-01-01' + i::INTEGER AS day, sin(i) AS height FROM range({}) t(i) ORDER BY hash(i)"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        (LETTERS.format(3), ["letter", "tens", "A", "B", "C", "20"]),
        (LETTERS.format(30), ["letter"]),
        (DAYS.format(2), ["day", "height"]),
        (DAYS.format(5000), ["day", "height"]),
        ("SELECT i AS month, i * i AS n, -i AS m FROM range(1, 13) t(i)", ["month", "n", "m", "144"]),
        ("SELECT i / 10 AS x, i * i AS y FROM range(100) t(i)", ["x", "y"]),
        ("SELECT 'a' || i AS name, i % 2 = 0 AS even, i AS n FROM range(3) t(i)", ["name, even", "a0, true"]),
        ("SELECT 'a' || i AS s, i AS a, i AS b, i AS c, i AS d FROM range(3) t(i)", ["not shown: columns d"]),
        ("FROM (VALUES ('x', 1.5), ('y', NULL), (NULL, 'NaN'::DOUBLE)) v(s, n)", ["2 values missing", "(none)"]),
        ("FROM (VALUES (DATE '2026-01-01', 1), (NULL, 2), ('2026-01-03', 3)) v(d, n)", ["1 row without d"]),
        (
            "FROM (VALUES (DATE '2026-01-01', 1), (NULL, 2), ('2026-01-03', 3), ('9999-12-31', 3)) v(d, n)",
            ["1 row without d, 1 row before 0001-01-08 or after 9999-12-30"],
        ),
        (
            "FROM (VALUES (1.5::DOUBLE, 1), (NULL, 2), (2.5, 3), ('NaN', 3)) v(x, n)",
            ["2 rows with x missing, not finite or too large"],
        ),
        ("SELECT TIMESTAMPTZ '2026-01-01 00:00:00Z' + INTERVAL (i) HOUR AS t, i FROM range(4) v(i)", ["t (UTC)"]),
        ('SELECT \'$x^2$ \' || i AS "% $y$", 1e299 * i AS "a""b" FROM range(3) t(i)', ["$x^2$ 1", "% $y$", 'a"b']),
        ("SELECT '<i>&' AS s, sum(range) AS n FROM range(5) GROUP BY range", ["&lt;i&gt;&amp;"]),
        ("PIVOT (FROM range(3) t(i)) ON i USING sum(i) GROUP BY i", ["i"]),
    ],
)
def test_a_result_with_numbers_over_times_or_names_has_a_picture(query: str, words: list[str]) -> None:
    answer = ask(query)

    assert answer["plot"]().startswith(b"\x89PNG")
    svg = answer["plot_svg"]().decode()
    assert svg.rstrip().endswith("</svg>")
    for word in words:
        assert word in svg


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS a",
        "SELECT 'x' AS a, 1 AS b",
        "SELECT 1 AS a WHERE false",
        "SELECT city FROM shops",
        "FROM range(5)",
        LETTERS.format(31),
        DAYS.format(5001),
        "SELECT DATE '2026-01-01' AS day, i FROM range(50) t(i)",
        "SELECT i // 2 AS a, i AS b FROM range(50) t(i)",
        "SELECT 'a' || i AS s, NULL::DOUBLE AS n FROM range(3) t(i)",
        "SELECT 'a' || i AS s, 'inf'::DOUBLE AS n FROM range(3) t(i)",
        "SELECT 'infinity'::TIMESTAMP AS t, i FROM range(3) t(i)",
        "SELECT DATE '294246-01-01' + i::INTEGER AS day, i FROM range(3) t(i)",
        "SELECT [i] AS a, {'b': i} AS b FROM range(3) t(i)",
    ],
)
def test_a_result_that_makes_no_picture_has_none(query: str) -> None:
    assert not ask(query).keys() & {"plot", "plot_svg"}


def test_lines_go_from_left_to_right_in_whatever_order_the_rows_are() -> None:
    with tables(shops=SHOPS) as made:
        chart = chart_of(select(made, DAYS.format(100), 1000))
    assert chart is not None
    assert chart.axis.places is not None
    assert list(chart.axis.places) == sorted(chart.axis.places)
    assert chart.panels[0][1].tolist() == pytest.approx([math.sin(day) for day in range(100)])


def test_bars_keep_the_order_of_the_query() -> None:
    with tables(shops=SHOPS) as made:
        chart = chart_of(select(made, LETTERS.format(3) + " ORDER BY tens DESC", 10))
    assert chart is not None
    assert (chart.axis.names, chart.panels[0][1].tolist()) == (["C", "B", "A"], [20, 10, 0])


PIECES = [
    *(
        "SELECT ",
        "FROM t ",
        "WHERE ",
        "a",
        "s",
        "*",
        "(",
        ")",
        ";",
        "'",
        '"',
        "--",
        "/*",
        "*/",
        "$$",
        "\n",
        "1",
        "::INT",
    ),
    *(
        ",",
        "[",
        "]",
        "NULL",
        "🙂",
        "\0",
        "é",
        "?",
        "$1",
        "UNION ALL SELECT ",
        "WITH x AS (",
        "PIVOT t ON a ",
        "\\",
        "%",
    ),
    *("DESCRIBE ", "read_csv('x')", "SET ", "INSERT INTO t ", "CREATE ", "COPY ", "count(*)", "GROUP BY ", "=", "' '"),
]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.sampled_from(PIECES), max_size=12).map("".join), min_size=20, max_size=20))
def test_any_text_is_answered_or_refused_as_a_wrong_query(queries: list[str]) -> None:
    with tables(t={"a": [1, None], "s": ["é", ""]}) as made:
        for query in queries:
            with suppress(InvalidInputsError):
                result = select(made, query, 100)
                result.csv()
                chart_of(result)
        assert made["t"].query("SELECT count(*) FROM t").fetchall() == [(2,)]


def test_a_result_of_many_columns_is_written_as_one_of_few_is() -> None:
    values = [f"'a,{number}'" if number % 3 else str(number) for number in range(200)]
    data = DataSet.of({"x": [1, 2, 3]})

    made = sql(f"SELECT x, {', '.join(values)}, NULL FROM data ORDER BY x DESC", {"data": data}, progress=Progress())

    rows = list(csv.reader(io.StringIO(made["table"])))
    assert len(rows[0]) == 202
    assert rows[1:] == [[x, *(value.strip("'") for value in values), ""] for x in "321"]
