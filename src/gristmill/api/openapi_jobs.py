"""The operations on jobs, and those for whoever runs the API, as the OpenAPI document describes them."""

from gristmill.api.job_query import DEFAULT_JOBS, MOST_JOBS
from gristmill.api.openapi_components import TEXT, Part, an_object, json_content, listed, ref, response, schema
from gristmill.api.openapi_operations import ANYTHING, ASKING, CODES, READING, RESULT_CONTENT, operation
from gristmill.job import Status

# What a reader of events makes of each; the body as a whole is text.
_EVENT = an_object(["event", "data"], id=TEXT, event=TEXT, data=TEXT)
_FINDING = an_object(["level", "subject", "detail"], level=TEXT, subject=TEXT, detail=TEXT)
_READY = {"redis": {"type": "string", "enum": ["reached", "away", "unknown"]}, "findings": listed(_FINDING)}


# Every date but the 29th of February, which depends on the year and is taken too.
_DAY = (
    "[12][0-9]{3}-((0[13578]|1[02])-(0[1-9]|[12][0-9]|3[01])|(0[469]|11)-(0[1-9]|[12][0-9]|30)"
    "|02-(0[1-9]|1[0-9]|2[0-8]))"
)
_CLOCK = r"([01][0-9]|2[0-3])(:[0-5][0-9]){2}(\.[0-9]{1,9})?(Z|[+-]([01][0-9]|2[0-3]):[0-5][0-9])"
_TIME = f"{_DAY}(T{_CLOCK})?"
_INTERVAL = rf"^({_TIME}|({_TIME}|\.\.)?/({_TIME}|\.\.)?)?$"


def _parameter(name: str) -> Part:
    return ref("parameters", name)


def _header(name: str) -> Part:
    return ref("headers", name)


def _query(name: str, description: str, of: Part, **more: object) -> Part:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": of, **more}


def _listed(name: str, description: str, of: Part) -> Part:
    return _query(name, f"{description}; repeated, or separated by commas.", listed(of), style="form", explode=False)


_JOB = _parameter("jobID")
_READING_ONE = (*READING, "NotFound")
_FORMAT = (_parameter("f"), _parameter("IfNoneMatch"))
_RESULT_ERRORS = {
    "410": response("The job was dismissed.", {"application/problem+json": {"schema": schema("problem")}}),
    "507": ref("responses", "StorageFull"),
}
_NOT_MODIFIED = {"304": ref("responses", "NotModified")}

