"""Server-Sent Events: a job's status now, and after every change, until the job has ended."""

from flask import Blueprint, Response, request

from gristmill.api import access, links, negotiation
from gristmill.api.jobs import visible_job
from gristmill.api.places import Place
from gristmill.api.services import Services, services
from gristmill.api.status import status_document
from gristmill.errors import NoSuchJobError, UnavailableError
from gristmill.job import Job
from gristmill.streams import Sleep, SleepingStream, Steps

KEEP_ALIVE_SECONDS = 15.0
_AGAIN_SECONDS = 2.0
_COME_AGAIN = b"retry: 2000\n\n"  # milliseconds

_HEADERS = {"Cache-Control": "no-store", "X-Accel-Buffering": "no"}

blueprint = Blueprint("events", __name__)


class _Stream(SleepingStream):
    """A stream that gives its place back also when it was never begun."""

    def __init__(self, serving: Services, job_id: str, seen: int, base: str, place: Place) -> None:
        self._place = place
        super().__init__(lambda stream: _steps(stream, serving, job_id, seen, base))

    def close(self) -> None:
        super().close()
        self._place.release()


@blueprint.get("/jobs/<job_id>/events")
def events(job_id: str) -> Response:
    """The stream of a job's changes; each event's id is the job's revision, its data the job's status."""
    owner = access.require("read").owner
    job = visible_job(job_id)
    seen = _last_seen()
    if job.status.is_final and seen == job.revision:
        return Response(status=204)  # tells a browser's EventSource to stop connecting again
    if request.method == "HEAD":
        return Response(mimetype="text/event-stream", headers=_HEADERS)
    serving = services()
    stream = _Stream(serving, job_id, seen, links.base_url(), serving.places.take(owner))
    return Response(stream, mimetype="text/event-stream", headers=_HEADERS, direct_passthrough=True)


def _last_seen() -> int:
    """The revision that the client has seen last, or -1."""
    text = request.headers.get("Last-Event-ID", "")
    return int(text) if text.isascii() and text.isdigit() and len(text) < 16 else -1


def _steps(stream: SleepingStream, serving: Services, job_id: str, seen: int, base: str) -> Steps:
    try:
        yield from _frames(stream, serving, job_id, seen, base)
    except UnavailableError:
        yield _COME_AGAIN


def _frames(stream: SleepingStream, serving: Services, job_id: str, seen: int, base: str) -> Steps:
    """The current state, unless the client has seen it, and every later one that it is in time for."""
    with serving.hub.watch(job_id, wake=stream.wake) as watch:
        yield b": watching\n\n"
        stale = True
        while True:
            if stale or watch.wait(0) is not None:
                try:
                    job = serving.jobs.status(job_id)
                except NoSuchJobError:
                    return
                except UnavailableError:
                    stale = True
                    yield Sleep(_AGAIN_SECONDS)
                    continue
                stale = False
                if job.revision != seen:
                    seen = job.revision
                    yield _frame(job, base)
                if job.status.is_final:
                    return
            elif serving.draining.is_set():
                yield _COME_AGAIN
                return
            elif not (yield Sleep(KEEP_ALIVE_SECONDS)):
                yield b": keep-alive\n\n"


def _frame(job: Job, base: str) -> bytes:
    return b"id: %d\nevent: status\ndata: %b\n\n" % (job.revision, negotiation.json_bytes(status_document(job, base)))
