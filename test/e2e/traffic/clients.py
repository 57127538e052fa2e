"""Clients that keep one connection each, and ask again after a while."""

import random
import threading
import time

from e2e.traffic.doors import Door
from e2e.traffic.ledger import Ledger
from e2e.traffic.mix import MIX, Ask, RefusedError, Visitor

# Between two requests of a connection: mostly short, so that ten of them make twenty requests a second; sometimes so
# long that a server, or a proxy on the way, may have closed the connection meanwhile.
SHORT_SECONDS = (0.1, 0.4)
LONG_SECONDS = (0.4, 5.0)
LONG_OF_ALL = 0.05


class Client(threading.Thread):
    """One client on one connection, until it is told to stop.

    A connection that the server has said it closes, or has closed, is not used again: the next request opens another,
    as HTTP asks. Nothing is tried twice.
    """

    def __init__(self, number: int, door: Door, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(name=f"client-{number}", daemon=True)
        self._door = door
        self._ledger = ledger
        self._stop_asked = stop
        self._chance = random.Random(number)

    def run(self) -> None:
        """Ask until it is enough."""
        with self._door.client() as http:
            visitor = Visitor(self.name, http, self._ledger, self._chance)
            while not self._stop_asked.wait(self._pause()):
                self._ask(visitor)

    def _ask(self, visitor: Visitor) -> None:
        (ask,) = self._chance.choices(list(MIX), weights=list(MIX.values()))
        began = time.monotonic()
        try:
            asked = ask(visitor)
        except RefusedError as error:
            self._ledger.refusal(*self._story(ask, began, error))
        except Exception as error:
            self._ledger.failure(*self._story(ask, began, error))
        else:
            self._ledger.answer(asked, time.monotonic() - began)

    def _story(self, ask: Ask, began: float, error: Exception) -> tuple[str, str]:
        """Who met an error, and how."""
        after = time.monotonic() - began
        return f"{self.name} by {self._door.name}", f"{ask.__name__}, after {after:.2f} s: {error!r}"

    def _pause(self) -> float:
        is_long = self._chance.random() < LONG_OF_ALL
        return self._chance.uniform(*(LONG_SECONDS if is_long else SHORT_SECONDS))
