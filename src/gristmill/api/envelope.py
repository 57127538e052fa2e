"""What every request and response carries: request id, version, CORS headers."""

import re
import secrets

from flask import Flask, Response, g, request
from structlog.contextvars import bind_contextvars, clear_contextvars

from gristmill.api.services import Services

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_ALLOWED = (
    "Authorization, Content-Type, Idempotency-Key, If-None-Match, "
    "Last-Event-ID, Prefer, Priority, X-Request-Id"
)
_EXPOSED = (
    "ETag, Gristmill-Submission, Gristmill-Version, Link, Location, "
    "Preference-Applied, Retry-After, X-Request-Id"
)


def request_id() -> str:
    """The id of the current request: the client's X-Request-Id when it is sane, else one made here."""
    made: str = g.request_id
    return made


def install(app: Flask, services: Services) -> None:
    """Add what all requests and responses carry to an application."""
    release = services.release
    origins = frozenset(services.settings.cors_origins)

    @app.before_request
    def begin() -> None:
        given = request.environ.get("HTTP_X_REQUEST_ID", "")
        g.request_id = made = given if _SANE_ID.fullmatch(given) else secrets.token_hex(8)
        clear_contextvars()
        bind_contextvars(request_id=made)

    @app.after_request
    def end(response: Response) -> Response:
        headers = response.headers
        headers["X-Request-Id"] = g.request_id
        headers["Gristmill-Version"] = release
        if origins:
            _allow_origin(response, origins)
        return response


def _allow_origin(response: Response, origins: frozenset[str]) -> None:
    headers = response.headers
    origin = request.environ.get("HTTP_ORIGIN", "")
    if "*" not in origins:
        headers.add("Vary", "Origin")
    if not origin or not ("*" in origins or origin in origins):
        return
    headers["Access-Control-Allow-Origin"] = "*" if "*" in origins else origin
    headers["Access-Control-Expose-Headers"] = _EXPOSED
    if request.method == "OPTIONS" and "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.environ:
        headers["Access-Control-Allow-Methods"] = response.headers.get("Allow", "")
        headers["Access-Control-Allow-Headers"] = _ALLOWED
        headers["Access-Control-Max-Age"] = "3600"
