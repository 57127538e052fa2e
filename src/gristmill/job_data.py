"""Data sets for the runs of one child: versions opened from the cache, and kept in Redis as long as their job is."""

import time
from collections.abc import Callable
from contextlib import AbstractContextManager, ExitStack
from dataclasses import replace
from functools import partial

from gristmill.datasets.cache import Cache
from gristmill.datasets.dataset import Version
from gristmill.datasets.files import TABLE, Files
from gristmill.datasets.intake import facts_of
from gristmill.datasets.store import Store
from gristmill.errors import CacheBusyError, UnavailableError
from gristmill.limits import MIB
from gristmill.processes.references import Reference
from gristmill.processes.run_data import Attach
from gristmill.processes.workspace import DataColumn, OpenVersion
from gristmill.settings import Settings
from gristmill.store import Client

_PAUSE_SECONDS = 0.2


class JobData:
    """Opens versions. unlimited: within it, files may be made that are larger than a run may write."""

    def __init__(
        self, client: Client, settings: Settings, cache: Cache, unlimited: Callable[[], AbstractContextManager[None]]
    ) -> None:
        self._store = Store(client, settings)
        self._cache = cache
        self._files = Files(self._store, cache, settings.dataset_query_memory_mb * MIB)
        self._kept_us = settings.retention_seconds * 1_000_000
        self._unlimited = unlimited

    def open(
        self,
        job: str,
        seconds: float,
        reference: Reference,
        attach: Attach,
        kept: OpenVersion | None = None,
    ) -> OpenVersion:
        """Open a version for a job that may run for so long. kept: it has been opened before, and is still open.

        Waits while Redis is away or the cache is full of what others use: the run's time limit ends it. Raises
        NoSuchDataSetError, NoSuchVersionError, CacheUnusableError, DamagedDataError.
        """
        until = time.time_ns() // 1000 + int(seconds * 1_000_000) + self._kept_us
        while True:
            try:
                held = self._store.hold(reference.dataset, reference.version, job, until)
                if kept is not None:
                    return replace(kept, texts=held.description.columns)
                version = self._store.version(reference.dataset, held.version)
                columns, file = self._attached(version, attach)
            except (UnavailableError, CacheBusyError):
                time.sleep(_PAUSE_SECONDS)
            else:
                return OpenVersion(
                    columns,
                    version.edition.rows,
                    file,
                    held.description.columns,
                    damaged=partial(self._cache.damaged, held.version),
                    is_unwanted=partial(self._cache.is_unwanted, held.version),
                )

    def _attached(self, version: Version, attach: Attach) -> tuple[list[DataColumn], ExitStack]:
        known = [
            DataColumn(one.name, one.type, one.kind, minimum=one.minimum, maximum=one.maximum)
            for one in facts_of(version.facts).columns
        ]
        with self._unlimited():
            return self._files.attach(version, lambda path: attach(path, TABLE, known))
