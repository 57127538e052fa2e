"""The processes on offer: the list, and each with its inputs and outputs as JSON Schema."""

from flask import Blueprint, Response, request

from gristmill.api import access, links, negotiation
from gristmill.api.landing import OGC_REL
from gristmill.api.offerings import Offering
from gristmill.api.parameters import read_limit, refuse_repeated
from gristmill.api.services import services
from gristmill.errors import NoSuchProcessError

MOST_PROCESSES = 10_000
DEFAULT_PROCESSES = 1_000

blueprint = Blueprint("processes", __name__)


@blueprint.get("/processes")
def process_list() -> Response:
    """The processes by id, ``limit`` at a time; ``cursor`` is where the ``next`` link goes on."""
    access.require("read")
    negotiation.wanted_format()
    limit, cursor = DEFAULT_PROCESSES, ""
    if request.query_string:
        refuse_repeated(request.args, ("limit", "cursor"))
        limit = read_limit(request.args, default=DEFAULT_PROCESSES, most=MOST_PROCESSES)
        cursor = request.args.get("cursor", "")
    offerings = services().offerings
    after = [id_ for id_ in offerings if id_ > cursor]
    shown = after[:limit]
    next_cursor = shown[-1] if len(after) > len(shown) else ""
    key = ("processes", links.base_url(), str(limit), shown[0] if shown else "")
    page = services().rendered.get(key, lambda: _list([offerings[id_] for id_ in shown], limit, next_cursor))
    response = negotiation.unchanging(page.body, page.etag)
    if next_cursor:
        response.headers["Link"] = links.link_header(_next_url(limit, next_cursor), "next")
    return response


@blueprint.get("/processes/<process_id>")
def process_description(process_id: str) -> Response:
    """One process with its inputs and outputs."""
    access.require("read")
    negotiation.wanted_format()
    offering = find(process_id)
    page = services().rendered.get(("process", process_id, links.base_url()), lambda: _description(offering))
    return negotiation.unchanging(page.body, page.etag)


def find(process_id: str) -> Offering:
    """The process of this id. NoSuchProcessError."""
    offering = services().offerings.get(process_id)
    if offering is None:
        raise NoSuchProcessError(
            f"There is no process {process_id[:100]!r}; {links.url('processes')} lists those on offer."
        )
    return offering


def _next_url(limit: int, cursor: str) -> str:
    return f"{links.url('processes')}?limit={limit}&cursor={links.quoted(cursor)}"


def _list(offerings: list[Offering], limit: int, next_cursor: str) -> dict[str, object]:
    here = links.url("processes")
    made = [links.link(here, "self", title="This list")]
    if next_cursor:
        made.append(links.link(_next_url(limit, next_cursor), "next", title="More processes"))
    return {"processes": [_summary(offering) for offering in offerings], "links": made}


def _summary(offering: Offering) -> dict[str, object]:
    process = offering.process
    return (
        process.summary()
        | _offered(offering)
        | {
            "links": [links.link(links.url("processes", process.id), "self", title="Inputs and outputs")],
        }
    )


def _description(offering: Offering) -> dict[str, object]:
    process = offering.process
    here = links.url("processes", process.id)
    return (
        process.describe()
        | _offered(offering)
        | {
            "links": [
                links.link(here, "self", title="This process"),
                links.link(f"{here}/execution", OGC_REL + "execute", title="Execute this process"),
                links.link(links.url("processes"), "up", title="All processes"),
            ],
        }
    )


def _offered(offering: Offering) -> dict[str, object]:
    return {
        "jobControlOptions": offering.job_control_options,
        "outputTransmission": ["value", "reference"],
    }
