"""Every error as problem details (RFC 9457, which the standard's exception.yaml agrees with)."""

import secrets
from collections.abc import Iterable, Mapping
from http import HTTPStatus

import structlog
from flask import Flask, Response, current_app, request
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from gristmill.api import links, negotiation
from gristmill.errors import OURS, UNEXPECTED, Fault, GristmillError
from gristmill.job import End, Job

_log = structlog.get_logger(__name__)

_TITLES = {
    End.EXCEPTION: "The process failed",
    End.TIMED_OUT: "Time limit reached",
    End.OUT_OF_MEMORY: "Memory limit reached",
    End.OUT_OF_DISK: "Disk limit reached",
    End.CRASHED: "The process crashed",
    End.WORKERS_LOST: "Workers lost",
    End.INTERRUPTED: "Interrupted too often",
    End.NO_WORKER: "No worker for this process",
    End.EXPIRED_IN_QUEUE: "Waited too long in the queue",
    End.RESULT_NOT_STORED: "The result could not be stored",
    End.PROCESS_CHANGED: "The process has changed",
    End.INVALID_INPUTS: "Invalid inputs",
}
# What a method that is not possible on a route is told beside those that are.
_UPLOAD = "Upload a file with PUT {base}/datasets/NAME."
_WAYS = {
    ("POST", "/datasets"): _UPLOAD,
    ("PUT", "/datasets"): _UPLOAD,
    ("POST", "/datasets/<dataset_name>"): _UPLOAD,
    ("DELETE", "/datasets/<dataset_name>/versions/<version_id>"): (
        "A version is deleted with its data set alone; to have another one as the newest, upload its file (again)."
    ),
}
_STATUSES = {End.INVALID_INPUTS: 400, End.RESULT_NOT_STORED: 507}


def problem_response(
    status: int,
    type_: str,
    title: str,
    detail: str,
    *,
    faults: Iterable[Fault] = (),
    instance: str = "",
    headers: Mapping[str, str] | None = None,
) -> Response:
    """Problem details; ``faults`` become its ``errors``."""
    problem: dict[str, object] = {"type": type_, "title": title, "status": status, "detail": detail}
    if instance:
        problem["instance"] = instance
    errors = [{"pointer": fault.pointer, "detail": fault.detail} for fault in faults]
    if errors:
        problem["errors"] = errors
    return negotiation.json_response(problem, status, headers, media_type=negotiation.problem_media_type())


def failure(job: Job) -> dict[str, object]:
    """The problem that ended a failed job: ``type``, ``title``, ``status``, ``detail``."""
    end = job.end or End.EXCEPTION
    return {
        "type": end.problem_type,
        "title": _TITLES[end],
        "status": _STATUSES.get(end, 500),
        "detail": job.detail or job.message or _TITLES[end],
    }


def failed_job_response(job: Job) -> Response:
    """What a failed job answers when asked for its result: the problem that ended it and its link."""
    job_url = links.url("jobs", job.id)
    problem = failure(job) | {"instance": job_url}
    return negotiation.json_response(
        problem,
        _STATUSES.get(job.end or End.EXCEPTION, 500),
        {"Link": links.link_header(job_url, "monitor")},
        media_type=negotiation.problem_media_type(),
    )


def of_gristmill_error(error: GristmillError) -> Response:
    """An error that was raised on purpose."""
    if error.status >= 500 and error.type == GristmillError.type:
        return of_unexpected_error(error)
    headers = {} if error.retry_after_seconds is None else {"Retry-After": str(error.retry_after_seconds)}
    if error.status == 401:
        headers["WWW-Authenticate"] = 'Bearer realm="gristmill"'
    return problem_response(error.status, error.type, error.title, error.detail, faults=error.faults, headers=headers)


def of_http_error(error: HTTPException) -> Response:
    """An error of Flask or Werkzeug: no such route, method not allowed, body too large."""
    if error.response is not None or error.code is None or error.code < 400:
        return error.get_response()  # type: ignore[return-value]
    phrase = HTTPStatus(error.code).phrase
    headers = {name: value for name, value in error.get_headers() if name.lower() != "content-type"}
    slug = "too-large" if error.code == 413 else phrase.lower().replace(" ", "-")
    return problem_response(error.code, OURS + slug, phrase, _told(error, phrase), headers=headers)


def _told(error: HTTPException, phrase: str) -> str:
    """What Werkzeug says, where it does not know enough to help."""
    if error.code == 404:
        path = request.path
        told = f"There is nothing at {path[:200]}; the links at {links.base_url()}/ lead to what there is."
        shorter = path.rstrip("/")
        if shorter != path and current_app.create_url_adapter(request).test(shorter):  # type: ignore[union-attr]
            told = f"There is nothing at {path[:200]}, but without the slash at its end there is."
        return told
    if isinstance(error, MethodNotAllowed) and error.valid_methods:
        told = f"{request.method} is not possible here, only {', '.join(sorted(error.valid_methods))}."
        return f"{told} {_way(next(iter(error.valid_methods)))}".rstrip()
    if error.code == 413:
        return f"The body is larger than {current_app.config['MAX_CONTENT_LENGTH']:,} bytes (GRISTMILL_BODY_BYTES)."
    return error.description or phrase


def _way(possible: str) -> str:
    """What to do instead of a method that the route does not have. possible: one that it has."""
    rule, _ = current_app.create_url_adapter(request).match(method=possible, return_rule=True)  # type: ignore[union-attr]
    return _WAYS.get((request.method, rule.rule), "").format(base=links.base_url())


def of_unexpected_error(error: Exception) -> Response:
    """A fault of ours: the log gets the trace, the client the id to find it by."""
    number = secrets.token_hex(8)
    _log.error("unexpected error", error_id=number, exc_info=error)
    return problem_response(
        500,
        GristmillError.type,
        GristmillError.title,
        UNEXPECTED.format(number),
        instance=f"urn:gristmill:error:{number}",
    )


def install(app: Flask) -> None:
    """Make an application answer all its errors as problem details."""
    app.register_error_handler(GristmillError, of_gristmill_error)
    app.register_error_handler(HTTPException, of_http_error)
    app.register_error_handler(Exception, of_unexpected_error)
