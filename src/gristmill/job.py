"""The job model: what a job, an attempt and a result are, and the words for how an attempt ends.

Plain data without I/O; ``jobs.py`` moves it to and from Redis. Times are microseconds since 1970 UTC, by Redis' clock.
"""

import json
import secrets
import time
from dataclasses import dataclass, field
from enum import StrEnum

from gristmill.errors import OURS

_CROCKFORD = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [first + second for first in _CROCKFORD for second in _CROCKFORD]


class Status(StrEnum):
    """The states of OGC API - Processes (18-062r2, section 7.12)."""

    ACCEPTED = "accepted"
    RUNNING = "running"
    SUCCESSFUL = "successful"
    FAILED = "failed"
    DISMISSED = "dismissed"

    @property
    def is_final(self) -> bool:
        """Whether nothing can change any more."""
        return self in {Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED}


class End(StrEnum):
    """Why a job failed; each is a problem type of its own."""

    EXCEPTION = "process-failed"
    TIMED_OUT = "timed-out"
    OUT_OF_MEMORY = "out-of-memory"
    OUT_OF_DISK = "out-of-disk"
    CRASHED = "crashed"
    WORKERS_LOST = "workers-lost"
    INTERRUPTED = "interrupted"
    NO_WORKER = "no-worker"
    EXPIRED_IN_QUEUE = "expired-in-queue"
    RESULT_NOT_STORED = "result-not-stored"
    PROCESS_CHANGED = "process-changed"
    INVALID_INPUTS = "invalid-inputs"

    @property
    def problem_type(self) -> str:
        """The URI that problem details name it by."""
        return OURS + self.value


