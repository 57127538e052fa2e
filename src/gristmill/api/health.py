"""For those who run the API: is it alive, is it ready, which release is it. No role is needed, nothing is limited."""

from flask import Blueprint, Response

from gristmill.api import negotiation
from gristmill.api.services import services
from gristmill.errors import OURS

blueprint = Blueprint("health", __name__)


@blueprint.get("/healthz")
def healthz() -> Response:
    """200 as long as this process answers at all."""
    return negotiation.json_response({"status": "alive"}, headers={"Cache-Control": "no-store"})


@blueprint.get("/readyz")
def readyz() -> Response:
    """200 once Redis was reached, unless the server drains; what is wrong with Redis' configuration is named."""
    serving = services()
    readiness = serving.readiness
    if not readiness.reached:
        readiness.look()
    reason = ""
    if serving.draining.is_set():
        reason = "The server is about to stop."
    elif not readiness.reached:
        reason = f"Redis has not been reached yet. {readiness.reason}".rstrip()
    elif readiness.refused:
        reason = "Redis is configured in a way that loses jobs, which production does not accept."
    found: dict[str, object] = {
        "redis": "away" if readiness.away else "reached" if readiness.reached else "unknown",
        "findings": [
            {"level": finding.level, "subject": finding.subject, "detail": finding.detail}
            for finding in readiness.findings
        ],
    }
    if readiness.away:
        found["reason"] = readiness.reason
    headers = {"Cache-Control": "no-store"}
    if not reason:
        return negotiation.json_response({"status": "ready"} | found, headers=headers)
    problem = {"type": OURS + "not-ready", "title": "Not ready", "status": 503, "detail": reason}
    return negotiation.json_response(problem | found, 503, headers, media_type=negotiation.problem_media_type())


@blueprint.get("/version")
def version() -> Response:
    """The release that answers, and its environment."""
    serving = services()
    return negotiation.json_response(
        {"release": serving.release, "environment": serving.settings.environment},
        headers={"Cache-Control": "no-store"},
    )
