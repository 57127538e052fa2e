"""Writes the Parquet that is stored: zstd, the rows in their order, in groups that fit into memory.

A group is in memory as a whole while it is written, and again when it is read: of long texts, one of as many rows as
DuckDB takes by default has gigabytes.
"""

from pathlib import Path

import duckdb

from gristmill.datasets.inference import literal

_MOST_ROWS = 122_880  # DuckDB's default, and as many as a group of its own files has
_LEAST_ROWS = 128
_GROUP_BYTES = 32 * 2**20
_MOST_GROUPS = 4096  # of a file that says itself how large its rows are, which need not be true
_FEWER = 16  # times, where memory did not do


def write(select: str, target: Path, connection: duckdb.DuckDBPyConnection, *, row_bytes: int, rows: int = 0) -> int:
    """Write what a SELECT gives; returns how many rows. A LIMIT in it would take half of the speed.

    row_bytes: what a row has about; 0 where it is little. rows: how many there are, 0 where it is not known. Where
    memory does not do all the same, it is written once more, in smaller groups. Raises duckdb.Error.
    """
    least = max(_LEAST_ROWS, rows // _MOST_GROUPS)
    group = min(_MOST_ROWS, max(least, _GROUP_BYTES // max(1, row_bytes)))
    try:
        return _write(select, target, connection, group)
    except duckdb.OutOfMemoryException:
        return _write(select, target, connection, max(least, group // _FEWER))


def group_rows(path: Path, connection: duckdb.DuckDBPyConnection) -> int:
    """How many rows a group has at the most, where ``write`` made more than one and smaller ones than usual; else 0."""
    found = connection.execute(
        f"SELECT max(row_group_num_rows) FROM parquet_metadata({literal(str(path))}) HAVING max(row_group_id) > 0"
    ).fetchone()
    return int(found[0]) if found and found[0] < _MOST_ROWS else 0


def _write(select: str, target: Path, connection: duckdb.DuckDBPyConnection, group_rows: int) -> int:
    target.unlink(missing_ok=True)
    done = connection.execute(
        f"COPY ({select}) TO {literal(str(target))} "
        f"(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE {group_rows}, USE_TMP_FILE false)"
    ).fetchone()
    return int(done[0]) if done else 0