OPERATIONS: dict[tuple[str, str], Part] = {
    ("/jobs", "get"): operation(
        "jobs", "Jobs", "Jobs, newest first",
        {"200": response(
            "Jobs. A page may hold fewer than `limit` and still have a `next` link.", json_content(schema("jobList")),
            Link=_header("Link"),
        )},
        parameters=(
            _parameter("f"),
            _listed("type", "Kinds of job; all are `process`", TEXT),
            _listed("processID", "Only jobs of these processes", TEXT),
            _listed("status", "Only jobs in these states", {"type": "string", "enum": [one.value for one in Status]}),
            _query(
                "datetime", "Only jobs made in this interval: an RFC 3339 time, or two with a slash, open with `..`.",
                {"type": "string", "pattern": _INTERVAL}, example="2026-11-01T00:00:00Z/..",
            ),
            _query("minDuration", "Only jobs that ran at least so many seconds.", {"type": "number", "minimum": 0}),
            _query("maxDuration", "Only jobs that ran at most so many seconds.", {"type": "number", "minimum": 0}),
            _query(
                "limit", "Most jobs in the answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_JOBS, "default": DEFAULT_JOBS},
            ),
            _query("cursor", "Where to go on; from a `next` link.", {"type": "string", "pattern": "^[0-9]{0,20}$"}),
        ),
        errors=READING,
    ),
    ("/jobs/{jobID}", "get"): operation(
        "job", "Jobs", "A job's status",
        {
            "200": response(
                "The status.", json_content(schema("statusInfo")), ETag=_header("ETag"),
                Preference_Applied=_header("PreferenceApplied"),
            ),
        } | _NOT_MODIFIED,
        parameters=(_JOB, *_FORMAT, _parameter("Prefer")),
        errors=_READING_ONE,
    ),
    ("/jobs/{jobID}", "delete"): operation(
        "dismiss", "Jobs", "Dismiss a job that has not ended; delete one that has, with its result",
        {"200": response("It is done; the job's last status.", json_content(schema("statusInfo")))},
        parameters=(_JOB, _parameter("f")),
        errors=(*_READING_ONE, "Conflict"),
    ),
    ("/jobs/{jobID}/events", "get"): operation(
        "events", "Jobs", "A job's status now and after every change, as Server-Sent Events",
        {
            "200": response(
                "Events `status`: the id is the job's revision, the data its status. Ends with the job.",
                {"text/event-stream": {"schema": _EVENT}},
            ),
            "204": response("The job has ended, and Last-Event-ID is its last event."),
        },
        parameters=(
            _JOB,
            {
                "name": "Last-Event-ID", "in": "header", "required": False, "schema": TEXT,
                "description": "Id of the event that was seen last; the state is sent again only if it has changed.",
            },
        ),
        errors=(*ASKING, "NotFound", "Unavailable"),
    ),
    ("/jobs/{jobID}/results", "get"): operation(
        "results", "Jobs", "A job's result, in the form that its execute request asked for",
        {
            "200": response("The result.", RESULT_CONTENT, ETag=_header("ETag")),
            "204": response("The result by reference: links to the outputs.", Link=_header("Link")),
        } | _NOT_MODIFIED | _RESULT_ERRORS,
        parameters=(_JOB, *_FORMAT),
        errors=_READING_ONE,
    ),
    ("/jobs/{jobID}/results/{outputID}", "get"): operation(
        "output", "Jobs", "One output in its own media type",
        {"200": response("The output's bytes.", ANYTHING, ETag=_header("ETag"))} | _NOT_MODIFIED | _RESULT_ERRORS,
        parameters=(_JOB, _parameter("outputID"), _parameter("IfNoneMatch")),
        errors=_READING_ONE,
    ),
    ("/jobs/{jobID}/prov", "get"): operation(
        "prov", "Jobs", "A job's provenance, as PROV-JSON",
        {"200": response("The provenance.", json_content({"type": "object"}), ETag=_header("ETag"))} | _NOT_MODIFIED,
        parameters=(_JOB, *_FORMAT),
        errors=_READING_ONE,
    ),
    ("/webhook-secret", "get"): operation(
        "webhookSecret", "Jobs", "The secret that signs the calls to your subscribers (Standard Webhooks)",
        {"200": response("The secret.", json_content(an_object(["owner", "secret"], owner=TEXT, secret=TEXT)))},
        parameters=(_parameter("f"),),
        errors=READING,
    ),
    ("/healthz", "get"): operation(
        "healthz", "Operation", "Whether the API is alive",
        {"200": response("It is.", json_content(an_object(["status"], status=TEXT)))},
    ),
    ("/readyz", "get"): operation(
        "readyz", "Operation", "Whether the API is ready",
        {
            "200": response("It is.", json_content(an_object(["status", "redis", "findings"], status=TEXT, **_READY))),
            CODES["Unavailable"]: response(
                "It drains, or has not reached Redis yet.",
                {
                    "application/problem+json": {"schema": {"allOf": [schema("problem"), an_object([], **_READY)]}},
                    "application/json": {"schema": {"allOf": [schema("problem"), an_object([], **_READY)]}},
                },
            ),
        },
    ),
    ("/version", "get"): operation(
        "version", "Operation", "The release that answers",
        {"200": response(
            "Release and environment.",
            json_content(an_object(["release", "environment"], release=TEXT, environment=TEXT)),
        )},
    ),
    ("/metrics", "get"): operation(
        "metrics", "Operation", "Metrics for Prometheus",
        {"200": response("Prometheus' text format 0.0.4.", {"text/plain": {"schema": TEXT}})},
        errors=ASKING,
    ),
}  # fmt: skip
