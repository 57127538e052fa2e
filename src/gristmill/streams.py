"""Response bodies that wait without holding a thread: what event streams are made of."""

import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

# More than this is handed to the client before the stream is asked for the rest.
_BATCH_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Sleep:
    """Yielded by a stream that has nothing to send now. ``yield`` returns whether it was woken before the time.

    seconds: longest time to sleep.
    """

    seconds: float


Steps = Generator[bytes | Sleep, bool, None]


class SleepingStream:
    """A WSGI response body whose generator yields bytes to send, or ``Sleep``.

    Under our server no thread is held while it sleeps, and the generator runs a step at a time in any thread, but
    always in the context (``contextvars``) of its request. To every other WSGI server it is an iterable that
    blocks. Return it with ``direct_passthrough=True``, so that the server gets this object and no wrapper.

    The generator is closed when the client goes away. When the server starts to drain, it wakes every stream.
    """

    def __init__(self, steps: Callable[["SleepingStream"], Steps]) -> None:
        self._steps = steps(self)
        self._asleep = False
        self._woken = False
        self._lock = threading.Lock()
        self._on_wake: Callable[[], object] | None = None

    def wake(self) -> None:
        """End the stream's sleep, now or when it next sleeps. From any thread; returns at once."""
        with self._lock:
            self._woken = True
            on_wake = self._on_wake
        if on_wake is not None:
            on_wake()

    def on_wake(self, call: Callable[[], object]) -> None:
        """Have ``call`` called, in the thread that wakes, at every ``wake``; and now if one came already."""
        with self._lock:
            self._on_wake = call
            woken = self._woken
        if woken:
            call()

    def advance(self) -> tuple[bytes, Sleep | None]:
        """Run the generator until it sleeps, ends (no ``Sleep`` returned), or has much to send (``Sleep(0)``)."""
        data = bytearray()
        while len(data) < _BATCH_BYTES:
            try:
                step = self._steps.send(self._take_wake()) if self._asleep else next(self._steps)
            except StopIteration:
                return bytes(data), None
            self._asleep = isinstance(step, Sleep)
            if isinstance(step, Sleep):
                return bytes(data), step
            data += step
        return bytes(data), Sleep(0)

    def close(self) -> None:
        """Close the generator: it sees GeneratorExit where it sleeps."""
        self._steps.close()

    def __iter__(self) -> Iterator[bytes]:
        event = threading.Event()
        self.on_wake(event.set)
        while True:
            data, sleep = self.advance()
            if data:
                yield data
            if sleep is None:
                return
            event.wait(sleep.seconds)
            event.clear()

    def _take_wake(self) -> bool:
        with self._lock:
            woken, self._woken = self._woken, False
        return woken
