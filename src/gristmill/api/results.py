"""Results: what a job has produced, in the form that its execute request asked for.

Every response says its length, so that a client sees when it was cut.
"""

import itertools
import secrets

from flask import Blueprint, Response, request
from werkzeug.http import parse_options_header

from gristmill.api import access, links, negotiation
from gristmill.api.jobs import visible_job
from gristmill.api.landing import OGC_REL
from gristmill.api.problems import failed_job_response
from gristmill.api.result_body import Body, Choice, Parts, chosen, document
from gristmill.api.services import services
from gristmill.api.status import job_url
from gristmill.errors import JobDismissedError, NoSuchOutputError, ResultNotReadyError
from gristmill.job import Job, Output, Status

# A body up to this size is put together before the response begins, so that a failure is still a proper error.
_WHOLE_BYTES = 2**18

blueprint = Blueprint("results", __name__)


@blueprint.get("/jobs/<job_id>/results")
def results(job_id: str) -> Response:
    """The result of a successful job: raw or document, as asked for; the document always with ``f=json``."""
    access.require("read")
    negotiation.only_format()
    job = visible_job(job_id)
    return result_response(job, as_document="f" in request.args)


@blueprint.get("/jobs/<job_id>/results/<output>")
def result_output(job_id: str, output: str) -> Response:
    """One output in its own media type."""
    access.require("read")
    job = visible_job(job_id)
    if job.status is not Status.SUCCESSFUL:
        return _no_result(job)
    for one in job.outputs:
        if one.name == output:
            return _one(job, one)
    names = ", ".join(one.name for one in job.outputs)
    raise NoSuchOutputError(f"Job {job.id} has no output {output[:100]!r}; it has: {names or 'none'}.")


def result_response(job: Job, *, as_document: bool = False) -> Response:
    """The result of a job in the form that its execute request asked for; for its results and for execution.

    as_document: the document, whatever was asked for.
    Raises ResultNotReadyError, JobDismissedError; a failed job gives the problem that ended it.
    """
    if job.status is not Status.SUCCESSFUL:
        return _no_result(job)
    choice = chosen(job)
    if as_document or choice.as_document:
        body = document(services().jobs, job, choice, links.base_url())
        return _sent(body, "application/json", f"{job.revision}-document")
    if not choice.values:
        return _references(job, choice)
    if len(choice.outputs) == 1:
        return _one(job, choice.outputs[0])
    return _multipart(job, choice)


def _no_result(job: Job) -> Response:
    if job.status is Status.FAILED:
        return failed_job_response(job)
    if job.status is Status.DISMISSED:
        raise JobDismissedError(f"Job {job.id} was dismissed; it has no result.")
    raise ResultNotReadyError(
        f"Job {job.id} is {job.status.value}; its result is there when it is successful: "
        f"see {links.url('jobs', job.id)}."
    )


def _one(job: Job, output: Output) -> Response:
    parts = Parts(services().jobs)
    parts.output(output)
    return _sent(parts.body(), _content_type(output), f"{job.revision}-{links.quoted(output.name)}")


def _content_type(output: Output) -> str:
    """Its media type, which says of any text that it is UTF-8: many a client would take Latin-1."""
    kind, parameters = parse_options_header(output.media_type)
    is_told = "charset" in parameters or not kind.lower().startswith("text/")
    return output.media_type if is_told else f"{output.media_type}; charset=utf-8"


def _references(job: Job, choice: Choice) -> Response:
    response = Response(status=204)
    base = links.base_url()
    for output in choice.outputs:
        href = job_url(base, job.id, "results", output.name)
        link = links.link_header(href, OGC_REL + "results", media_type=output.media_type)
        response.headers.add("Link", f'{link}; title="{links.quoted(output.name)}"')
    return response


def _multipart(job: Job, choice: Choice) -> Response:
    """The outputs as parts in their order; one by reference is an empty part with its Content-Location."""
    boundary = secrets.token_hex(16)
    parts, base = Parts(services().jobs), links.base_url()
    for number, output in enumerate(choice.outputs):
        lines = [
            f"--{boundary}" if number == 0 else f"\r\n--{boundary}",
            f"Content-Type: {_content_type(output)}",
            f"Content-ID: <{links.quoted(output.name)}>",
        ]
        if output.name in choice.referred:
            lines.append(f"Content-Location: {job_url(base, job.id, 'results', output.name)}")
            parts.text("\r\n".join([*lines, "Content-Length: 0", "", ""]).encode())
        else:
            parts.text("\r\n".join([*lines, f"Content-Length: {output.size}", "", ""]).encode())
            parts.output(output)
    parts.text(f"\r\n--{boundary}--\r\n".encode())
    first = choice.outputs[0].media_type.partition(";")[0].strip()
    return _sent(
        parts.body(), f'multipart/related; boundary={boundary}; type="{first}"', f"{job.revision}-related", weak=True
    )


def _sent(body: Body, media_type: str, etag: str, *, weak: bool = False) -> Response:
    """Answer with a body, or 304. A result may be anything, so no browser is to run what is in it."""
    headers = {
        "ETag": f'W/"{etag}"' if weak else f'"{etag}"',
        "Cache-Control": "no-cache",
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox",
    }
    if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    if body.size <= _WHOLE_BYTES:
        return negotiation.Prepared(b"".join(body.pieces), 200, media_type, headers)
    first = next(body.pieces)
    return Response(
        itertools.chain((first,), body.pieces),
        200,
        headers | {"Content-Length": str(body.size)},
        content_type=media_type,
    )
