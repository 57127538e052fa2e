"""Data sets as inputs: described, read by reference or value, asked in SQL, as tables of arrays."""

import datetime
import io
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from support.stored import stored

from gristmill.datasets.columns import kind_of
from gristmill.datasets.descriptions import ColumnText
from gristmill.errors import InvalidInputsError, NoSuchDataSetError
from gristmill.fetch import Fetcher
from gristmill.processes import DataColumn, DataSet, Process, Progress, RunContext, Table, process
from gristmill.processes.references import Reference, is_data_set, reference_of, references_in
from gristmill.processes.run_data import RunData
from gristmill.processes.workspace import OpenVersion, Workspace
from gristmill.processes.workspaces import Workspaces
from gristmill.settings import Settings

VERSION = "ab" * 32


@process
def whole(table: DataSet) -> list[list[int | float | str | None]]:
    """All rows."""
    return [list(row) for row in table.query(f"SELECT * FROM {table.sql}").fetchall()]


@process
def heads(tables: dict[str, DataSet], more: Table | None = None) -> list[str]:
    """Columns of each."""
    assert more is None or more.rows
    return [f"{name}.{column.label}" for name, one in tables.items() for column in one.columns]


def opener(folder: Path) -> Any:
    """Opens the version ``abab...`` of ``birds`` from a database file."""

    def open_version(reference: Reference, attach: Any, _: OpenVersion | None) -> OpenVersion:
        if reference.dataset != "birds":
            raise NoSuchDataSetError(f"There is no data set {reference.dataset!r}.")
        file = folder / "birds.db"
        if not file.exists():
            with duckdb.connect(str(file)) as made:
                made.execute("CREATE TABLE data AS SELECT 3.5 AS mass, 'Adélie' AS \"the species\"")
        return OpenVersion(attach(file, "data"), 1, ExitStack(), {"mass": ColumnText("Body mass.", "kg")})

    return open_version


@pytest.fixture
def context(tmp_path: Path) -> RunContext:
    return RunContext(lambda *_: None, lambda: tmp_path, Fetcher(Settings()), opener(tmp_path))


def run(function: Any, context: RunContext, **inputs: Any) -> str:
    (output,) = Process(function, "source").run(inputs, context)
    return output.data.decode()


def test_an_input_of_data_sets_says_so_in_the_description() -> None:
    described = Process(whole, "source").describe()["inputs"]["table"]["schema"]["anyOf"]  # type: ignore[index]

    assert [form["title"] for form in described] == [
        "Data set", "Columns and rows", "Row objects", "Column arrays", "CSV",
    ]  # fmt: skip
    assert described[0]["required"] == ["dataset"]
    tables = Process(heads, "source").describe()["inputs"]["tables"]["schema"]  # type: ignore[index]
    assert tables["additionalProperties"]["anyOf"][0]["title"] == "Data set"
    assert (tables["minProperties"], tables["maxProperties"]) == (1, 100)


def test_a_stored_version_is_asked_where_it_lies(context: RunContext) -> None:
    assert run(whole, context, table={"dataset": "birds", "version": VERSION}) == '[[3.5,"Adélie"]]'


def test_what_is_said_about_columns_comes_with_them(context: RunContext) -> None:
    inputs = {"one": {"dataset": "birds", "version": VERSION}, "two": {"x": [1]}}

    assert run(heads, context, tables=inputs) == '["one.mass (kg)","one.the species","two.x"]'


def test_a_table_that_came_with_the_request_is_asked_in_the_same_way(context: RunContext) -> None:
    rows = [[1, "a", 1.5], [None, None, "NaN"]]

    answer = run(whole, context, table={"columns": ["x", "select", "😀"], "rows": rows})

    assert answer == '[[1,"a",1.5],[null,null,"NaN"]]'


