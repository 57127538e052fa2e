"""Which numbers a double says, and which it would round: whole numbers, decimals, and floats of fewer bits."""

import math
from collections.abc import Sequence
from decimal import Decimal
from typing import Any

import numpy as np
import numpy.typing as npt

from gristmill.words import not_finite

Number = int | float | Decimal
_LONGEST = 100  # digits of a decimal without an exponent: 1E+999999999 is not written out


def as_doubles(numbers: Sequence[Number]) -> list[float]:
    """The numbers as doubles. Raises ValueError or OverflowError where one would be rounded.

    A whole number must be equal to its double, a decimal to what is written of it: 0.1 is, for a reader.
    """
    made = list(map(float, numbers))
    # Compared at once: NaN is the same object in both.
    if made != numbers or Decimal in set(map(type, numbers)):
        for number, double in zip(numbers, made, strict=True):
            if not is_said(number, double):
                raise ValueError(f"{number_text(number)} would be rounded to {double!r}")
    return made


def is_said(number: Number, double: float) -> bool:
    """Whether a double says a number."""
    if isinstance(number, Decimal):
        return not number.is_finite() or Decimal(repr(double)) == number
    return isinstance(number, float) or number == double


def number_text(number: Number) -> str:
    """A number in digits, none of them left out."""
    if isinstance(number, float):
        return str(number) if math.isfinite(number) else not_finite(number)
    return f"{number:f}" if isinstance(number, Decimal) and abs(number.adjusted()) < _LONGEST else str(number)


def widened(floats: npt.NDArray[Any]) -> npt.NDArray[np.float64]:
    """Floats of any number of bits as the doubles that are written with the same digits: 0.1 is not 0.10000000149."""
    return floats.astype("U").astype("f8") if floats.dtype.itemsize < np.dtype("f8").itemsize else floats.astype("f8")
