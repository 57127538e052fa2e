"""The cap on requests that wait: synchronous execution, ``Prefer: wait``, event streams."""

import threading
from types import TracebackType
from typing import Self

from gristmill.errors import BusyError

RETRY_AFTER_SECONDS = 5


class Place:
    """One taken place; ``release`` may be called more than once, by any thread."""

    __slots__ = ("_places", "_taken")

    def __init__(self, places: "Places") -> None:
        self._places = places
        self._taken = True

    def release(self) -> None:
        """Give the place back."""
        self._places._give_back(self)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()


class Places:
    """Counts the requests of this operating-system process that wait, and refuses more than ``limit``."""

    def __init__(self, limit: int) -> None:
        self.limit = limit
        self._taken = 0
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many requests wait now."""
        return self._taken

    def take(self) -> Place:
        """Take a place without waiting for one. BusyError when all are taken."""
        with self._lock:
            if self._taken >= self.limit:
                raise BusyError(
                    f"All {self.limit} places for requests that wait are taken; try again in a few seconds, "
                    "or send Prefer: respond-async and ask for the job's status.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            self._taken += 1
        return Place(self)

    def _give_back(self, place: Place) -> None:
        with self._lock:
            if place._taken:
                place._taken = False
                self._taken -= 1
