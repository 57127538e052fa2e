"""Filters: CQL2 text against a naive evaluator, and what each of them means."""

import itertools
import math
import operator
import subprocess
import sys
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from support.filters import COLUMNS, refusal, rows_of, table

from gristmill.datasets import cql
from gristmill.datasets.filter_functions import FUNCTIONS
from gristmill.datasets.filters import condition
from gristmill.errors import InvalidFilterError

# --- a naive evaluator beside the SQL -------------------------------------------------------------------------------

NUMBERS = st.one_of(
    st.integers(-5, 5).map(lambda n: (str(n), Fraction(n))),
    st.sampled_from(["0.5", "-2.25", "1.999", "1e3", "9007199254740993", "9" * 41]).map(
        lambda text: (text, Fraction(text))
    ),
)
TEXTS = st.sampled_from(["", "a", "A", "ab", "a%b", "é", "it's", "1"])
ROW = st.fixed_dictionaries(
    {
        "i": st.none() | st.integers(-5, 5) | st.sampled_from([2**63 - 1, -(2**63), 2**53, 2**53 + 1]),
        "j": st.none() | st.integers(-5, 5),
        "x": st.none() | st.sampled_from([0.0, -0.0, 0.5, -2.25, 1.0, math.nan, math.inf, -math.inf]),
        "d": st.none() | st.sampled_from([Decimal("0.50"), Decimal("-2.25"), Decimal("1.99"), Decimal(2), Decimal(0)]),
        "wide": st.none() | st.sampled_from([Decimal("999999999999999999999999999999999999.99"), Decimal("-2.25")]),
        "m": st.none() | st.sampled_from([Decimal(2**53), Decimal(2**53 + 1), Decimal(-3), Decimal(0), Decimal(2)]),
        "s": st.none() | TEXTS,
        "b": st.none() | st.booleans(),
    }
)
OPERATORS = {
    "=": lambda a, b: a == b,
    "<>": lambda a, b: a != b,
    "<": lambda a, b: a < b,
    "<=": lambda a, b: a <= b,
    ">": lambda a, b: a > b,
    ">=": lambda a, b: a >= b,
}


def key(value: Any) -> Any:
    """Numbers as DuckDB orders them: NaN above infinity."""
    if isinstance(value, float):
        if math.isnan(value):
            return (2, Fraction(0))
        if math.isinf(value):
            return (1 if value > 0 else -1, Fraction(0))
    return (0, Fraction(value)) if not isinstance(value, str | bool) else value


def compare(op: str, left: Any, right: Any) -> bool | None:
    return None if left is None or right is None else OPERATORS[op](key(left), key(right))


def both(values: list[bool | None]) -> bool | None:
    return False if False in values else None if None in values else True


def either(values: list[bool | None]) -> bool | None:
    return True if True in values else None if None in values else False


def negated(value: bool | None) -> bool | None:
    return None if value is None else not value


@st.composite
def comparisons(draw: st.DrawFn) -> tuple[str, Any]:
    op = draw(st.sampled_from(list(OPERATORS)))
    shape = draw(st.sampled_from(["number", "mirrored", "text", "null", "between", "in", "columns", "sum", "bool"]))
    if shape == "text":
        value = draw(TEXTS)
        shown = value.replace("'", "''")
        return f"s {op} '{shown}'", lambda row: compare(op, row["s"], value)
    if shape == "bool":
        return "b", lambda row: row["b"]
    if shape == "null":
        name = draw(st.sampled_from(["i", "x", "d", "s", "b"]))
        return f"{name} is null", lambda row: row[name] is None
    if shape == "columns":
        left, right = draw(st.permutations(["i", "j", "m", "d", "wide"]).filter(lambda p: {*p[:2]} != {"d", "wide"}))[
            :2
        ]
        return f"{left} {op} {right}", lambda row: compare(op, row[left], row[right])
    if shape == "sum":
        text, number = draw(st.integers(-9, 9).map(lambda n: (str(n), n)))
        return (
            f"j * 3 - {text} {op} abs(m) + round(i)",
            lambda row: (
                None
                if None in {row["j"], row["m"], row["i"]}
                else OPERATORS[op](row["j"] * 3 - number, abs(int(row["m"])) + row["i"])
            ),
        )
    name = draw(st.sampled_from(["i", "j", "d", "wide"]))
    text, number = draw(NUMBERS)
    if shape == "mirrored":
        return f"{text} {op} {name}", lambda row: compare(op, number, row[name])
    if shape == "between":
        other_text, other = draw(NUMBERS)
        return f"{name} between {text} and {other_text}", lambda row: both(
            [compare(">=", row[name], number), compare("<=", row[name], other)]
        )
    if shape == "in":
        choices = draw(st.lists(NUMBERS, min_size=1, max_size=4))
        return f"{name} in ({', '.join(t for t, _ in choices)})", lambda row: either(
            [compare("=", row[name], n) for _, n in choices]
        )
    near = draw(st.sampled_from([("x", float(number)), (name, number)]))
    return f"{near[0]} {op} {text}", lambda row: compare(op, row[near[0]], near[1])


