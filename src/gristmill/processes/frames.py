"""Columns of data frames and Arrow tables, whose own ways into Python's values widen floats and cut nanoseconds off."""

from collections.abc import Iterable, Iterator
from datetime import date
from typing import Any

import numpy as np

from gristmill.processes.column import Column, column_of_values
from gristmill.processes.doubles import widened
from gristmill.processes.nested import clock_text
from gristmill.processes.nested_readers import NANOSECONDS, Reader, arrow_reader, polars_reader, with_ticks


def columns_of_pandas(frame: Any) -> Iterator[Column]:
    """The columns of a pandas DataFrame, with its index where that has a name; NaN is null."""
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    for number, name in enumerate(map(str, frame.columns)):
        series = frame.iloc[:, number]
        if _is_read_by_us(getattr(series.dtype, "pyarrow_dtype", None)):
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
    import polars  # noqa: PLC0415  an extra

    for series in frame.iter_columns():
        dtype = str(series.dtype)
        if dtype in {"Float16", "Float32"}:
            yield _of_floats(series.name, series.to_numpy(), series.is_not_null().to_numpy())
        elif dtype.startswith(("Datetime(time_unit='ns'", "Duration(time_unit='ns'")):
            yield column_of_values(series.name, series.to_numpy())
        elif dtype == "Time":
            yield _of_clocks(series.name, series.to_physical().to_list())
        elif series.dtype.is_nested():
            ticks = series.cast(with_ticks(series.dtype, polars.Int64))
            yield _of_values(series.name, ticks.to_list(), polars_reader(series.dtype))
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
    if dtype.startswith(("timestamp[ns", "duration[ns")):
        return column_of_values(name, array.to_numpy())
    if dtype.startswith(("time32[", "time64[")):
        ticks = array.cast(f"int{array.type.bit_width}").to_pylist()
        return _of_clocks(name, ticks, NANOSECONDS[array.type.unit])
    if _is_read_by_us(array.type):
        read = arrow_reader(array.type)
        return column_of_values(name, [read(scalar) if scalar.is_valid else None for scalar in array])
    return column_of_values(name, array.to_pylist())


def _is_read_by_us(arrow_type: Any) -> bool:
    """Whether Python's values of a type of Arrow are not all of what they say; nested ones may have such within."""
    return arrow_type is not None and (
        arrow_type.num_fields > 0 or str(arrow_type).startswith(("time32[", "time64[", "month_day_nano"))
    )


def _of_floats(name: str, values: Any, valid: Any) -> Column:
    return Column.of_arrays(name, "number", widened(values), valid)


def _of_values(name: str, values: Iterable[Any], read: Reader) -> Column:
    return column_of_values(name, [None if one is None else read(one) for one in values])


def _of_clocks(name: str, ticks: Iterable[int | None], nanoseconds: int = 1) -> Column:
    """A column of times of day, of ticks of so many nanoseconds, which are written where they are not zero."""
    texts = [None if one is None else clock_text(one * nanoseconds) for one in ticks]
    cells = [text and text.removesuffix("000").removesuffix(".000000") for text in texts]
    return Column.of(name, cells, "string")
