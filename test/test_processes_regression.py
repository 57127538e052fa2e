"""The process regression, against statsmodels; which rows and columns it takes, and its picture."""

import math
from typing import Any

import numpy as np
import pytest
import statsmodels.formula.api as smf
from pandas import DataFrame

from gristmill.datasets.columns import kind_of
from gristmill.errors import InvalidInputsError
from gristmill.processes import DataSet, Progress
from gristmill.processes.regression import Regression, RegressionOutputs, regression
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn, Workspace


def run(data: Any, y: str, x: list[str], **more: Any) -> RegressionOutputs:
    table = data if isinstance(data, DataSet) else DataSet.of(data, name="table")
    return regression(table, y, x, progress=Progress(), **more)


def fit(data: Any, y: str, x: list[str], **more: Any) -> Regression:
    return run(data, y, x, **more)["regression"]


def estimates(found: Regression) -> dict[str, float]:
    return {one.term: one.estimate for one in found.coefficients}


def measured(rows: int = 400, seed: int = 1) -> dict[str, Any]:
    """Columns of all kinds, and y that depends on them."""
    random = np.random.default_rng(seed)
    mass, age = random.normal(4200, 800, rows), random.integers(1, 30, rows)
    kind = random.choice(["Adélie", "Gentoo", "Chinstrap"], rows, p=[0.5, 0.3, 0.2])
    male = random.random(rows) < 0.4
    y = 150 + 0.01 * mass + 0.2 * age + 5 * male + 9 * (kind == "Gentoo") + random.normal(0, 5, rows)
    return {"length": y, "mass": mass, "age": age, "kind": kind.tolist(), "male": male}


@pytest.mark.parametrize(
    ("x", "formula"),
    [
        (["mass"], "length ~ mass"),
        (["mass", "age", "male"], "length ~ mass + age + male"),
        (["mass", "kind", "male"], "length ~ mass + C(kind, Treatment('Adélie')) + male"),
        (["kind"], "length ~ C(kind, Treatment('Adélie'))"),
    ],
)
def test_every_number_is_that_of_statsmodels(x: list[str], formula: str) -> None:
    columns = measured()
    found, peer = fit(columns, "length", x), smf.ols(formula, DataFrame(columns)).fit()

    order = [_place(one.term, list(peer.params.index)) for one in found.coefficients]
    for ours, theirs in (("estimate", "params"), ("standard_error", "bse"), ("t", "tvalues"), ("p", "pvalues")):
        values = [getattr(one, ours) for one in found.coefficients]
        np.testing.assert_allclose(values, getattr(peer, theirs).iloc[order], rtol=1e-8, atol=1e-290)
    ends = [(one.low, one.high) for one in found.coefficients]
    np.testing.assert_allclose(ends, peer.conf_int().iloc[order], rtol=1e-8)
    _same_quality(found, peer)


def _place(term: str, theirs: list[str]) -> int:
    column, _, level = term.partition(": ")
    if term == "(intercept)":
        return theirs.index("Intercept")
    return next(
        place
        for place, name in enumerate(theirs)
        if column in name and (not level or f"[T.{level.title() if level == 'true' else level}]" in name)
    )


def _same_quality(found: Regression, peer: Any) -> None:
    pairs = {
        "r_squared": peer.rsquared, "adjusted_r_squared": peer.rsquared_adj, "f": peer.fvalue, "f_p": peer.f_pvalue,
        "aic": peer.aic, "bic": peer.bic, "log_likelihood": peer.llf, "residual_freedom": peer.df_resid,
        "residual_standard_error": math.sqrt(peer.mse_resid), "n": peer.nobs,
    }  # fmt: skip
    for name, value in pairs.items():
        assert getattr(found, name) == pytest.approx(value, rel=1e-8, abs=1e-290), name
    assert found.f_freedom == [peer.df_model, peer.df_resid]


@pytest.mark.parametrize(("x", "formula"), [(["mass"], "mass"), (["mass", "male"], "mass + I(male*1.0)")])
def test_a_fit_without_an_intercept_is_that_of_statsmodels(x: list[str], formula: str) -> None:
    columns = measured()
    found, peer = (
        fit(columns, "length", x, intercept=False),
        smf.ols(f"length ~ 0 + {formula}", DataFrame(columns)).fit(),
    )

    np.testing.assert_allclose([one.estimate for one in found.coefficients], peer.params, rtol=1e-9)
    np.testing.assert_allclose([one.standard_error for one in found.coefficients], peer.bse, rtol=1e-9)
    _same_quality(found, peer)


def test_without_an_intercept_the_first_text_has_a_coefficient_for_each_value() -> None:
    found = fit({"g": ["a", "b", "a", "b"], "y": [1.0, 5, 3, 9]}, "y", ["g"], intercept=False)

    assert estimates(found) == pytest.approx({"g: a": 2, "g: b": 7})
    assert found.baselines == {"g": None}