def conditions() -> st.SearchStrategy[tuple[str, Any]]:
    def extended(inner: st.SearchStrategy[tuple[str, Any]]) -> st.SearchStrategy[tuple[str, Any]]:
        pairs = st.tuples(inner, inner)
        return st.one_of(
            inner.map(lambda one: (f"not ({one[0]})", lambda row: negated(one[1](row)))),
            pairs.map(lambda p: (f"({p[0][0]}) and {p[1][0]}", lambda row: both([p[0][1](row), p[1][1](row)]))),
            pairs.map(lambda p: (f"(({p[0][0]}) or ({p[1][0]}))", lambda row: either([p[0][1](row), p[1][1](row)]))),
        )

    # A bracket around each, since AND binds closer than OR.
    return st.recursive(comparisons().map(lambda c: (f"({c[0]})", c[1])), extended, max_leaves=6).map(
        lambda c: (f"({c[0]})", c[1])
    )


@pytest.mark.slow
@settings(deadline=None, max_examples=150)
@given(rows=st.lists(ROW, min_size=1, max_size=6), filters=st.lists(conditions(), min_size=1, max_size=5))
def test_a_filter_selects_the_rows_that_a_naive_evaluation_selects(rows: list[Any], filters: list[Any]) -> None:
    connection = table(rows)
    for text, evaluate in filters:
        found = condition(text, COLUMNS)
        selected = connection.execute(f"SELECT rowid FROM data WHERE {found.sql} ORDER BY 1", found.values).fetchall()
        expected = [n for n, row in enumerate(rows) if evaluate(row) is True]
        assert [n for (n,) in selected] == expected, (text, found)
    connection.close()


ALPHABET = st.sampled_from(
    [
        *"()+-*/%^=<>,'\"; \n\t.:\\\x00",
        "not ",
        " and ",
        " or ",
        " in ",
        " like ",
        " between ",
        " is null",
        "i",
        "s",
        "x",
        "1",
        "0.5",
        "1e9",
        "'a'",
        '"i"',
        "casei(",
        "date(",
        "timestamp('2020-01-01')",
        "POINT(1 2)",
        "é",
        "�",
        "true",
    ]
)


@settings(deadline=None, max_examples=400)
@given(st.lists(ALPHABET, max_size=30).map("".join) | st.text(max_size=60))
def test_any_text_is_either_a_condition_that_runs_or_our_error(text: str) -> None:
    try:
        found = condition(text, COLUMNS)
    except InvalidFilterError:
        return
    connection = table([{"i": 1, "x": 0.5, "s": "a"}])
    connection.execute(f"SELECT count(*) FROM data WHERE {found.sql}", found.values).fetchall()
    connection.close()


@pytest.mark.parametrize(
    "text",
    [
        "(" * 2000 + "b" + ")" * 2000,
        "not " * 2000 + "b",
        "-" * 4000 + "i = 1",
        "i" + "<1" * 3900,
        "i" + "=(1" * 1500 + ")" * 1500,
        "abs(" * 1500 + "i" + ")" * 1500,
        "i" + "+1" * 3900 + "= 1",
        "i" + "^1" * 3900 + "= 1",
        "i between 1 and " * 490 + "2",
        "s" + " like s" * 1100,
        "(-" * 1900 + "i" + ")" * 1900,
    ],
    ids=lambda text: text[:20],
)
def test_what_would_end_the_parsers_process_is_refused(text: str) -> None:
    program = (
        "import sys\nfrom gristmill.datasets.filters import condition\n"
        "from gristmill.errors import InvalidFilterError\n"
        "try:\n condition(sys.stdin.read(), [])\nexcept InvalidFilterError as error:\n print('refused')\n"
    )
    done = subprocess.run([sys.executable, "-c", program], input=text, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "refused\n"), done.stderr


