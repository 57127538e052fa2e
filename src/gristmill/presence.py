"""Whether whoever waits for the answer to a request is still there: nothing long is done for nobody."""

import threading
import time
from contextvars import ContextVar

from gristmill.errors import ClientGoneError

LOOK_SECONDS = 0.1
"""Who works for long looks about so often."""
_WAIT_SECONDS = 0.5  # from one look to the next of who waits in a queue: to look is to go to its end


class Client:
    """Who sent a request. is_gone: whether the connection is closed, so that nobody gets the answer."""

    __slots__ = ("is_gone",)

    def __init__(self) -> None:
        self.is_gone = False

    def check(self) -> None:
        """Raise ClientGoneError when the client has gone."""
        if self.is_gone:
            raise ClientGoneError("The client closed the connection before there was an answer.")


_NOBODY_GOES = Client()
CLIENT: ContextVar[Client] = ContextVar("client", default=_NOBODY_GOES)
"""Of the request that this context answers; where there is none, one that never goes."""


def check() -> None:
    """Raise ClientGoneError when the client of this request has gone."""
    CLIENT.get().check()


def acquired(place: "threading.Lock | threading.Semaphore", seconds: float) -> bool:
    """Whether a place has come free within so many seconds, and is ours now. ClientGoneError when the client goes."""
    if place.acquire(blocking=False):
        return True
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        check()
        if place.acquire(timeout=min(left, _WAIT_SECONDS)):
            return True
    return False


def happened(event: threading.Event, seconds: float) -> bool:
    """Whether an event has happened within so many seconds. ClientGoneError when the client goes."""
    deadline = time.monotonic() + seconds
    while not event.wait(max(0.0, min(deadline - time.monotonic(), LOOK_SECONDS))):
        check()
        if time.monotonic() >= deadline:
            return False
    return True
