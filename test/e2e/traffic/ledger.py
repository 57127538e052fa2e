"""What clients asked and were told: how often, how long it took, what failed, and the jobs they were promised."""

import threading
import time
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True)
class Promise:
    """A job that was acknowledged. text: what its result is to say, which no other job's does."""

    job_id: str
    text: str


class Ledger:
    """Kept by many threads at once.

    began: when it was opened; every job made since then is to be one that was promised. answered: requests that came
    out right, by what they asked. refusals: a line for each that was told, by 503 and Retry-After, to come again.
    failures: a line for each of the others. reconnects: seconds that each watcher without a stream took to get the
    next one.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._start = self._last = time.monotonic()
        self.began = datetime.now(UTC)
        self.answered: Counter[str] = Counter()
        self.slowest: dict[str, float] = {}
        self.refusals: list[str] = []
        self.failures: list[str] = []
        self.promises: list[Promise] = []
        self.reconnects: list[float] = []

    @property
    def per_second(self) -> float:
        """Requests a second, on average from the beginning to the last answer."""
        return self.answered.total() / max(1e-9, self._last - self._start)

    def answer(self, what: str, seconds: float) -> None:
        """A request was answered as it should be."""
        with self._lock:
            self._last = time.monotonic()
            self.answered[what] += 1
            self.slowest[what] = max(seconds, self.slowest.get(what, 0.0))

    def refusal(self, what: str, why: str) -> None:
        """A request was told when to come again."""
        with self._lock:
            self.refusals.append(_line(what, why))

    def failure(self, what: str, why: str) -> None:
        """A request was not answered as it should be; or what was told is wrong."""
        with self._lock:
            self.failures.append(_line(what, why))

    def promise(self, job_id: str, text: str) -> None:
        """A job was acknowledged."""
        with self._lock:
            self.promises.append(Promise(job_id, text))

    def reconnect(self, seconds: float) -> None:
        """A watcher has a stream again."""
        with self._lock:
            self.reconnects.append(seconds)


def _line(what: str, why: str) -> str:
    return f"{datetime.now(UTC):%H:%M:%S.%f} {what}: {why}"
