"""Users who watch a job to its end: one after the other, each over as many connections as it takes."""

import random
import threading
import time

import httpx

from e2e.traffic.doors import Door
from e2e.traffic.event_source import EventSource
from e2e.traffic.ledger import Ledger
from e2e.traffic.mix import UnexpectedError, Visitor

# A stream says something every 15 s, also when nothing happens.
SILENCE_SECONDS = 25.0
ENDS = {"successful", "failed", "dismissed"}


class Watcher(threading.Thread):
    """Submits a job, watches it as a page in a browser does, and then takes the next.

    A stream that the server ends before the job has ended is no failure; one that breaks, is refused or tells
    something older than what was told before is.
    """

    def __init__(self, number: int, door: Door, ledger: Ledger, stop: threading.Event) -> None:
        super().__init__(name=f"watcher-{number}", daemon=True)
        self._door = door
        self._ledger = ledger
        self._stop_asked = stop
        self._chance = random.Random(1000 + number)

    def run(self) -> None:
        """Watch until it is enough; a job that has begun is watched to its end."""
        with self._door.client(seconds=SILENCE_SECONDS) as http:
            visitor = Visitor(self.name, http, self._ledger, self._chance)
            while not self._stop_asked.wait(self._chance.random()):
                try:
                    self._watch(http, visitor.submit(self._chance.randint(2, 20)))
                except (httpx.HTTPError, UnexpectedError) as error:
                    self._ledger.failure(f"{self.name} by {self._door.name}", repr(error))

    def _watch(self, http: httpx.Client, job_id: str) -> None:
        """Follow a job over as many connections as it takes. UnexpectedError, httpx.HTTPError."""
        source = EventSource()
        left: float | None = None
        while not self._see_end(http, job_id, source, left):
            left = time.monotonic()
            time.sleep(source.reconnection_seconds)
        self._ledger.answer("watch", 0.0)

    def _see_end(self, http: httpx.Client, job_id: str, source: EventSource, left: float | None) -> bool:
        """Read one stream to its end; whether it has told that of the job. left: when the last one had ended."""
        seen = int(source.last_id or -1)
        is_over = False
        with http.stream("GET", f"/jobs/{job_id}/events", headers=source.headers) as answer:
            if answer.status_code != 200:
                raise UnexpectedError(f"{answer.status_code} for the events of job {job_id} after {source.last_id!r}")
            if left is not None:
                self._ledger.reconnect(time.monotonic() - left)
            for event in source.read(answer.iter_lines()):
                if event.id <= seen:
                    raise UnexpectedError(f"job {job_id} tells revision {event.id} after {seen}")
                seen = event.id
                is_over = event.data["status"] in ENDS
        return is_over
