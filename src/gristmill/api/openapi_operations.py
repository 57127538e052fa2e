"""Every operation of the API as the OpenAPI document describes it, by path and method."""

from typing import Any

from gristmill.api.landing import OPENAPI_MEDIA_TYPE
from gristmill.api.openapi_components import JSON, TEXT, Part, json_content, ref, response, schema
from gristmill.api.processes import DEFAULT_PROCESSES, MOST_PROCESSES

ANYTHING: Part = {"*/*": {"schema": {}}}


def operation(
    identifier: str,
    tag: str,
    summary: str,
    responses: Part,
    *,
    parameters: tuple[Part, ...] = (),
    errors: tuple[str, ...] = (),
    **more: Any,
) -> Part:
    """An operation with its own responses and, by name, the errors beyond those that all have."""
    codes = {name: ref("responses", name) for name in (*errors, "ServerError")}
    return {
        "operationId": identifier,
        "tags": [tag],
        "summary": summary,
        "parameters": [ref("parameters", "RequestId"), *parameters],
        "responses": responses | {CODES[name]: part for name, part in codes.items()},
        **more,
    }


CODES = {
    "NotModified": "304",
    "Invalid": "400",
    "Unauthenticated": "401",
    "Forbidden": "403",
    "NotFound": "404",
    "SlowUpload": "408",
    "Conflict": "409",
    "Precondition": "412",
    "TooLarge": "413",
    "UnsupportedMediaType": "415",
    "RangeNotSatisfiable": "416",
    "KeyReused": "422",
    "Malformed": "422",
    "TooMany": "429",
    "ServerError": "500",
    "Unavailable": "503",
    "StorageFull": "507",
}
ASKING = ("Unauthenticated", "Forbidden", "TooMany")
READING = ("Invalid", *ASKING, "Unavailable")


def _parameter(name: str) -> Part:
    return ref("parameters", name)


def _whole(name: str, description: str, least: int, most: int | None = None, default: int | None = None) -> Part:
    of: Part = {"type": "integer", "minimum": least}
    if most is not None:
        of["maximum"] = most
    if default is not None:
        of["default"] = default
    return {"name": name, "in": "query", "required": False, "description": description, "schema": of}


def _text(name: str, description: str, of: Part | None = None, **more: Any) -> Part:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": of or TEXT, **more}


def _document(name: str, description: str) -> Part:
    """A document that says by its ETag when it has changed."""
    return {
        "200": response(description, json_content(schema(name)), ETag=ref("headers", "ETag")),
        "304": ref("responses", "NotModified"),
    }


_ACCEPTED = response(
    "The job was made; its status.",
    json_content(schema("statusInfo")),
    Location=ref("headers", "Location"),
    Gristmill_Submission=ref("headers", "Submission"),
    Preference_Applied=ref("headers", "PreferenceApplied"),
)
_RESULT_HEADERS = {
    "Link": ref("headers", "Link"),
    "Gristmill_Submission": ref("headers", "Submission"),
    "Preference_Applied": ref("headers", "PreferenceApplied"),
}
RESULT_CONTENT: Part = {
    JSON: {"schema": {}},
    "multipart/related": {"schema": TEXT},
    **ANYTHING,
}


def execution(identifier: str, summary: str, body: Part) -> Part:
    """The execute operation of one process, whose requests have this schema."""
    return operation(
        identifier,
        "Processes",
        summary,
        {
            "200": response("The result, when it was waited for.", RESULT_CONTENT, **_RESULT_HEADERS),
            "201": _ACCEPTED,
            "204": response("The result by reference: links to the outputs.", **_RESULT_HEADERS),
        },
        parameters=tuple(map(_parameter, ("Prefer", "IdempotencyKey", "Priority"))),
        errors=(
            "Invalid",
            *ASKING,
            "NotFound",
            "Conflict",
            "TooLarge",
            "UnsupportedMediaType",
            "KeyReused",
            "Unavailable",
            "StorageFull",
        ),
        requestBody={"required": True, "content": {JSON: {"schema": body}}},
        callbacks=_CALL_BACKS,
    )


def _call_back(member: str, summary: str, body: Part) -> Part:
    return {
        f"{{$request.body#/subscriber/{member}}}": {
            "post": {
                "summary": summary,
                "requestBody": {"content": json_content(body)},
                "responses": {"200": {"description": "Any 2xx says that it was received."}},
            }
        }
    }


_CALL_BACKS: Part = {
    "jobInProgress": _call_back("inProgressUri", "The job has started.", schema("statusInfo")),
    "jobSuccess": _call_back("successUri", "The job has succeeded; its results.", schema("results")),
    "jobFailed": _call_back("failedUri", "The job has failed or was dismissed.", schema("statusInfo")),
}

OPERATIONS: dict[tuple[str, str], Part] = {
    ("/", "get"): operation(
        "landing", "Capabilities", "Landing page", _document("landingPage", "What there is, by links."),
        parameters=(_parameter("f"), _parameter("IfNoneMatch")), errors=("Invalid",),
    ),
    ("/conformance", "get"): operation(
        "conformance", "Capabilities", "Conformance classes", _document("confClasses", "The classes that are kept."),
        parameters=(_parameter("f"), _parameter("IfNoneMatch")), errors=("Invalid",),
    ),
    ("/api", "get"): operation(
        "api", "Capabilities", "This document",
        {
            "200": response(
                "OpenAPI 3.0.", {OPENAPI_MEDIA_TYPE: {"schema": {"type": "object"}}}, ETag=ref("headers", "ETag")
            ),
            "304": ref("responses", "NotModified"),
        },
        parameters=(_parameter("f"), _parameter("IfNoneMatch")), errors=READING,
    ),
    ("/processes", "get"): operation(
        "processes", "Processes", "The processes on offer", _document("processList", "Processes, by id."),
        parameters=(
            _parameter("f"), _parameter("IfNoneMatch"),
            _whole("limit", "Most processes in the answer.", 1, MOST_PROCESSES, DEFAULT_PROCESSES),
            _text("cursor", "Where to go on; from a `next` link."),
        ),
        errors=READING,
    ),
    ("/processes/{processID}", "get"): operation(
        "process", "Processes", "A process with its inputs and outputs", _document("process", "The process."),
        parameters=(_parameter("processID"), _parameter("f"), _parameter("IfNoneMatch")), errors=(*READING, "NotFound"),
    ),
}  # fmt: skip
