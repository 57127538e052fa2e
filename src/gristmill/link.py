"""A worker's line to Redis: heartbeats, the ends of dead children, progress, and word of dismissed jobs.

Two threads, so that a Redis that does not answer never keeps the supervisor from enforcing limits. One sends, in
order: first what dead children held, so that no heartbeat comes before it; the other listens. What they find is put
into ``inbox``, and ``wake`` is called.
"""

import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

import structlog
from redis.exceptions import RedisError

from gristmill.errors import GristmillError, LostAttemptError, NoSuchJobError, UnavailableError
from gristmill.job import Lost, Offer, Status
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.slots import Phase, Report, Slots
from gristmill.store import connect, kind_of, reason_of

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 1.0
_LISTEN_SECONDS = 2.0
_PING_AFTER_SECONDS = 10.0
_SILENT_SECONDS = 25.0
# Two heartbeats in a row that do not name a job give it back: never so close that a claim is on its way at both.
_LEAST_BETWEEN_BEATS_SECONDS = 0.5

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Registered:
    """The first heartbeat has arrived: children may claim."""


@dataclass(frozen=True, slots=True)
class Dead:
    """The work that a child said it was at is no longer its own: dismissed, or given to another."""

    report: Report


@dataclass(frozen=True, slots=True)
class Broken:
    """The line cannot work at all."""

    reason: str


Letter = Registered | Dead | Broken


