"""Turns returned values into bytes: JSON, tables, pictures. Knows optional libraries without importing them."""

import io
import operator
import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pydantic_core

from gristmill.processes.column import Array, Column
from gristmill.processes.doubles import widened
from gristmill.processes.frames import columns_of_arrow, columns_of_pandas, columns_of_polars
from gristmill.processes.nested import is_missing, time_text
from gristmill.processes.schema import BASE64, Schema
from gristmill.processes.table import ROWS_SCHEMA, Table

JSON = "application/json"
TEXT = "text/plain; charset=utf-8"
CSV = "text/csv"
PARQUET = "application/vnd.apache.parquet"
BYTES = "application/octet-stream"

Encode = Callable[[Any], bytes]

_PLAIN = {int, float, str, bool, type(None)}


def to_json(value: object) -> bytes:
    """Write plain data as JSON; NaN and the infinities become the strings "NaN", "Infinity" and "-Infinity"."""
    return pydantic_core.to_json(value, inf_nan_mode="strings")


def plain(value: Any) -> Any:
    """Replace NumPy scalars and arrays by Python's own, at any depth; floats of 32 bits are what rows show of them.

    Times are text where Python's own have not all of their digits.
    """
    if isinstance(value, Mapping):
        if type(value) is dict and _are_plain(value.values()) and _are_plain(value):
            return value
        return {plain(key): plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        if _are_plain(value):
            return value
        parts = map(plain, value)
        return tuple(parts) if type(value) is tuple else list(parts)
    if known_type(type(value)) in {"numpy.ndarray", "numpy.generic"}:
        return plain(_exact(value).tolist())
    return None if is_missing(value) else value


def plain_only(value: Any) -> Any:
    """The same of a value that Pydantic cannot write. Raises PydanticSerializationError where it stays as it is."""
    made = plain(value)
    if made is value:
        raise pydantic_core.PydanticSerializationError(f"Unable to serialize unknown type: {type(value)}")
    return made


def _are_plain(values: Iterable[Any]) -> bool:
    """Whether all are Python's own, as far as one quick look tells."""
    return set(map(type, values)) <= _PLAIN


def _exact(values: Any) -> Any:
    """NumPy's floats of any number of bits as those of 64, and times as Python's or as text; others as they are."""
    flat = np.ma.getdata(values).ravel()
    if flat.dtype.kind == "f" and flat.dtype != np.float64:
        flat = widened(flat)
    elif flat.dtype.kind in "mM":
        flat = _times(flat)
    else:
        return values
    made = flat.reshape(values.shape)
    return np.ma.array(made, mask=values.mask) if np.ma.isMaskedArray(values) else made


def _times(values: Array) -> Array:
    """Times and durations as Python's; as text where these do not hold them, of which NumPy makes bare integers."""
    if np.datetime_data(values.dtype)[0] == "ns":
        micros = values.astype(f"{values.dtype.kind}8[us]")
        if ((micros.astype(values.dtype) == values) | np.isnat(values)).all():
            values = micros
    found = values.astype(object)
    for place, one in enumerate(found):
        if type(one) is int:
            found[place] = time_text(values[place])
    return found


def known_type(kind: object) -> str:
    """Return the short name of a type that can be an output as it is, such as ``pandas.DataFrame``; else ""."""
    for one in getattr(kind, "__mro__", ()):
        name = f"{one.__module__.partition('.')[0]}.{one.__qualname__}"
        if name in _ENCODERS or name == "numpy.generic":
            return name
    return ""


def media_types(kind: str) -> tuple[str, ...]:
    """Return the media types that a known type can be written in, the usual one first."""
    return tuple(_ENCODERS[kind])


def encoder(kind: str, media_type: str) -> Encode:
    """Return the function that writes a value of a known type in one of its media types."""
    return _ENCODERS[kind][media_type]


def schema_of(kind: str, media_type: str) -> Schema:
    """Return the schema of a known type's output, as it stands in a result document."""
    if kind == "numpy.ndarray":
        return {"type": "array", "items": {}}
    if media_type == JSON:
        return dict(ROWS_SCHEMA)
    if media_type in {CSV, "image/svg+xml"}:
        return {"type": "string", "contentMediaType": media_type}
    return BASE64 | {"contentMediaType": media_type}


def _json_table(columns_of: Callable[[Any], Iterable[Column]]) -> Encode:
    return lambda value: to_json(Table(columns_of(value)).to_json())


def _csv_table(columns_of: Callable[[Any], Iterable[Column]]) -> Encode:
    return lambda value: Table(columns_of(value)).to_csv().encode()


def _pandas_parquet(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.to_parquet(buffer)
    return buffer.getvalue()


def _polars_parquet(frame: Any) -> bytes:
    buffer = io.BytesIO()
    frame.write_parquet(buffer)
    return buffer.getvalue()


def _arrow_parquet(table: Any) -> bytes:
    from pyarrow import parquet  # noqa: PLC0415  an extra, which the value proves to be there

    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    return buffer.getvalue()


def _figure(kind: str) -> Encode:
    def encode(figure: Any) -> bytes:
        import matplotlib as mpl  # noqa: PLC0415  costs 40 MB, and only a process that drew a figure needs it

        buffer = io.BytesIO()
        with mpl.rc_context({"svg.hashsalt": "gristmill"}):
            figure.savefig(buffer, format=kind, metadata={} if kind == "png" else {_DATES[kind]: None})
        if pyplot := sys.modules.get("matplotlib.pyplot"):
            pyplot.close(figure)
        return buffer.getvalue()

    return encode


_DATES = {"svg": "Date", "pdf": "CreationDate"}


def _array(values: Any) -> bytes:
    return to_json(plain(values))


_columns: Callable[[Table], Iterable[Column]] = operator.attrgetter("columns")
_ENCODERS: dict[str, dict[str, Encode]] = {
    "gristmill.Table": {JSON: _json_table(_columns), CSV: _csv_table(_columns)},
    "pandas.DataFrame": {
        JSON: _json_table(columns_of_pandas),
        CSV: _csv_table(columns_of_pandas),
        PARQUET: _pandas_parquet,
    },
    "polars.DataFrame": {
        JSON: _json_table(columns_of_polars),
        CSV: _csv_table(columns_of_polars),
        PARQUET: _polars_parquet,
    },
    "pyarrow.Table": {JSON: _json_table(columns_of_arrow), CSV: _csv_table(columns_of_arrow), PARQUET: _arrow_parquet},
    "numpy.ndarray": {JSON: _array},
    "matplotlib.Figure": {
        "image/png": _figure("png"),
        "image/svg+xml": _figure("svg"),
        "application/pdf": _figure("pdf"),
    },
}
