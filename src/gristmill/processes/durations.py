"""Durations of Python, NumPy, pandas and Arrow as text: that which rows of data sets have of intervals."""

from datetime import timedelta
from typing import Any

import numpy as np

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_NANOSECONDS = {
    "W": 7 * _DAY, "D": _DAY, "h": 3600 * _SECOND, "m": 60 * _SECOND, "s": _SECOND, "ms": 10**6, "us": 1000, "ns": 1,
}  # fmt: skip
_MONTHS = {"M": 1, "Y": 12}
_PARTS = {
    "years": (12, 0, 0), "months": (1, 0, 0), "weeks": (0, 7, 0), "days": (0, 1, 0), "hours": (0, 0, 3600 * _SECOND),
    "minutes": (0, 0, 60 * _SECOND), "seconds": (0, 0, _SECOND), "microseconds": (0, 0, 1000), "nanoseconds": (0, 0, 1),
}  # fmt: skip
"""Of an offset: months, days, nanoseconds."""


def duration_of(value: timedelta | np.timedelta64) -> str | None:
    """A duration as days and seconds of one sign; None for NaT."""
    exact: Any = value.to_timedelta64() if hasattr(value, "to_timedelta64") else value  # pandas' has nanoseconds
    if isinstance(exact, timedelta):
        return duration_text(exact // timedelta(microseconds=1) * 1000)
    if np.isnat(exact):
        return None
    unit, step = np.datetime_data(exact.dtype)
    count = int(exact.astype("i8")) * step
    if unit in _MONTHS:
        return interval_text(count * _MONTHS[unit], 0, 0)
    return duration_text(count * _NANOSECONDS[unit]) if unit in _NANOSECONDS else str(exact)


def offset_text(value: Any) -> str | None:
    """A DateOffset of pandas, which Arrow's intervals become there; None for one that is no length of time."""
    parts = {name: count * value.n for name, count in value.kwds.items()}
    if not parts or not parts.keys() <= _PARTS.keys():
        return None
    sums = [sum(count * _PARTS[name][place] for name, count in parts.items()) for place in range(3)]
    return interval_text(*sums)


def duration_text(nanoseconds: int) -> str:
    """So long a time, as days and seconds of one sign."""
    days, rest = divmod(abs(nanoseconds), _DAY)
    sign = -1 if nanoseconds < 0 else 1
    return interval_text(0, sign * days, sign * rest)


def interval_text(months: int, days: int, nanoseconds: int) -> str:
    """Such as ``P1M2DT3.500000S``: six digits of a second, or nine where there are nanoseconds."""
    seconds, rest = divmod(abs(nanoseconds), _SECOND)
    sign = "-" if nanoseconds < 0 else ""
    return f"P{months}M{days}DT{sign}{seconds}.{f'{rest:09}'.removesuffix('000')}S"
