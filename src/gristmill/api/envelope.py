"""What every request and response carries: request id, a readable query, version, CORS headers."""

import re
import secrets

from flask import Flask, Response, request
from structlog.contextvars import bind_contextvars, clear_contextvars
from werkzeug.exceptions import NotImplemented as UnknownMethod

from gristmill.api import links, proxies
from gristmill.api.parameters import check_encoding
from gristmill.api.services import Services

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}")
_REQUEST_ID = "gristmill.request_id"
_ALLOWED = "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID, Prefer, Priority, X-Request-Id"
_EXPOSED = (
    "ETag, Gristmill-Submission, Gristmill-Version, Link, Location, Preference-Applied, Retry-After, X-Request-Id"
)


def is_sane_id(text: str) -> bool:
    """Whether a request id that a client has given is taken over."""
    return bool(_SANE_ID.fullmatch(text))


def install(app: Flask, services: Services) -> None:
    """Add what all requests and responses carry to an application."""
    settings, release = services.settings, services.release
    public_url = settings.public_url.rstrip("/")
    origins = frozenset(settings.cors_origins)
    refuses_names = proxies.refuses_names(settings)

    @app.before_request
    def begin() -> None:
        environ = request.environ
        given = environ.get("HTTP_X_REQUEST_ID", "")
        environ[_REQUEST_ID] = made = given if is_sane_id(given) else secrets.token_hex(8)
        clear_contextvars()
        bind_contextvars(request_id=made)
        environ[links.BASE_URL] = public_url or proxies.asked_url(environ, settings)
        if environ["REQUEST_METHOD"] != request.method:  # Werkzeug writes it in capitals
            raise UnknownMethod(
                f"There is no method {environ['REQUEST_METHOD'][:20]!r}: methods are written in capitals (RFC 9110)."
            )
        if refuses_names and "HTTP_HOST" in environ:
            proxies.check_local_name(environ["HTTP_HOST"])
        check_encoding(environ.get("QUERY_STRING", ""))

    @app.after_request
    def end(response: Response) -> Response:
        headers = response.headers
        headers.add("X-Request-Id", request.environ[_REQUEST_ID])
        headers.add("Gristmill-Version", release)
        if response.status_code == 204:
            headers.pop("Content-Type", None)  # Flask's own, of no content
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
