"""A request whose client goes before it is answered."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from gristmill.presence import CLIENT, Client


@contextmanager
def client_that_leaves(seconds: float) -> Iterator[None]:
    """What is done meanwhile in this thread is for a client that leaves after some time."""
    client = Client()
    before = CLIENT.set(client)
    timer = threading.Timer(seconds, lambda: setattr(client, "is_gone", True))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        CLIENT.reset(before)
