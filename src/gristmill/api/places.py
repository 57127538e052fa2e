"""The cap on requests that wait: synchronous execution, ``Prefer: wait``, event streams."""

import threading
from collections import Counter
from types import TracebackType
from typing import Self

from gristmill.errors import BusyError, RateLimitedError

RETRY_AFTER_SECONDS = 5


class Place:
    """One taken place; ``release`` may be called more than once, by any thread."""

    __slots__ = ("_places", "_taken", "owner")

    def __init__(self, places: "Places", owner: str) -> None:
        self._places = places
        self.owner = owner
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
    """Counts the requests of this operating-system process that wait, and refuses more than its limits."""

    def __init__(self, limit: int, limit_per_owner: int) -> None:
        self.limit = limit
        self.limit_per_owner = limit_per_owner
        self._taken: Counter[str] = Counter()
        self._lock = threading.Lock()

    @property
    def taken(self) -> int:
        """How many requests wait now."""
        return self._taken.total()

    def take(self, owner: str) -> Place:
        """Take a place without waiting for one.

        Raises BusyError when all are taken, RateLimitedError when the owner has as many as one may.
        """
        with self._lock:
            if self._taken.total() >= self.limit:
                raise BusyError(
                    f"All {self.limit} places for requests that wait are taken; try again in a few seconds, "
                    "or send Prefer: respond-async and ask for the job's status.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            if self._taken[owner] >= self.limit_per_owner:
                raise RateLimitedError(
                    f"{owner} has {self.limit_per_owner} requests that wait here, as many as one owner may have "
                    "(GRISTMILL_WAITING_REQUESTS_PER_OWNER); end some of them, or send Prefer: respond-async.",
                    retry_after_seconds=RETRY_AFTER_SECONDS,
                )
            self._taken[owner] += 1
        return Place(self, owner)

    def _give_back(self, place: Place) -> None:
        with self._lock:
            if place._taken:
                place._taken = False
                self._taken[place.owner] -= 1
                if not self._taken[place.owner]:
                    del self._taken[place.owner]
