"""Remembers versions for a moment: who reads one page by page asks Redis once a second, not once a page."""

import threading
import time
from collections import OrderedDict

from gristmill.datasets.dataset import Version
from gristmill.datasets.store import Store

# Deleted by another process, a version stays so long: less than until its file leaves the cache.
KNOWN_SECONDS = 1.0
# Each with the facts of its columns, of which there may be thousands.
_MOST = 100


class KnownVersions:
    """Of one process. Safe for use by many threads."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._known: OrderedDict[tuple[str, str], tuple[float, Version]] = OrderedDict()

    def get(self, name: str, version: str) -> Version:
        """One version of a data set; its newest, as it is now: "". Raises NoSuchDataSetError, NoSuchVersionError."""
        known = self._known.get((name, version))
        if known is not None and time.monotonic() < known[0]:
            return known[1]
        until = time.monotonic() + KNOWN_SECONDS
        found = self._store.version(name, version)
        if version:
            with self._lock:
                self._known[name, version] = until, found
                self._known.move_to_end((name, version))
                if len(self._known) > _MOST:
                    self._known.popitem(last=False)
        return found

    def forget(self, name: str) -> None:
        """Ask again for all versions of a data set, which has been changed here."""
        with self._lock:
            for key in [key for key in self._known if key[0] == name]:
                del self._known[key]
