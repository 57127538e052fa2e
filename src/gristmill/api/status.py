"""A job's status as the standard's statusInfo.yaml has it, with nothing read from the request.

``jobs`` and ``events`` send it to clients, ``callbacks`` to subscribers.
"""

from datetime import UTC, datetime
from urllib.parse import quote

from gristmill.api.landing import OGC_REL
from gristmill.api.problems import failure
from gristmill.job import Job, Status, Waiting

PROV_REL = "http://www.w3.org/ns/prov#has_provenance"

Document = dict[str, object]


def job_url(base: str, job_id: str, *more: str) -> str:
    """The URL of a job, or of what is below it."""
    return "/".join((base, "jobs", *(quote(part, safe="") for part in (job_id, *more))))


def status_document(job: Job, base: str) -> Document:
    """The status of a job. ``base``: what all URLs begin with; without it there are no links."""
    made: Document = {
        "jobID": job.id,
        "type": "process",
        "processID": job.process,
        "status": job.status.value,
    }
    if message := _message(job):
        made["message"] = message
    made["created"] = rfc3339(job.created)
    if job.started is not None:
        made["started"] = rfc3339(job.started)
    if job.finished is not None:
        made["finished"] = rfc3339(job.finished)
    made["updated"] = rfc3339(job.updated)
    made["progress"] = max(0, min(100, job.progress))
    if job.attempts > 1:
        made["attempts"] = job.attempts
    if job.status is Status.FAILED:
        made["problem"] = failure(job)
    if base:
        made["links"] = _links(job, base)
    return made


def rfc3339(microseconds: int) -> str:
    """A time as RFC 3339 in UTC, to the millisecond."""
    moment = datetime.fromtimestamp(microseconds / 1_000_000, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _message(job: Job) -> str:
    if job.status is Status.FAILED:
        return job.detail or job.message
    if job.status is Status.SUCCESSFUL and job.same_as:
        return f"The same work was done before: this is the result of job {job.same_as}."
    if job.status is Status.ACCEPTED and job.waiting is not None:
        why = _why_it_waits(job.waiting, job.process)
        return f"{job.message} {why}" if job.message else why
    return job.message


def _why_it_waits(waiting: Waiting, process: str) -> str:
    behind = {0: "", 1: " One job is ahead."}.get(waiting.position, f" {waiting.position} jobs are ahead.")
    reasons = {
        "position": f"Waiting in the queue.{behind}",
        "next": "The next to run, as soon as a worker is free.",
        "paused": f"Waiting: the queue is paused.{behind}",
        "limit": f"Waiting: as many jobs of {process} run as may run at once.{behind}",
        "no-worker": f"Waiting: no worker that can run {process} is there now.{behind}",
        "retry": f"The next attempt starts at {rfc3339(waiting.not_before)}.",
        "joined": f"Waiting for the result of job {waiting.joined}, which does the same work.",
    }
    return reasons[waiting.reason]


def _links(job: Job, base: str) -> list[dict[str, str]]:
    here = job_url(base, job.id)
    made = [
        _link(here, "self", "This status"),
        _link(here, "monitor", "This status"),
        _link(f"{base}/jobs", "up", "All jobs"),
        _link(f"{here}/events", "events", "Changes as they happen", "text/event-stream"),
    ]
    if job.status is Status.SUCCESSFUL:
        made.append(_link(f"{here}/results", OGC_REL + "results", "The result"))
    elif job.status is Status.FAILED:
        made.append(_link(f"{here}/results", OGC_REL + "exceptions", "Why it failed"))
    elif job.status is not Status.DISMISSED:
        made.append(_link(here, "cancel", "Dismiss with DELETE"))
    made.append(_link(f"{here}/prov", PROV_REL, "Provenance"))
    return made


def _link(href: str, rel: str, title: str, media_type: str = "application/json") -> dict[str, str]:
    return {"href": href, "rel": rel, "type": media_type, "title": title}
