"""The process ``regression``: ordinary least squares, as a table, as numbers and as a picture."""

import importlib
import math
from typing import Annotated, Any, TypedDict

import numpy as np
from pydantic import BaseModel, Field

from gristmill.datasets.local_forms import local_form
from gristmill.processes.authoring import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.processes.column import Column
from gristmill.processes.dataset import DataSet
from gristmill.processes.design import Design
from gristmill.processes.distributions import f_tail, t_bound, t_tails
from gristmill.processes.least_squares import CollinearError, Fit, Floats, fit, predicted
from gristmill.processes.shifts import plus
from gristmill.processes.table import Table
from gristmill.processes.workspace import DataColumn
from gristmill.processes.workspaces import reuses_workspace
from gristmill.words import counted

_INTERCEPT = "(intercept)"
_MOST_DRAWN = 2_000_000  # rows; of more, every second or third ... is drawn


class Coefficient(BaseModel):
    """One coefficient. What is not defined is null, as t where a fit leaves no residuals."""

    term: str = Field(description="The column; with the level after a colon for text and booleans; or (intercept).")
    column: str | None
    level: str | None
    estimate: float
    standard_error: float
    t: float | None
    p: float | None = Field(description="Two-sided, of t.")
    low: float = Field(description="Lower end of the 95 % confidence interval.")
    high: float = Field(description="Upper end.")


class Regression(BaseModel):
    """A fit by ordinary least squares.

    Attributes:
        y: The column that is explained.
        coefficients: In the order of the columns; the intercept first.
        baselines: For each column of text, its most frequent value, which the coefficients of its others compare with;
            null where all of its values have a coefficient.
        n: Number of rows of the fit.
        rows: Number of rows of the data set.
        missing: Rows left out because a value is missing.
        not_finite: Further rows left out because a value is NaN or infinite.
        residual_freedom: Degrees of freedom of the residuals.
        residual_standard_error: Square root of the sum of the squared residuals by their degrees of freedom.
        r_squared: Explained share of the sum of squares of y, around its mean, or around 0 without an intercept.
        adjusted_r_squared: The same, adjusted for the number of coefficients.
        f: F of all coefficients but the intercept.
        f_freedom: Its degrees of freedom.
        f_p: Probability of a larger F if y depended on nothing.
        log_likelihood: Of normal residuals.
        aic: Akaike's information criterion, -2 log likelihood + 2 coefficients.
        bic: Bayesian information criterion, -2 log likelihood + log(n) coefficients.
    """

    y: str
    coefficients: list[Coefficient]
    baselines: dict[str, str | None]
    n: int
    rows: int
    missing: int
    not_finite: int
    residual_freedom: int
    residual_standard_error: float
    r_squared: float | None
    adjusted_r_squared: float | None
    f: float | None
    f_freedom: list[int]
    f_p: float | None
    log_likelihood: float | None
    aic: float | None
    bic: float | None


class RegressionOutputs(TypedDict):
    """Numbers and pictures.

    Attributes:
        table: A row for each coefficient.
        regression: The coefficients, and how well they explain y.
        plot: Residuals against fitted values; with one column of numbers also the data and the line.
        plot_svg: The same picture as vector graphics.
    """

    table: Annotated[Table, MediaType("text/csv")]
    regression: Regression
    plot: Annotated[OnDemand[bytes], MediaType("image/png")]
    plot_svg: Annotated[OnDemand[bytes], MediaType("image/svg+xml")]


@reuses_workspace
@process(version="2", seconds=30, memory_mb=1024, disk_mb=1, deterministic=True, keywords=("statistics", "plot"))
def regression(
    table: DataSet,
    y: str,
    x: Annotated[list[str], Field(min_length=1, max_length=100)],
    intercept: bool = True,
    *,
    progress: Progress,
) -> RegressionOutputs:
    """Linear regression

    Explains a column of numbers by others, by ordinary least squares: coefficients with standard errors, t, p and 95 %
    confidence intervals, and R², F, AIC and BIC of the whole. Columns of text are taken by their values, each compared
    with the most frequent one; booleans as 1 and 0. Rows with a missing value, NaN or an infinity are left out.

    Args:
        table: The data set.
        y: Name of the column to explain: numbers, or booleans as 1 and 0.
        x: Names of the columns to explain it by: numbers, booleans, or text with at most 150 different values.
        intercept: Whether the fit has a constant; without one, it goes through the origin.
    """
    columns = _columns(table, y, x)
    progress(5, "counting")
    design = Design(table, columns[0], columns[1:], intercept=intercept)
    names = [*([_INTERCEPT] if intercept else []), *(term.name for term in design.terms)]
    if design.rows <= len(names):
        raise wrong_input(
            "x",
            f"needs {len(names)} coefficients, and so at least {len(names) + 1} complete rows; there are {design.rows}",
        )
    progress(20, "fitting")
    try:
        found = fit(design.blocks(), design.scale, intercept=intercept)
    except CollinearError as error:
        raise wrong_input("x", _collinear(table, design, names, error, intercept=intercept)) from error
    numbers = _numbers(table, design, found, y, intercept=intercept)
    progress(60, "drawing")
    picture = _draw(design, found, numbers, columns, intercept=intercept)
    return RegressionOutputs(
        table=_table(numbers.coefficients), regression=numbers, plot=picture.png, plot_svg=picture.svg
    )


