"""Runs a statement within a time limit, and gives its rows as JSON or as a file.

Times with a zone are written in UTC, whatever the connection's TimeZone. `mapping` says what each type becomes; a
change of what is written raises its WRITTEN_FORM.
"""

import errno
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import duckdb

from gristmill import presence
from gristmill.datasets.json_rows import AS_OBJECTS, Form, Rows, Writer, cell_of
from gristmill.datasets.mapping import quoted
from gristmill.datasets.nesting import too_nested
from gristmill.datasets.row_formats import FILE_FORMS
from gristmill.datasets.statements import Statement
from gristmill.datasets.turns import Turns
from gristmill.datasets.watchdog import WATCHDOG
from gristmill.errors import BusyError, QueryLimitError, QueryValueError, StorageFullError
from gristmill.limits import usable_cpus

# Made into Python objects at a time, which take many times as much memory as their text.
_MOST_ROWS = 128  # however short those before were: the next may be texts of a megabyte each
_MOST_VALUES = 50_000
_MOST_BYTES_AT_ONCE = 2 * 2**20

_QUERY_TOO_SLOW = (
    "The query took longer than {:g} s, the limit of a request, and was stopped (setting "
    "GRISTMILL_DATASET_QUERY_SECONDS). Ask for fewer rows or groups, for less of the table by a filter, or run it as a "
    "job of the process sql or groupby."
)
_QUERY_TAKES_MEMORY = (
    "The query needs more memory than there is for the queries of an API process (setting "
    "GRISTMILL_DATASET_QUERY_MEMORY_MB). Ask for fewer groups or columns, for less of the table by a filter, or run it "
    "as a job of the process sql or groupby."
)
_MEMORY_TAKEN = (
    "Other queries need the memory that there is for the queries of an API process at the moment (setting "
    "GRISTMILL_DATASET_QUERY_MEMORY_MB); try again."
)
_FILE_TOO_SLOW = (
    "Writing the rows as a file took longer than {:g} s, and was stopped (setting GRISTMILL_DATASET_READING_SECONDS). "
    "Ask for fewer columns, for less of the table by a filter, without sortby, or for pages as NDJSON."
)
_FILE_TAKES_MEMORY = (
    "Writing the rows as a file takes more memory than there is for the queries of an API process (setting "
    "GRISTMILL_DATASET_QUERY_MEMORY_MB): its texts are long. Ask for pages as NDJSON, for fewer columns, or for less "
    "of the table by a filter."
)

_FILE_TOO_LARGE = (
    "The rows as a file take more than {} bytes, as many as the cache has for it (setting "
    "GRISTMILL_DATASET_CACHE_BYTES). Ask for fewer columns, for less of the table by a filter, or for pages as NDJSON."
)

_OTHER_COLUMNS = (
    "Ask for other columns (properties=), for Parquet (f=parquet), or for single values within it as a job of the "
    "process sql: SELECT st.a FROM t."
)

_RETRY_SECONDS = 5
_WAITING = 16  # for their turn at most: each holds a thread that answers requests
_TURNS = Turns(max(2, usable_cpus()), _WAITING)


def read(
    connection: duckdb.DuckDBPyConnection, statement: Statement, *, seconds: float, form: Form = AS_OBJECTS
) -> Rows:
    """The rows of a statement; fewer where the form has room for no more.

    Waits for its turn at most as long as it may take itself. Raises BusyError, QueryLimitError, QueryValueError.
    """
    _check_nesting(statement)
    with _TURNS.take(seconds), limited(connection, seconds):
        names, inner = _inner(statement)
        plain = statement.plain or (False,) * len(statement.types)
        cells = [
            cell_of(name, type_text, is_plain=is_plain)
            for name, type_text, is_plain in zip(names, statement.types, plain, strict=False)
        ]
        outer = [*(cell.sql for cell in cells), *names[len(cells) :]]
        # Planning takes as long as running: nothing stands around a statement whose values are fetched as they are.
        sql = statement.sql if outer == names else f"SELECT {', '.join(outer)} FROM {inner}"
        result, limit = connection.execute(sql, statement.values), statement.limit
        writer = Writer(statement.names, form)
        last: Sequence[Any] = ()
        while batch := result.fetchmany(_at_once(writer, len(names))):
            before = writer.count
            kept = batch if limit is None else batch[: limit - before]
            writer.fetched(kept, cells)
            if writer.count > before:
                last = kept[writer.count - before - 1]
            if writer.count - before < len(batch):
                return writer.rows(more=True, cursor=statement.cursor_after(last) if statement.hidden else None)
    return writer.rows()


def _check_nesting(statement: Statement) -> None:
    """Of what an earlier release took, not all can be written."""
    if why := too_nested(zip(statement.names, statement.types, strict=True), _OTHER_COLUMNS):
        raise QueryLimitError(why)


