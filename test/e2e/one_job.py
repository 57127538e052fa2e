"""One job that is followed through whatever happens to what runs it."""

from dataclasses import dataclass
from typing import Any, Self

import httpx
from support.waiting import wait_until

from e2e.kills import moment
from e2e.workload import ENDED, submit


@dataclass(frozen=True)
class OneJob:
    """A job that was acknowledged. seconds: how long it lasts, where that is known."""

    http: httpx.Client
    job_id: str
    seconds: int = 0

    @classmethod
    def submit(cls, http: httpx.Client, process: str, seconds: int = 0, **inputs: Any) -> Self:
        """Have a job accepted."""
        return cls(http, submit(http, process, inputs), seconds)

    @classmethod
    def begin(cls, http: httpx.Client, seconds: int) -> Self:
        """A job that lasts so long, and runs now."""
        job = cls.submit(http, "echo", seconds, string="followed", pause=seconds)
        wait_until(lambda: job.status()["status"] == "running", 30, f"job {job.job_id} runs")
        return job

    def status(self) -> dict[str, Any]:
        """What the API says of it."""
        return dict(self.http.get(f"/jobs/{self.job_id}").json())

    def host(self) -> str:
        """The pod of the worker that runs it."""
        facts = self.http.get(f"/jobs/{self.job_id}/prov").json()["activity"][f"job:{self.job_id}"]
        return str(facts["gristmill:host"])

    def end(self, seconds: float = 60) -> dict[str, Any]:
        """Its status, once it has ended."""

        def ended() -> dict[str, Any] | None:
            found = self.status()
            return found if found["status"] in ENDED else None

        return wait_until(ended, seconds, f"job {self.job_id} ends", every=0.1)

    def recovery_seconds(self, killed: float) -> float:
        """Wait for its end, which is to be a success of a second attempt; returns how long nobody ran it since then."""
        ended = self.end()
        assert (ended["status"], ended.get("attempts", 1)) == ("successful", 2), ended
        return moment(ended["finished"]) - killed - self.seconds