def test_text_compares_with_the_most_frequent_value_of_the_complete_rows() -> None:
    found = fit({"g": ["a", "a", "a", "b", "b"], "y": [None, None, 1.0, 2, 4]}, "y", ["g"])

    assert found.baselines == {"g": "b"}
    assert estimates(found) == pytest.approx({"(intercept)": 3, "g: a": -2})


def test_rows_without_all_values_are_left_out_and_counted() -> None:
    x = [1.0, 2, 3, None, 4, math.nan, 5, math.inf]
    y = [1.0, 2.1, 2.9, 1, None, 1, math.nan, 2]
    outputs = run({"x": x, "y": y}, "y", ["x"])
    found = outputs["regression"]

    assert (found.rows, found.n, found.missing, found.not_finite) == (8, 3, 2, 3)
    assert estimates(found)["x"] == pytest.approx(0.95)
    assert "2 rows with a missing value, 3 rows with a value that is not finite" in outputs["plot_svg"]().decode()


def test_the_blocks_of_a_large_table_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = measured(25_000)
    one = fit(columns, "length", ["mass", "kind", "male"])
    monkeypatch.setattr("gristmill.processes.design._CELLS", 1)

    many = fit(columns, "length", ["mass", "kind", "male"])

    assert estimates(many) == pytest.approx(estimates(one), rel=1e-11)
    assert many.aic == pytest.approx(one.aic)


def stored(sql: str) -> DataSet:
    """A data set of columns of any of DuckDB's types."""
    workspace = Workspace()
    workspace.connection.execute(f'CREATE TABLE "table" AS {sql}')
    (count,) = workspace.connection.execute('SELECT count(*) FROM "table"').fetchall()[0]
    return DataSet(workspace.queries, "table", workspace._described("table"), count)


@pytest.mark.parametrize("type_", ["DECIMAL(18,3)", "TINYINT", "UBIGINT", "FLOAT", "DOUBLE"])
def test_columns_of_every_kind_of_number_are_taken(type_: str) -> None:
    data = stored(f"SELECT range::{type_} AS x, (3 * range + 1)::{type_} AS y FROM range(40)")

    assert estimates(fit(data, "y", ["x"])) == pytest.approx({"(intercept)": 1, "x": 3})


def test_a_fit_that_leaves_nothing_has_no_t_and_no_f() -> None:
    found = fit({"x": [0, 1, 0, 1], "y": [0, 0, 0, 0]}, "y", ["x"])

    assert found.r_squared is found.f is found.aic is None
    assert [one.t for one in found.coefficients] == [None, None]


def test_integers_beyond_53_bits_and_huge_numbers_are_fitted() -> None:
    x = np.arange(50)
    y = 3 * x + np.random.default_rng(0).normal(size=50)
    plain = fit({"x": x, "y": y}, "y", ["x"])
    shifted = fit({"x": x + 2**53, "y": y}, "y", ["x"])
    huge = fit({"x": x * 1e300, "y": y * 1e305}, "y", ["x"])

    assert estimates(shifted)["x"] == pytest.approx(estimates(plain)["x"], rel=1e-2)
    assert estimates(huge)["x"] == pytest.approx(estimates(plain)["x"] * 1e5)
    assert huge.r_squared == pytest.approx(plain.r_squared)


