"""The audit at the end: what was promised, against what is there."""

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime

import httpx
from support.waiting import wait_until

from e2e.traffic.ledger import Ledger, Promise


def audit(http: httpx.Client, ledger: Ledger, *, seconds: float = 180, after_losses: bool = False) -> list[str]:
    """What is wrong with the jobs, once all have ended: one line for each that is lost, doubled or not right.

    seconds: how long they may take to end. after_losses: a worker or Redis was lost meanwhile, so a job may have been
    begun more than once, and there may be jobs whose acknowledgement never arrived.
    """
    wait_until(lambda: not _unfinished(http), seconds, "all jobs have ended", every=0.5)
    promised = {promise.job_id for promise in ledger.promises}
    there = set(_jobs_since(http, ledger.began))
    found = [f"job {id_} was promised twice" for id_ in _repeated(promise.job_id for promise in ledger.promises)]
    found += [f"job {id_} is lost" for id_ in promised - there]
    found += [f"job {id_} was promised to nobody" for id_ in there - promised if not after_losses]
    return found + [wrong for one in ledger.promises if (wrong := _wrong(http, one, most=99 if after_losses else 1))]


def _wrong(http: httpx.Client, promise: Promise, *, most: int) -> str:
    """What is wrong with one job, or "". most: how often it may have been begun."""
    status = http.get(f"/jobs/{promise.job_id}").json()
    result = http.get(f"/jobs/{promise.job_id}/results", params={"f": "json"}).json()
    attempts = status.get("attempts", 1)
    if status["status"] != "successful" or result.get("string") != promise.text or attempts > most:
        return (
            f"job {promise.job_id}, {promise.text}: {status['status']} after {attempts} attempts; {str(result)[:300]}"
        )
    return ""


def _unfinished(http: httpx.Client) -> bool:
    return bool(http.get("/jobs", params={"status": "accepted,running", "limit": 1}).json()["jobs"])


def _jobs_since(http: httpx.Client, began: datetime) -> Iterator[str]:
    """The ids of all jobs that were made since then."""
    url = f"/jobs?datetime={began:%Y-%m-%dT%H:%M:%S.%fZ}/..&limit=1000"
    while url:
        page = http.get(url).json()
        yield from (job["jobID"] for job in page["jobs"])
        url = next((link["href"] for link in page["links"] if link["rel"] == "next"), "")


def _repeated(ids: Iterable[str]) -> list[str]:
    return [id_ for id_, count in Counter(ids).items() if count > 1]
