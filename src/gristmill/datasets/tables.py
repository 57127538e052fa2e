"""Versions as tables of one DuckDB instance, attached while they are asked for.

A version's file is in the cache, and locked there as long as it is attached.
"""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass, field

import duckdb

from gristmill.datasets.cache import WAIT_SECONDS, Cache
from gristmill.datasets.damage import is_damage
from gristmill.datasets.dataset import Version
from gristmill.datasets.files import TABLE, Files, instance
from gristmill.datasets.inference import literal
from gristmill.datasets.intake import facts_of
from gristmill.datasets.line_files import LineFile
from gristmill.datasets.lines import Lines
from gristmill.datasets.queries import Table
from gristmill.datasets.store import Store
from gristmill.errors import CacheBusyError
from gristmill.limits import MIB
from gristmill.presence import acquired
from gristmill.settings import Settings

# A version that nobody has asked for so long is detached, so that the cache may let it go.
IDLE_SECONDS = 30.0
# Of the memory for queries, for each thread: DuckDB's limit knows nothing of what functions make of texts.
_COPIES_SHARE = 2


@dataclass(slots=True)
class _Attached:
    """A version in use or lately used. ``file`` lets the cache's file go."""

    version: Version
    table: Table
    file: ExitStack
    lines: LineFile
    users: int = 0
    used: float = 0.0
    idle: list[duckdb.DuckDBPyConnection] = field(default_factory=list)


@dataclass(slots=True)
class _Place:
    """Where a version is attached, by one thread at a time."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    attached: _Attached | None = None


class Tables:
    """Of one process. Safe for use by many threads; starts DuckDB with its first use, so not before a fork."""

    def __init__(self, store: Store, cache: Cache, settings: Settings) -> None:
        self._memory_bytes = settings.dataset_query_memory_mb * MIB
        self._making_seconds = settings.dataset_reading_seconds
        self._cache = cache
        self._files = Files(store, cache, self._memory_bytes, self._making_seconds)
        self._lock = threading.Lock()
        self._places: dict[str, _Place] = {}
        self._instance: duckdb.DuckDBPyConnection | None = None

    @contextmanager
    def use(self, version: Version) -> Iterator[tuple[duckdb.DuckDBPyConnection, Table]]:
        """A connection, for one thread, and the table of a version to ask it for; they stay while the context lasts.

        Raises NoSuchVersionError when its bytes are gone, DamagedDataError, CacheBusyError, CacheUnusableError, and
        QueryLimitError when making the file takes too much memory. A file that turns out to be damaged meanwhile
        is made anew when nobody uses it: CacheBusyError too.
        """
        id_ = version.edition.version
        with self._lock:
            place = self._places.setdefault(id_, _Place())
        deadline = time.monotonic() + WAIT_SECONDS
        if not acquired(place.lock, WAIT_SECONDS):
            raise CacheBusyError(
                f"Version {id_[:12]} of a data set is still being read into the cache; try again.",
                retry_after_seconds=5,
            )
        try:
            if place.attached is None:
                # Who has waited for another's attempt has the rest of the time for one: else they would add up.
                place.attached = self._attach(version, max(0.0, deadline - time.monotonic()))
            attached = place.attached
            attached.users += 1
            connection = attached.idle.pop() if attached.idle else self._connection().cursor()
        finally:
            place.lock.release()
        is_good = False
        try:
            yield connection, attached.table
            is_good = True
        except duckdb.Error as error:
            if not is_damage(error):
                raise
            self._cache.damaged(id_)
            raise CacheBusyError(
                f"The copy of version {id_[:12]} in the cache was damaged, and is made anew; try again.",
                retry_after_seconds=2,
            ) from error
        finally:
            with place.lock:
                if is_good:
                    attached.idle.append(connection)
                else:
                    connection.close()
                attached.users -= 1
                attached.used = time.monotonic()

    def lines(self, version: Version) -> Lines | None:
        """Inside ``use``: the version's lines, once they are there; asking lets ``make_lines`` make them."""
        attached = self._places[version.edition.version].attached
        return attached.lines.wanted() if attached else None

    def make_lines(self) -> None:
        """Make the lines that are wanted, which may take a while, and let go of those that are to leave the cache."""
        with self._lock:
            places = list(self._places.values())
        for place in places:
            with place.lock:
                attached = place.attached
                if attached and not attached.users and attached.lines.is_to_go:
                    attached.lines.give_up()
            if attached and attached.lines.is_to_make:
                with suppress(CacheBusyError), self.use(attached.version) as (connection, table):
                    if place.attached is attached:  # and not detached meanwhile: then nobody would let these go
                        attached.lines.make(connection, table, attached.version.edition.rows, self._making_seconds)

    def tidy(self, idle_seconds: float = IDLE_SECONDS) -> None:
        """Detach what has not been used for so long, and what is not in use and has to leave the cache."""
        with self._lock:
            places = list(self._places.items())
        for id_, place in places:
            # Whoever attaches a version now may be waiting for the room that others are to give.
            if not place.lock.acquire(blocking=False):
                continue
            try:
                attached = place.attached
                if attached and not attached.users and self._is_to_go(id_, attached, idle_seconds):
                    while attached.idle:
                        attached.idle.pop().close()
                    self._execute(f"DETACH {_alias(id_)}")
                    place.attached = None
                    attached.lines.give_up()
                    attached.file.close()
            finally:
                place.lock.release()

    def _is_to_go(self, version: str, attached: _Attached, idle_seconds: float) -> bool:
        return time.monotonic() - attached.used >= idle_seconds or self._cache.is_unwanted(version)

    def close(self) -> None:
        """Detach everything."""
        self.tidy(0)
        with self._lock:
            instance, self._instance = self._instance, None
        if instance is not None:
            instance.close()

    def _connection(self) -> duckdb.DuckDBPyConnection:
        with self._lock:
            if self._instance is None:
                self._instance = instance(self._memory_bytes)
            return self._instance

    def _execute(self, sql: str) -> None:
        # A connection of its own: DuckDB refuses one that another thread is using.
        with self._connection().cursor() as connection:
            connection.execute(sql)

    def _attach(self, version: Version, wait_seconds: float) -> _Attached:
        alias = _alias(version.edition.version)
        columns = facts_of(version.facts).columns
        _, file = self._files.attach(
            version,
            lambda path: self._execute(f"ATTACH {literal(str(path))} AS {alias} (READ_ONLY)"),
            wait_seconds,
        )
        table = Table(f"{alias}.{TABLE}", version.edition.version, columns, self._memory_bytes // _COPIES_SHARE)
        return _Attached(version, table, file, LineFile(self._cache, version.edition.version))


def _alias(version: str) -> str:
    return f"v_{version}"
