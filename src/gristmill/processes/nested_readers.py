"""Readers of Arrow's and polars' values of one type: floats as rows show them, times with their nanoseconds."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gristmill.datasets.floats import shown
from gristmill.processes.durations import duration_text, interval_text
from gristmill.processes.nested import clock_text, without_zeros

Reader = Callable[[Any], Any]
"""Makes of a value that is not null one for ``json_text``, with maps as entries."""

NANOSECONDS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_FLOATS = {"halffloat", "float", "Float16", "Float32"}


def arrow_reader(dtype: Any) -> Reader:  # noqa: PLR0911  one return a type
    """The reader of a type's pyarrow.Scalar."""
    name = str(dtype)
    shape = name.partition("<")[0]
    if name in _FLOATS:
        return lambda scalar: shown(float(scalar.as_py()))
    if name.startswith(("time32[", "time64[")):
        ticks = NANOSECONDS[dtype.unit]
        return lambda scalar: without_zeros(clock_text(scalar.value * ticks))
    if name.startswith("timestamp[ns"):
        return lambda scalar: _moment(scalar.value, is_zoned=dtype.tz is not None)
    if name == "month_day_nano_interval":
        return lambda scalar: interval_text(*scalar.as_py())
    if name.startswith("duration["):
        unit = NANOSECONDS[dtype.unit]
        return lambda scalar: duration_text(scalar.value * unit)
    if shape in {"dictionary", "run_end_encoded"}:
        within = arrow_reader(dtype.value_type)
        return lambda scalar: _read_scalar(within, scalar.value)
    if shape == "map":
        read = arrow_reader(dtype.key_type), arrow_reader(dtype.item_type)
        return lambda scalar: [_entry(*map(_read_scalar, read, (one[0], one[1]))) for one in scalar.values]
    if shape == "struct":
        fields = [(place, field.name, arrow_reader(field.type)) for place, field in enumerate(dtype)]
        return lambda scalar: {name: _read_scalar(read, scalar[place]) for place, name, read in fields}
    if "list" in shape:
        inner = arrow_reader(dtype.value_type)
        if inner is _as_python:
            return _as_python
        return lambda scalar: [_read_scalar(inner, one) for one in scalar.values]
    return _as_python


def polars_reader(dtype: Any) -> Reader:  # noqa: PLR0911  one return a type
    """The reader of what polars gives of a type, its times as ``with_ticks`` has them."""
    name = str(dtype)
    shape = name.partition("(")[0]
    if name in _FLOATS:
        return shown
    if name == "Time":
        return lambda ticks: without_zeros(clock_text(ticks))
    if name.startswith("Datetime(time_unit='ns'"):
        return lambda ticks: _moment(ticks, is_zoned=dtype.time_zone is not None)
    if name.startswith("Duration(time_unit='ns'"):
        return duration_text
    if shape == "Map":
        key, value = polars_reader(dtype.key), polars_reader(dtype.value)
        return lambda entries: [_entry(key(one), _read(value, other)) for one, other in entries.items()]
    if shape == "Struct":
        fields = {field.name: polars_reader(field.dtype) for field in dtype.fields}
        return lambda values: {name: _read(read, values[name]) for name, read in fields.items()}
    if shape in {"List", "Array"}:
        inner = polars_reader(dtype.inner)
        return lambda values: [_read(inner, one) for one in values]
    return _same


def with_ticks(dtype: Any, whole: Any) -> Any:
    """A type of polars with whole numbers in the place of times, of which Python's would lack the nanoseconds.

    whole: polars.Int64.
    """
    name = str(dtype)
    shape = name.partition("(")[0]
    if name == "Time" or name.startswith(("Datetime(time_unit='ns'", "Duration(time_unit='ns'")):
        return whole
    if shape == "Map":
        return type(dtype)(with_ticks(dtype.key, whole), with_ticks(dtype.value, whole))
    if shape == "Struct":
        return type(dtype)({field.name: with_ticks(field.dtype, whole) for field in dtype.fields})
    if shape == "List":
        return type(dtype)(with_ticks(dtype.inner, whole))
    return type(dtype)(with_ticks(dtype.inner, whole), dtype.size) if shape == "Array" else dtype


def _as_python(scalar: Any) -> Any:
    return scalar.as_py()


def _same(value: Any) -> Any:
    return value


def _read_scalar(read: Reader, scalar: Any) -> Any:
    return read(scalar) if scalar.is_valid else None


def _read(read: Reader, value: Any) -> Any:
    return None if value is None else read(value)


def _entry(key: Any, value: Any) -> dict[str, Any]:
    return {"key": key, "value": value}


def _moment(ticks: int, *, is_zoned: bool) -> str:
    return without_zeros(str(np.datetime64(ticks, "ns"))) + "Z" * is_zoned
