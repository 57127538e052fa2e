"""Columns of data frames and Arrow tables, whose own ways into Python's values widen floats and cut nanoseconds off."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, cast

import numpy as np

from gristmill.processes.column import Column, Kind, column_of_values
from gristmill.processes.doubles import widened
from gristmill.processes.nested import clock_text, without_zeros
from gristmill.processes.nested_readers import NANOSECONDS, Reader, arrow_reader, polars_reader, with_ticks

_KINDS = re.compile(
    r"(?i)(?P<boolean>bool)|(?P<integer>u?int\d)|(?P<number>(?:half)?float|double|decimal)|(?P<datetime>date|timestamp)"
)

_EXACT_KEYS = re.compile(r"Map\((Time|(Datetime|Duration)\(time_unit='ns')")
"""Maps of polars whose keys cannot be cast to ticks."""


def columns_of_pandas(frame: Any) -> Iterator[Column]:
    """The columns of a pandas DataFrame, with its index where that has a name; NaN is null."""
    if again := [name for name in frame.index.names if name is not None and _is_column(frame, name)]:
        frame = frame.reset_index(again, drop=True)
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index(allow_duplicates=True)
    for number, name in enumerate(map(str, frame.columns)):
        yield _of_pandas(name, frame.iloc[:, number])


def columns_of_polars(frame: Any) -> Iterator[Column]:
    """The columns of a polars DataFrame."""
    import polars  # noqa: PLC0415  an extra

    for series in frame.iter_columns():
        dtype = str(series.dtype)
        if dtype in {"Float16", "Float32"}:
            yield _of_floats(series.name, series.to_numpy(), series.is_not_null().to_numpy())
        elif dtype.startswith(("Datetime(time_unit='ns'", "Duration(time_unit='ns'")):
            yield column_of_values(series.name, series.to_numpy())
        elif dtype == "Time":
            yield _of_clocks(series.name, series.to_physical().to_list())
        elif _EXACT_KEYS.search(dtype):
            yield _of_arrow(series.name, series.to_arrow())
        elif series.dtype.is_nested():
            ticks = series.cast(with_ticks(series.dtype, polars.Int64))
            yield _of_values(series.name, ticks.to_list(), polars_reader(series.dtype))
        else:
            yield column_of_values(series.name, series.to_list(), _kind_of(dtype))


def columns_of_arrow(table: Any) -> Iterator[Column]:
    """The columns of a pyarrow.Table."""
    for name, array in zip(table.column_names, table.itercolumns(), strict=True):
        yield _of_arrow(name, array)


def _is_column(frame: Any, name: Any) -> bool:
    """Whether a level of the index is a column too, as ``set_index(name, drop=False)`` has it."""
    return name in frame.columns and frame.index.get_level_values(name).equals(frame.set_index(name).index)


def _of_pandas(name: str, series: Any) -> Column:  # noqa: PLR0911  one return a type
    dtype = series.dtype
    if hasattr(dtype, "pyarrow_dtype"):
        return _of_arrow(name, series.array.__arrow_array__())
    present = series.notna()
    match type(dtype).__name__:
        case "SparseDtype":
            return _of_pandas(name, series.sparse.to_dense())
        case "CategoricalDtype":
            found = _of_pandas(name, series[present].astype(dtype.categories.dtype))
            return Column.filled(name, found.kind, found.values, present.to_numpy())
        case "DatetimeTZDtype":
            return column_of_values(name, series.dt.tz_convert(None).to_numpy())
    match getattr(dtype, "numpy_dtype", dtype):
        case np.dtype(kind="f", itemsize=2 | 4) as floats:
            return _of_floats(name, series.to_numpy(floats, na_value=np.nan), present.to_numpy())
        case np.dtype(kind="M") as moments:
            return column_of_values(name, series.to_numpy(moments))
    return column_of_values(name, series.astype(object).where(present, None).tolist(), _kind_of(dtype))


def _of_arrow(name: str, array: Any) -> Column:
    array = _decoded(array)
    dtype = str(array.type)
    if dtype in {"halffloat", "float"}:
        return _of_floats(name, array.to_numpy(), array.is_valid().to_numpy())
    if dtype.startswith(("timestamp[ns", "duration[ns")):
        return column_of_values(name, array.to_numpy())
    if dtype.startswith(("time32[", "time64[")):
        ticks = array.cast(f"int{array.type.bit_width}").to_pylist()
        return _of_clocks(name, ticks, NANOSECONDS[array.type.unit])
    if array.type.num_fields > 0 or dtype.startswith(("dictionary<", "month_day_nano")):
        read = arrow_reader(array.type)
        return column_of_values(name, [read(scalar) if scalar.is_valid else None for scalar in array])
    return column_of_values(name, array.to_pylist(), _kind_of(dtype))


def _decoded(array: Any) -> Any:
    """An array of Arrow without a dictionary or runs; those of nested values are left to the reader."""
    shape = str(array.type).partition("<")[0]
    if shape not in {"dictionary", "run_end_encoded"} or array.type.value_type.num_fields > 0:
        return array
    if shape == "dictionary":
        return _decoded(array.cast(array.type.value_type))
    from pyarrow import compute  # noqa: PLC0415  an extra, which the value proves to be there

    return _decoded(compute.run_end_decode(array))


def _kind_of(dtype: Any) -> Kind:
    """The kind of a column that has no value, by the name of its type in any of the libraries."""
    found = _KINDS.match(str(dtype))
    return cast("Kind", found.lastgroup) if found else "string"


def _of_floats(name: str, values: Any, valid: Any) -> Column:
    return Column.of_arrays(name, "number", widened(values), valid)


def _of_values(name: str, values: Iterable[Any], read: Reader) -> Column:
    return column_of_values(name, [None if one is None else read(one) for one in values])


def _of_clocks(name: str, ticks: Iterable[int | None], nanoseconds: int = 1) -> Column:
    """A column of times of day, of ticks of so many nanoseconds."""
    cells = [None if one is None else without_zeros(clock_text(one * nanoseconds)) for one in ticks]
    return Column.of(name, cells, "string")
