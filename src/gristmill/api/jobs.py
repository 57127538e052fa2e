"""Jobs: the list, one job's status, its dismissal."""

import dataclasses
import json
import time
from contextlib import suppress
from urllib.parse import urlencode

from flask import Blueprint, Response, request

from gristmill.api import access, links, negotiation
from gristmill.api.job_query import next_query, read_filter, read_limit
from gristmill.api.preferences import read_prefer
from gristmill.api.services import services
from gristmill.api.status import Document, status_document
from gristmill.errors import Fault, InvalidRequestError, UnavailableError
from gristmill.job import Job, JobPage, Status
from gristmill.processes.references import references_in

# A wait looks up at least so often, for the server may have begun to drain.
_SLICE_SECONDS = 1.0

blueprint = Blueprint("jobs", __name__)


def status_info(job: Job) -> Document:
    """The status of a job with its links, as the standard's statusInfo.yaml has it."""
    return status_document(job, links.base_url())


def etag(job: Job) -> str:
    """What names this state of a job; why an accepted one waits is told afresh without a new revision."""
    why = job.waiting
    return f"{job.revision}" if why is None else f"{job.revision}-{why.reason}-{why.position}"


def visible_job(job_id: str) -> Job:
    """The job, without why it waits. NoSuchJobError where it is not, or not for this caller."""
    return access.visible(services().jobs.get(job_id))


@blueprint.get("/jobs")
def job_list() -> Response:
    """Jobs, newest first, by the filters of the standard."""
    access.require("read")
    negotiation.wanted_format()
    query = request.args
    limit, cursor = read_limit(query), _cursor(query.get("cursor", ""))
    wanted = read_filter(query, access.owner_filter())
    page = JobPage((), "") if wanted is None else services().jobs.list(wanted, limit=limit, cursor=cursor)
    here = links.url("jobs")
    made = [links.link(request_url(here), "self", title="This page")]
    headers = {"Cache-Control": "no-cache"}
    if page.next_cursor:
        following = f"{here}?{urlencode(next_query(query, page.next_cursor))}"
        made.append(links.link(following, "next", title="Older jobs"))
        headers["Link"] = links.link_header(following, "next")
    return negotiation.json_response({"jobs": [status_info(job) for job in page.jobs], "links": made}, headers=headers)


def request_url(path_url: str) -> str:
    """The URL of the current request, by its path's public URL."""
    query = request.query_string.decode("ascii", "replace")
    return f"{path_url}?{query}" if query else path_url


@blueprint.get("/jobs/<job_id>")
def job_status(job_id: str) -> Response:
    """One job's status; with ``Prefer: wait=N``, as soon as the job has ended, or after N seconds."""
    access.require("read")
    negotiation.only_format()
    job = access.visible(services().jobs.status(job_id))
    wait = read_prefer(request.environ.get("HTTP_PREFER", "")).wait
    if wait and not job.status.is_final and request.method == "GET":
        job = _when_ended(job, min(float(wait), services().settings.wait_seconds))
    response = negotiation.unchanging(negotiation.json_bytes(status_info(job)), etag(job))
    if wait:
        response.headers["Preference-Applied"] = f"wait={wait}"
    return response


@blueprint.delete("/jobs/<job_id>")
def dismiss(job_id: str) -> Response:
    """Dismiss a job that has not ended; forget one that has, with its result."""
    access.require("run")
    negotiation.only_format()
    jobs = services().jobs
    job = visible_job(job_id)
    access.require_own(job)
    if not job.status.is_final:
        job = jobs.dismiss(job_id)
        if job.status is Status.DISMISSED:
            return negotiation.json_response(status_info(job))
    versions = _versions_used(job)
    jobs.delete(job_id)
    with suppress(UnavailableError):  # what is not let go now goes by itself
        for version in versions:
            services().datasets.store.let_go(version, job_id)
    return negotiation.json_response(_deleted(job))


def _versions_used(job: Job) -> list[str]:
    """The versions of data sets that are kept for a job."""
    offering = services().offerings.get(job.process)
    if offering is not None and not offering.process.takes_data_sets:
        return []
    return [reference.version for reference in references_in(json.loads(services().jobs.inputs(job)))]


def _deleted(job: Job) -> Document:
    told = status_info(dataclasses.replace(job, status=Status.DISMISSED, same_as="", waiting=None))
    up = [links.link(links.url("jobs"), "up", title="All jobs")]
    return told | {"message": "The job and its result have been deleted.", "links": up}


def _when_ended(job: Job, seconds: float) -> Job:
    """The job when it has ended, or as it is when the time is over or the server drains."""
    serving = services()
    deadline = time.monotonic() + seconds
    with serving.places.take(access.caller().owner), serving.hub.watch(job.id) as watch:
        job = serving.jobs.status(job.id)
        while not job.status.is_final and not serving.draining.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                return serving.jobs.status(job.id)
            event = watch.wait(min(left, _SLICE_SECONDS))
            if event is not None and (event.status is None or event.status.is_final):
                job = serving.jobs.status(job.id)
    return job


def _cursor(text: str) -> str:
    if text and not (text.isascii() and text.isdigit() and len(text) <= 20):
        raise InvalidRequestError(
            f"The cursor {text[:50]!r} is not one that a `next` link has given.",
            faults=[Fault("cursor", "must come from a `next` link")],
        )
    return text
