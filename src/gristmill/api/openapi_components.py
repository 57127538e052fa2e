"""The parts that the OpenAPI document's operations share: schemas, parameters, headers, responses."""

from typing import Any

from pydantic import TypeAdapter

from gristmill.api.execute_request import ExecuteRequest
from gristmill.api.execution import LONGEST_IDEMPOTENCY_KEY
from gristmill.api.negotiation import FORMATS, PROBLEM
from gristmill.job import Status
from gristmill.processes.schema import openapi_schema

Part = dict[str, Any]
JSON = "application/json"

TEXT: Part = {"type": "string"}
TIME: Part = {"type": "string", "format": "date-time"}


def ref(kind: str, name: str) -> Part:
    """A reference to a component."""
    return {"$ref": f"#/components/{kind}/{name}"}


def schema(name: str) -> Part:
    """A reference to a schema."""
    return ref("schemas", name)


def listed(items: Part) -> Part:
    """An array of these."""
    return {"type": "array", "items": items}


def an_object(required: list[str], **properties: Part) -> Part:
    """An object with these properties; others may be there too."""
    made: Part = {"type": "object", "properties": properties}
    return made | {"required": required} if required else made


def json_content(of: Part) -> Part:
    """JSON as the only media type."""
    return {JSON: {"schema": of}}


def response(description: str, content: Part | None = None, **headers: Part) -> Part:
    """A response with the headers that all have, and these (named with underscores)."""
    every = {"X-Request-Id": ref("headers", "RequestId"), "Gristmill-Version": ref("headers", "Version")}
    made: Part = {
        "description": description,
        "headers": every | {name.replace("_", "-"): header for name, header in headers.items()},
    }
    return made | {"content": content} if content else made


def _problem(description: str, **headers: Part) -> Part:
    return response(
        description, {PROBLEM: {"schema": schema("problem")}, JSON: {"schema": schema("problem")}}, **headers
    )


def _header(description: str, of: Part | None = None) -> Part:
    return {"description": description, "schema": of or TEXT}


def _query(name: str, description: str, of: Part, **more: Any) -> Part:
    return {"name": name, "in": "query", "description": description, "required": False, "schema": of, **more}


def _request_header(name: str, description: str, of: Part | None = None, **more: Any) -> Part:
    return {"name": name, "in": "header", "description": description, "required": False, "schema": of or TEXT, **more}


_EXECUTE = openapi_schema(TypeAdapter(ExecuteRequest))

SCHEMAS: Part = {
    "link": an_object(
        ["href"],
        href=TEXT,
        rel=TEXT,
        type=TEXT,
        hreflang=TEXT,
        title=TEXT,
    ),
    "landingPage": an_object(["links"], title=TEXT, description=TEXT, links=listed(schema("link"))),
    "confClasses": an_object(["conformsTo"], conformsTo=listed(TEXT)),
    "fault": an_object(
        ["pointer", "detail"],
        pointer=TEXT | {"description": "JSON pointer into the body, or the name of a parameter or header."},
        detail=TEXT,
    ),
    "problem": an_object(
        ["type", "title", "status", "detail"],
        type=TEXT | {"description": "A URI that names the kind of problem."},
        title=TEXT,
        status={"type": "integer", "minimum": 400, "maximum": 599},
        detail=TEXT,
        instance=TEXT,
        errors=listed(schema("fault")),
    ),
    "processSummary": an_object(
        ["id", "version"],
        id=TEXT,
        version=TEXT,
        title=TEXT,
        description=TEXT,
        keywords=listed(TEXT),
        jobControlOptions=listed({"type": "string", "enum": ["sync-execute", "async-execute", "dismiss"]}),
        outputTransmission=listed({"type": "string", "enum": ["value", "reference"]}),
        links=listed(schema("link")),
    ),
    "processList": an_object(
        ["processes", "links"], processes=listed(schema("processSummary")), links=listed(schema("link"))
    ),
    "inputDescription": an_object(
        ["schema"],
        title=TEXT,
        description=TEXT,
        minOccurs={"type": "integer", "minimum": 0},
        maxOccurs={"oneOf": [{"type": "integer", "minimum": 0}, {"type": "string", "enum": ["unbounded"]}]},
        schema={"type": "object"},
    ),
    "outputDescription": an_object(["schema"], title=TEXT, description=TEXT, schema={"type": "object"}),
    "process": {
        "allOf": [
            schema("processSummary"),
            an_object(
                ["inputs", "outputs"],
                inputs={"type": "object", "additionalProperties": schema("inputDescription")},
                outputs={"type": "object", "additionalProperties": schema("outputDescription")},
            ),
        ]
    },
    "execute": _EXECUTE
    | {
        "properties": _EXECUTE["properties"]
        | {
            "outputs": _EXECUTE["properties"]["outputs"] | {"additionalProperties": schema("output")},
            "subscriber": schema("subscriber"),
        }
    },
    "output": _EXECUTE["properties"]["outputs"]["additionalProperties"],
    "subscriber": _EXECUTE["properties"]["subscriber"],
    "statusCode": {"type": "string", "enum": [status.value for status in Status]},
    "statusInfo": an_object(
        ["jobID", "type", "status"],
        jobID=TEXT,
        processID=TEXT,
        type={"type": "string", "enum": ["process"]},
        status=schema("statusCode"),
        message=TEXT,
        created=TIME,
        started=TIME,
        finished=TIME,
        updated=TIME,
        progress={"type": "integer", "minimum": 0, "maximum": 100},
        attempts={
            "type": "integer",
            "minimum": 2,
            "description": "How often it has begun to run, when more than once.",
        },
        problem=schema("problem"),
        links=listed(schema("link")),
    ),
    "jobList": an_object(["jobs", "links"], jobs=listed(schema("statusInfo")), links=listed(schema("link"))),
    "results": {
        "type": "object",
        "description": "The outputs by name: a JSON value, a qualified value, or a link.",
        "additionalProperties": True,
    },
}