def test_the_parser_alone_still_dies_of_nesting() -> None:
    done = subprocess.run(
        [sys.executable, "-c", "import cql2; cql2.parse_text('(' * 2000 + 'a' + ')' * 2000)"], check=False
    )
    assert done.returncode < 0


def test_a_filter_with_other_columns_and_values_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    parse_text = cql.cql2.parse_text
    monkeypatch.setattr(cql.cql2, "parse_text", lambda text: parsed.append(text) or parse_text(text))
    cql._known_tree.cache_clear()
    rows = [{"i": 1, "s": "a"}, {"i": 2, "j": 1, "s": "b"}]
    assert rows_of("i = 1 AND s = 'a'", *rows) == [0]
    assert rows_of("i = 2 AND s = 'b'", *rows) == [1]
    assert rows_of("j = 1 AND s = 'b'", *rows) == [1]
    assert len(parsed) == 1
    assert rows_of("i = 2 AND i = 2", *rows) == [1]
    assert len(parsed) == 2
    with pytest.raises(InvalidFilterError, match="character 5"):
        condition("i = = 1", COLUMNS)
    assert len(parsed) == 2
    long = " OR ".join(["i = 1"] * 90)
    assert rows_of(long, *rows) == rows_of(long, *rows) == [0]
    assert len(parsed) == 4


def test_ninety_brackets_are_allowed() -> None:
    assert rows_of("(" * 90 + "i = 1" + ")" * 90, {"i": 1}) == [0]


def test_an_injection_stays_a_value_or_a_name() -> None:
    hostile = "'; DROP TABLE data; --"
    assert rows_of("s = '''; DROP TABLE data; --'", {"s": hostile}, {"s": "x"}) == [0]
    assert "no column" in refusal('"i"" = 1; DROP TABLE data; --" = 1')
    assert "no meaning" in refusal("i = 1; DROP TABLE data")
    assert "no function" in refusal("\"upper\"(s) = 'X'")


@pytest.mark.parametrize(
    "text",
    [
        "'a' = 'a'",
        "s = 's'",
        "s in ('s')",
        "s like 's'",
        "casei(s) = casei('s')",
        "'s' in (s, 'b')",
        "'s' between 'a' and s",
    ],
)
def test_a_text_that_is_no_columns_name_or_stands_beside_a_column_is_one(text: str) -> None:
    assert rows_of(text, {"s": "s"}) == [0]


@pytest.mark.parametrize("text", ['"we ""ird" = 1', '"select" = 1', "select = 1", "größe_名 = 1"])
def test_a_column_of_any_name_can_be_used(text: str) -> None:
    one = {'we "ird': 1, "select": 1, "größe_名": 1}
    assert rows_of(text, one, {}) == [0]


MOMENT = {
    "day": date(2020, 2, 29),
    "t": datetime(2020, 2, 29, 23, 30, 15, 1),  # noqa: DTZ001  the column has no zone
    "z": "2020-02-29 23:30:15.000001+00",
    "clock": "23:30:15",
    "id": "123e4567-e89b-12d3-a456-426614174000",
    "s": "Straße É",
    "x": math.nan,
    "i": -7,
}


