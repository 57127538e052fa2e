"""Counts the values of a column: by bins for numbers and times, by value for the others."""

import math
import sys
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.processes.column import Column, Kind, column_of_values
from gristmill.processes.dataset import DataSet, as_table_has_it
from gristmill.processes.exact import exact_cell, may_round
from gristmill.processes.workspace import DataColumn
from gristmill.words import counted

BINS = 20
_LARGEST_HALF = 2**51  # up to here, floating-point numbers have halves
_DAY = 24 * 3600 * 10**6
_FIRST_TIME, _LAST_TIME = (
    int(np.datetime64(one, "us").astype("i8")) for one in ("0001-01-01", "9999-12-31T23:59:59.999999")
)

Counts = npt.NDArray[np.int64]


class RangeError(ValueError):
    """The range of the values cannot be divided into so many bins."""


@dataclass(frozen=True, slots=True)
class Frequencies:
    """How often values occur that are not missing.

    most: (value as JSON, count), most frequent first, equally frequent ones in their order. distinct: how many
    different values there are. rows: how often all of them occur. minimum, maximum: of all of them.
    """

    most: list[tuple[Any, int]]
    distinct: int
    rows: int
    minimum: Any
    maximum: Any

    def beyond(self, shown: int) -> str:
        """Say what there is besides the first ones of ``most``; "" for nothing."""
        rest = self.distinct - min(shown, len(self.most))
        rows = self.rows - sum(count for _, count in self.most[:shown])
        return f"{counted(rest, 'more value')} in {counted(rows, 'row')}" if rest > 0 else ""


def frequencies(data: DataSet, column: DataColumn, most: int) -> Frequencies:
    """Count the values of a column, and list the most frequent ones; times in nanoseconds as what they are."""
    is_rounded = may_round(column.type)
    kind, value = as_table_has_it(column)
    if is_rounded or column.type == "TIMESTAMP_NS":
        kind, value = "string" if is_rounded else kind, column.sql
    shown = "CAST({} AS VARCHAR)" if is_rounded else "{}"
    ends = ", ".join(f"{shown.format(end)} AS {end}" for end in ("least", "greatest"))
    found = data.query(
        f"WITH grouped AS MATERIALIZED "
        f"(SELECT {value} AS v, count(*) AS n FROM {data.source} WHERE {column.sql} IS NOT NULL GROUP BY 1) "
        f"SELECT {shown.format('v')} AS value, n, d, r, {ends} FROM "
        "(SELECT count(*) AS d, CAST(coalesce(sum(n), 0) AS BIGINT) AS r, "
        "min(v) AS least, max(v) AS greatest FROM grouped) "
        f"LEFT JOIN (FROM grouped ORDER BY n DESC, v LIMIT {most}) ON true ORDER BY n DESC, v"
    ).fetchnumpy()
    values, least, greatest = (_cells(found[name], kind) for name in ("value", "least", "greatest"))
    if is_rounded or kind == "integer":
        values, least, greatest = (list(map(_exact, cells)) for cells in (values, least, greatest))
    counts = np.ma.filled(found["n"], 0).tolist()
    listed = [(cell, count) for cell, count in zip(values, counts, strict=True) if count]
    return Frequencies(listed, int(found["d"][0]), int(found["r"][0]), least[0], greatest[0])


def _cells(array: npt.NDArray[Any], kind: Kind) -> list[object]:
    if array.dtype == "M8[ns]":
        return column_of_values("", array).cells()
    return Column.of_arrays("", kind, np.ma.getdata(array), ~np.ma.getmaskarray(array)).cells()


def _exact(cell: object) -> object:
    return None if cell is None else exact_cell(str(cell))


def finite(column: Column) -> npt.NDArray[Any]:
    """Return the values that are neither null, nor NaN, nor infinite, and times in the years 1 to 9999."""
    present = column.present
    if column.kind == "datetime":
        ticks = present.astype("i8")
        return present[(ticks >= _FIRST_TIME) & (ticks <= _LAST_TIME)]
    return present[np.isfinite(present)] if column.kind == "number" else present


