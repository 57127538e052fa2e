"""The threads that run views: few of them busy at a time, as many as there must be blocked."""

import threading
import time
from collections import deque
from collections.abc import Callable

Job = Callable[[], object]

# A job that has run this long is taken for one that waits (for Redis, for another job), not one that computes.
PATIENCE_SECONDS = 0.01
IDLE_SECONDS = 30.0


class _Worker:
    __slots__ = ("job", "wake")

    def __init__(self, job: Job) -> None:
        self.job: Job | None = job
        self.wake = threading.Lock()
        self.wake.acquire()


class Threads:
    """Runs jobs in threads, in order of arrival.

    Python runs one thread at a time, and the more of them compute, the more time goes into changing over. So at
    most ``busy`` jobs younger than ``PATIENCE_SECONDS`` run at once; older ones, which wait for something, hold
    nobody up until all ``most`` threads are taken. The thread that was idle last is used first; threads end when idle.

    later: calls a function after so many seconds, in the thread that calls ``submit``.
    """

    def __init__(self, most: int, later: Callable[[float, Callable[[], None]], object], busy: int = 3) -> None:
        self._most = most
        self._busy = busy
        self._later = later
        self._lock = threading.Lock()
        self._queue: deque[Job] = deque()
        self._idle: list[_Worker] = []
        self._young: dict[_Worker, float] = {}
        self._count = 0
        self._looking = False

    @property
    def waiting(self) -> int:
        """How many jobs wait for a thread."""
        return len(self._queue)

    def submit(self, job: Job) -> None:
        """Run a job soon. Always from the same thread; a job must not raise."""
        with self._lock:
            self._queue.append(job)
            self._start_jobs()
            look = bool(self._queue) and not self._looking
            self._looking = self._looking or look
        if look:
            self._later(PATIENCE_SECONDS, self._look)

    def _look(self) -> None:
        with self._lock:
            self._start_jobs()
            self._looking = bool(self._queue)
        if self._looking:
            self._later(PATIENCE_SECONDS, self._look)

    def _start_jobs(self) -> None:
        now = time.monotonic()
        while self._queue and self._may_start(now):
            job = self._queue.popleft()
            if self._idle:
                worker = self._idle.pop()
                worker.job = job
                worker.wake.release()
            else:
                worker = _Worker(job)
                threading.Thread(target=self._work, args=(worker,), name="view", daemon=True).start()
                self._count += 1
            self._young[worker] = now

    def _may_start(self, now: float) -> bool:
        if not self._idle and self._count >= self._most:
            return False
        while self._young:
            worker, started = next(iter(self._young.items()))
            if now - started < PATIENCE_SECONDS:
                break
            del self._young[worker]
        return len(self._young) < self._busy

    def _work(self, worker: _Worker) -> None:
        while worker.job is not None:
            worker.job()
            with self._lock:
                self._young.pop(worker, None)
                worker.job = None
                if self._queue and len(self._young) < self._busy:
                    worker.job = self._queue.popleft()
                    self._young[worker] = time.monotonic()
                    continue
                self._idle.append(worker)
            if not worker.wake.acquire(timeout=IDLE_SECONDS):
                with self._lock:
                    if worker in self._idle:
                        self._idle.remove(worker)
                        self._count -= 1
                        return
                worker.wake.acquire()
