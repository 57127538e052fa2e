"""Reads one uploaded file and writes it as zstd Parquet, in its row order; says what is in it.

It runs what others have written through parsers, so it belongs into a child that may be killed: see ``reading.py``.
DuckDB is a fresh instance that may reach the file, its copy in UTF-8, and the Parquet that it writes; nothing else.
"""

import errno
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import assert_never

import duckdb

from gristmill.datasets import sample, stored_parquet
from gristmill.datasets.columns import Column
from gristmill.datasets.csv_files import CsvFile
from gristmill.datasets.facts import Facts, columns_of
from gristmill.datasets.guesses import Guess, narrow
from gristmill.datasets.inference import (
    MISFIT,
    WRITTEN_AS,
    JsonTexts,
    Rule,
    Texts,
    converted,
    literal,
    name,
    with_room,
)
from gristmill.datasets.json_files import JsonFile, nested
from gristmill.datasets.local_forms import local_number
from gristmill.datasets.nesting import check_nesting
from gristmill.datasets.options import ReadingLimits, ReadingOptions
from gristmill.datasets.parquet_files import ParquetFile
from gristmill.datasets.shortage import lacks_memory
from gristmill.datasets.texts import as_utf8, first_line_of, shown
from gristmill.errors import (
    Fault,
    GristmillError,
    InvalidRequestError,
    MalformedDataError,
    ReadingFailedError,
    StorageFullError,
    TooLargeError,
)

_FIRST_ROWS = 100  # a cast that fails is slow, so that few rows first rule out what is easy to see
# DuckDB's own limit is below the kernel's, so that it can say so itself.
_DUCKDB_SHARE = 0.6
_MOST_FOR_ALL = 500  # columns
_MOST_BYTES_FOR_THREADS = 128 * 2**20


def ingest(source: Path, target: Path, options: ReadingOptions, limits: ReadingLimits) -> Facts:
    """Read ``source`` and write ``target``, which must not exist; it is removed when anything goes wrong.

    Raises MalformedDataError with the place, TooLargeError with the setting, InvalidRequestError for a type of a
    column that is not there, ReadingFailedError when the memory is used up, StorageFullError when the disk is.
    """
    copy = target.with_name(target.name + ".utf8")
    try:
        path = source if options.format == "parquet" else as_utf8(source, options.encoding, copy)
        try:
            rows, columns = _read(path, target, options, limits)
        except duckdb.Error as error:
            if limits.threads == 1 or not lacks_memory(error):
                raise
            rows, columns = _read(path, target, options, replace(limits, threads=1))
        stored_bytes = target.stat().st_size
        if stored_bytes > limits.stored_bytes:
            raise OSError(errno.EFBIG, "more than a version may have")  # noqa: TRY301
        return Facts(rows, columns, stored_bytes, source.stat().st_size)
    except BaseException as error:
        target.unlink(missing_ok=True)
        mapped = _mapped(error, source, options, limits)
        if mapped is error:
            raise
        raise mapped from error
    finally:
        copy.unlink(missing_ok=True)


def _read(path: Path, target: Path, options: ReadingOptions, limits: ReadingLimits) -> tuple[int, tuple[Column, ...]]:
    """Write ``target``; returns its rows and the facts of its columns."""
    with _duckdb(path, target, limits) as connection:
        match options.format:
            case "parquet":
                rows = _copy_parquet(ParquetFile.open(path, limits, connection), target, limits, connection)
            case "csv" | "tsv":
                rows = _copy_texts(CsvFile.open(path, options, limits), target, options, connection)
            case "json" | "ndjson":
                rows = _copy_texts(JsonFile.open(path, options, limits, connection), target, options, connection)
            case _:
                assert_never(options.format)
        if rows > limits.rows:
            raise _too_many_rows(limits)
        columns = columns_of(target, rows, limits, connection)
        check_nesting((column.name, column.type) for column in columns)
        return rows, columns


@contextmanager
def _duckdb(path: Path, target: Path, limits: ReadingLimits) -> Iterator[duckdb.DuckDBPyConnection]:
    settings = {
        "threads": str(limits.threads),
        "async_threads": "0",  # else a COPY that fails now and then waits for ever, as one that is interrupted
        "memory_limit": f"'{int(limits.memory_bytes * _DUCKDB_SHARE) // 2**20} MiB'",
        "temp_directory": "''",
        "preserve_insertion_order": "true",
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "TimeZone": "'UTC'",
        "allowed_paths": f"[{literal(str(path))}, {literal(str(target))}]",
        "enable_external_access": "false",
    }
    with duckdb.connect(":memory:") as connection:
        for key, value in settings.items():
            connection.execute(f"SET {key} = {value}")
        yield connection