@pytest.mark.parametrize(
    "text",
    [
        "day = DATE('2020-02-29')",
        "t = TIMESTAMP('2020-02-29T23:30:15.000001Z')",
        "t = TIMESTAMP('2020-03-01T00:30:15.000001+01:00')",
        "z = TIMESTAMP('2020-02-29T23:30:15.000001Z')",
        "z = t and day < z and day < t",
        "z > DATE('2020-02-29') and z < DATE('2020-03-01')",
        "year(z) = 2020 and month(z) = 2 and day(z) = 29 and hour(z) = 23 and weekday(day) = 6",
        "date(z) = day and date(t) = day and timestamp(day) < t",
        "clock = '23:30:15' and hour(clock) = 23",
        "id = '123E4567-E89B-12D3-A456-426614174000'",
        "casei(s) = casei('STRAßE É') and accenti(s) = 'Straße E' and length(s) = 8 and s like 'Stra_e %'",
        r"not s like 'Stra\_e %'",
        "x > 1e300 and x = x and is_nan(x) and x is not null",
        "i div 2 = -3 and i % 2 = -1 and i / 2 = -3.5 and abs(i) = 7 and -i = 7 and i ^ 2 = 49",
        "integer('x') is null and number('1.5') = 1.5 and text(i) = '-7' and boolean('true')",
        "i / 0 is null and i % 0 is null and i div 0 is null",
        "i in (1.5, -7) and i not in (1.5, 8) and i in (j, -7)",
        "j is null and not (b is not null)",
        "true",
    ],
)
def test_what_the_documentation_says_holds(text: str) -> None:
    assert rows_of(text, MOMENT) == [0]


ENDS: dict[str, list[Any]] = {
    "i": [-(2**63), 2**63 - 1, 0],
    "j": [-(2**31), 2**31 - 1],
    "x": [math.nan, math.inf, -math.inf, -sys.float_info.max, 5e-324, -0.0],
    "f": [math.nan, math.inf, -math.inf, 3.4028235e38, 1e-45],
    "d": [Decimal("-9999999.99"), Decimal("9999999.99")],
    "wide": [Decimal("-" + "9" * 36 + ".99"), Decimal("9" * 36 + ".99")],
    "m": [Decimal("-" + "9" * 38), Decimal("9" * 38)],
    "s": ["", "\0", " ", "%", "\\", "\U0010ffff", "e\u0301", "x" * 10_000, "9" * 400, "1e400", "nan", "-inf",
          "infinity", "epoch", "294247-01-10 04:00:54.775807", "5881580-07-11", "9999-12-31T23:59:59+99:99"],
    "b": [True, False],
    "day": ["-infinity", "infinity", "5877642-06-25 (BC)", "5881580-07-10", "0000-01-01"],
    "t": ["-infinity", "infinity", "290309-12-22 (BC) 00:00:00", "294247-01-10 04:00:54.775806"],
    "z": ["-infinity", "infinity", "290309-12-22 (BC) 00:00:00+00", "294247-01-10 04:00:54.775806+00"],
    "nano": ["1677-09-22 00:00:00", "2262-04-11 23:47:16.854775806"],
    "clock": ["00:00:00", "24:00:00", "23:59:59.999999"],
    "id": ["00000000-0000-0000-0000-000000000000", "ffffffff-ffff-ffff-ffff-ffffffffffff"],
}  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_runs_for_every_column_that_each_argument_takes_and_the_ends_of_its_values(name: str) -> None:
    longest = max(map(len, ENDS.values()))
    rows = [{column: ends[row % len(ends)] for column, ends in ENDS.items()} for row in range(longest)]
    connection = table([MOMENT, *rows, {}])
    taken = [[column.name for column in COLUMNS if column.name in ENDS and column.kind in kinds]
             for kinds in FUNCTIONS[name].takes]  # fmt: skip
    for columns in itertools.product(*taken):
        found = condition(f"{name}({', '.join(columns)}) is null", COLUMNS)
        connection.execute(f"SELECT count(*) FROM data WHERE {found.sql}", found.values).fetchall()
    connection.close()


def test_a_time_may_be_the_end_of_the_day() -> None:
    rows = [{"clock": "24:00"}, {"clock": "23:59:59.999999"}, {"clock": "00:00"}]

    for end in ("24:00", "24:00:00", "24:00:00.000"):
        assert rows_of(f"clock = '{end}' AND clock >= '{end}' AND clock IN ('{end}')", *rows) == [0]
        assert rows_of(f"clock < '{end}'", *rows) == [1, 2]
    with pytest.raises(InvalidFilterError, match="is no time"):
        condition("clock = '24:00:01'", COLUMNS)


