"""A worker that a test moves by hand: it claims and ends jobs when told to."""

from typing import Any

from gristmill.job import Attempt, End, Finish
from gristmill.jobs import Jobs, new_worker_id


class WorkerByHand:
    """One worker with one child, registered with the engine; ``offers`` as of a registry."""

    def __init__(self, jobs: Jobs, offers: Any, host: str = "by-hand") -> None:
        self.jobs = jobs
        self.offers = offers
        self.id = new_worker_id()
        self.child = f"{self.id}.1"
        jobs.beat(self.id, host=host, offers=offers, children=1, held={})

    def claim(self) -> Attempt:
        """Take the next job; there must be one."""
        attempt = self.jobs.claim(self.child, self.offers)
        assert attempt is not None, "there is no job to claim"
        return attempt

    def succeed(self, *outputs: tuple[str, str, bytes]) -> str:
        """Take the next job and end it with these outputs (name, media type, bytes); returns its id."""
        attempt = self.claim()
        stored = tuple(self.jobs.put_output(attempt.token, attempt.job_id, *output) for output in outputs)
        self.jobs.finish(attempt.job_id, attempt.token, Finish(stored), child=self.child)
        return attempt.job_id

    def fail(self, end: End = End.EXCEPTION, detail: str = "it broke") -> str:
        """Take the next job and end it as failed; returns its id."""
        attempt = self.claim()
        self.jobs.finish(attempt.job_id, attempt.token, Finish(end=end, detail=detail), child=self.child)
        return attempt.job_id
