"""Running a process: ``POST /processes/{id}/execution``, waiting for the result or not."""

import re
import time
from contextlib import suppress
from hashlib import sha256

from flask import Blueprint, Response, request
from pydantic import ValidationError

from gristmill.api import access, bodies, dataset_inputs, links, negotiation, preferences, processes
from gristmill.api.dataset_inputs import Holds
from gristmill.api.execute_request import ExecuteRequest, misspelt
from gristmill.api.jobs import status_info
from gristmill.api.offerings import Offering
from gristmill.api.preferences import Preferences
from gristmill.api.results import result_response
from gristmill.api.services import Services, services
from gristmill.errors import (
    Fault,
    InvalidInputsError,
    InvalidRequestError,
    RefusedUrlError,
    UnavailableError,
)
from gristmill.fetch import CALL_BACK_ALLOW, FETCH_ALLOW, check_url
from gristmill.hub import Watch
from gristmill.job import Idempotency, Job, NewJob, Submitted, new_id
from gristmill.processes import Process
from gristmill.processes.references import MEMBERS, is_data_set, is_reference
from gristmill.settings import Networks, Settings

LONGEST_IDEMPOTENCY_KEY = 255

_IDEMPOTENCY_KEY = re.compile(rf"[!-~]{{1,{LONGEST_IDEMPOTENCY_KEY}}}")
_LOOK_SECONDS = 1.0
_EQUAL_WORK_FORM = 2  # raised when other requests count as equal: earlier results are not found by them then

blueprint = Blueprint("execution", __name__)


@blueprint.post("/processes/<process_id>/execution")
def execute(process_id: str) -> Response:
    """Run a process: 201 and the job's status, or 200 and its result when it was waited for."""
    owner = access.require("run").owner
    serving = services()
    offering = processes.find(process_id)
    environ = request.environ
    wishes = preferences.read_prefer(environ.get("HTTP_PREFER", ""))
    body = bodies.read_json(serving.settings)
    asked = _checked(body, offering, serving.settings)
    urgency = preferences.read_urgency(environ.get("HTTP_PRIORITY", ""))
    key = environ.get("HTTP_IDEMPOTENCY_KEY")
    idempotency = None if key is None else _idempotency(key, f"{owner} POST {request.path}", _in_one_order(body))
    store = serving.datasets.store
    if idempotency and offering.process.takes_data_sets and serving.jobs.knows(idempotency):
        holds = Holds(store, new_id(), asked.inputs)  # of a job that has its versions, whatever has become of the names
    else:
        holds = dataset_inputs.hold(store, serving.settings, offering.process, asked.inputs, new_id())
    with holds:
        new = _new_job(offering, asked, holds, owner, urgency)
        if not offering.sync or (wishes.respond_async and not wishes.wait):
            submitted = _submit(serving, new, idempotency, holds)
            return _accepted(submitted.job, submitted.how, "respond-async" if wishes.respond_async else "")
        return _waited_for(serving, new, idempotency, holds, wishes)


def _submit(serving: Services, new: NewJob, idempotency: Idempotency | None, holds: Holds) -> Submitted:
    try:
        submitted = serving.jobs.submit(new, idempotency=idempotency)
    except UnavailableError:
        holds.are_of_job = True  # nobody knows
        raise
    holds.are_of_job = submitted.how != "replayed"
    return submitted


def _checked(body: object, offering: Offering, settings: Settings) -> ExecuteRequest:
    """The execute request, checked against the standard and the process. InvalidRequestError with every fault."""
    if not isinstance(body, dict):
        faults = [Fault("", "must be an object")]
        raise InvalidRequestError('An execute request is a JSON object: {"inputs": {...}}.', faults=faults)
    if "inputs" not in body and (names := offering.process.input_names & body.keys()):
        faults = [Fault(bodies.pointer([name]), 'belongs into "inputs"') for name in sorted(names)]
        raise InvalidInputsError('The inputs belong into one member: {"inputs": {...}}.', faults=faults)
    if near := misspelt(body):
        faults = [
            Fault(bodies.pointer([name]), f"is not known; did you mean {meant!r}?") for name, meant in near.items()
        ]
        raise InvalidRequestError(f"The execute request is malformed. {_first(faults)}", faults=faults)
    outputs = body.get("outputs")
    if isinstance(outputs, dict):  # of one that the process does not have, the name alone is told, at the check
        known = offering.process.media_types
        body = body | {"outputs": {name: wish for name, wish in outputs.items() if name in known}}
    try:
        asked = ExecuteRequest.model_validate(body)
    except ValidationError as error:
        faults = bodies.faults_of(error)
        told = "; ".join(f"{fault.pointer or 'the body'}: {fault.detail}" for fault in faults[:5])
        raise InvalidRequestError(f"The execute request is malformed. {told}", faults=faults) from error
    if len(asked.inputs) > settings.inputs_per_job:
        most = f"at most {settings.inputs_per_job} inputs are allowed"
        raise InvalidInputsError(f"{len(asked.inputs)} inputs: {most}.", faults=[Fault("/inputs", most)])
    inputs = dataset_inputs.localised(offering.process, asked.inputs, links.base_url())
    asked = asked.model_copy(update={"inputs": inputs})
    faults = _refused_call_backs(asked, settings)
    try:
        offering.process.check(asked.inputs, outputs)
    except InvalidInputsError as error:
        raise InvalidInputsError(error.detail, faults=[*error.faults, *faults]) from error
    if references := _refused_references(offering.process, asked, settings):
        raise InvalidInputsError(_first(references), faults=[*references, *faults])
    if faults:
        raise InvalidRequestError(_first(faults), faults=faults)
    return asked