def test_a_time_of_day_is_compared_without_an_offset_and_one_is_refused() -> None:
    noon = {"clock": time(12)}

    assert rows_of("clock = '12:00:00'", noon) == rows_of("clock = '12:00:00Z'", noon) == [0]
    with pytest.raises(InvalidFilterError, match="is no time; write"):
        condition("clock = '12:00:00+05:00'", COLUMNS)


@pytest.mark.parametrize(("text", "found"), [("wide < 1e36", [0]), ("wide >= 1e36", []), ("wide > -1e36", [0])])
def test_the_first_number_beyond_the_digits_of_a_decimal_is_beyond_every_value(text: str, found: list[int]) -> None:
    assert rows_of(text, {"wide": Decimal("9" * 36 + ".99")}, {"wide": None}) == found


def test_a_term_with_values_of_its_own_is_looked_for_among_others() -> None:
    assert rows_of("i + 1 IN (3, 5)", {"i": 1}, {"i": 2}, {"i": 4}) == [1, 2]


@pytest.mark.parametrize(
    ("text", "found"), [("2 IN (3)", []), ("0.5 IN (1.5, 0.25)", []), ("2 IN (3, 2)", [0]), ("2 NOT IN (3)", [0])]
)
def test_a_written_number_is_looked_for_among_others(text: str, found: list[int]) -> None:
    assert rows_of(text, {"i": 1}) == found


LAST = {"nano": "2023-12-31 23:59:59.999999999"}


@pytest.mark.parametrize(
    "text",
    [
        "year(nano) = 2023 AND quarter(nano) = 4 AND month(nano) = 12 AND day(nano) = 31 AND week(nano) = 52",
        "hour(nano) = 23 AND minute(nano) = 59 AND second(nano) = 59 AND weekday(nano) = 7 AND dayofyear(nano) = 365",
        "DATE(nano) = DATE('2023-12-31')",
        "TIMESTAMP(nano) = TIMESTAMP('2023-12-31T23:59:59.999999Z')",
        "nano > TIMESTAMP('2023-12-31T23:59:59.999999Z') AND nano < TIMESTAMP('2024-01-01T00:00:00Z')",
        "nano < DATE('2024-01-01') AND text(nano) = '2023-12-31 23:59:59.999999999'",
    ],
)
def test_a_time_in_nanoseconds_is_in_the_second_that_it_began(text: str) -> None:
    assert rows_of(text, LAST, {"nano": "2024-01-01 00:00:00"}, {}) == [0]


def test_a_time_in_nanoseconds_before_1970_is_in_the_second_that_it_began() -> None:
    before = {"nano": "1969-12-31 23:59:59.999999999"}

    assert rows_of("year(nano) = 1969 AND second(nano) = 59 AND DATE(nano) < DATE('1970-01-01')", before) == [0]


def test_a_time_in_nanoseconds_is_compared_with_one_that_nanoseconds_do_not_reach() -> None:
    assert rows_of("nano < TIMESTAMP('9999-12-31T00:00:00Z') AND DATE('1066-10-14') < nano", LAST, {}) == [0]
    assert rows_of("nano BETWEEN DATE('1677-01-01') AND DATE('2262-12-31')", LAST, {}) == [0]


def moment(nanoseconds: float) -> str:
    if not isinstance(nanoseconds, int):
        return "infinity" if nanoseconds > 0 else "-infinity"
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{datetime(1970, 1, 1) + timedelta(seconds=seconds)}.{rest:09}"  # noqa: DTZ001  no zone


DAY = 86_400 * 10**9
NEAR = [-(2**63) + DAY, 2**63 - 2, *(n + 1000 * m for n in (0, -DAY, 20_000 * DAY) for m in (-1, 0, 1))]
NANOSECONDS = st.builds(operator.add, st.sampled_from(NEAR), st.integers(-1001, 0)) | st.sampled_from(
    [math.inf, -math.inf]
)


