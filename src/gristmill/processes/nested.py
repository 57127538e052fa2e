"""Nested values of Python and NumPy, and of Arrow and polars by ``nested_readers``, as text: the JSON that rows have.

The mapping is that of ``datasets/mapping.py``: decimals and whole numbers beyond 2^53 are strings, so are NaN and the
infinities, times and durations are ISO 8601 (with a zone: UTC with Z), binary is base64, maps are arrays of entries.
"""

import json
import math
import re
from base64 import b64encode
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import numpy as np

from gristmill.datasets.floats import shown
from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.processes.durations import duration_of, offset_text
from gristmill.words import not_finite

_LAST_ZEROS = re.compile(r"(\.\d*?)0+(?!\d)")
_ADDRESS = re.compile(r"<.* at 0x[0-9a-fA-F]+>", re.DOTALL)


def is_nested(value: object) -> bool:
    """Whether a value is a list, a struct or the like, which no column of a table has but as text."""
    return isinstance(value, Mapping | list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def is_missing(value: object) -> bool:
    """Whether a value is pandas' own of those that are missing: NA or NaT."""
    kind = type(value)
    return kind.__name__ in {"NAType", "NaTType"} and kind.__module__.partition(".")[0] == "pandas"


def json_text(value: object) -> str:
    """The JSON text of a nested value."""
    return json.dumps(_json(value), ensure_ascii=False, separators=(",", ":"))


def plain_text(value: object) -> str:
    """A value of a type that is no other's, as Python writes it. Raises TypeError where that is only its address."""
    if type(value).__name__ == "DateOffset" and (offset := offset_text(value)):
        return offset
    text = str(value)
    if _ADDRESS.fullmatch(text):
        raise TypeError(f"a value of the type {type(value).__name__}, which has no text; give numbers, texts or times")
    return text


def base64_text(value: bytes | bytearray) -> str:
    """Binary data as text."""
    return b64encode(value).decode()


def clock_text(nanoseconds: int) -> str:
    """A time of day with all of its nanoseconds; the day ends with 24:00."""
    seconds, rest = divmod(nanoseconds, 10**9)
    return f"{seconds // 3600:02}:{seconds // 60 % 60:02}:{seconds % 60:02}.{rest:09}"


def time_text(value: np.datetime64 | np.timedelta64) -> str | None:
    """NumPy's time or duration, with all of its digits; None for NaT."""
    if isinstance(value, np.timedelta64):
        return duration_of(value)
    return None if np.isnat(value) else without_zeros(str(value))


def without_zeros(time: str) -> str:
    """A time without the zeros at the end of its fraction."""
    return _LAST_ZEROS.sub(lambda zeros: zeros[1].rstrip("."), time)


def _json(value: Any) -> Any:  # noqa: PLR0911  one return a type
    if isinstance(value, np.float16 | np.float32):
        value = shown(float(value))
    elif isinstance(value, np.generic):
        value = _scalar(value)
    if value is None or value is np.ma.masked or is_missing(value):
        return None
    if isinstance(value, Mapping):
        return {str(name): _json(one) for name, one in value.items()}
    if is_nested(value):
        return [_json(one) for one in value]
    if isinstance(value, bool):
        return value
    if isinstance(value, int):
        return value if abs(value) <= EXACT_IN_JSON else str(value)
    if isinstance(value, float):
        return value if math.isfinite(value) else not_finite(value)
    if isinstance(value, bytes | bytearray):
        return base64_text(value)
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, timedelta):
        return duration_of(value)
    return _moment(value) if hasattr(value, "isoformat") else plain_text(value)


def _scalar(value: np.generic) -> Any:
    if isinstance(value, np.datetime64 | np.timedelta64):
        return time_text(value)
    return str(value) if isinstance(value, np.longdouble) else value.item()


def _moment(value: Any) -> str | None:
    if value != value:  # noqa: PLR0124  NaT is not equal to itself
        return None
    is_zoned = isinstance(value, datetime) and value.tzinfo is not None
    text = (value.astimezone(UTC).replace(tzinfo=None) if is_zoned else value).isoformat()
    return without_zeros(text) + "Z" * is_zoned
