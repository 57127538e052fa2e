"""The lines of one version that is in use: made in the cache once its pages are asked for, and given up with it."""

import hashlib
import time
from contextlib import ExitStack

import duckdb
import structlog

from gristmill.datasets import lines
from gristmill.datasets.cache import Cache
from gristmill.datasets.damage import is_damage
from gristmill.datasets.lines import DamagedLinesError, Lines, LongLinesError
from gristmill.datasets.queries import Table
from gristmill.datasets.rows import limited
from gristmill.errors import CacheBusyError, GristmillError

# Lines are for tables that leave most of the cache to others.
_SHARE = 4
# Where the cache needed their room, they do not come back at once.
_REST_SECONDS = 30.0
# Where they cannot be made, each try takes as much as making them would.
_LONGEST_REST_SECONDS = 3600.0

_log = structlog.get_logger(__name__)


class LineFile:
    """Of a version that stays in the cache meanwhile. Only ``wanted`` may be called by several threads at a time."""

    def __init__(self, cache: Cache, version: str) -> None:
        self._cache = cache
        self._key = f"{version}-{hashlib.sha256(lines.LAYOUT).hexdigest()[:32]}"
        self._is_wanted = False
        self._not_before = 0.0
        self._failures = 0
        self._open: Lines | None = None
        self._file = ExitStack()

    def wanted(self) -> Lines | None:
        """The lines, once they are there; asking lets them be made soon."""
        self._is_wanted = True
        return self._open

    @property
    def is_to_make(self) -> bool:
        """Whether they are wanted, are not there, and nothing speaks against them."""
        return self._is_wanted and self._open is None and time.monotonic() >= self._not_before

    @property
    def is_to_go(self) -> bool:
        """Whether they are damaged, or the cache needs their room."""
        return self._open is not None and (not self._open.is_good or self._cache.is_unwanted(self._key))

    def make(self, connection: duckdb.DuckDBPyConnection, table: Table, rows: int, seconds: float) -> None:
        """Make them, or find that there are to be none, or not now. Raises CacheBusyError: another makes them."""
        try:
            with limited(connection, seconds), ExitStack() as stack:
                size, most = lines.size_of(connection, table, rows), self._cache.most_bytes // _SHARE
                if size is None or size > most:
                    self._rest(float("inf"))
                    return
                opened = self._cache.open(
                    self._key, lambda path: lines.write(connection, table, path, rows=rows, size=size, most=most)
                )
                path = stack.enter_context(opened)
                try:
                    made = Lines.open(path)
                except DamagedLinesError:
                    self._cache.damaged(self._key)
                    raise
                stack.callback(made.close)
                self._file = stack.pop_all()
                self._open = made
        except CacheBusyError:
            raise
        except (GristmillError, DamagedLinesError, LongLinesError, OSError, duckdb.Error) as error:
            self._failures += 1
            self._rest(min(_REST_SECONDS * 2 ** (self._failures - 1), _LONGEST_REST_SECONDS))
            if is_damage(error):  # of the version's own file: whoever has attached it has it made anew
                raise
            _log.warning(
                "no lines of a data set could be made; its pages take longer", key=self._key, reason=str(error)
            )

    def give_up(self) -> None:
        """Let the cache have the file."""
        made, self._open = self._open, None
        if made is not None and not made.is_good:
            self._cache.damaged(self._key)
        elif made is not None:
            self._rest(_REST_SECONDS)
        self._file.close()

    def _rest(self, seconds: float) -> None:
        self._is_wanted = False
        self._not_before = time.monotonic() + seconds