class Link:
    """Call ``start`` once; every other method only leaves a note for the sending thread."""

    def __init__(
        self,
        settings: Settings,
        *,
        worker: str,
        release: str,
        host: str,
        slots: Slots,
        offers: tuple[Offer, ...],
        wake: Callable[[], None],
    ) -> None:
        self.inbox: queue.SimpleQueue[Letter] = queue.SimpleQueue()
        self._settings = settings
        self._worker = worker
        self._host = host
        self._slots = slots
        self._offers = offers
        self._wake = wake
        self._client = connect(settings)
        self._jobs = Jobs(self._client, settings, release)
        self._log = log.bind(worker=worker)
        self._notes = threading.Condition()
        self._settlements: deque[tuple[str, Lost | None]] = deque()
        self._suspects: deque[str] = deque()
        self._progress: dict[int, Report] = {}
        self._beat_now = False
        self._is_registered = False
        self._away_because = ""
        self._close_by = float("inf")
        self._sender = threading.Thread(target=self._send, name="redis-sender", daemon=True)
        self._listener = threading.Thread(target=self._listen, name="redis-listener", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._sender.start()
        self._listener.start()

    def settle(self, child: str, lost: Lost | None) -> None:
        """Tell how a dead child's work ends; None: it goes back to the queue. Repeated until Redis has it."""
        self._settlements.append((child, lost))
        self._note()

    def progress(self, report: Report) -> None:
        """Tell how far a job is; a later one of the same child replaces one that is not yet sent."""
        self._progress[report.child] = report
        self._note()

    def close(self, seconds: float) -> bool:
        """Send what is left to settle, and leave; returns whether that went well within so many seconds."""
        self._close_by = time.monotonic() + seconds
        self._note()
        self._sender.join(seconds)
        return not self._sender.is_alive() and not self._away_because

    def _note(self) -> None:
        with self._notes:
            self._notes.notify()

    def _post(self, letter: Letter) -> None:
        self.inbox.put(letter)
        self._wake()

    # The sending thread

    def _send(self) -> None:
        next_beat = 0.0
        pause = _FIRST_PAUSE_SECONDS
        last_beat = 0.0
        while True:
            try:
                while self._settlements:
                    self._settle_first()
                if self._is_closing:
                    self._jobs.leave(self._worker)
                    self._away_because = ""
                    return
                if self._beat_now:
                    self._beat_now = False
                    next_beat = min(next_beat, last_beat + _LEAST_BETWEEN_BEATS_SECONDS)
                now = time.monotonic()
                if now >= next_beat:
                    last_beat, next_beat = now, now + self._settings.beat_seconds
                    self._beat()
                while self._suspects:
                    self._look_up(self._suspects.popleft())
                while self._progress:
                    self._send_progress(self._progress.pop(next(iter(self._progress))))
                if self._away_because:
                    self._away_because = ""
                    self._log.info("Redis is back")
                pause = _FIRST_PAUSE_SECONDS
                wait = max(0.0, next_beat - time.monotonic())
            except UnavailableError as error:
                self._away(error)
                wait = pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
                next_beat = 0.0
            except (GristmillError, RedisError) as error:
                if not self._is_registered:
                    self._post(Broken(str(error)))
                    return
                self._log.exception("a call of the worker failed")
                wait = pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
            if self._is_closing and time.monotonic() + wait > self._close_by:
                return
            with self._notes:
                self._notes.wait_for(self._has_work, wait)

    @property
    def _is_closing(self) -> bool:
        return self._close_by != float("inf")

    def _has_work(self) -> bool:
        if self._away_because:
            return False
        return bool(self._settlements or self._suspects or self._progress or self._beat_now or self._is_closing)

    def _away(self, error: UnavailableError) -> None:
        if self._away_because != kind_of(error):
            self._away_because = kind_of(error)
            self._log.warning("Redis is away; running jobs go on", reason=reason_of(error))

    def _settle_first(self) -> None:
        child, lost = self._settlements[0]
        job_id = self._jobs.hand_back(child) if lost is None else self._jobs.settle(child, lost)
        self._settlements.popleft()
        if job_id:
            end = "handed back" if lost is None else lost.end.value
            self._log.warning("attempt ended without its child", job_id=job_id, child=child, end=end)

    def _beat(self) -> None:
        reports = [report for report in self._reports() if report.phase is not Phase.IDLE]
        dead = self._jobs.beat(
            self._worker,
            host=self._host,
            offers=self._offers,
            children=self._slots.count,
            held={f"{self._worker}.{report.child}": report.token for report in reports},
        )
        for report in reports:
            if report.token in dead:
                self._post(Dead(report))
        if not self._is_registered:
            self._is_registered = True
            self._post(Registered())

    def _look_up(self, token: str) -> None:
        """A token is said to be dead; the job behind it may have ended since, and its child have gone on."""
        for report in self._reports():
            if report.token == token and report.phase is Phase.RUNNING:
                try:
                    job = self._jobs.get(report.job_id)
                except NoSuchJobError:
                    self._post(Dead(report))
                else:
                    if job.status is not Status.RUNNING or job.token != token:
                        self._post(Dead(report))

    def _send_progress(self, report: Report) -> None:
        try:
            self._jobs.progress(report.job_id, report.token, report.percent, report.message)
        except LostAttemptError:
            self._post(Dead(report))

    def _reports(self) -> list[Report]:
        return [self._slots.read(number) for number in range(self._slots.count)]

    # The listening thread

    def _listen(self) -> None:
        pause = _FIRST_PAUSE_SECONDS
        channel = self._jobs.control_channel(self._worker)
        while not self._is_closing:
            try:
                with self._client.pubsub() as line:  # type: ignore[no-untyped-call]
                    line.subscribe(channel)
                    heard = time.monotonic()
                    while not self._is_closing and time.monotonic() - heard < _SILENT_SECONDS:
                        message = line.get_message(timeout=_LISTEN_SECONDS)
                        if message is None:
                            if time.monotonic() - heard > _PING_AFTER_SECONDS:
                                line.ping()
                            continue
                        heard = time.monotonic()
                        pause = _FIRST_PAUSE_SECONDS
                        if message["type"] == "subscribe":
                            self._beat_now = True  # what was said meanwhile is in the heartbeat's reply
                            self._note()
                        elif message["type"] == "message":
                            self._suspects.append(message["data"].decode())
                            self._note()
            except (RedisError, OSError):
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