def _first(faults: list[Fault]) -> str:
    return f"{faults[0].pointer}: {faults[0].detail}"


def _refused_references(process: Process, asked: ExecuteRequest, settings: Settings) -> list[Fault]:
    """The references that would never be fetched; their names are resolved only when they are."""
    return [
        Fault(f"{at}/href", reason)
        for at, href in process.references(asked.inputs)
        if (reason := _why_refused(href, settings.fetch_allow, FETCH_ALLOW))
    ]


def _refused_call_backs(asked: ExecuteRequest, settings: Settings) -> list[Fault]:
    """The call-backs that would never be sent; their names are resolved only when they are."""
    return [
        Fault(f"/subscriber/{member}", reason)
        for member, uri in asked.call_backs().items()
        if (reason := _why_refused(uri, settings.call_back_allow, CALL_BACK_ALLOW))
    ]


def _why_refused(url: str, allowed: Networks, setting: str) -> str:
    try:
        check_url(url, allowed, setting)
    except RefusedUrlError as error:
        return error.detail
    return ""


def _new_job(offering: Offering, asked: ExecuteRequest, holds: Holds, owner: str, priority: int) -> NewJob:
    process = offering.process
    equal_work = ""
    # What lies at a reference may change, so work on it is never surely equal.
    if process.limits.deterministic and not any(process.references(asked.inputs)):
        left_out = ",".join(sorted(process.left_out(asked.outputs or ())))
        said = f"{_EQUAL_WORK_FORM}\n{offering.version}\n{owner}\n{left_out}\n"
        work = said.encode() + bodies.canonical(holds.inputs, sorted_levels=1) + holds.mark
        equal_work = sha256(work).hexdigest()
    return NewJob(
        id=holds.job,
        process=process.id,
        owner=owner,
        inputs=negotiation.json_bytes(holds.inputs),
        interface=process.interface,
        process_version=offering.version,
        request=asked.result_text(),
        priority=priority,
        equal_work=equal_work,
        queue_seconds=process.limits.queue_seconds,
        subscriber=asked.call_backs(),
    )


def _idempotency(key: str, scope: str, body: object) -> Idempotency:
    if not _IDEMPOTENCY_KEY.fullmatch(key):
        wanted = f"must be 1 to {LONGEST_IDEMPOTENCY_KEY} printable ASCII characters without spaces"
        raise InvalidRequestError(f"Idempotency-Key {wanted}.", faults=[Fault("Idempotency-Key", wanted)])
    return Idempotency(scope, key, sha256(bodies.canonical(body, sorted_levels=2)).hexdigest())


def _in_one_order(body: object) -> object:
    """An execute request with the members of its references in one order, which says nothing there."""
    if not isinstance(body, dict) or not isinstance(body.get("inputs"), dict):
        return body
    return body | {"inputs": {name: _sorted_references(one) for name, one in body["inputs"].items()}}


def _sorted_references(value: object, levels: int = 2) -> object:
    """A given value; levels: how many may have references, which is two where it is several data sets."""
    if not isinstance(value, dict) or not levels:
        return value
    if is_reference(value) or (is_data_set(value) and value.keys() <= MEMBERS):
        return {name: value[name] for name in sorted(value)}
    return {name: _sorted_references(one, levels - 1) for name, one in value.items()}


def _waited_for(
    serving: Services, new: NewJob, idempotency: Idempotency | None, holds: Holds, wishes: Preferences
) -> Response:
    """Submit, wait, and answer with the result; or with 201 when the wait is over first."""
    longest = serving.settings.wait_seconds
    seconds = longest if wishes.wait is None else min(float(wishes.wait), longest)
    deadline = time.monotonic() + seconds
    with serving.places.take(new.owner), serving.hub.watch(new.id) as watch:
        submitted = _submit(serving, new, idempotency, holds)
        if submitted.job.id == new.id:
            job = _watched(serving, submitted.job, watch, deadline)
        else:
            with serving.hub.watch(submitted.job.id) as earlier:
                job = _watched(serving, serving.jobs.get(submitted.job.id), earlier, deadline)
    waited = "" if wishes.wait is None else f"wait={wishes.wait}"
    unfinished = ", ".join(filter(None, ("respond-async", waited)))
    if not job.status.is_final:
        return _accepted(job, submitted.how, unfinished)
    try:
        response = result_response(job)
    except UnavailableError:
        return _accepted(job, submitted.how, unfinished)
    response.headers.add("Link", links.link_header(links.url("jobs", job.id), "monitor"))
    return _told(response, submitted.how, waited)


def _watched(serving: Services, job: Job, watch: Watch, deadline: float) -> Job:
    """The job when it has ended, or as it was last seen at the deadline or when the server stops.

    While Redis is away it waits on: the job is safe there, and the watch tells when to look again.
    """
    while not job.status.is_final:
        left = deadline - time.monotonic()
        if left <= 0 or serving.draining.is_set():
            with suppress(UnavailableError):
                job = serving.jobs.status(job.id)
            break
        event = watch.wait(min(left, _LOOK_SECONDS))
        if event is not None and (event.status is None or event.status.is_final):
            with suppress(UnavailableError):
                job = serving.jobs.get(job.id)
    return job


def _accepted(job: Job, how: str, applied: str) -> Response:
    response = negotiation.json_response(status_info(job), 201, {"Location": links.url("jobs", job.id)})
    return _told(response, how, applied)


def _told(response: Response, how: str, applied: str) -> Response:
    """Say how the job came to be, and which preferences were applied."""
    response.headers["Gristmill-Submission"] = how
    if applied:
        response.headers["Preference-Applied"] = applied
    return response