@settings(max_examples=50)
@given(
    nanos=st.lists(NANOSECONDS, min_size=1, max_size=3),
    other=NANOSECONDS | st.sampled_from([2_932_890 * DAY, -700_000 * DAY, 2**63 + DAY, -(2**63) - DAY]),
    on=st.sampled_from([0, 0, 1000, DAY]),
    name=st.sampled_from(["t", "z", "day", "TIMESTAMP", "DATE"]),
    op=st.sampled_from(list(OPERATORS)),
)
def test_a_time_in_nanoseconds_is_compared_exactly(
    nanos: list[float], other: float, on: int, name: str, op: str
) -> None:
    if isinstance(other, int):
        other = (other + on) // (unit := DAY if name.upper() in {"DAY", "DATE"} else 1000) * unit
    written = moment(other).removesuffix("000")
    row: dict[str, Any] = {}
    if name.islower():
        row[name] = written + ("+00" if name == "z" and isinstance(other, int) else "")
    elif isinstance(other, int):
        name = f"DATE('{written[:10]}')" if name == "DATE" else f"TIMESTAMP('{written.replace(' ', 'T')}Z')"
    else:
        return
    rows = [row | {"nano": moment(nano)} for nano in nanos]

    found = rows_of(f"nano {op} {name}", *rows, row, {"nano": moment(0)} if row else {})

    assert found == [at for at, nano in enumerate(nanos) if OPERATORS[op](nano, other)]
    mirrored = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}.get(op, op)
    assert rows_of(f"{name} {mirrored} nano", *rows) == found


@pytest.mark.parametrize("name", ["t", "z", "day", "date(s)", "timestamp(s)"])
def test_a_time_in_nanoseconds_stands_beside_those_that_nanoseconds_do_not_reach(name: str) -> None:
    row = dict.fromkeys(["t", "z", "day", "s"], "9999-12-31")

    assert rows_of(f"nano < {name} AND nano BETWEEN DATE('2000-01-01') AND {name}", LAST | row, LAST) == [0]
    assert rows_of(f"nano IN ({name}, nano) AND NOT (nano = {name} OR {name} IN (nano))", LAST | row, LAST) == [0]


def test_decimals_without_digits_after_the_point_are_whole_numbers() -> None:
    rows = [{"m": Decimal(12345678901234567890)}, {"m": Decimal(12345678901234567891)}, {}]

    assert rows_of("m + 1 = 12345678901234567891", *rows) == [0]
    assert rows_of("m % 2 = 1 AND m - 12345678901234567890 = 1", *rows) == [1]
    assert rows_of("m div 2 = m - 6172839450617283945 AND -m < 0", *rows) == [0]


def test_all_digits_of_a_negative_number_count() -> None:
    rows = [{"m": Decimal(-(10**37) - 3)}, {"m": Decimal(-(10**37) - 1)}]
    assert rows_of(f"m = -{10**37 + 3}", *rows) == [0]


def test_a_float_is_compared_as_rows_show_it() -> None:
    rows = [{"f": 0.1}, {"f": 0.3}, {"f": 16777216.0}, {"f": math.inf}, {"f": math.nan}, {}]

    assert rows_of("f = 0.1 AND 0.1 = f AND f <= 0.1 AND f IN (0.2, 0.1) AND f BETWEEN 0.1 AND 0.2", *rows) == [0]
    assert rows_of("f > 0.1", *rows) == [1, 2, 3, 4]
    assert rows_of("f = 0.10000000149 OR f < -1e39", *rows) == []
    assert rows_of("NOT (f = 16777217) AND f <> 0.123456789", *rows) == [0, 1, 2, 3, 4]
    assert rows_of("f > 1e39", *rows) == [3, 4]
    assert rows_of("f >= 16777217", *rows) == [3, 4]


@settings(max_examples=200)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=8),
    op=st.sampled_from(["=", "<>", "<", "<=", ">", ">="]),
    shift=st.sampled_from(["0", "1e-9", "-1e-9", "1e-3"]),
)
def test_a_float_is_compared_with_any_number_as_rows_show_it(values: list[float], op: str, shift: str) -> None:
    connection = table([{"f": value} for value in values])
    texts = [text for (text,) in connection.execute("SELECT CAST(f AS VARCHAR) FROM data ORDER BY rowid").fetchall()]
    finite = [Decimal(text) for text in texts if "inf" not in text]
    connection.close()
    literal = (finite[0] if finite else Decimal(1)) * (1 + Decimal(shift))
    holds = {"=": operator.eq, "<>": operator.ne, "<": operator.lt, "<=": operator.le, ">": operator.gt,
             ">=": operator.ge}[op]  # fmt: skip

    found = rows_of(f"f {op} {literal:f}" if abs(literal.adjusted()) < 20 else f"f {op} {literal:e}",
                    *({"f": value} for value in values))  # fmt: skip

    assert found == [place for place, text in enumerate(texts) if holds(Decimal(text), literal)]


