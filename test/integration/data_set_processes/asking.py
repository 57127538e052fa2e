"""Processes that take data sets in each of the ways that there are, and one that takes its time."""

import time

from gristmill import DataSet, Table, process


@process(deterministic=True, disk_mb=1)
def total(table: DataSet, column: str) -> dict[str, float | str]:
    """The sum of a column, with its unit."""
    chosen = table.column(column)
    ((found,),) = table.query(f"SELECT sum({chosen.sql}) FROM {table.sql}").fetchall()
    return {"total": found, "unit": chosen.unit, "version": table.version}


@process
def total_in_memory(table: Table, column: str) -> float:
    """The sum of a column, by NumPy."""
    return float(table[column].sum())


@process
def rows_of_each(tables: dict[str, DataSet]) -> dict[str, int]:
    """The number of rows of several data sets, asked for in one statement."""
    first = next(iter(tables.values()))
    counts = ", ".join(f"(SELECT count(*) FROM {one.sql})" for one in tables.values())
    return dict(zip(tables, first.query(f"SELECT {counts}").fetchall()[0], strict=True))


@process(seconds=120, disk_mb=1)
def patient(seconds: float) -> float:
    """Sleep for some seconds."""
    time.sleep(seconds)
    return seconds
