"""The columns of a regression as blocks of numbers: which rows are complete, levels of text, means and sizes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from gristmill.datasets.local_forms import local_form
from gristmill.processes.authoring import wrong_input
from gristmill.processes.dataset import DataSet
from gristmill.processes.least_squares import Floats, Scale
from gristmill.processes.shifts import Shift, shifted, shifts
from gristmill.processes.workspace import DataColumn

MOST_LEVELS = 150
MOST_TERMS = 200
_CELLS = 4_000_000  # of a block: 32 MB


@dataclass(frozen=True, slots=True)
class Term:
    """A column of numbers: one of the table, or whether another one has a level. name: as people read it."""

    column: str
    level: str | None = None

    @property
    def name(self) -> str:
        """The column, and the level if it is one of a level."""
        return self.column if self.level is None else f"{self.column}: {self.level}"


@dataclass(frozen=True, slots=True)
class Levels:
    """The values of a column of text, the most frequent first; its term is left out if ``has_baseline``."""

    values: tuple[str, ...]
    has_baseline: bool

    @property
    def coded(self) -> tuple[str, ...]:
        """Those that are terms."""
        return self.values[int(self.has_baseline) :]


class Design:
    """What a regression of ``y`` on ``x`` has for numbers, of the rows that have all of them.

    rows: how many are complete. missing: rows without one of the values. not_finite: others with NaN or an infinity.
    y_shift: what is taken off y, for its doubles would be rounded; 0 without an intercept, which could not take it.
    Raises InvalidInputsError for columns that cannot be taken.
    """

    def __init__(self, table: DataSet, y: DataColumn, x: Sequence[DataColumn], *, intercept: bool) -> None:
        self._table = table
        self._y = y
        self._x = x
        every = [y, *x]
        self._complete = " AND ".join(
            f"isfinite({one.sql})" if one.kind == "number" else f"{one.sql} IS NOT NULL" for one in every
        )
        self._numbers = [one for one in every if one.kind != "text"]
        complete = f"{table.sql} WHERE {self._complete}"
        self.y_shift: Shift = shifts(table, [y], complete).get(y.name, 0) if intercept else 0
        statistics = self._statistics()
        self.rows: int = statistics[0]
        self.missing = 0 if self.rows == table.rows else self._missing(every)
        self.not_finite = table.rows - self.missing - self.rows
        self.levels: dict[str, Levels] = {}
        for column in x:
            if column.kind == "text":
                has_baseline = intercept or bool(self.levels)
                self.levels[column.name] = Levels(self._levels(column), has_baseline)
        self.terms = tuple(term for column in x for term in self._terms(column))
        if len(self.terms) > MOST_TERMS:
            raise wrong_input("x", f"gives {len(self.terms)} terms with all levels, and at most {MOST_TERMS} are taken")
        self.scale = self._scale(statistics[1:], intercept=intercept)
        self._only: Floats | None = None

    def blocks(self) -> Iterator[Floats]:
        """The rows in blocks, a column for each term and y in the last one."""
        size = max(10_000, _CELLS // (len(self.terms) + 1))
        if self.rows <= size:
            if self._only is None:
                self._only = self._block(size, 0)
            yield self._only
            return
        for start in range(0, self.rows, size):
            yield self._block(size, start)

    def is_constant(self, column: DataColumn) -> bool:
        """Whether the column has one value in all complete rows; doubles may have one where it has several."""
        sql = f"SELECT min({column.sql}) = max({column.sql}) FROM {self._table.sql} WHERE {self._complete}"
        ((found,),) = self._table.query(sql).fetchall()
        return bool(found)

    def _block(self, size: int, start: int) -> Floats:
        selected, values = [], []
        for place, column in enumerate(self._x):
            if column.name in self.levels:
                selected.append(f"CAST(list_position(?, {column.sql}) - 1 AS SMALLINT) AS c{place}")
                values.append(list(self.levels[column.name].values))
            else:
                selected.append(f"{shifted(column, 0)} AS c{place}")
        sql = (
            f"SELECT {', '.join(selected)}, {shifted(self._y, self.y_shift)} AS y FROM {self._table.sql} "
            f"WHERE {self._complete} LIMIT {size} OFFSET {start}"
        )
        arrays = {name: np.ma.getdata(one) for name, one in self._table.query(sql, values).fetchnumpy().items()}
        block = np.empty((len(arrays["y"]), len(self.terms) + 1))
        at = 0
        for place, column in enumerate(self._x):
            found = arrays[f"c{place}"]
            if column.name not in self.levels:
                block[:, at] = found
                at += 1
                continue
            levels = self.levels[column.name]
            for code in range(int(levels.has_baseline), len(levels.values)):
                block[:, at] = found == code
                at += 1
        block[:, at] = arrays["y"]
        return block

    def _levels(self, column: DataColumn) -> tuple[str, ...]:
        sql = (
            f"SELECT {column.sql}, count(*) FROM {self._table.sql} WHERE {self._complete} "
            f"GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT {MOST_LEVELS + 1}"
        )
        found = tuple(value for value, _ in self._table.query(sql).fetchall())
        if len(found) > MOST_LEVELS:
            raise wrong_input(
                "x",
                f"has {column.name!r}, whose text has more than {MOST_LEVELS} different values; group them before"
                f"{local_form(column)}",
            )
        if len(found) == 1 and self.rows > 1:
            raise wrong_input("x", f"has {column.name!r}, which is {found[0]!r} in all rows: leave it out")
        return found

    def _terms(self, column: DataColumn) -> list[Term]:
        if column.name in self.levels:
            return [Term(column.name, level) for level in self.levels[column.name].coded]
        return [Term(column.name, "true" if column.kind == "boolean" else None)]

    def _statistics(self) -> list[Any]:
        """The number of complete rows, and mean, minimum and maximum of each column of numbers in them."""
        values = (shifted(one, self.y_shift if one is self._y else 0) for one in self._numbers)
        asked = ", ".join(f"avg({value}), min({value}), max({value})" for value in values)
        sql = f"SELECT count(*), {asked} FROM {self._table.sql} WHERE {self._complete}"
        return list(self._table.query(sql).fetchall()[0])

    def _missing(self, columns: Sequence[DataColumn]) -> int:
        absent = " OR ".join(f"{one.sql} IS NULL" for one in columns)
        ((count,),) = self._table.query(f"SELECT count(*) FROM {self._table.sql} WHERE {absent}").fetchall()
        return int(count)

    def _scale(self, statistics: Sequence[float | None], *, intercept: bool) -> Scale:
        found = {
            one.name: shift_and_size(*statistics[3 * place : 3 * place + 3], intercept=intercept)
            for place, one in enumerate(self._numbers)
        }
        pairs = [found.get(name, (0.0, 1.0)) for name in (*(term.column for term in self.terms), self._y.name)]
        return Scale(np.array([shift for shift, _ in pairs]), np.array([size for _, size in pairs]))


def shift_and_size(
    mean: float | None, low: float | None, high: float | None, *, intercept: bool
) -> tuple[float, float]:
    """By what to shift (0 without an intercept) and to divide a column with these statistics."""
    if mean is None or low is None or high is None:
        return 0.0, 1.0
    if not intercept:
        return 0.0, max(abs(low), abs(high)) or 1.0
    if low == high:
        return low, 1.0
    return mean if math.isfinite(mean) else low / 2 + high / 2, high / 2 - low / 2 or 1.0
