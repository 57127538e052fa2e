"""Which representation a client wants, and the JSON that it gets.

JSON is the default; ``?f=`` decides. An Accept header never refuses: a client that asks for something
else gets JSON. HTML pages register their format in ``FORMATS`` when they come.
"""

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from flask import Response, request
from werkzeug.datastructures import Headers

from gristmill.api.parameters import refuse_repeated, refuse_unknown
from gristmill.errors import Fault, InvalidRequestError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment

FORMATS = {"json": "application/json"}
PROBLEM = "application/problem+json"

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def wanted_format() -> str:
    """The key of FORMATS that the client asks for, or "json". InvalidRequestError for an unknown ``f``."""
    if not request.query_string:
        return "json"
    refuse_repeated(request.args, ("f",))
    name = request.args.get("f", "json")
    if name not in FORMATS:
        raise InvalidRequestError(
            f"There is no format {name!r}; f may be {', '.join(sorted(FORMATS))}.",
            faults=[Fault("f", f"must be one of: {', '.join(sorted(FORMATS))}")],
        )
    return name


def only_format(elsewhere: Mapping[str, str] | None = None) -> None:
    """Let a query pass that has nothing but a known ``f``. Raises InvalidRequestError.

    elsewhere: as of ``refuse_unknown``.
    """
    if request.query_string:
        refuse_unknown(request.args, ("f",), elsewhere)
        wanted_format()


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8. ValueError for NaN and infinities."""
    return _encoder.encode(value).encode("utf-8", "backslashreplace")


class Prepared(Response):
    """A response with its whole body and its length: Werkzeug need not look at its headers again."""

    def __init__(self, body: bytes, status: int, media_type: str, headers: Mapping[str, str]) -> None:
        every = [("Content-Type", media_type), ("Content-Length", str(len(body))), *headers.items()]
        super().__init__(body, status, every)

    def get_wsgi_headers(self, environ: "WSGIEnvironment") -> Headers:
        """The headers as they are."""
        del environ
        return self.headers


def json_response(
    value: object, status: int = 200, headers: Mapping[str, str] | None = None, *, media_type: str = "application/json"
) -> Response:
    """Answer with a value as JSON."""
    return Prepared(json_bytes(value), status, media_type, headers or {})


def unchanging(body: bytes, etag: str, *, media_type: str = "application/json") -> Response:
    """Answer with bytes made before, or 304 when the client holds them. ``etag`` comes without quotes."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Prepared(body, 200, media_type, headers)


def problem_media_type() -> str:
    """The media type of problem details: ``application/json`` for a client whose Accept names only that."""
    accept = request.environ.get("HTTP_ACCEPT", "")
    if not accept or "*" in accept or "problem" in accept:
        return PROBLEM
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" if named == {"application/json"} else PROBLEM