def _lock(connection: duckdb.DuckDBPyConnection, columns: int, group_bytes: int = 0) -> None:
    """Let no setting change from here on. group_bytes: of the largest row group of Parquet.

    Of wide rows, each thread has some thousand in memory, several times, and is of no help: of 2,000 columns, two take
    twice as much memory and no less time. A row group is read by one thread, and what another one reads of the next
    group is in memory until the first group is written. To look for what thousands of columns have in common takes
    DuckDB half a minute.
    """
    if columns > _MOST_FOR_ALL:
        connection.execute("SET disabled_optimizers = 'common_subexpressions'")
    if columns > _MOST_FOR_ALL or group_bytes > _MOST_BYTES_FOR_THREADS:
        connection.execute("SET threads = 1")
    connection.execute("SET lock_configuration = true")


# Text


def _copy_texts(
    file: CsvFile | JsonFile, target: Path, options: ReadingOptions, connection: duckdb.DuckDBPyConnection
) -> int:
    _lock(connection, len(file.names))
    _check_types(options, file.names)
    columns: Sequence[Texts | JsonTexts] = file.columns()
    rules = {
        at: columns[at].given(options.types[called]) for at, called in enumerate(file.names) if called in options.types
    }
    guesses = {at: Guess(column) for at, column in enumerate(columns) if at not in rules}
    try:
        row_bytes = sample.take(file.relation(), len(columns), file.path.stat().st_size, connection)
        narrow(guesses.values(), f"(SELECT * FROM {sample.TABLE} LIMIT {_FIRST_ROWS})", connection)
        narrow(guesses.values(), sample.TABLE, connection)
        connection.execute(f"DROP TABLE {sample.TABLE}")  # its room is needed
        try:
            return _copy_by(file, rules | _best(guesses, file, connection), target, connection, row_bytes)
        except duckdb.Error as error:
            if _misfit(error) is None:
                raise
        narrow(guesses.values(), file.relation(), connection)
        return _copy_by(file, rules | _best(guesses, file, connection), target, connection, row_bytes)
    except duckdb.Error as error:
        position = _misfit(error)
        if position is not None:
            raise _does_not_fit(file, position, rules[position], connection) from error
        if _is_shortage(error):
            raise
        raise file.explain(error, connection) from error


def _check_types(options: ReadingOptions, names: Sequence[str]) -> None:
    unknown = [given for given in options.types if given not in names]
    if unknown:
        known = ", ".join(map(shown, names[:50]))
        raise InvalidRequestError(
            f"A type is given for the column {shown(unknown[0])}, but the file has none of this name. It has {known}.",
            faults=[Fault(f"types/{one}", "the file has no column of this name") for one in unknown],
        )


def _best(
    guesses: dict[int, Guess], file: CsvFile | JsonFile, connection: duckdb.DuckDBPyConnection
) -> dict[int, Rule]:
    return {at: guess.best or _nested(file, at, connection) for at, guess in guesses.items()}


def _nested(file: CsvFile | JsonFile, at: int, connection: duckdb.DuckDBPyConnection) -> Rule:
    if not isinstance(file, JsonFile):
        raise TypeError("what CSV holds is text at the least")
    return nested(file, at, connection)


def _copy_by(
    file: CsvFile | JsonFile,
    rules: dict[int, Rule],
    target: Path,
    connection: duckdb.DuckDBPyConnection,
    row_bytes: int,
) -> int:
    columns: Sequence[Texts | JsonTexts] = file.columns()
    parts = [
        f"{converted(rules[at], column.column, at)} AS {name(file.names[at])}" for at, column in enumerate(columns)
    ]
    select = f"SELECT {', '.join(parts)} FROM {file.relation()}"
    return stored_parquet.write(select, target, connection, row_bytes=row_bytes)


def _misfit(error: duckdb.Error) -> int | None:
    """The position of the column that a value did not fit into, if that is what the error is about."""
    found = re.match(rf"[A-Za-z ]+ Error: {MISFIT}(\d+)(?:\n|$)", str(error))
    return int(found[1]) if found else None