HEADERS: Part = {
    "RequestId": _header("Id of this request, as it stands in the server's log; the client's own when it sent one."),
    "Version": _header("Release that answered."),
    "ETag": _header("Names this state of the document; send it back as If-None-Match."),
    "Link": _header("Links, as in RFC 8288."),
    "Location": _header("URL of what was made.", TEXT | {"format": "uri"}),
    "PreferenceApplied": _header("The preferences that were applied (RFC 7240)."),
    "Submission": _header(
        "How the job came to be: newly made, replayed by its Idempotency-Key, copied from an equal job's result, or "
        "joined to an equal job that is under way.",
        {"type": "string", "enum": ["new", "replayed", "copied", "joined"]},
    ),
    "RetryAfter": _header("Seconds to wait before the next try.", {"type": "integer", "minimum": 0}),
}

PARAMETERS: Part = {
    "f": _query("f", "Format of the response.", {"type": "string", "enum": sorted(FORMATS)}),
    "processID": {
        "name": "processID",
        "in": "path",
        "required": True,
        "schema": TEXT,
        "description": "Name of a process.",
    },
    "jobID": {"name": "jobID", "in": "path", "required": True, "schema": TEXT, "description": "Id of a job."},
    "outputID": {
        "name": "outputID",
        "in": "path",
        "required": True,
        "schema": TEXT,
        "description": "Name of an output.",
    },
    "Prefer": _request_header(
        "Prefer",
        "`respond-async`: answer at once with the job's status. `wait=N`: wait at most N seconds for the result "
        "(RFC 7240; other preferences are ignored).",
        example="respond-async",
    ),
    "IdempotencyKey": _request_header(
        "Idempotency-Key",
        "Makes the request safe to repeat for 24 hours: the same key and body give the same job.",
        {"type": "string", "pattern": f"^[!-~]{{1,{LONGEST_IDEMPOTENCY_KEY}}}$"},
    ),
    "Priority": _request_header(
        "Priority", "Urgency among the caller's own jobs, `u=0` (most urgent) to `u=3` (RFC 9218).", example="u=1"
    ),
    "IfNoneMatch": _request_header("If-None-Match", "ETags that the client holds; when one is current, 304."),
    "RequestId": _request_header("X-Request-Id", "Id to know this request by in responses and logs."),
}

RESPONSES: Part = {
    "NotModified": response("The client holds the current document.", ETag=ref("headers", "ETag")),
    "Invalid": _problem("The request is malformed; `errors` lists every fault."),
    "Unauthenticated": _problem("A token is needed, or it is not known.", WWW_Authenticate={"schema": TEXT}),
    "Forbidden": _problem("The caller's role does not allow it."),
    "NotFound": _problem("There is no such thing."),
    "Conflict": _problem("It cannot be done in the present state."),
    "SlowUpload": _problem("The body did not come in time."),
    "Precondition": _problem("What is asked for is not in the state that If-Match or If-None-Match names."),
    "Malformed": _problem("The file is not what it is said to be, or reading it met a limit; the place is named."),
    "TooLarge": _problem("The body is larger than the limit."),
    "UnsupportedMediaType": _problem("The body is of no kind that is read here, by Content-Type or Content-Encoding."),
    "RangeNotSatisfiable": _problem(
        "The file ends before the Range begins.",
        Content_Range={"schema": TEXT, "description": "`bytes */` and the length of the file."},
    ),
    "KeyReused": _problem("The Idempotency-Key came with another body before."),
    "TooMany": _problem("Too many requests, or too many unfinished jobs.", Retry_After=ref("headers", "RetryAfter")),
    "ServerError": _problem("A fault of the server; `instance` names it in the log."),
    "Unavailable": _problem("Redis is away, or all places are taken.", Retry_After=ref("headers", "RetryAfter")),
    "StorageFull": _problem("There is no room for the inputs or the result."),
}
