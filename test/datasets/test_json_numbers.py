"""Numbers that JSON does not hold are strings within nested values, and nothing else is."""

import json
import math
from typing import Any

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.mapping import json_text_of

KINDS = {
    "by DuckDB": 'STRUCT("t ""NaN" VARCHAR, x DOUBLE[], i BIGINT, u UBIGINT, h HUGEINT)[]',
    "by the mapping": 'STRUCT("t ""NaN" VARCHAR, x DOUBLE[], i BIGINT, u UBIGINT, h HUGEINT, b BLOB)[]',
}
TEXTS = st.text(st.sampled_from('NaInfity-,:[]{}"\\ .e0129\x01\x02\n\u00e9')) | st.sampled_from(
    ["NaN", "-Infinity", "[9007199254740993]", '":-Infinity,"', "\\", '\\"', "\x01NaN\x01"]
)
EDGES = st.sampled_from(
    [EXACT_IN_JSON + off for off in (-1, 0, 1, 2, 7, 8, 10**5, 10**9, 10**14)] + [10**16 - 1, 10**16]
)
LONG = st.integers(0, 2**63 - 1) | EDGES


def written(value: Any) -> Any:
    """What JSON has for a value."""
    if isinstance(value, dict):
        return {key: written(one) for key, one in value.items()}
    if isinstance(value, list):
        return list(map(written, value))
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"
    return str(value) if isinstance(value, int) and abs(value) > EXACT_IN_JSON else value


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
@settings(deadline=None, max_examples=100)
@given(
    rows=st.lists(
        st.fixed_dictionaries(
            {
                't "NaN': TEXTS,
                "x": st.lists(st.none() | st.floats(), max_size=3),
                "i": LONG | LONG.map(int.__neg__),
                "u": LONG | st.just(2**64 - 1),
                "h": LONG.map(lambda number: -number),
            }
        ),
        max_size=3,
    )
)
@example([{'t "NaN': "", "x": [math.nan, -0.0, 1e16, 9007199254740993.0, 1e-300], "i": -1, "u": 2**53, "h": -(2**53)}])
def test_numbers_that_json_does_not_hold_are_strings(kind: str, rows: list[dict[str, Any]]) -> None:
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE data (written {kind})")
        more = {"b": b""} if "BLOB" in kind else {}
        connection.execute(f"INSERT INTO data SELECT CAST(? AS {kind})", [[row | more for row in rows]])
        ((text,),) = connection.execute(f"SELECT {json_text_of('written', kind)} FROM data").fetchall()
    found = json.loads(text, parse_constant=lambda _: pytest.fail("no JSON"))
    expected = [written(row) | ({"b": ""} if more else {}) for row in rows]
    assert [repr(sorted(row.items())) for row in found] == [repr(sorted(row.items())) for row in expected]
