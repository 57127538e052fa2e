"""Jobs that only take their time, and how fast they drain."""

from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import Any

import httpx
from support.waiting import wait_until

ENDED = frozenset({"successful", "failed", "dismissed"})


def submit(client: httpx.Client, process: str, inputs: dict[str, Any]) -> str:
    """Have a job done; returns its id as soon as it is accepted."""
    path, headers = f"/processes/{process}/execution", {"Prefer": "respond-async"}
    answer = client.post(path, json={"inputs": inputs}, headers=headers)
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobID"])


@dataclass(frozen=True)
class Sleepers:
    """Jobs that each sleep for some seconds."""

    client: httpx.Client
    ids: list[str]

    @classmethod
    def submitted(cls, client: httpx.Client, count: int, seconds: int) -> "Sleepers":
        """So many, all accepted."""
        return cls(client, [submit(client, "echo", {"string": f"{n}", "pause": seconds}) for n in range(count)])

    def ended(self, seconds: float) -> list[dict[str, Any]]:
        """Wait until all have ended; returns their last states, in the order of their ends."""
        wait_until(lambda: len(self._states(ENDED)) == len(self.ids), seconds, "all jobs have ended", every=0.5)
        return sorted(self._states(ENDED), key=lambda job: str(job["finished"]))

    def running(self) -> int:
        """How many run now."""
        return len(self._states({"running"}))

    def results(self) -> list[str]:
        """What each gave back."""
        paths = [f"/jobs/{job}/results/string" for job in self.ids]
        return [self.client.get(path).text.strip('"') for path in paths]

    def _states(self, wanted: frozenset[str] | set[str]) -> list[dict[str, Any]]:
        ours = set(self.ids)
        found: list[dict[str, Any]] = self.client.get("/jobs?limit=1000").json()["jobs"]
        return [job for job in found if job["jobID"] in ours and job["status"] in wanted]


def drain_rate(ended: list[dict[str, Any]]) -> float:
    """Jobs a second, between the first tenth of the ends and the last: start and tail are not the drain's."""
    ends = [datetime.fromisoformat(job["finished"]).timestamp() for job in ended]
    assert all(one <= other for one, other in pairwise(ends))
    first, last = len(ends) // 10, len(ends) - len(ends) // 10 - 1
    return (last - first) / (ends[last] - ends[first])
