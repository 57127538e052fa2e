"""The rows of a version as lines of JSON in one file, so that some of them are read without DuckDB.

To plan a statement over many columns takes DuckDB longer than to read a page; a line is read as it stands. The file:

- for each row, in the table's order, a JSON array of its values as `mapping` says, and a line feed
- an index of blocks of some lines: where each begins, then where the last ends (u64); the CRC-32 of each (u32)
- a trailer: how many rows there are, how many lines a block has, how many bytes the index has; the CRC-32 of the index
  and of these three; and the layout's name; all numbers little-endian

Values come out as `orjson` reads them: of DuckDB's JSON the same as what DuckDB hands over by itself.
"""

import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import duckdb
import numpy as np
import orjson

from gristmill.datasets.inference import literal
from gristmill.datasets.mapping import LONG, json_of
from gristmill.datasets.queries import Table
from gristmill.datasets.statements import is_plain

LAYOUT = b"GRLINES2"
MOST_COLUMNS = 256
LONGEST_LINE = 4096
"""Bytes, on average: of longer rows a page may take megabytes to read for a few short columns."""

_COUNTS = struct.Struct("<QQQ")
_TRAILER = struct.Struct(f"<{_COUNTS.size}sL8s")
_START, _SUM = np.dtype("<u8"), np.dtype("<u4")
_BLOCK_BYTES = 4096
_SAMPLES = 10
_SAMPLE_ROWS = 100
# Written at a time: DuckDB has several times as much in memory meanwhile, which requests lack.
_SLICE_BYTES = 2**24
_MOST_SLICE_ROWS = 2**16
_PIECE_BYTES = 2**22
_LINE_FEED = 10
_SPAN = "rowid >= ? AND rowid < ?"


class DamagedLinesError(Exception):
    """The file is not what was written."""


class LongLinesError(Exception):
    """The lines take more room than they may."""


