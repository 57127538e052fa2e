"""How far it is, on standard error: a line every few seconds."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

EVERY_SECONDS = 5.0
T = TypeVar("T")


def say(line: str) -> None:
    """Print a line for the person who waits."""
    sys.stderr.write(f"{line}\n")
    sys.stderr.flush()


def size_of(count: int) -> str:
    """So many bytes, in words."""
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count:,} bytes"


class Progress:
    """Says every few seconds what ``line`` gives."""

    def __init__(self, line: Callable[[], str]) -> None:
        self._line = line
        self._next = time.monotonic() + EVERY_SECONDS

    def watched(self, items: Iterable[T]) -> Iterator[T]:
        """The items; while they pass, it is said how far it is."""
        for item in items:
            yield item
            if time.monotonic() >= self._next:
                say(self._line())
                self._next = time.monotonic() + EVERY_SECONDS
