"""Which representation a client wants, and the JSON that it gets.

JSON is the default; ``?f=`` decides. An Accept header never refuses: a client that asks for something
else gets JSON. HTML pages register their format in ``FORMATS`` when they come.
"""

import json
from collections.abc import Mapping

from flask import Response, request

from gristmill.errors import Fault, InvalidRequestError

FORMATS = {"json": "application/json"}
PROBLEM = "application/problem+json"

_encoder = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def wanted_format() -> str:
    """The key of FORMATS that the client asks for, or "json". InvalidRequestError for an unknown ``f``."""
    if not request.query_string:
        return "json"
    name = request.args.get("f", "json")
    if name not in FORMATS:
        raise InvalidRequestError(
            f"There is no format {name!r}; f may be {', '.join(sorted(FORMATS))}.",
            faults=[Fault("f", f"must be one of: {', '.join(sorted(FORMATS))}")],
        )
    return name


def json_bytes(value: object) -> bytes:
    """Compact JSON in UTF-8. ValueError for NaN and infinities."""
    return _encoder.encode(value).encode("utf-8", "backslashreplace")


def json_response(
    value: object,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    *,
    media_type: str = "application/json",
) -> Response:
    """Answer with a value as JSON."""
    return Response(json_bytes(value), status, headers, content_type=media_type)


def unchanging(body: bytes, etag: str, *, media_type: str = "application/json") -> Response:
    """Answer with bytes made before, or 304 when the client holds them. ``etag`` comes without quotes."""
    headers = {"ETag": f'"{etag}"', "Cache-Control": "no-cache"}
    if "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(etag):
        return Response(status=304, headers=headers)
    return Response(body, 200, headers, content_type=media_type)


def problem_media_type() -> str:
    """The media type of problem details: ``application/json`` for a client whose Accept names only that."""
    accept = request.environ.get("HTTP_ACCEPT", "")
    if not accept or "*" in accept or "problem" in accept:
        return PROBLEM
    named = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return "application/json" if named == {"application/json"} else PROBLEM
