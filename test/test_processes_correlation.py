"""The process correlation, against pandas and pairs computed one by one; which columns it takes; its heat map."""

import math
from itertools import combinations
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pandas import DataFrame
from scipy import stats

from gristmill.datasets.columns import kind_of
from gristmill.errors import InvalidInputsError
from gristmill.processes import DataSet, Progress
from gristmill.processes import correlation as module
from gristmill.processes.column import Column
from gristmill.processes.correlation import CorrelationMatrix, CorrelationOutputs, correlation
from gristmill.processes.correlations import pearson_of_pair, ranks
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn, Workspace


def run(data: Any, **inputs: Any) -> CorrelationOutputs:
    table = data if isinstance(data, DataSet) else DataSet.of(data, name="table")
    return correlation(table, progress=Progress(), **inputs)


def matrix(data: Any, **inputs: Any) -> CorrelationMatrix:
    return run(data, **inputs)["correlation"]


def array(found: CorrelationMatrix) -> Any:
    return np.array([[math.nan if one is None else one for one in row] for row in found.r])


def with_holes(rows: int = 300, width: int = 6) -> Any:
    """Columns that depend on each other, with missing values in different rows; the last two in the same."""
    random = np.random.default_rng(5)
    values = random.normal(size=(rows, width)) @ random.normal(size=(width, width)) + 1000
    holes = random.random((rows, width)) < 0.2
    holes[:, -2] = holes[:, -1]
    return np.where(holes, np.nan, values)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_correlations_over_the_rows_of_each_pair_are_those_of_pandas(method: Any) -> None:
    values = with_holes()
    frame = DataFrame(values, columns=list("abcdef"))

    found = matrix({name: values[:, place] for place, name in enumerate(frame)}, method=method)

    np.testing.assert_allclose(array(found), frame.corr(method), rtol=1e-12, atol=1e-14)
    there = ~np.isnan(values)
    np.testing.assert_array_equal(found.n, there.T.astype(int) @ there.astype(int))


CELL = st.one_of(st.none(), st.sampled_from([math.nan, math.inf, 0.0, 1.0]), st.floats(-1e3, 1e3))


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(CELL, CELL, CELL), max_size=25), st.sampled_from(["pearson", "spearman"]))
def test_each_pair_is_what_it_would_be_alone(rows: list[tuple[Any, Any, Any]], method: Any) -> None:
    columns = Table(Column.of(name, [row[place] for row in rows], "number") for place, name in enumerate("abc"))

    found = matrix(columns, method=method)

    for i, j in combinations(range(3), 2):
        both = [(row[i], row[j]) for row in rows if all(c is not None and math.isfinite(c) for c in (row[i], row[j]))]
        x, y = np.array(both, "f8").reshape(-1, 2).T
        expected = pearson_of_pair(x, y) if method == "pearson" else pearson_of_pair(ranks(x), ranks(y))
        assert found.n[i][j] == len(both)
        assert found.r[i][j] == (None if math.isnan(expected) else pytest.approx(expected, abs=1e-7))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(-5, 5), min_size=1, max_size=60))
def test_ranks_are_those_of_scipy(values: list[int]) -> None:
    np.testing.assert_array_equal(ranks(np.array(values)), stats.rankdata(values))


def test_a_column_that_is_constant_has_no_correlations_and_other_pairs_have_theirs() -> None:
    found = matrix({"a": [1.0, 2, 3, 4], "b": [0.1] * 4, "c": [2.0, 4, 6, 9]})

    assert found.r[1] == [None, None, None]
    assert found.r[0][2] == pytest.approx(np.corrcoef([1, 2, 3, 4], [2, 4, 6, 9])[0, 1])


def test_a_pair_far_from_the_rest_of_its_column_keeps_its_digits() -> None:
    random = np.random.default_rng(2)
    x, y = random.normal(size=(2, 200))
    far = np.concatenate([x, [1e12] * 50])
    there_only_near = np.concatenate([y + x, [np.nan] * 50])

    found = matrix({"far": far, "near": there_only_near})

    assert found.r[0][1] == pytest.approx(np.corrcoef(x, x + y)[0, 1], rel=1e-10)


@pytest.mark.parametrize("factor", [1e-300, 1e300, 1.0])
def test_huge_and_tiny_numbers_are_correlated(factor: float) -> None:
    x, y = np.random.default_rng(2).normal(size=(2, 50))

    assert matrix({"x": x * factor, "y": y}).r[0][1] == pytest.approx(np.corrcoef(x, y)[0, 1])


def test_ranks_tell_integers_beyond_53_bits_apart() -> None:
    large = 2**60
    found = matrix({"x": [large, large + 1, large + 2, large + 3], "y": [1, 2, 3, 4]}, method="spearman")

    assert found.r[0][1] == pytest.approx(1)


@pytest.mark.parametrize("type_text", ["BIGINT", "UBIGINT", "DECIMAL(38,0)"])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_numbers_beyond_53_bits_that_lie_on_a_line_are_correlated_as_such(type_text: str, method: Any) -> None:
    workspace = Workspace()
    workspace.connection.execute(
        f"CREATE TABLE t AS SELECT (4611686018427387904 + i)::{type_text} AS x, i::INTEGER AS y FROM range(9) r(i)"
    )
    columns = [DataColumn("x", type_text, kind_of(type_text) or "nested"), DataColumn("y", "INTEGER", "integer")]

    found = matrix(DataSet(workspace.queries, "t", columns, 9), method=method)

    assert found.r[0][1] == pytest.approx(1, abs=1e-12)


