"""All users together, from a beginning to an end."""

import threading
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from e2e.traffic.clients import Client
from e2e.traffic.doors import Door
from e2e.traffic.ledger import Ledger
from e2e.traffic.watchers import Watcher

CLIENTS = 10
WATCHERS = 2
# The longest request, and a job that is watched to its end behind others.
LAST_SECONDS = 120


class Traffic:
    """Clients and watchers, shared out equally among the doors; they ask as long as this is open.

    At the end nobody is cut off: what was asked is waited for.
    """

    def __init__(self, doors: Sequence[Door], *, clients: int = CLIENTS, watchers: int = WATCHERS) -> None:
        self.ledger = Ledger()
        self._stop = threading.Event()
        self._threads = [
            kind(number, doors[number % len(doors)], self.ledger, self._stop)
            for kind, count in ((Client, clients), (Watcher, watchers))
            for number in range(count)
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(LAST_SECONDS)
            if thread.is_alive():
                self.ledger.failure(thread.name, f"it did not end within {LAST_SECONDS} s")
