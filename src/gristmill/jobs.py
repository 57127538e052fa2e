"""The job queue over Redis: one call of the function library in ``jobs.lua`` for each change of state."""

from collections.abc import Iterable, Iterator, Sequence

from gristmill.job import (
    Attempt, CallBack, Finish, Idempotency, Job, JobFilter, JobPage, Lost, NewJob, Offer, QueueState, Submitted,
    WorkerState,
)


class Jobs:
    """The engine. Safe to use from several threads; every call may raise UnavailableError."""

    # -- submitting and reading
    def submit(self, job: NewJob, *, idempotency: Idempotency | None = None) -> Submitted:
        """TooManyJobsError, StorageFullError, IdempotencyMismatchError. Safe to repeat with the same id."""
        raise NotImplementedError
    def get(self, job_id: str) -> Job:
        """Without inputs. NoSuchJobError."""
        raise NotImplementedError
    def status(self, job_id: str) -> Job:
        """As get, and for an accepted job `waiting` says why. One round trip."""
        raise NotImplementedError
    def list(self, wanted: JobFilter, *, limit: int = 100, cursor: str = "") -> JobPage: raise NotImplementedError
    def inputs(self, job: Job) -> bytes: raise NotImplementedError
    def output_chunks(self, output: Output) -> Iterator[bytes]: """Bytes of one output, in chunks of at most 1 MB."""; raise NotImplementedError
    def log(self, job: Job) -> bytes: raise NotImplementedError
    def dismiss(self, job_id: str) -> Job: """Dismiss an unfinished job; a finished one is returned as it is."""; raise NotImplementedError
    def delete(self, job_id: str) -> None: """Forget a finished job, its result, its index entries."""; raise NotImplementedError
    def rerun(self, job_id: str, new_id: str) -> Submitted: raise NotImplementedError

    # -- workers and children. A worker id is made at start (new_worker_id()); a child is f"{worker}.{n}", n never reused.
    def beat(self, worker: str, *, host: str, offers: Sequence[Offer], children: int, held: dict[str, str]) -> frozenset[str]:
        """Keep the worker's lease. held: child -> token for each child that holds a job. Returns the tokens that are dead. Also sweeps."""
        raise NotImplementedError
    def leave(self, worker: str) -> None: """The worker has stopped; what it still holds is handed back at once."""; raise NotImplementedError
    def claim(self, child: str, offers: Sequence[Offer]) -> Attempt | None: raise NotImplementedError
    def wait_and_claim(self, child: str, offers: Sequence[Offer], wait_seconds: float) -> Attempt | None:
        """Block until there may be work (at most wait_seconds), then claim."""
        raise NotImplementedError
    def put_output(self, token: str, job_id: str, name: str, media_type: str, data: bytes) -> Output:
        """Store one output (inline when small, else a blob in chunks). StorageFullError, LostAttemptError."""
        raise NotImplementedError
    def progress(self, job_id: str, token: str, percent: int, message: str) -> None: """LostAttemptError when the token is dead."""; raise NotImplementedError
    def finish(self, job_id: str, token: str, how: Finish, *, child: str, offers: Sequence[Offer] = ()) -> Attempt | None:
        """End the attempt; with offers, also claim the next job in the same round trip. LostAttemptError if the token is dead and nothing else was claimed."""
        raise NotImplementedError
    def hand_back(self, child: str) -> None: """The (killed) child's job goes back to its place, no attempt spent; the child's name never claims again."""; raise NotImplementedError
    def settle(self, child: str, lost: Lost) -> str: """The child is dead: end or requeue what it held by the table of ends; its name never claims again. Returns the job id or ""."""; raise NotImplementedError
    def sweep(self) -> None: raise NotImplementedError

    # -- running the queue
    def pause(self, process: str = "") -> None: raise NotImplementedError
    def resume(self, process: str = "") -> None: raise NotImplementedError
    def queues(self) -> tuple[QueueState, ...]: raise NotImplementedError
    def workers(self) -> tuple[WorkerState, ...]: raise NotImplementedError

    # -- call-backs
    def due_call_backs(self, limit: int = 16) -> tuple[CallBack, ...]: """Taken for 60 s; not answered for, they are due again."""; raise NotImplementedError
    def call_back_done(self, call_back: CallBack, *, retry_after: float | None = None) -> None: raise NotImplementedError
    def signing_secret(self, owner: str) -> bytes: raise NotImplementedError