def test_whole_numbers_far_from_the_rest_of_their_column_keep_their_digits() -> None:
    far = [0, *(2**62 + one for one in range(9))]
    found = matrix({"x": far, "y": [None, *range(9)]})

    assert found.r[0][1] == pytest.approx(1, abs=1e-12)


def test_blocks_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.concatenate([with_holes(12_000), np.ones((13_000, 6)) * np.arange(13_000)[:, None] % 7])
    columns = {name: values[:, place] for place, name in enumerate("abcdef")}
    one = matrix(columns)
    monkeypatch.setattr(module, "_CELLS", 1)

    np.testing.assert_allclose(array(matrix(columns)), array(one), rtol=1e-10)


def stored(sql: str) -> DataSet:
    """A data set of columns of any of DuckDB's types."""
    workspace = Workspace()
    workspace.connection.execute(f'CREATE TABLE "table" AS {sql}')
    (count,) = workspace.connection.execute('SELECT count(*) FROM "table"').fetchall()[0]
    return DataSet(workspace.queries, "table", workspace._described("table"), count)


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_all_columns_of_numbers_are_taken_and_booleans_where_they_are_named(method: Any) -> None:
    data = stored(
        "SELECT range AS i, range::DECIMAL(9,2) AS d, -range::FLOAT AS f, range::UBIGINT AS u, range::TINYINT AS t, "
        "range::VARCHAR AS s, range < 5 AS b, DATE '2020-01-01' AS day FROM range(10)"
    )

    found = matrix(data, method=method)
    named = matrix(data, columns=["b", "i"], method=method)

    assert found.columns == ["i", "d", "f", "u", "t"]
    assert found.r[0] == pytest.approx([1, 1, -1, 1, 1])
    assert named.r[0][1] == pytest.approx(np.corrcoef([1] * 5 + [0] * 5, range(10))[0, 1])


def test_what_is_not_finite_is_left_out_and_counted() -> None:
    outputs = run({"a": [1.0, 2, math.nan, math.inf, 3], "b": [1.0, 2, 3, 4, None]})

    assert outputs["correlation"].n == [[3, 2], [2, 4]]
    assert outputs["correlation"].not_finite == {"a": 2}
    assert "2 values not finite" in outputs["plot_svg"]().decode()


@pytest.mark.parametrize("method", ["pearson", "spearman"])
@pytest.mark.parametrize("rows", [0, 1])
def test_tables_with_hardly_any_rows_have_no_correlations(rows: int, method: Any) -> None:
    outputs = run(stored(f"SELECT range AS a, 2.5 AS b FROM range({rows})"), method=method)

    assert outputs["correlation"].r == [[None, None], [None, None]]
    assert outputs["plot"]().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("inputs", "detail"),
    [
        ({"columns": ["a", "c"]}, "not a column"),
        ({"columns": ["a", "s"]}, "which is text"),
        ({"columns": ["a", "a"]}, "there twice"),
        ({}, "must name 2 to 200: the table has 1 of numbers"),
    ],
)
def test_columns_that_cannot_be_correlated_are_named(inputs: dict[str, Any], detail: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run({"a": [1, 2], "s": ["a", "b"]}, **inputs)

    assert caught.value.faults[0].pointer == "/inputs/columns"
    assert detail in caught.value.faults[0].detail


def test_more_to_rank_than_the_time_allows_is_refused_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    values = with_holes()
    columns = {name: values[:, place] for place, name in enumerate("abcdef")}
    monkeypatch.setattr(module, "_MOST_RANKINGS", 29 * 300)

    with pytest.raises(InvalidInputsError, match="30 rankings of 300 rows"):
        run(columns, method="spearman")


def test_the_table_has_a_row_for_each_pair() -> None:
    table = run({"a": [1, 2, 3], "b": [1, 2, 3], "c": [3, 2, 1]})["table"]

    assert table.to_json()["rows"] == [
        ["a", "b", pytest.approx(1), 3], ["a", "c", pytest.approx(-1), 3], ["b", "c", pytest.approx(-1), 3],
    ]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(("width", "with_numbers"), [(2, True), (25, True), (26, False), (80, False)])
def test_the_heat_map_names_all_columns_and_has_numbers_while_they_can_be_read(width: int, with_numbers: bool) -> None:
    values = np.random.default_rng(0).normal(size=(30, width))
    outputs = run({f"col {place}": values[:, place] for place in range(width)})

    svg = outputs["plot_svg"]().decode()
    assert outputs["plot"]().startswith(b"\x89PNG")
    assert all(svg.count(f">col {place}<") == 2 for place in range(width))
    assert (svg.count(">1.00<") == width) == with_numbers


@pytest.mark.parametrize("name", ["a b", '"', "%", "$x$", "x" * 80, "عربي", "😀", "select", "c0"])
@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_any_name_can_be_a_column(name: str, method: Any) -> None:
    assert matrix({name: [1, 2, 3], "y": [1, 2, 3]}, method=method).r[0][1] == pytest.approx(1)
