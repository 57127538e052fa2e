"""What large numbers have in common, taken off exactly before floating-point numbers round them.

Whole numbers beyond 2^53, and decimals of more digits than a double has, differ where their doubles do not. Values of
both signs have nothing in common: they differ by as much as they are large.
"""

from collections.abc import Sequence
from decimal import Decimal
from fractions import Fraction

from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.mapping import double_of
from gristmill.processes.dataset import DataSet
from gristmill.processes.workspace import DataColumn

Shift = int | Decimal


def shifts(data: DataSet, columns: Sequence[DataColumn], relation: str) -> dict[str, Shift]:
    """By column name, what to take off; nothing for columns whose values are doubles as well as they can be.

    relation: what stands behind FROM, with a WHERE if not all rows count.
    """
    asked = [
        one for one in columns if one.kind == "decimal" or (one.type in {"BIGINT", "UBIGINT"} and not _is_small(one))
    ]
    if not asked:
        return {}
    ends = ", ".join(f"min({one.sql}), max({one.sql})" for one in asked)
    (found,) = data.query(f"SELECT {ends} FROM {relation}").fetchall()
    shared = map(_shared, found[::2], found[1::2])
    return {column.name: shift for column, shift in zip(asked, shared, strict=True) if shift}


def shifted(column: DataColumn, shift: Shift) -> str:
    """The values as doubles, less the shift, as SQL; 0 for none."""
    value = f"{column.sql} - CAST('{Decimal(shift):f}' AS {column.type})" if shift else column.sql
    return f"CAST({double_of(value, column.type)} AS DOUBLE)"


def plus(shift: Shift, number: float) -> float:
    """The double next to the sum."""
    return float(Fraction(shift) + Fraction(number)) if shift else number


def _is_small(column: DataColumn) -> bool:
    """Whether the ends of a stored column, which are texts beyond 2^53, say that doubles hold its whole numbers."""
    return isinstance(column.minimum, int) and isinstance(column.maximum, int)


def _shared(low: Shift | None, high: Shift | None) -> Shift:
    if low is None or high is None or max(_digits(low), _digits(high)) <= EXACT_IN_JSON:
        return 0
    return low if low > 0 else min(high, 0)


def _digits(value: Shift) -> int:
    """The digits as a whole number: those of 1.25 are 125."""
    return int("".join(map(str, Decimal(value).as_tuple().digits)))