def _does_not_fit(
    file: CsvFile | JsonFile, position: int, rule: Rule, connection: duckdb.DuckDBPyConnection
) -> MalformedDataError:
    column = file.columns()[position].column
    found = connection.execute(
        f"SELECT row, value FROM (SELECT row_number() OVER () AS row, {column} AS value, {rule.fits} AS fits "
        f"FROM {file.relation()}) WHERE value IS NOT NULL AND NOT coalesce(fits, false) ORDER BY row LIMIT 1"
    ).fetchone()
    row, value = found or (0, "")
    write = f"Write it as {WRITTEN_AS[rule.type]}, or give" if rule.type in WRITTEN_AS else "Give"
    is_of_csv, called = isinstance(file, CsvFile), file.names[position]
    more = ", or say which texts mean NULL" if is_of_csv else ""
    form, room = "", with_room(rule.type, value, file.options.decimal)
    if isinstance(file, CsvFile) and rule.type not in WRITTEN_AS:
        decimals = file.options.decimal != "," and "INT" not in rule.type
        form = local_number(value, called, decimals=decimals, point=room)
    more = f" ({room}){more}" if room and room not in form else more
    return MalformedDataError(
        f"{file.place(row)}, column {shown(called)}: {shown(value)} is no {rule.type}, the type "
        f"that was given for the column{form}. {write} another type{more}."
    )


# Parquet


def _copy_parquet(file: ParquetFile, target: Path, limits: ReadingLimits, connection: duckdb.DuckDBPyConnection) -> int:
    if file.rows > limits.rows:
        raise _too_many_rows(limits)
    _lock(connection, len(file.columns), file.group_bytes)
    return stored_parquet.write(file.select(connection), target, connection, row_bytes=file.row_bytes, rows=file.rows)


# Errors


def _too_many_rows(limits: ReadingLimits) -> TooLargeError:
    return TooLargeError(
        f"The table has more than {limits.rows:,} rows, the most that a data set has (setting GRISTMILL_DATASET_ROWS). "
        "Upload it in parts."
    )


def _is_shortage(error: BaseException) -> bool:
    return lacks_memory(error) or _disk_errno(error) != 0


def _disk_errno(error: BaseException) -> int:
    """What the system said when it would write no more; 0: something else went wrong."""
    if isinstance(error, OSError):
        return error.errno or 0
    if isinstance(error, duckdb.IOException):
        for number in (errno.EFBIG, errno.ENOSPC, errno.EDQUOT):
            if os.strerror(number) in str(error):
                return number
    return 0


def _mapped(error: BaseException, source: Path, options: ReadingOptions, limits: ReadingLimits) -> BaseException:
    """The same error in our words; ours, and what nobody expected, as it is."""
    if isinstance(error, GristmillError):
        return error
    if lacks_memory(error):
        return ReadingFailedError(
            f"Reading the file took more than {limits.memory_bytes // 2**20:,} MiB of memory (setting "
            "GRISTMILL_DATASET_READING_MEMORY_MB). Upload fewer columns, shorter values, or smaller Parquet row groups."
        )
    number = _disk_errno(error)
    if number == errno.EFBIG:
        return TooLargeError(
            f"The table takes more than {limits.stored_bytes:,} bytes when it is stored (setting "
            "GRISTMILL_DATASET_STORED_BYTES). Upload fewer rows or columns."
        )
    if number in {errno.ENOSPC, errno.EDQUOT}:
        return StorageFullError("The disk has no space left for the table. Try again later.")
    if isinstance(error, duckdb.Error):
        with suppress(OSError):
            return MalformedDataError(_unreadable(error, source, options))
    return error


def _unreadable(error: duckdb.Error, source: Path, options: ReadingOptions) -> str:
    said = first_line_of(error, source)
    if options.format != "parquet":
        return f"The file cannot be read: {said}."
    with source.open("rb") as file:
        start = file.read(4)
    if start not in {b"PAR1", b"PARE"}:
        return (
            f"The file is not Parquet: it does not begin with PAR1. Say the format that it has. (It was said: {said})"
        )
    return f"The Parquet file is damaged, or of a kind that is not read. Write it anew. (It was said: {said})"