def _columns(table: DataSet, y: str, x: list[str]) -> list[DataColumn]:
    for place, name in enumerate([y, *x]):
        where = "x" if place else "y"
        if name not in table:
            known = ", ".join(column.name for column in table.columns)
            raise wrong_input(where, f"has {name!r}, which is not a column; the columns are: {known or 'none'}")
        column = table.column(name)
        if not column.is_numeric and column.kind not in ({"boolean", "text"} if place else {"boolean"}):
            taken = "numbers, booleans or text" if place else "numbers or booleans"
            raise wrong_input(where, f"has {name!r}, which is {column.kind}; it takes {taken}{local_form(column)}")
        if place and (name == y or name in x[: place - 1]):
            raise wrong_input("x", f"has {name!r}, which is {'y' if name == y else 'there twice'}")
    return [table.column(name) for name in [y, *x]]


def _collinear(table: DataSet, design: Design, names: list[str], error: CollinearError, *, intercept: bool) -> str:
    name = names[error.column]
    others = [names[place] for place in error.others]
    if not others or others == [_INTERCEPT]:
        column = table.column(design.terms[error.column - intercept].column)
        if column.is_numeric and not design.is_constant(column):
            return (
                f"has {name!r}, whose values are too large for how little they differ, as identifiers are: leave it "
                "out, or subtract its least value before"
            )
        return f"has {name!r}, which is the same in all rows{'' if intercept else ', 0'}: leave it out"
    shown = ", ".join(repr(other) for other in others[:10]) + (" and others" if len(others) > 10 else "")
    return f"has {name!r}, which follows from {shown} in all rows (collinearity): leave one of them out"


def _numbers(table: DataSet, design: Design, found: Fit, y: str, *, intercept: bool) -> Regression:
    terms, freedom, rows = len(found.coefficients), found.freedom, found.rows
    total, explaining = found.squares + found.explained, terms - intercept
    share = found.explained / total if total else None
    rest = found.squares / total if total else 0.0
    f = found.explained / explaining / (found.squares / freedom) if found.squares and explaining else None
    likelihood = None
    if found.squares:
        variance = math.log(found.squares / rows) + 2 * math.log(found.size)
        likelihood = -rows / 2 * (math.log(2 * math.pi) + variance + 1)
    return Regression(
        y=y,
        coefficients=_coefficients(design, found, intercept=intercept),
        baselines={name: levels.values[0] if levels.has_baseline else None for name, levels in design.levels.items()},
        n=rows,
        rows=table.rows,
        missing=design.missing,
        not_finite=design.not_finite,
        residual_freedom=freedom,
        residual_standard_error=math.sqrt(found.squares / freedom) * found.size,
        r_squared=share,
        adjusted_r_squared=None if share is None else 1 - (rows - intercept) / freedom * rest,
        f=f,
        f_freedom=[explaining, freedom],
        f_p=None if f is None else f_tail(f, explaining, freedom),
        log_likelihood=likelihood,
        aic=None if likelihood is None else 2 * terms - 2 * likelihood,
        bic=None if likelihood is None else math.log(rows) * terms - 2 * likelihood,
    )


def _coefficients(design: Design, found: Fit, *, intercept: bool) -> list[Coefficient]:
    bound = t_bound(0.05, found.freedom)
    heads: list[tuple[str, str | None, str | None]] = [(_INTERCEPT, None, None)] if intercept else []
    heads += [(term.name, term.column, term.level) for term in design.terms]
    made = []
    estimates = found.coefficients.tolist()
    if intercept:
        estimates[0] = plus(design.y_shift, estimates[0])
    for (name, column, level), estimate, error in zip(heads, estimates, found.errors.tolist(), strict=True):
        t = estimate / error if error else None
        made.append(
            Coefficient(
                term=name,
                column=column,
                level=level,
                estimate=estimate,
                standard_error=error,
                t=t,
                p=None if t is None else t_tails(t, found.freedom),
                low=estimate - bound * error,
                high=estimate + bound * error,
            )
        )
    return made


def _table(coefficients: list[Coefficient]) -> Table:
    texts = ("term", "column", "level")
    names = (*texts, "estimate", "standard_error", "t", "p", "low", "high")
    return Table(
        Column.of(name, [getattr(one, name) for one in coefficients], "string" if name in texts else "number")
        for name in names
    )


def _draw(design: Design, found: Fit, numbers: Regression, columns: list[DataColumn], *, intercept: bool) -> Any:
    pictures: Any = importlib.import_module("gristmill.processes.pictures_regression")  # Matplotlib, not for the API
    step = -(-found.rows // _MOST_DRAWN)
    points: list[Floats] = []
    shift = float(design.y_shift)
    offset = 0
    only_x = len(columns) == 2 and columns[1].is_numeric
    for block in design.blocks():
        part = block[-offset % step :: step]
        offset += len(block)
        fitted = predicted(part[:, :-1], found, intercept=intercept)
        points.append(np.column_stack([fitted + shift, part[:, -1] - fitted, part[:, 0], part[:, -1] + shift]))
    drawn = np.concatenate(points)
    notes = {
        "with a missing value": numbers.missing,
        "with a value that is not finite": numbers.not_finite,
        "for want of room": found.rows - len(drawn),
    }
    line = (numbers.coefficients[0].estimate if intercept else 0.0, found.coefficients[-1])
    picture = pictures.Residuals(
        y=columns[0].label,
        fitted=drawn[:, 0],
        residuals=drawn[:, 1],
        x=columns[1].label if only_x else "",
        data=drawn[:, 2:] if only_x else None,
        line=line,
        title=_title(numbers, columns),
        notes=[f"{counted(count, 'row')} {reason}" for reason, count in notes.items() if count],
    )
    return pictures.draw(picture)


def _title(numbers: Regression, columns: list[DataColumn]) -> str:
    share = "" if numbers.r_squared is None else f", R² = {numbers.r_squared:.3f}"
    return (
        f"{columns[0].name} by {', '.join(column.name for column in columns[1:])}: {counted(numbers.n, 'row')}{share}"
    )