def new_id() -> str:
    """Make a job id: 22 lower-case letters and digits that sort by time (45 bits of milliseconds, 65 random bits).

    The alphabet is Crockford's, the scheme that of ULIDs; 22 instead of 26 make an index entry smaller.
    """
    number = (time.time_ns() // 1_000_000) << 65 | secrets.randbits(65)
    return "".join([_PAIRS[(number >> shift) & 1023] for shift in range(100, -1, -10)])


@dataclass(frozen=True, slots=True)
class Output:
    """One named output of a job, as it is stored.

    media_type: such as ``application/json`` or ``image/png``.
    data: its bytes (JSON text for JSON), or None where they lie in the blob.
    blob: the name of the blob that holds the bytes, or "".
    size: bytes.
    """

    name: str
    media_type: str
    data: bytes | None
    blob: str = ""
    size: int = 0


@dataclass(frozen=True, slots=True)
class NewJob:
    """What a submission asks for.

    interface: hash of the process's input and output schemas, as the accepting release knows them.
    process_version: hash of the process's source, its declared version and the release.
    inputs: JSON text of the inputs object, as validated.
    request: JSON text of what else the execute request said (``outputs``, ``response``, ``subscriber``), or "".
    priority: urgency among the owner's own jobs: 0 (most urgent) to 3 (ordinary), as RFC 9218's ``u``.
    equal_work: digest that names the work of a deterministic process, or "".
    queue_seconds: longest wait in the queue, 0 for no limit.
    subscriber: URLs to call back, by state: ``successUri``, ``failedUri``, ``inProgressUri``.
    """

    id: str
    process: str
    owner: str
    inputs: bytes
    interface: str
    process_version: str
    request: str = ""
    priority: int = 3
    equal_work: str = ""
    queue_seconds: int = 0
    subscriber: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Idempotency:
    """An Idempotency-Key: ``scope`` is owner and route, ``body`` a digest of the request body."""

    scope: str
    key: str
    body: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """Why an accepted job waits.

    reason: ``position`` (behind others), ``next``, ``paused``, ``limit`` (concurrent runs), ``no-worker``, ``retry``
        (until not_before) or ``joined`` (the same work, job ``joined``, is under way).
    position: how many jobs of the process will be taken first.
    """

    reason: str
    position: int = 0
    not_before: int = 0
    joined: str = ""


@dataclass(frozen=True, slots=True)
class Made:
    """The attempt of another job that has made a copied result."""

    token: str
    worker: str
    release: str
    process_version: str
    started: int
    finished: int


@dataclass(frozen=True, slots=True)
class Job:
    """One job as it was when it was read. ``made``: of a copied result."""

    id: str
    process: str
    owner: str
    status: Status
    created: int
    updated: int
    revision: int
    started: int | None = None
    finished: int | None = None
    progress: int = 0
    message: str = ""
    attempts: int = 0
    priority: int = 3
    interface: str = ""
    process_version: str = ""
    release: str = ""
    run_release: str = ""
    run_process_version: str = ""
    worker: str = ""
    token: str = ""
    end: End | None = None
    detail: str = ""
    same_as: str = ""
    made: Made | None = None
    retries: int = 0
    losses: int = 0
    crashes: int = 0
    hand_backs: int = 0
    request: str = ""
    outputs: tuple[Output, ...] = ()
    inputs: Output | None = None
    log: Output | None = None
    waiting: Waiting | None = None


@dataclass(frozen=True, slots=True)
class Submitted:
    """The answer to a submission. ``how``: new, replayed (same Idempotency-Key), copied or joined (equal work)."""

    job: Job
    how: str


@dataclass(frozen=True, slots=True)
class JobFilter:
    """Which jobs to list (OGC API - Processes, job-list); an empty field does not filter.

    Times are in microseconds, durations in seconds.
    """

    owner: str = ""
    processes: tuple[str, ...] = ()
    statuses: tuple[Status, ...] = ()
    created_from: int | None = None
    created_to: int | None = None
    min_duration: float | None = None
    max_duration: float | None = None


@dataclass(frozen=True, slots=True)
class JobPage:
    """One page of a list, newest first. ``next_cursor`` is "" at the end; a page may be short and still have one."""

    jobs: tuple[Job, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True)
class Offer:
    """A process that a worker can run.

    version: names source, declared version and release. concurrent: most runs at once in the whole system, 0 for no
    limit. source, declared: the hash of the source, and the declared version, for provenance.
    """

    process: str
    interface: str
    version: str
    concurrent: int = 0
    source: str = ""
    declared: str = ""


@dataclass(frozen=True, slots=True)
class Attempt:
    """A claimed job: what a child needs to run it. ``token`` must go with every call about it."""

    job_id: str
    token: str
    number: int
    process: str
    owner: str
    interface: str
    inputs: bytes
    release: str
    request: str = ""
    retries: int = 0

    @property
    def outputs(self) -> tuple[str, ...]:
        """The names of the outputs that were asked for; () for all."""
        return tuple(json.loads(self.request).get("outputs", ())) if self.request else ()


@dataclass(frozen=True, slots=True)
class Finish:
    """How an attempt ended, as the child that ran it says.

    end: None for success. detail: one line for the user. retry_after: seconds until another try, None for none.
    outputs: what to store (small ones inline, long ones already put as blobs).
    log: the last bytes of what the attempt printed.
    """

    outputs: tuple[Output, ...] = ()
    end: End | None = None
    detail: str = ""
    retry_after: float | None = None
    log: bytes = b""


@dataclass(frozen=True, slots=True)
class Lost:
    """How a child ended that cannot speak for itself: the end, and the last lines of its log."""

    end: End
    detail: str
    log: bytes = b""


@dataclass(frozen=True, slots=True)
class QueueState:
    """One process's queue: numbers of jobs, seconds that its oldest has waited, and whether it is paused."""

    process: str
    ready: int
    running: int
    delayed: int
    oldest_seconds: float
    paused: bool
    workers: int


@dataclass(frozen=True, slots=True)
class WorkerState:
    """A live worker as its last heartbeat described it."""

    id: str
    release: str
    host: str
    children: int
    running: int
    offers: tuple[Offer, ...]
    seen_seconds_ago: float


@dataclass(frozen=True, slots=True)
class CallBack:
    """A call-back that is due, for the job's change to ``status``; ``tries`` counts the earlier attempts to send it."""

    id: str
    url: str
    owner: str
    job_id: str
    status: Status
    created: int
    tries: int
