"""Versions as database files in the local cache, each made once from the stored Parquet, the rows in their order."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack, nullcontext
from pathlib import Path
from typing import TypeVar

import duckdb

from gristmill.datasets import stored_parquet
from gristmill.datasets.cache import WAIT_SECONDS, Cache
from gristmill.datasets.columns import ROWS_AT_ONCE
from gristmill.datasets.dataset import Version
from gristmill.datasets.inference import literal
from gristmill.datasets.shortage import lacks_memory
from gristmill.datasets.store import Store
from gristmill.datasets.watchdog import WATCHDOG
from gristmill.errors import QueryLimitError
from gristmill.limits import MIB, usable_cpus

TABLE = "data"
"""The one table of a file."""
# Each column has one in memory while a file is completed; by default they have four times as much.
_SMALL_BLOCK_BYTES = 2**16

T = TypeVar("T")


class Files:
    """Safe for use by many threads and processes. memory_bytes, seconds: what the making of one file may take.

    seconds: None where a run's own limit ends it; then no thread is started, for which the child would be replaced.
    """

    def __init__(self, store: Store, cache: Cache, memory_bytes: int, seconds: float | None = None) -> None:
        self._store = store
        self._cache = cache
        self._memory_bytes = memory_bytes
        self._seconds = seconds

    def attach(
        self, version: Version, attach: Callable[[Path], T], wait_seconds: float = WAIT_SECONDS
    ) -> tuple[T, ExitStack]:
        """Call ``attach`` with a version's file; the file stays until the stack that is returned is closed.

        A file that DuckDB refuses is damaged, and made anew. Raises NoSuchVersionError when the version's bytes are
        gone, DamagedDataError, CacheBusyError after ``wait_seconds``, CacheUnusableError, QueryLimitError when making
        the file takes too much memory or time, and what ``attach`` raises.
        """
        try:
            return self._attach(version, attach, wait_seconds)
        except duckdb.Error:
            return self._attach(version, attach, wait_seconds)

    def _attach(self, version: Version, attach: Callable[[Path], T], wait_seconds: float) -> tuple[T, ExitStack]:
        id_ = version.edition.version
        with ExitStack() as stack:
            opened = self._cache.open(id_, lambda target: self._build(version, target), wait_seconds)
            path = stack.enter_context(opened)
            try:
                made = attach(path)
            except duckdb.Error:
                self._cache.damaged(id_)
                raise
            return made, stack.pop_all()

    def _build(self, version: Version, target: Path) -> None:
        deadline = None if self._seconds is None else time.monotonic() + self._seconds
        parquet = target.with_suffix(".parquet")
        with parquet.open("wb") as file:
            for chunk in self._store.blobs.read(version.blob):
                file.write(chunk)
        try:
            try:
                self._write(parquet, target, deadline)
            except duckdb.Error as error:
                if not lacks_memory(error):
                    raise
                target.unlink(missing_ok=True)
                self._write(parquet, target, deadline, is_sparing=True)
        except duckdb.InterruptException as error:
            raise QueryLimitError(
                f"To read version {version.edition.version[:12]} of the data set into the cache takes more than "
                f"{self._seconds:g} s (setting GRISTMILL_DATASET_READING_SECONDS): it has too many rows, or too long "
                "texts."
            ) from error
        except duckdb.Error as error:
            if not lacks_memory(error):
                raise
            raise QueryLimitError(
                f"To read version {version.edition.version[:12]} of the data set into the cache takes more than "
                f"{self._memory_bytes // MIB} MiB of memory (setting GRISTMILL_DATASET_QUERY_MEMORY_MB): its "
                "texts are too long for that, or it has too many columns."
            ) from error
        parquet.unlink()

    def _write(self, parquet: Path, target: Path, deadline: float | None, *, is_sparing: bool = False) -> None:
        """is_sparing: with as few rows in memory, and in a group, as can be; else about as many as in the Parquet."""
        with instance(self._memory_bytes) as connection:
            if is_sparing:
                options = f" (ROW_GROUP_SIZE {ROWS_AT_ONCE}, BLOCK_SIZE {_SMALL_BLOCK_BYTES})"
            else:
                group_rows = _fitting(stored_parquet.group_rows(parquet, connection))
                options = f" (ROW_GROUP_SIZE {group_rows})" if group_rows else ""
            connection.execute(f"ATTACH {literal(str(target))} AS made{options}")
            with _interrupted_at(deadline, connection):
                connection.execute(f"CREATE TABLE made.{TABLE} AS FROM read_parquet({literal(str(parquet))})")
            connection.execute("DETACH made")


def _interrupted_at(deadline: float | None, connection: duckdb.DuckDBPyConnection) -> AbstractContextManager[None]:
    if deadline is None:
        return nullcontext()
    return WATCHDOG.limit(max(0.0, deadline - time.monotonic()), connection.interrupt)


def _fitting(rows: int) -> int:
    """A number of rows that DuckDB takes for a group; 0: as many as it likes best."""
    return rows and max(ROWS_AT_ONCE, rows // ROWS_AT_ONCE * ROWS_AT_ONCE)


def instance(memory_bytes: int) -> duckdb.DuckDBPyConnection:
    """A DuckDB instance that keeps to some bytes of memory, and loads nothing from elsewhere."""
    config: dict[str, str | bool | int | float | list[str]] = {
        "threads": min(4, usable_cpus()),
        "async_threads": 0,  # else one COPY in a hundred that is interrupted waits for ever (seen in DuckDB 2.0.0)
        "memory_limit": f"{memory_bytes // MIB}MiB",
        "temp_directory": "",
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
    }
    return duckdb.connect(":memory:", config=config)