def bin_counts(
    values: npt.NDArray[Any], bins: int, low: float | None = None, high: float | None = None
) -> tuple[Counts, npt.NDArray[Any]]:
    """Count numbers or times in bins of equal width; return the counts and the edges (one more).

    A bin has its lower edge, and the last one its upper edge too. Without ``low`` and ``high``, the range is that of
    the values, or somewhat wider where that is too narrow for the bins. No values give no bins. Raises RangeError where
    ``low`` and ``high`` are too close for the bins, or the range is too wide for floating-point numbers.
    """
    is_time = values.dtype.kind == "M"
    numbers = values.astype("i8") if is_time else values
    if not len(numbers):
        return np.zeros(0, "i8"), values[:0]
    start, stop = own_range(numbers, bins, is_time=is_time)
    start, stop = start if low is None else low, stop if high is None else high
    if start > stop:
        raise RangeError(f"the range from {start} to {stop} is empty")
    if not np.isfinite(float(stop) - float(start)):
        raise RangeError(f"the range from {start} to {stop} is too wide")
    try:
        counts, edges = np.histogram(numbers, bins, (start, stop))
    except ValueError as error:
        raise RangeError(f"the range from {start} to {stop} is too narrow for {bins} bins") from error
    if numbers.dtype.kind == "i" and max(abs(start), abs(stop)) > EXACT_IN_JSON:
        counts = _whole_counts(numbers, edges, low, high)
    return counts, edges.round().astype("M8[us]") if is_time else edges


def _whole_counts(numbers: npt.NDArray[Any], edges: npt.NDArray[Any], low: float | None, high: float | None) -> Counts:
    """Count whole numbers that doubles would round, some of them over an edge."""
    ordered = np.sort(numbers)
    first = 0 if low is None else bisect_left(ordered, math.ceil(low))
    last = len(ordered) if high is None else bisect_right(ordered, math.floor(high))
    return np.diff([first, *(bisect_left(ordered, math.ceil(edge)) for edge in edges[1:-1].tolist()), last])


def own_bins(values: npt.NDArray[Any], *, is_whole: bool) -> tuple[Counts, npt.NDArray[Any]]:
    """Count numbers or times in some 20 bins that suit them; return the counts and the edges, as ``bin_counts``.

    is_whole: the values are integers: then a bin has as many of them as the next, or some bins would be twice as full,
    and the last one reaches as little as possible beyond the largest value, or it would be half empty. So it is with
    days where no time is between two midnights.
    """
    if is_whole and len(values):
        low, high = int(values.min()), int(values.max())
        width, bins = _whole_bins(high - low + 1)
        if max(abs(low), abs(high)) < _LARGEST_HALF:
            return bin_counts(values, bins, low - 0.5, low - 0.5 + bins * width)
    if values.dtype.kind == "M" and len(values) and not (values.astype("i8") % _DAY).any():
        first, last = int(values.min().astype("i8")), int(values.max().astype("i8"))
        width, bins = _whole_bins((last - first) // _DAY + 1)
        end = first + bins * width * _DAY
        if end <= _LAST_TIME:
            return bin_counts(values, bins, first, end)
    return bin_counts(values, BINS)


def _whole_bins(values: int) -> tuple[int, int]:
    """Return how many of so many whole numbers are in a bin, and how many bins that are."""

    def misfit(width: int) -> float:
        bins = -(-values // width)
        return (bins * width - values) / width + abs(bins - BINS) / (2 * BINS)

    width = min((-(-values // bins) for bins in range(BINS // 2, 2 * BINS + 1)), key=misfit)
    return width, -(-values // width)


def edges_as_json(edges: npt.NDArray[Any]) -> list[float | str]:
    """Return edges as numbers, or as ISO 8601 times in UTC."""
    if edges.dtype.kind == "M":
        return [f"{one}Z" for one in np.datetime_as_string(edges)]
    return list(edges.tolist())


def own_range(numbers: npt.NDArray[Any], bins: int, *, is_time: bool = False) -> tuple[float, float]:
    """Return the range of the values, widened around its middle until the bins can be told apart."""
    start, stop = float(numbers.min()), float(numbers.max())
    narrowest = float(_DAY if is_time else 1) if start == stop else float(bins if is_time else 0)
    least = max(narrowest, 4 * bins * math.ulp(max(abs(start), abs(stop))))
    if stop - start >= least:
        return start, stop
    middle = start + (stop - start) / 2
    first, last = (_FIRST_TIME, _LAST_TIME) if is_time else (-sys.float_info.max, sys.float_info.max)
    middle = min(max(middle, first + least / 2), last - least / 2)
    return middle - least / 2, middle + least / 2


def as_text(value: object) -> str:
    """Return a value as the label of a category."""
    return str(value).lower() if isinstance(value, bool) else str(value)
