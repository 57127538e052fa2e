"""Nested values of Python, NumPy, Arrow and polars as text: the JSON that rows of data sets have of them.

The mapping is that of ``datasets/mapping.py``: decimals and whole numbers beyond 2^53 are strings, so are NaN and the
infinities, times are ISO 8601 (with a zone: UTC with Z), binary is base64, maps are arrays of entries.
"""

import json
import math
import re
from base64 import b64encode
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import numpy as np

from gristmill.datasets.floats import shown
from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.words import not_finite

Reader = Callable[[Any], Any]

_LAST_ZEROS = re.compile(r"(\.\d*?)0+(?!\d)")
_FLOATS: dict[str, type[np.floating[Any]]] = {
    "halffloat": np.float16,
    "float": np.float32,
    "Float16": np.float16,
    "Float32": np.float32,
}


def is_nested(value: object) -> bool:
    """Whether a value is a list, a struct or the like, which no column of a table has but as text."""
    return isinstance(value, Mapping | list | tuple) or (isinstance(value, np.ndarray) and value.ndim > 0)


def json_text(value: object) -> str:
    """The JSON text of a nested value."""
    return json.dumps(_json(value), ensure_ascii=False, separators=(",", ":"))


def base64_text(value: bytes | bytearray) -> str:
    """Binary data as text."""
    return b64encode(value).decode()


def arrow_reader(dtype: Any) -> Reader:
    """What makes of a value that pyarrow has given of a type one with its floats' own bits, and maps as entries."""
    name = str(dtype)
    shape = name.partition("<")[0]
    if name in _FLOATS:
        return _FLOATS[name]
    if shape == "map":
        return _entries(arrow_reader(dtype.key_type), arrow_reader(dtype.item_type))
    if shape == "struct":
        return _fields({field.name: arrow_reader(field.type) for field in dtype})
    return _items(arrow_reader(dtype.value_type)) if "list" in shape else _same


def polars_reader(dtype: Any) -> Reader:
    """What ``arrow_reader`` is, of a type of polars."""
    name = str(dtype)
    shape = name.partition("(")[0]
    if name in _FLOATS:
        return _FLOATS[name]
    if shape == "Map":
        entries = _entries(polars_reader(dtype.key), polars_reader(dtype.value))
        return lambda value: entries(value.items())
    if shape == "Struct":
        return _fields({field.name: polars_reader(field.dtype) for field in dtype.fields})
    return _items(polars_reader(dtype.inner)) if shape in {"List", "Array"} else _same


def _same(value: Any) -> Any:
    return value


def _items(read: Reader) -> Reader:
    return lambda value: [None if one is None else read(one) for one in value]


def _fields(readers: dict[str, Reader]) -> Reader:
    return lambda value: {name: None if value[name] is None else read(value[name]) for name, read in readers.items()}


def _entries(read_key: Reader, read_value: Reader) -> Reader:
    return lambda value: [
        {"key": read_key(key), "value": None if one is None else read_value(one)} for key, one in value
    ]


def _json(value: Any) -> Any:  # noqa: PLR0911  one return a type
    if isinstance(value, np.float16 | np.float32):
        value = shown(float(value))
    elif isinstance(value, np.generic):
        value = _scalar(value)
    if value is None or value is np.ma.masked:
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
    return _moment(value) if hasattr(value, "isoformat") else str(value)


def _scalar(value: np.generic) -> Any:
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else _without_zeros(str(value))
    return str(value) if isinstance(value, np.longdouble) else value.item()


def _moment(value: Any) -> str | None:
    if value != value:  # noqa: PLR0124  NaT is not equal to itself
        return None
    is_zoned = isinstance(value, datetime) and value.tzinfo is not None
    text = (value.astimezone(UTC).replace(tzinfo=None) if is_zoned else value).isoformat()
    return _without_zeros(text) + "Z" * is_zoned


def _without_zeros(time: str) -> str:
    return _LAST_ZEROS.sub(lambda zeros: zeros[1].rstrip("."), time)