def _at_once(writer: Writer, width: int) -> int:
    """How many rows to fetch next, of so many columns, as large as those before."""
    fitting = _MOST_BYTES_AT_ONCE * writer.count // writer.size if writer.count else _MOST_ROWS
    return max(1, min(fitting, _MOST_ROWS, _MOST_VALUES // width))


def fetched(connection: duckdb.DuckDBPyConnection, statement: Statement, *, seconds: float) -> list[tuple[Any, ...]]:
    """What a statement gives, as DuckDB hands it over; in its turn, as ``read``. Raises the same errors."""
    with _TURNS.take(seconds), limited(connection, seconds):
        return connection.execute(statement.sql, statement.values).fetchall()


def write(
    connection: duckdb.DuckDBPyConnection,
    statement: Statement,
    path: Path,
    kind: str,
    *,
    seconds: float,
    most_bytes: int | None = None,
    coding: str = "",
) -> int:
    """Write all rows of an export to a file; returns how many there are. kind: one of ``row_formats.FILE_FORMS``.

    coding: "zstd" or "gzip", of a format that does not compress by itself. most_bytes: a file that grows beyond
    them is stopped. Raises QueryLimitError, QueryValueError, StorageFullError.
    """
    if kind != "parquet":
        _check_nesting(statement)
    with limited(connection, seconds, _FILE_TOO_SLOW, _FILE_TAKES_MEMORY), _bounded(connection, path, most_bytes):
        (names, inner), form = _inner(statement), FILE_FORMS[kind]
        shown = [
            f"{form.value(name, type_text)} AS {quoted(title)}"
            for name, type_text, title in zip(names, statement.types, statement.names, strict=True)
        ]
        target = str(path).replace("'", "''")
        options = f"{form.options}, COMPRESSION {coding}" if coding else form.options
        (row,) = connection.execute(
            f"COPY (SELECT {', '.join(shown)} FROM {inner}) TO '{target}' ({options})", statement.values
        ).fetchall()
    return int(row[0])


@contextmanager
def _bounded(connection: duckdb.DuckDBPyConnection, path: Path, most_bytes: int | None) -> Iterator[None]:
    """Interrupts what is written to a file when it has become too large."""
    if most_bytes is None:
        yield
        return
    most, is_too_large = most_bytes, False

    def look() -> None:
        nonlocal is_too_large
        with suppress(FileNotFoundError):
            is_too_large = is_too_large or path.stat().st_size > most
        if is_too_large:
            connection.interrupt()

    try:
        with WATCHDOG.limit(presence.LOOK_SECONDS, look):
            yield
    except duckdb.InterruptException:
        if not is_too_large:
            raise
    if is_too_large or path.stat().st_size > most:
        raise too_large(most)


def too_slow(seconds: float) -> QueryLimitError:
    """Of a query that took longer than a request may."""
    return QueryLimitError(_QUERY_TOO_SLOW.format(seconds))


def too_large(most_bytes: int) -> QueryLimitError:
    """Of a file that would take more bytes than there are for it."""
    return QueryLimitError(_FILE_TOO_LARGE.format(most_bytes))


def _inner(statement: Statement) -> tuple[list[str], str]:
    """Short names for every column of a statement, and the statement as a table that has them."""
    names = [f"c{place}" for place in range(len(statement.names) + statement.hidden)]
    return names, f"({statement.sql}) AS page({', '.join(names)})"


def look_for_stuck() -> int:
    """How many such looks a statement has run on for that was stopped: DuckDB itself looks after thousands of rows."""
    return _TURNS.look()


@contextmanager
def limited(
    connection: duckdb.DuckDBPyConnection,
    seconds: float,
    too_slow: str = _QUERY_TOO_SLOW,
    takes_memory: str = _QUERY_TAKES_MEMORY,
) -> Iterator[None]:
    """Interrupts what runs on the connection after some seconds, or when nobody waits for it any more.

    Maps DuckDB's errors. Raises BusyError where memory lacks beside others (alone it may do), and ClientGoneError.
    """
    client, deadline = presence.CLIENT.get(), time.monotonic() + seconds

    def look() -> None:
        if client.is_gone or time.monotonic() >= deadline:
            run.is_stopped = True
            connection.interrupt()

    with _TURNS.run() as run:
        try:
            with WATCHDOG.limit(min(seconds, presence.LOOK_SECONDS), look):
                yield
        except duckdb.InterruptException as error:
            client.check()
            raise QueryLimitError(too_slow.format(seconds)) from error
        except duckdb.OutOfMemoryException as error:
            if _TURNS.running > 1:
                raise BusyError(_MEMORY_TAKEN, retry_after_seconds=_RETRY_SECONDS) from error
            raise QueryLimitError(takes_memory) from error
        except duckdb.IOException as error:
            if os.strerror(errno.ENOSPC) not in str(error):
                raise
            raise StorageFullError(
                "The server's disk has no room for the rows as a file; ask for fewer, or try again later."
            ) from error
        except duckdb.DataError as error:
            first = str(error).partition("\n")[0]
            raise QueryValueError(f"The query cannot be computed on this data: {first}") from error