@pytest.mark.parametrize("type_text", ["BIGINT", "UBIGINT", "DECIMAL(38,0)"])
def test_y_is_not_rounded_where_doubles_would_round_it(type_text: str) -> None:
    workspace = Workspace()
    workspace.connection.execute(
        f"CREATE TABLE t AS SELECT (9007199254740992 + y)::{type_text} AS y, x "
        "FROM (VALUES (1, 1), (3, 2), (5, 3), (9, 4)) AS v(y, x)"
    )
    columns = [DataColumn("y", type_text, kind_of(type_text) or "nested"), DataColumn("x", "INTEGER", "integer")]
    outputs = run(DataSet(workspace.queries, "t", columns, 4), "y", ["x"])

    assert estimates(outputs["regression"])["x"] == pytest.approx(2.6)
    assert estimates(outputs["regression"])["(intercept)"] == 2**53 - 2
    assert outputs["regression"].residual_standard_error == pytest.approx(0.6**0.5)
    assert outputs["plot"]().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("columns", "y", "x", "pointer", "detail"),
    [
        ({"a": [1.0, 2, 3, 5], "b": [2.0, 4, 6, 10]}, "y", ["a", "b"], "x", "has 'b', which follows from 'a'"),
        ({"a": [0.1] * 4}, "y", ["a"], "x", "has 'a', which is the same in all rows"),
        ({"a": ["u"] * 4}, "y", ["a"], "x", "which is 'u' in all rows"),
        ({"a": ["u", "u", "v", "v"], "b": [True, True, False, False]}, "y", ["a", "b"], "x", "which follows from"),
        ({"b": [1.0, 3, 2, 5], "id": [2**62 + 1, 2**62 + 2, 2**62 + 3, 2**62 + 4]}, "y", ["b", "id"], "x", "has 'id'"),
        ({"id": [2**62 + 4096 * i for i in range(4)], "b": [1.0, 3, 2, 5]}, "y", ["id", "b"], "x", "how little they"),
        ({"a": [2**62] * 4}, "y", ["a"], "x", "has 'a', which is the same in all rows"),
        ({"a": [1.0, None, None, None]}, "y", ["a"], "x", "at least 3 complete rows; there are 1"),
        ({"a": [1.0, 2, 3, 4]}, "y", ["y"], "x", "which is y"),
        ({"a": [1.0, 2, 3, 4]}, "y", ["a", "a"], "x", "there twice"),
        ({"a": [1.0, 2, 3, 4]}, "y", ["c"], "x", "not a column"),
        ({"a": ["b", "c", "d", "e"]}, "a", ["y"], "y", "which is text"),
        ({"a": ["2020-01-01", "2020-01-02", "2020-01-03", "2020-01-04"]}, "y", ["a"], "x", "which is timestamp"),
    ],
)
def test_columns_that_cannot_be_fitted_are_named(columns: Any, y: str, x: list[str], pointer: str, detail: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        run(columns | {"y": [1.0, 2.5, 3, 4]}, y, x)

    assert caught.value.faults[0].pointer == f"/inputs/{pointer}"
    assert detail in caught.value.faults[0].detail


def test_text_with_more_values_than_the_limit_is_refused() -> None:
    with pytest.raises(InvalidInputsError, match="more than 150 different values"):
        fit(stored("SELECT range AS y, 'v' || range AS x FROM range(1000)"), "y", ["x"])


def test_no_rows_are_refused_and_not_a_failure() -> None:
    with pytest.raises(InvalidInputsError, match="there are 0"):
        fit(stored("SELECT range AS y, range::VARCHAR AS x, 1.5::DOUBLE AS z FROM range(0)"), "y", ["x", "z"])


@pytest.mark.parametrize("name", ["a b", '"', "%", "$x$", "x" * 80, "عربي", "😀", "select", "c0", "y y"])
def test_any_name_can_be_a_column(name: str) -> None:
    outputs = run({name: [1, 2, 3, 4], "y": [1.0, 2.5, 3, 4]}, "y", [name])

    assert outputs["regression"].coefficients[1].term == name


def test_columns_called_as_the_statement_calls_its_own_are_told_apart() -> None:
    found = fit({"y": [1.0, 2, 3, None], "c0": [2.0, 4, 6, 8], "c1": [1, 0, 0, None]}, "c0", ["y"])

    assert estimates(found) == pytest.approx({"(intercept)": 0, "y": 2}, abs=1e-12)
    assert (found.n, found.missing) == (3, 1)


def test_the_table_has_a_row_for_each_coefficient() -> None:
    table: Table = run(measured(), "length", ["mass", "kind"])["table"]

    assert list(table) == ["term", "column", "level", "estimate", "standard_error", "t", "p", "low", "high"]
    assert table.column("term").cells() == ["(intercept)", "mass", "kind: Gentoo", "kind: Chinstrap"]
    assert table.column("level").cells() == [None, None, "Gentoo", "Chinstrap"]


@pytest.mark.parametrize("rows", [20, 5000])
def test_the_picture_shows_data_line_and_residuals_with_units(rows: int) -> None:
    columns = DataSet.of(measured(rows), name="table")
    outputs = run(columns, "length", ["mass"])

    svg = outputs["plot_svg"]().decode()
    assert outputs["plot"]().startswith(b"\x89PNG")
    assert all(f">{text}<" in svg for text in ("mass", "length", "fitted length", "residual of length"))
    assert (">rows<" in svg) == (rows == 5000)
    assert ">mass<" not in run(columns, "length", ["mass", "age"])["plot_svg"]().decode()


def test_a_line_that_no_numbers_hold_is_left_out_of_the_picture() -> None:
    table = {"x": [1e-300, 2e-300, 3e-300, 4e-300], "y": [1e300, 2e300, 3.5e300, 4e300]}
    with np.errstate(over="ignore", invalid="ignore"):
        svg = run(table, "y", ["x"])["plot_svg"]().decode()

    assert ">not finite<" in svg
    assert ">x / 1e-300<" in svg