@pytest.mark.parametrize(
    ("table", "pointer", "said"),
    [
        ({"dataset": "absent"}, "/inputs/table/dataset", "no data set 'absent'"),
        ({"dataset": 7}, "/inputs/table/dataset", "such as penguins"),
        ({"dataset": "../x"}, "/inputs/table/dataset", "such as penguins"),
        ({"dataset": "birds", "version": "latest"}, "/inputs/table/version", "64"),
        ({"dataset": "birds", "versoin": VERSION}, "/inputs/table/versoin", "dataset and version"),
        ({"a": [1], "A": [2]}, "/inputs/table", "does not tell apart"),
        ({"a": [1, 2], "b": [1]}, "/inputs/table", "equally long"),
    ],
)
def test_what_cannot_be_read_says_where_and_why(context: RunContext, table: Any, pointer: str, said: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run(whole, context, table=table)

    (fault,) = caught.value.faults
    assert fault.pointer == pointer
    assert said in fault.detail


@pytest.mark.parametrize(
    "tables", [{}, [], "x", {"a": {"x": [1]}, "A": {"x": [1]}}, {"": {"x": [1]}}, {"a\0": {"x": [1]}}]
)
def test_several_data_sets_need_names_that_sql_tells_apart(context: RunContext, tables: Any) -> None:
    with pytest.raises(InvalidInputsError, match="/inputs/tables"):
        run(heads, context, tables=tables)


def test_a_data_set_in_the_place_of_several_is_told_how_it_gets_its_name(context: RunContext) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run(heads, context, tables={"dataset": "birds"})

    assert '{"birds": {"dataset": "birds"}}' in caught.value.detail
    assert run(heads, context, tables={"dataset": "x,y\n1,2\n"})


def test_references_are_checked_in_form_before_the_run() -> None:
    whole_process = Process(whole, "source")

    whole_process.check({"table": {"dataset": "birds"}})
    with pytest.raises(InvalidInputsError, match="/inputs/table/dataset"):
        whole_process.check({"table": {"dataset": "No"}})


def test_column_arrays_may_have_a_column_called_dataset(context: RunContext) -> None:
    assert run(whole, context, table={"dataset": ["x"], "version": [1]}) == '[["x",1]]'


def test_the_references_of_a_job_are_found_where_inputs_have_them() -> None:
    one, two = {"dataset": "a", "version": VERSION}, {"dataset": "b", "version": VERSION}

    found = list(references_in({"table": one, "tables": {"x": two, "y": {"v": [1]}}, "n": 1, "t": {"dataset": ["z"]}}))

    assert found == [Reference("a", VERSION), Reference("b", VERSION)]


@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_any_value_is_a_reference_or_none_or_a_fault(value: Any) -> None:
    if is_data_set(value):
        with pytest.raises(InvalidInputsError) if set(value) - {"dataset", "version"} else ExitStack():
            assert reference_of(value, "")
    list(references_in(value))


def test_statements_of_a_run_reach_nothing_but_its_tables(context: RunContext, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")

    @process
    def reaches(table: DataSet) -> str:
        """Read a file."""
        return str(table.query(f"FROM read_csv('{tmp_path}/secret.csv')").fetchall())

    with pytest.raises(duckdb.PermissionException):
        run(reaches, context, table={"x": [1]})
    with pytest.raises(duckdb.PermissionException):
        reaches(DataSet.of({"x": [1]}))


def test_all_types_come_as_arrays_with_their_nulls() -> None:
    with RunData() as data:
        made = data.given("t", Table.from_columns({"x": [1]}))
        made.query("""CREATE TABLE types AS SELECT * FROM (VALUES
            (true, 1::UTINYINT, 18446744073709551615::UBIGINT, 0.1::FLOAT, 12.25::DECIMAL(9, 2), 'a', DATE '2020-01-02',
             TIMESTAMP '2020-01-02 03:04:05', TIMESTAMPTZ '2020-01-02 03:04:05+02', TIME '01:02:03',
             INTERVAL 90 MINUTE, 'ab'::BLOB, 'c0ffee00-0000-0000-0000-000000000000'::UUID, [1, 2], {'k': 1}),
            (NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL))
            types(bo, ti, ub, fl, de, te, da, ts, tz, tm, iv, bl, uu, li, st)""")
        columns = [DataColumn(*row) for row in _described(made)]
        table = DataSet(made._queries, "types", columns, 2).table()

        found = {column.name: (column.kind, column.cells()) for column in table.columns}

    assert found == {
        "bo": ("boolean", [True, None]),
        "ti": ("integer", [1, None]),
        "ub": ("number", [18446744073709551615.0, None]),
        "fl": ("number", [0.1, None]),
        "de": ("number", [12.25, None]),
        "te": ("string", ["a", None]),
        "da": ("datetime", ["2020-01-02T00:00:00.000000Z", None]),
        "ts": ("datetime", ["2020-01-02T03:04:05.000000Z", None]),
        "tz": ("datetime", ["2020-01-02T01:04:05.000000Z", None]),
        "tm": ("string", ["01:02:03", None]),
        "iv": ("string", ["01:30:00", None]),
        "bl": ("string", ["YWI=", None]),
        "uu": ("string", ["c0ffee00-0000-0000-0000-000000000000", None]),
        "li": ("string", ["[1,2]", None]),
        "st": ("string", ['{"k":1}', None]),
    }


def _described(data: DataSet) -> list[tuple[str, str, Any]]:
    return [(row[0], row[1], kind_of(row[1])) for row in data.query("DESCRIBE types").fetchall()]


def test_nested_values_are_the_json_that_rows_have(tmp_path: Path) -> None:
    nested = "{'x': 'NaN'::DOUBLE, 'id': 9007199254740993, 'f': 0.1::FLOAT, 'when': TIMESTAMP '2024-01-01'}"
    data, _ = stored(tmp_path, f"SELECT * FROM (VALUES ({nested}, MAP {{'a': 1}}, [1]), (NULL, NULL, NULL)) t(s, m, l)")

    table = data.table()

    assert table["s"].tolist() == ['{"x":"NaN","id":"9007199254740993","f":0.1,"when":"2024-01-01T00:00:00"}', None]
    assert table["m"].tolist() == ['[{"key":"a","value":1}]', None]
    assert table["l"].tolist() == ["[1]", None]


def test_times_with_a_zone_come_to_python_as_such() -> None:
    with RunData() as data:
        made = data.given("t", Table.from_columns({"x": [1]}))
        ((found,),) = made.query("SELECT TIMESTAMPTZ '2020-01-02 03:04:05+02' FROM t").fetchall()

    assert found == datetime.datetime(2020, 1, 2, 1, 4, 5, tzinfo=datetime.UTC)


def test_a_column_is_loaded_when_it_is_first_asked_for() -> None:
    loaded: list[str] = []
    whole_table = Table.from_columns({"a": [1, 2], "b": [3, 4]})

    def load(name: str) -> Any:
        loaded.append(name)
        return whole_table.column(name)

    table = Table.loaded(("a", "b"), 2, load)

    assert ("a" in table, "c" in table, list(table), len(table), table.rows) == (True, False, ["a", "b"], 2, 2)
    assert loaded == []
    assert table["b"].tolist() == [3, 4]
    assert table["b"].tolist() == [3, 4]
    assert loaded == ["b"]
    assert table == whole_table


CELLS = {
    "integer": st.none() | st.integers(-(2**63), 2**63 - 1),
    "number": st.none() | st.floats(),
    "boolean": st.none() | st.booleans(),
    "string": st.none() | st.text(st.characters(exclude_categories=["Cs"])),
    "datetime": st.none() | st.datetimes().map(datetime.datetime.isoformat),
}


@given(st.data())
def test_any_table_that_is_given_comes_back_from_the_database_the_same(data: st.DataObject) -> None:
    rows = data.draw(st.integers(0, 4))
    kinds = data.draw(st.lists(st.sampled_from(list(CELLS)), min_size=1, max_size=4))
    cells = [data.draw(st.lists(CELLS[kind], min_size=rows, max_size=rows)) for kind in kinds]
    given_table = Table.from_json(
        {
            "columns": [{"name": f"{kind} {number}", "type": kind} for number, kind in enumerate(kinds)],
            "rows": [[_json(column[row]) for column in cells] for row in range(rows)],
        }
    )

    assert DataSet.of(given_table).table() == given_table


def _json(value: Any) -> Any:
    if isinstance(value, float) and not np.isfinite(value):
        return "NaN" if np.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return value


@pytest.mark.parametrize(
    ("column", "label"),
    [
        (DataColumn("t", "TIMESTAMP WITH TIME ZONE", "timestamptz"), "t (UTC)"),
        (DataColumn("t", "TIMESTAMP", "timestamp"), "t"),
        (DataColumn("t", "TIMESTAMP WITH TIME ZONE", "timestamptz", "Zulu"), "t (Zulu)"),
        (DataColumn("x", "DOUBLE", "number", "kg"), "x (kg)"),
    ],
)
def test_a_label_has_the_unit_and_says_utc_of_times_with_a_zone_alone(column: DataColumn, label: str) -> None:
    assert column.label == label


@pytest.mark.parametrize(
    "name", ["a $ b", "low_$_\\frac$", r"\$x\$ y$", r"\\$1$ \\", "$$", "x_1^2 100% #{a}~&", r"\alpha"]
)
def test_an_axis_label_is_drawn_letter_by_letter(name: str) -> None:
    def drawn(text: str, *, parse_math: bool) -> bytes:
        figure = Figure(figsize=(4, 1))
        figure.text(0.1, 0.4, text, parse_math=parse_math)
        file = io.BytesIO()
        figure.savefig(file, format="png", metadata={"Software": None})
        return file.getvalue()

    of_table = Table.from_columns({name: [1]}).column(name)
    of_data_set = DataSet.of({name: [1]}).column(name)

    assert of_table.axis_label == of_data_set.axis_label
    assert drawn(of_table.axis_label, parse_math=True) == drawn(name, parse_math=False)


def test_what_a_run_has_open_is_closed_when_its_workspaces_are_told_to_tidy() -> None:
    workspaces = Workspaces()
    with RunData(workspaces=workspaces) as data:
        table = data.given("table", Table.from_columns({"x": [1, 2]}))

    assert table.query('SELECT sum(x) FROM "table"').fetchall() == [(3,)]
    workspaces.tidy()
    with pytest.raises(duckdb.ConnectionException):
        table.query("SELECT 1")


@pytest.mark.parametrize(
    ("process_id", "inputs"),
    [
        ("timeseries", {"time": "day", "values": ["price"]}),
        ("scatter", {"x": "price", "y": "n"}),
        ("histogram", {"column": "price", "bins": 5}),
        ("correlation", {"columns": ["n", "price"]}),
        ("correlation", {}),
        ("regression", {"y": "price", "x": ["n"]}),
        ("regression", {"y": "n", "x": ["price"]}),
        ("groupby", {"by": ["day"], "metrics": "mean(price)"}),
    ],
)
def test_where_a_decimal_comma_made_text_of_numbers_the_option_that_reads_it_is_named(
    process_id: str, inputs: dict[str, Any]
) -> None:
    workspace = Workspace()
    workspace.connection.execute(
        "CREATE TABLE data AS SELECT i AS n, i || ',5' AS price, DATE '2024-01-01' AS day FROM range(200) AS all_(i)"
    )
    columns = [
        DataColumn("n", "BIGINT", "integer"),
        DataColumn("price", "VARCHAR", "text", minimum="0,5", maximum="99,5"),
        DataColumn("day", "DATE", "date"),
    ]
    run: Any = getattr(import_module(f"gristmill.processes.{process_id}"), process_id)

    with pytest.raises(InvalidInputsError, match=r"it has '0,5': .* decimal=,"):
        run(DataSet(workspace.queries, "data", columns, 200), **inputs, progress=Progress())


@pytest.mark.parametrize(
    ("process_id", "inputs"),
    [("scatter", {"x": "day", "y": "n"}), ("timeseries", {"time": "day", "values": ["n"]})],
)
def test_dates_in_another_form_are_told_as_those_with_the_one_that_is_read(
    process_id: str, inputs: dict[str, Any]
) -> None:
    workspace = Workspace()
    workspace.connection.execute("CREATE TABLE data AS SELECT 1 AS n, '01.05.2024' AS day")
    columns = [
        DataColumn("n", "BIGINT", "integer"),
        DataColumn("day", "VARCHAR", "text", minimum="01.05.2024", maximum="01.05.2024"),
    ]
    run: Any = getattr(import_module(f"gristmill.processes.{process_id}"), process_id)

    with pytest.raises(InvalidInputsError, match=r"written 2024-02-29 .* it has '01\.05\.2024': .* try_strptime"):
        run(DataSet(workspace.queries, "data", columns, 1), **inputs, progress=Progress())
