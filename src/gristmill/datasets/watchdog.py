"""Calls something back when a time is over, with one thread for all: one each would cost more than small queries do."""

import heapq
import itertools
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# DuckDB forgets an interrupt that comes before a statement runs, or between two.
_AGAIN_SECONDS = 0.05


def _nothing() -> None:
    pass


class _Watch:
    """One time limit. Under its lock it is called, or its owner ends it."""

    __slots__ = ("call", "ended", "lock")

    def __init__(self, call: Callable[[], object]) -> None:
        self.call = call
        self.lock = threading.Lock()
        self.ended = False


class Watchdog:
    """Safe for use by many threads; its own one starts with the first use, and again in a forked process."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watches: list[tuple[float, int, _Watch]] = []
        self._numbers = itertools.count()
        self._thread: threading.Thread | None = None

    @contextmanager
    def limit(self, seconds: float, call: Callable[[], object]) -> Iterator[None]:
        """Call when the context has lasted so long, and again and again until its end; never after that."""
        watch = _Watch(call)
        deadline = time.monotonic() + seconds
        with self._changed:
            heapq.heappush(self._watches, (deadline, next(self._numbers), watch))
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif self._watches[0][2] is watch:
                self._changed.notify()
        try:
            yield
        finally:
            with watch.lock:
                watch.ended = True
                watch.call = _nothing  # it is found out of date later: until then it must keep nothing alive

    def _run(self) -> None:
        while True:
            with self._changed:
                while self._watches and self._watches[0][2].ended:
                    heapq.heappop(self._watches)
                if not self._watches:
                    self._changed.wait()
                    continue
                deadline, _, watch = self._watches[0]
                left = deadline - time.monotonic()
                if left > 0:
                    self._changed.wait(min(left, threading.TIMEOUT_MAX))
                    continue
                heapq.heapreplace(self._watches, (time.monotonic() + _AGAIN_SECONDS, next(self._numbers), watch))
            with watch.lock:
                if not watch.ended:
                    watch.call()


WATCHDOG = Watchdog()
"""Of this process."""
