"""Which numbers a double says, and which it would round: whole numbers, decimals, and floats of fewer bits."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import numpy.typing as npt

from gristmill.datasets.floats import shown
from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.mapping import double_of
from gristmill.words import not_finite

Number = int | float | Decimal
_LONGEST = 100  # digits of a decimal without an exponent: 1E+999999999 is not written out
_FEW = 2_000  # floats, for which DuckDB would only be started


def as_doubles(numbers: Sequence[Number]) -> list[float]:
    """The numbers as doubles. Raises ValueError or OverflowError where one would be rounded.

    Whole numbers must be equal to their doubles, or, like decimals, to what is written of these: 0.1 is, for a reader,
    and so is 333333333333333300, as JavaScript writes the double 333333333333333312.
    """
    made = list(map(float, numbers))
    # Compared at once: NaN is the same object in both.
    if made != numbers or Decimal in set(map(type, numbers)):
        for number, double in zip(numbers, made, strict=True):
            if not is_said(number, double):
                raise ValueError(f"{number_text(number)} would be rounded to {double!r}")
    return made


def is_said(number: Number, double: float) -> bool:
    """Whether a number is what is written of its double."""
    if isinstance(number, float):
        return True
    if isinstance(number, int) and abs(number) <= EXACT_IN_JSON:
        return number == double
    return (isinstance(number, Decimal) and not number.is_finite()) or Decimal(repr(double)) == number


def number_text(number: Number) -> str:
    """A number in digits, none of them left out."""
    if isinstance(number, float):
        return str(number) if math.isfinite(number) else not_finite(number)
    return f"{number:f}" if isinstance(number, Decimal) and abs(number.adjusted()) < _LONGEST else str(number)


def widened(floats: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Floats of any number of bits as the doubles that rows show of them: 0.1 is not 0.10000000149."""
    if floats.dtype.itemsize >= np.dtype("f8").itemsize:
        return floats.astype("f8")
    short = floats.astype("f4")
    if len(short) <= _FEW:
        return np.array([shown(one) for one in short.tolist()], "f8")
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.register("given", {"f": short})
        found = connection.execute(f"SELECT {double_of('f', 'FLOAT')} AS f FROM given").fetchnumpy()["f"]
    return np.ma.filled(found, math.nan)  # DuckDB takes NaN of NumPy for null
