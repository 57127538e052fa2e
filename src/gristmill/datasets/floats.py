"""FLOATs, of 32 bits, as the doubles that rows show of them: with the digits that DuckDB writes. Pure."""

import math
import struct
from decimal import Context, Decimal

_BITS, _LOWEST_EXPONENT = 24, -125  # of what math.frexp gives of a FLOAT
_SMALLEST_NORMAL = 2.0**-126
_FEWEST_DIGITS, _MOST_DIGITS = 6, 9  # of a normal one: six digits never stand for two


def nearest(number: float) -> float:
    """The FLOAT that is nearest to a number, as a double; an infinity for a number beyond all of them."""
    (found,) = struct.unpack("f", struct.pack("f", number))
    return float(found)


def shown(value: float) -> float:
    """What rows show of a FLOAT: 0.1, not 0.10000000149011612.

    It has the fewest digits that stand for no other FLOAT, and of such numbers the nearest. Where two are as near, or
    it lies in the middle between two FLOATs, DuckDB writes the value itself: 39495.4375, though 39495.438 would do.
    """
    if value == 0 or not math.isfinite(value):
        return value
    size = abs(value)
    if float(f"{size:.{_FEWEST_DIGITS}g}") == size:  # as most are that people write, and this is quick
        return value
    low, high = _ends(size)
    for digits in range(_FEWEST_DIGITS if size >= _SMALLEST_NORMAL else 1, _MOST_DIGITS + 1):
        number = float(f"{size:.{digits}g}")
        if number < low and size - low < high - size:  # FLOATs lie closer together below a power of two than above
            number = float(Decimal(f"{size:.{digits}g}").next_plus(Context(prec=digits)))
        if low <= number <= high:
            is_between = number in (low, high) or _is_halfway(size, digits)
            return value if is_between else math.copysign(number, value)
    return value


def _ends(size: float) -> tuple[float, float]:
    """The middles between a positive FLOAT and its neighbours."""
    part, exponent = math.frexp(size)
    half = math.ldexp(1, max(exponent, _LOWEST_EXPONENT) - _BITS - 1)
    is_closer_below = part == 0.5 and exponent > _LOWEST_EXPONENT
    return size - half / (2 if is_closer_below else 1), size + half


def _is_halfway(size: float, digits: int) -> bool:
    """Whether a number lies in the middle between two of so many digits."""
    longer = f"{size:.{digits}e}"
    return float(longer) == size and longer.partition("e")[0].endswith("5") and Decimal(longer) == Decimal(size)
