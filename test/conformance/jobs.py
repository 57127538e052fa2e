"""Running echo over HTTP."""

import httpx
from support import wait_until

ASYNCHRONOUS = {"Prefer": "respond-async"}
INPUTS = {"string": "teststring", "object": {"value": {"a": 1}}, "integer": 3}


def execute(api: httpx.Client, headers: dict[str, str] | None = None, **request: object) -> httpx.Response:
    """Execute echo; the inputs are INPUTS unless given."""
    return api.post("/processes/echo/execution", json={"inputs": INPUTS} | request, headers=headers)


def finished(api: httpx.Client, job: httpx.Response) -> str:
    """Wait until a job is over; returns its URL."""
    location = job.headers["location"]
    wait_until(lambda: api.get(location).json()["status"] in {"successful", "failed"}, what="the job is over")
    return location
