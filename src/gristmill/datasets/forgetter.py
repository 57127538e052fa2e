"""Takes out of the local cache what no data set has any more."""

import math
import threading
import time
from collections.abc import Callable, Iterable

import structlog

from gristmill.datasets.cache import cache_of
from gristmill.datasets.store import Store
from gristmill.errors import UnavailableError
from gristmill.settings import Settings
from gristmill.store import connect

FORGET_SECONDS = 1.0
# So often even when nothing seems to have gone: Redis may have been emptied, or be back at an earlier state.
LOOK_SECONDS = 60.0

log = structlog.get_logger()


class Forgetter:
    """Tells a cache which versions are gone; call it every second or so: it costs one small read."""

    def __init__(self, store: Store, cached: Callable[[], Iterable[str]], drop: Callable[[str], None]) -> None:
        self._store = store
        self._cached = cached
        self._drop = drop
        self._epoch = -1
        self._looked = -math.inf

    def __call__(self) -> bool:
        """Drop what is gone; returns whether anything may have gone since the last call."""
        epoch = self._store.epoch()
        now = time.monotonic()
        is_same = epoch == self._epoch
        if is_same and now - self._looked < LOOK_SECONDS:
            return False
        gone = self._store.missing(self._cached())
        for version in gone:
            self._drop(version)
        self._epoch, self._looked = epoch, now
        return bool(gone) or not is_same


def forget_deleted(settings: Settings, stop: threading.Event) -> None:
    """Delete from the cache, within seconds, what has been deleted or is out of date, until told to stop."""
    client = connect(settings)
    store, cache = Store(client, settings), cache_of(settings)
    forget = Forgetter(store, cache.versions, cache.drop)
    while not stop.wait(FORGET_SECONDS):
        try:
            forget()
        except UnavailableError:
            continue
        except Exception:
            log.exception("deleted data sets could not be forgotten")
    store.close()
    client.close()
