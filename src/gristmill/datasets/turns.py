"""Statements of one process take turns, so that each gets within its time limit what it would get alone.

All at once, they would share the CPUs, and each be stopped as too slow.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gristmill.errors import BusyError
from gristmill.presence import acquired


class Run:
    """A statement that runs. is_stopped: whether it was told to end. looks: how often it was seen to run on."""

    __slots__ = ("is_stopped", "looks")

    def __init__(self) -> None:
        self.is_stopped = False
        self.looks = 0


class Turns:
    """Safe for use by many threads. at_once: so many statements run at a time. waiting: as many more wait at most."""

    def __init__(self, at_once: int, waiting: int) -> None:
        self._at_once = at_once
        self._waiting = waiting
        self._places = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._taken = 0
        self._runs: set[Run] = set()

    @property
    def running(self) -> int:
        """How many statements run, those without a turn too."""
        return len(self._runs)

    def look(self) -> int:
        """How often a statement has been seen to run on that was told to end, this time included; the most of any.

        No clock tells that: it goes on while this process stands still.
        """
        with self._lock:
            for run in self._runs:
                run.looks += run.is_stopped
            return max((run.looks for run in self._runs), default=0)

    @contextmanager
    def take(self, seconds: float) -> Iterator[None]:
        """A turn, which is waited for at most so long. Raises BusyError; ClientGoneError when nobody waits any more."""
        with self._lock:
            if self._taken >= self._at_once + self._waiting:
                raise self._busy(seconds)
            self._taken += 1
        try:
            if not acquired(self._places, seconds):
                raise self._busy(seconds)
            try:
                yield
            finally:
                self._places.release()
        finally:
            with self._lock:
                self._taken -= 1

    @contextmanager
    def run(self) -> Iterator[Run]:
        """A statement runs meanwhile, with a turn or without one."""
        run = Run()
        with self._lock:
            self._runs.add(run)
        try:
            yield run
        finally:
            with self._lock:
                self._runs.discard(run)

    def _busy(self, seconds: float) -> BusyError:
        return BusyError(
            f"As many queries are under way here as run at a time ({self._at_once}), and others wait. Try again, or "
            "run it as a job of the process sql or groupby.",
            retry_after_seconds=max(1, round(seconds)),
        )