def size_of(connection: duckdb.DuckDBPyConnection, table: Table, rows: int) -> int | None:
    """About how many bytes the lines of a table would take; None where it is better read without lines."""
    if len(table.columns) > MOST_COLUMNS or any(column.kind == "nested" for column in table.columns):
        return None
    sample = f"SELECT sum(strlen(CAST({_line(table)} AS VARCHAR)) + 1), count(*) FROM {_stored(table)} WHERE {_SPAN}"
    size = count = 0
    for start in sorted({place * rows // _SAMPLES for place in range(_SAMPLES)}):
        found = connection.execute(sample, (start, start + _SAMPLE_ROWS)).fetchone()
        if found and found[1]:
            size, count = size + found[0], count + found[1]
    return None if not count or size > (LONGEST_LINE + 1) * count else size * rows // count


def write(connection: duckdb.DuckDBPyConnection, table: Table, path: Path, *, rows: int, size: int, most: int) -> None:
    """Write the lines of a table, which take about ``size`` bytes, and at most ``most``.

    Raises LongLinesError, duckdb.Error, OSError.
    """
    part = path.with_suffix(".part")
    # JSON has neither control characters nor a need for quotes around it.
    copy = (
        f"COPY (SELECT {_line(table)} FROM {_stored(table)} WHERE {_SPAN}) TO {literal(str(part))} "
        "(FORMAT csv, HEADER false, QUOTE '', ESCAPE '', DELIMITER '\x01')"
    )
    start = written = 0
    with path.open("w+b") as file:
        while start < rows:
            average = max(1, size // rows, written // max(1, start))
            stop = min(rows, start + min(_MOST_SLICE_ROWS, max(1, _SLICE_BYTES // average)))
            connection.execute(copy, (start, stop))
            with part.open("rb") as lines:
                shutil.copyfileobj(lines, file, _PIECE_BYTES)
            start, written = stop, file.tell()
            if written > most:
                raise LongLinesError(f"{start} of {rows} lines take more than {most} bytes")
        part.unlink(missing_ok=True)
        _append_index(file)


def _line(table: Table) -> str:
    """A row as JSON, as an expression over columns c0, c1 ..."""
    values = [
        name if (column.type in LONG or column.type == "DOUBLE") and is_plain(column) else json_of(name, column.type)
        for name, column in ((f"c{place}", column) for place, column in enumerate(table.columns))
    ]
    return f"json_array({', '.join(values)})"


def _stored(table: Table) -> str:
    return f"{table.sql} AS stored({', '.join(f'c{place}' for place in range(len(table.columns)))})"


def _append_index(file: Any) -> None:
    """Write index and trailer behind the lines."""
    size = file.seek(0, os.SEEK_END)
    ends = _ends_of_lines(file, size)
    rows = len(ends)
    block_rows = max(1, _BLOCK_BYTES * rows // size) if size else 1
    after_blocks = ends[block_rows - 1 : rows - 1 : block_rows] + 1
    starts = np.concatenate(([0], after_blocks, [size] if rows else [])).astype(_START)
    file.seek(0)
    sums = np.array([zlib.crc32(file.read(int(length))) for length in np.diff(starts)], dtype=_SUM)
    index = starts.tobytes() + sums.tobytes()
    file.seek(size)
    file.write(index)
    counts = _COUNTS.pack(rows, block_rows, len(index))
    file.write(_TRAILER.pack(counts, zlib.crc32(index + counts), LAYOUT))


def _ends_of_lines(file: Any, size: int) -> "np.ndarray[Any, np.dtype[np.uint64]]":
    """The places of all line feeds."""
    found = [np.empty(0, dtype=np.uint64)]
    for start in range(0, size, _PIECE_BYTES):
        file.seek(start)
        piece = np.frombuffer(file.read(_PIECE_BYTES), dtype=np.uint8)
        found.append(np.flatnonzero(piece == _LINE_FEED).astype(np.uint64) + np.uint64(start))
    return np.concatenate(found)


class Lines:
    """An open file of lines. Safe for use by many threads.

    rows: how many there are. is_good: whether nothing damaged has been seen.
    """

    def __init__(self, descriptor: int) -> None:
        """Takes the descriptor over. Raises DamagedLinesError."""
        self.is_good = True
        self._descriptor = descriptor
        end = os.fstat(descriptor).st_size - _TRAILER.size
        trailer = os.pread(descriptor, _TRAILER.size, max(0, end))
        if end < 0 or trailer[-len(LAYOUT) :] != LAYOUT:
            raise self._damage("the end is missing")
        counts, check, _ = _TRAILER.unpack(trailer)
        self.rows, self._block_rows, size = _COUNTS.unpack(counts)
        index = os.pread(descriptor, size, end - size) if size <= end else b""
        if zlib.crc32(index + counts) != check:
            raise self._damage("the index is not what was written")
        self._starts = np.frombuffer(index, _START, count=-(-self.rows // self._block_rows) + 1)
        self._sums = np.frombuffer(index, _SUM, offset=self._starts.nbytes)

    @classmethod
    def open(cls, path: Path) -> Self:
        """Raises DamagedLinesError, OSError."""
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            return cls(descriptor)
        except BaseException:
            os.close(descriptor)
            raise

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def values(self, numbers: Sequence[int], most_bytes: int) -> list[list[Any]]:
        """The values of rows by their numbers, which must exist: of the first of them, in about so many bytes.

        At least one row. Raises DamagedLinesError, OSError.
        """
        try:
            found: list[list[Any]] = orjson.loads(b"[%b]" % b",".join(self._lines(numbers, most_bytes)))
        except orjson.JSONDecodeError as error:
            raise self._damage("holds no JSON") from error
        return found

    def _lines(self, numbers: Sequence[int], most_bytes: int) -> Iterable[bytes]:
        blocks: dict[int, list[bytes]] = {}
        found: list[bytes] = []
        size = 0
        for number in numbers:
            block, place = divmod(number, self._block_rows)
            lines = blocks.get(block)
            if lines is None:
                text = self._block(block)
                size += len(text)
                if size > most_bytes and found:
                    break
                lines = blocks[block] = text.split(b"\n")
            found.append(lines[place])
        return found

    def _block(self, block: int) -> bytes:
        start, end = self._starts[block : block + 2].tolist()
        text = os.pread(self._descriptor, end - start, start)
        if zlib.crc32(text) != self._sums[block]:
            raise self._damage(f"block {block} is not what was written")
        return text

    def _damage(self, detail: str) -> DamagedLinesError:
        self.is_good = False
        return DamagedLinesError(detail)