def test_a_float_is_found_by_the_number_that_its_row_shows() -> None:
    numbers = np.random.default_rng(6).uniform(0, [2.0**15, 2.0**20, 2.0**31], (200, 3))
    values = [39495.4375, 105005856.0, 484674.125, *np.round(numbers, 3).astype("f4").ravel().tolist()]
    rows = [{"f": value} for value in values]
    connection = table(rows)
    shown = [one for (one,) in connection.execute("SELECT CAST(f AS VARCHAR) FROM data ORDER BY rowid").fetchall()]
    connection.close()

    assert rows_of(f"f IN ({', '.join(shown)})", *rows) == list(range(len(rows)))
    for row, text in zip(rows[:10], shown, strict=False):
        assert rows_of(f"f = {text} AND f >= {text} AND f <= {text} AND f BETWEEN {text} AND {text}", row) == [0]
        assert rows_of(f"f <> {text} OR f < {text} OR f > {text}", row) == []


@pytest.mark.parametrize(
    "text",
    [
        "f = x", "x = f", "f = d", "f BETWEEN x AND d", "f IN (x, 5)", "number(f) = 0.1", "abs(f) = 0.1", "-f = -0.1",
        "f + 0 = 0.1", "f * 3 = x * 3", "f = 1/10", "text(f) = '0.1'", "number(text(f)) = f", "f = f AND is_finite(f)",
    ],
)  # fmt: skip
def test_a_float_beside_columns_in_arithmetic_and_in_functions_is_what_rows_show(text: str) -> None:
    assert rows_of(text, {"f": 0.1, "x": 0.1, "d": Decimal("0.10")}) == [0]


def test_a_whole_number_of_a_float_is_the_one_that_rows_show() -> None:
    row = {"f": 123456792.0}  # shown as 123456790.0

    assert rows_of("integer(f) = 123456790 AND round(f) = 123456790 AND f = i", {**row, "i": 123456790}) == [0]
    assert rows_of("f = i", {**row, "i": 123456792}) == []


def test_a_whole_number_is_compared_exactly_with_a_decimal() -> None:
    row = {"i": 2**53 + 1, "wide": Decimal("9007199254740992.50"), "d": Decimal("99.99"), "j": 99}

    assert rows_of("i = wide OR wide = i OR i <= wide OR wide >= i OR j + 1 < d", row) == []
    assert rows_of("i <> wide AND i > wide AND wide < i AND j < d AND j + 1 > d", row) == [0]
    assert rows_of("NOT (i = wide)", {"i": 1}, {"wide": Decimal(1)}, {"i": 1, "wide": Decimal(1)}, row) == [3]


def test_whole_numbers_stay_exact_in_the_functions_that_round() -> None:
    row = {"i": -(2**63) + 1, "m": Decimal(2**53 + 1)}

    assert rows_of("abs(i) = 9223372036854775807 AND abs(i) <> 9223372036854775808", row) == [0]
    assert rows_of("round(i) = i AND floor(m) = 9007199254740993 AND ceil(m) = m", row) == [0]
    assert rows_of("abs(i) = 9223372036854775808", {"i": -(2**63)}) == [0]


@pytest.mark.parametrize(("half", "whole"), [("2.5", 3), ("-2.5", -3), ("0.5", 1), ("1.5", 2), ("-0.5", -1)])
def test_halves_are_rounded_away_from_zero_whatever_holds_them(half: str, whole: int) -> None:
    row = {"x": float(half), "d": Decimal(half), "s": half}
    each = " AND ".join(f"integer({held}) = {whole}" for held in ("x", "d", "s", half, "x + 0"))

    assert rows_of(f"{each} AND round(x) = {whole}", row) == [0]
    assert rows_of("integer(x) IS NULL", {"x": math.nan}, {"x": 1e300}, {"x": 1.0}) == [0, 1]
