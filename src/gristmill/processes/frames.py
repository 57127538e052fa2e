"""Columns of data frames and Arrow tables, whose own ways into Python's values widen floats and cut nanoseconds off."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np

from gristmill.processes.column import Column, column_of_values
from gristmill.processes.doubles import widened
from gristmill.processes.nested import Reader, arrow_reader, polars_reader


def columns_of_pandas(frame: Any) -> Iterator[Column]:
    """The columns of a pandas DataFrame, with its index where that has a name; NaN is null."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    for number, name in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, number]
        if getattr(getattr(series.dtype, "pyarrow_dtype", None), "num_fields", 0):
            yield _of_arrow(name, series.array.__arrow_array__())
            continue
        present = series.notna()
        match getattr(series.dtype, "numpy_dtype", series.dtype):
            case np.dtype(kind="f", itemsize=2 | 4) as dtype:
                yield _of_floats(name, series.to_numpy(dtype, na_value=np.nan), present.to_numpy())
            case np.dtype(kind="M") as dtype if series.dtype.type is not date:
                yield column_of_values(name, series.to_numpy(dtype))
            case _:
                yield column_of_values(name, series.astype(object).where(present, None).tolist())


def columns_of_polars(frame: Any) -> Iterator[Column]:
    """The columns of a polars DataFrame."""
    for series in frame.iter_columns():
        dtype = str(series.dtype)
        if dtype in {"Float16", "Float32"}:
            yield _of_floats(series.name, series.to_numpy(), series.is_not_null().to_numpy())
        elif dtype.startswith("Datetime(time_unit='ns'"):
            yield column_of_values(series.name, series.to_numpy())
        elif dtype == "Time":
            yield _of_clocks(series.name, series.dt.to_string("%H:%M:%S%.9f").to_list())
        elif series.dtype.is_nested():
            yield _of_nested(series.name, series.to_list(), polars_reader(series.dtype))
        else:
            yield column_of_values(series.name, series.to_list())


def columns_of_arrow(table: Any) -> Iterator[Column]:
    """The columns of a pyarrow.Table."""
    for name, array in zip(table.column_names, table.itercolumns(), strict=True):
        yield _of_arrow(name, array)


def _of_arrow(name: str, array: Any) -> Column:
    dtype = str(array.type)
    if dtype in {"halffloat", "float"}:
        return _of_floats(name, array.to_numpy(), array.is_valid().to_numpy())
    if dtype.startswith("timestamp[ns"):
        return column_of_values(name, array.to_numpy())
    if dtype == "time64[ns]":
        return _of_clocks(name, array.cast("string").to_pylist())
    if array.type.num_fields:
        return _of_nested(name, array.to_pylist(), arrow_reader(array.type))
    return column_of_values(name, array.to_pylist())


def _of_floats(name: str, values: Any, valid: Any) -> Column:
    return Column.of_arrays(name, "number", widened(values), valid)


def _of_nested(name: str, values: Iterable[Any], read: Reader) -> Column:
    return column_of_values(name, [None if one is None else read(one) for one in values])


def _of_clocks(name: str, texts: Iterable[str | None]) -> Column:
    """A column of times of day that are written with nanoseconds, which stay where they are not zero."""
    cells = [text and text.removesuffix("000").removesuffix(".000000") for text in texts]
    return Column.of(name, cells, "string")
