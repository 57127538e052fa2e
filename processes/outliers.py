"""An example of a process of your own: copy this file, change it, restart, and it is in the API.

docs/processes.md explains every part of it.
"""

from typing import Annotated, NamedTuple

import numpy as np
from matplotlib.figure import Figure
from pydantic import BaseModel, Field

from gristmill import MediaType, Progress, Table, process, wrong_input


class Fences(BaseModel):
    """What is usual in one group."""

    group: str
    rows: int
    lower: float
    upper: float
    outliers: int


class Outliers(NamedTuple):
    """Each field is an output of its own.

    Attributes:
        fences: The usual range of each group, and how many rows lie outside.
        rows: The rows of the table that lie outside.
        plot: A box plot of the groups.
    """

    fences: list[Fences]
    rows: Annotated[Table, MediaType("text/csv")]
    plot: Figure


@process(version="1", seconds=30, memory_mb=512, disk_mb=1, deterministic=True, keywords=["statistics", "quality"])
def outliers(
    table: Table,
    column: str,
    by: str | None = None,
    reach: Annotated[float, Field(gt=0, le=10, description="How far a usual value may lie from the quartiles.")] = 1.5,
    *,
    progress: Progress,
) -> Outliers:
    """Unusual values of a column

    Finds the rows whose value lies further from the quartiles of its group than `reach` times the distance between
    the quartiles (Tukey's fences).

    Args:
        table: The table to check.
        column: Name of a column of numbers.
        by: Name of a column of text that makes the groups; without it, the table is one group.
    """
    values, groups = _numbers(table, column), _groups(table, by)
    names = sorted(set(groups.tolist()))
    fences = []
    is_outside = np.zeros(table.rows, dtype=bool)
    for name in progress.each(names, "checking groups"):
        inside = groups == name
        present = values[inside & np.isfinite(values)]
        low, high = np.quantile(present, [0.25, 0.75]) if len(present) else (np.nan, np.nan)
        lower, upper = low - reach * (high - low), high + reach * (high - low)
        found = inside & ((values < lower) | (values > upper))
        is_outside |= found
        fences.append(Fences(group=name, rows=len(present), lower=lower, upper=upper, outliers=int(found.sum())))
    label = table.column(column).axis_label
    return Outliers(fences, table.where(is_outside), _box_plot(label, names, values, groups, reach))


def _numbers(table: Table, name: str) -> np.ndarray:
    if name not in table or not table.column(name).is_numeric:
        numbers = [one.name for one in table.columns if one.is_numeric]
        raise wrong_input("column", f"must be one of {numbers}; 1,5 is a number in an upload with decimal=, alone")
    return table[name].astype(float)


def _groups(table: Table, name: str | None) -> np.ndarray:
    if name is None:
        return np.full(table.rows, "all")
    if name not in table or table.column(name).kind != "string":
        raise wrong_input("by", f"must be one of {[one.name for one in table.columns if one.kind == 'string']}")
    return np.where(table.column(name).valid, table[name], "(none)")


def _box_plot(label: str, names: list[str], values: np.ndarray, groups: np.ndarray, reach: float) -> Figure:
    figure = Figure(figsize=(8, max(2.5, 1 + 0.4 * len(names))), layout="constrained")
    axes = figure.add_subplot()
    axes.boxplot(
        [values[(groups == name) & np.isfinite(values)] for name in names],
        whis=reach,
        orientation="horizontal",
        tick_labels=[name.replace("$", r"\$") for name in names],  # else Matplotlib looks for formulas
    )
    axes.set_xlabel(label)
    axes.invert_yaxis()
    return figure
