"""The data-set operations as the OpenAPI document describes them, by path and method; and their schemas."""

from typing import get_args

from gristmill.api.job_query import DEFAULT_JOBS, MOST_JOBS
from gristmill.api.openapi_components import (
    JSON,
    TEXT,
    TIME,
    Part,
    an_object,
    json_content,
    listed,
    ref,
    response,
    schema,
)
from gristmill.api.openapi_operations import ASKING, READING, operation
from gristmill.api.rows import DEFAULT_ROWS, MOST_ROWS
from gristmill.datasets.dataset import LONGEST_NAME, NAME_PATTERN
from gristmill.datasets.descriptions import COLUMN_TEXTS, TEXTS
from gristmill.datasets.json_rows import Shape
from gristmill.datasets.options import ENCODING_LABELS, FORMATS, MEDIA_TYPES
from gristmill.datasets.row_formats import ROW_FORMATS

MERGE_PATCH = "application/merge-patch+json"

_COUNT: Part = {"type": "integer", "minimum": 0}
_END: Part = {"description": "As JSON; dates, decimals and numbers beyond 2^53 as strings.", "nullable": True}

_EDITION: dict[str, Part] = {
    "version": TEXT | {"description": "SHA-256 of the decompressed upload and its reading options."},
    "since": TIME,
    "rows": _COUNT,
    "storedBytes": _COUNT,
    "readBytes": _COUNT,
}
_SAID: dict[str, Part] = {member: {"type": "string", "maxLength": longest} for member, longest in TEXTS.items()}
_COLUMN_SAID: dict[str, Part] = {
    member: {"type": "string", "maxLength": longest} for member, longest in COLUMN_TEXTS.items()
}
_SUMMARY: dict[str, Part] = {
    "name": TEXT,
    **_SAID,
    "owner": TEXT,
    "created": TIME,
    "updated": TIME,
    "version": _EDITION["version"],
    "rows": _COUNT,
    "storedBytes": _COUNT,
    "links": listed(schema("link")),
}

SCHEMAS: Part = {
    "column": an_object(
        ["name", "type", "kind", "nulls", "minimum", "maximum"],
        name=TEXT,
        type=TEXT | {"description": "DuckDB's name of the type."},
        kind=TEXT,
        nulls=_COUNT,
        minimum=_END,
        maximum=_END,
        **_COLUMN_SAID,
    ),
    "edition": an_object([*_EDITION, "links"], **_EDITION, links=listed(schema("link"))),
    "dataSet": an_object(
        ["name", "owner", "created", "updated", "version", "rows", "columns", "versions", "links"],
        **_SUMMARY,
        readBytes=_COUNT,
        columns=listed(schema("column")),
        versions=listed(schema("edition")),
    ),
    "dataSetSummary": an_object(["name", "owner", "created", "updated", "version", "rows", "links"], **_SUMMARY),
    "dataSetList": an_object(
        ["datasets", "links"], datasets=listed(schema("dataSetSummary")), links=listed(schema("link"))
    ),
    "dataSetVersion": an_object(
        ["name", *_EDITION, "columns", "reading", "links"],
        name=TEXT,
        **_EDITION,
        columns=listed(schema("column")),
        reading={"type": "object", "description": "The options that it was read with."},
        links=listed(schema("link")),
    ),
    "rows": an_object(
        ["name", "version", "numberReturned", "rows", "links"],
        name=TEXT,
        version=TEXT,
        numberReturned=_COUNT,
        numberMatched=_COUNT,
        rows={"type": "array", "items": {}, "description": "An object or an array each."},
        links=listed(schema("link")),
    ),
    "groups": an_object(
        ["name", "version", "numberReturned", "cut", "rows", "links"],
        name=TEXT,
        version=TEXT,
        numberReturned=_COUNT,
        cut={"type": "boolean", "description": "Whether there are more groups than the limit."},
        rows=listed({"type": "object"}),
        links=listed(schema("link")),
    ),
    "dataSetDeleted": an_object(["name", "message", "links"], name=TEXT, message=TEXT, links=listed(schema("link"))),
}

_PATCHED: Part = {member: of | {"nullable": True} for member, of in _SAID.items()}
_PATCH: Part = {
    "type": "object",
    "properties": _PATCHED
    | {
        "columns": {
            "type": "object",
            "nullable": True,
            "additionalProperties": {
                "type": "object",
                "nullable": True,
                "properties": {member: of | {"nullable": True} for member, of in _COLUMN_SAID.items()},
                "additionalProperties": False,
            },
        }
    },
    "additionalProperties": False,
}


def _query(name: str, description: str, of: Part) -> Part:
    return {"name": name, "in": "query", "required": False, "description": description, "schema": of}


def _path(name: str, description: str, of: Part) -> Part:
    return {"name": name, "in": "path", "required": True, "description": description, "schema": of}


def _condition(name: str, description: str) -> Part:
    return {"name": name, "in": "header", "required": False, "description": description, "schema": TEXT}


_NAME_SCHEMA: Part = {"type": "string", "maxLength": LONGEST_NAME, "pattern": f"^{NAME_PATTERN}$"}
_NAME = _path("datasetName", "Name of a data set.", _NAME_SCHEMA)
_VERSION = _path("versionID", "A version, as a data set lists it.", TEXT)
_F, _UNLESS = ref("parameters", "f"), ref("parameters", "IfNoneMatch")
_RANGE = _condition("Range", "`bytes=0-99`: only this part of a whole file (CSV, Parquet).")
_IF_STILL = _condition("If-Match", "Only when its ETag is still one of these; `*`: whatever it is.")
_CONDITIONS = (
    _condition("If-Match", "Only when the data set is still in this state: an ETag, a version, or *."),
    _condition("If-None-Match", "`*`: only when there is no such data set yet."),
)
_ETAG = ref("headers", "ETag")
_READ = (*READING, "NotFound")


def _document(name: str, description: str) -> Part:
    return {
        "200": response(description, json_content(schema(name)), ETag=_ETAG),
        "304": ref("responses", "NotModified"),
    }


def _upload_response(description: str) -> Part:
    return response(description, json_content(schema("dataSet")), ETag=_ETAG, Location=ref("headers", "Location"))


_FILTER = _query("filter", "Only rows for which this holds, in CQL2 text.", TEXT | {"minLength": 1})
_ROWS_LIMIT = _query(
    "limit",
    "Most rows in the answer.",
    {"type": "integer", "minimum": 1, "maximum": MOST_ROWS, "default": DEFAULT_ROWS},
)


def _rows_operation(identifier: str, summary: str, path_parameters: tuple[Part, ...]) -> Part:
    content = {one.media_type: {"schema": {"type": "string"}} for one in ROW_FORMATS.values()}
    part = response("Bytes of the file that Range asked for.", {"*/*": {"schema": {}}}, ETag=_ETAG)
    return operation(
        identifier,
        "Data sets",
        summary,
        {
            "200": response(
                "A page of rows, or all of them as CSV or Parquet.",
                content | json_content(schema("rows")),
                ETag=_ETAG,
                Link=ref("headers", "Link"),
            ),
            "206": part,
            "304": ref("responses", "NotModified"),
        },
        parameters=(
            *path_parameters,
            _FILTER,
            _query("sortby", "Columns to sort by, separated by commas; - before one for descending.", TEXT),
            _query("properties", "Columns in the answer, separated by commas.", TEXT),
            _ROWS_LIMIT,
            _query("cursor", "Where to go on; from a `next` link.", TEXT),
            _query("shape", "JSON rows as objects, or as arrays.", {"type": "string", "enum": list(get_args(Shape))}),
            _query("f", "Format of the rows.", {"type": "string", "enum": list(ROW_FORMATS)}),
            _UNLESS,
            _IF_STILL,
            _RANGE,
        ),
        errors=(*_READ, "Precondition", "Malformed", "RangeNotSatisfiable"),
    )


def _groups_operation(identifier: str, summary: str, path_parameters: tuple[Part, ...]) -> Part:
    return operation(
        identifier,
        "Data sets",
        summary,
        _document("groups", "One row a group, in the order of the groups."),
        parameters=(
            *path_parameters,
            _query("groupby", "Columns to group by, separated by commas.", TEXT),
            _query("metrics", "What to compute, such as mean(x),count().", TEXT),
            _FILTER,
            _ROWS_LIMIT,
            _query("f", "Format of the answer.", {"type": "string", "enum": ["json"]}),
            _UNLESS,
            _IF_STILL,
        ),
        errors=(*_READ, "Precondition", "Malformed"),
    )


OPERATIONS: dict[tuple[str, str], Part] = {
    ("/datasets", "get"): operation(
        "dataSets", "Data sets", "The data sets, by name",
        {"200": response("A page of data sets.", json_content(schema("dataSetList")), Link=ref("headers", "Link"))},
        parameters=(
            _F,
            _query("prefix", "Only those whose names begin so.", TEXT),
            _query(
                "limit", "Most data sets in the answer.",
                {"type": "integer", "minimum": 1, "maximum": MOST_JOBS, "default": DEFAULT_JOBS},
            ),
            _query("cursor", "Where to go on; from a `next` link.", TEXT),
        ),
        errors=READING,
    ),
    ("/datasets/{datasetName}", "put"): operation(
        "upload", "Data sets", "Make the body a data set's newest version",
        {
            "201": _upload_response("The version is there."),
            "200": _upload_response("The data set had this version already."),
        },
        parameters=(
            _NAME,
            *_CONDITIONS,
            _query("format", "How to read the body, when its Content-Type does not say it.",
                   {"type": "string", "enum": list(FORMATS)}),
            _query("delimiter", "CSV: the letter between values; else it is found in the first lines.", TEXT),
            _query("quote", "CSV: the letter around values.", {"type": "string", "default": '"'}),
            _query("header", "CSV: whether the first line names the columns.", {"type": "boolean", "default": True}),
            _query("null", "CSV: a text that means no value; may be repeated.", listed(TEXT)),
            _query("decimal", "CSV: the decimal mark.", {"type": "string", "enum": [".", ","], "default": "."}),
            _query("encoding", "CSV and JSON: the encoding of the text.",
                   {"type": "string", "enum": list(ENCODING_LABELS), "default": "utf-8"}),
            _query("type", "The type of a column, as COLUMN:TYPE; may be repeated.", listed(TEXT)),
        ),
        errors=("Invalid", *ASKING, "SlowUpload", "Precondition", "TooLarge", "UnsupportedMediaType", "Malformed",
                "Unavailable", "StorageFull"),
        requestBody={
            "required": True,
            "content": {media_type: {"schema": {"type": "string", "format": "binary"}} for media_type in MEDIA_TYPES},
        },
    ),
    ("/datasets/{datasetName}", "get"): operation(
        "dataSet", "Data sets", "A data set with its columns and versions", _document("dataSet", "The data set."),
        parameters=(_NAME, _F, _UNLESS), errors=_READ,
    ),
    ("/datasets/{datasetName}", "patch"): operation(
        "describe", "Data sets", "Change what is said about a data set, by a merge patch (RFC 7396)",
        {"200": response("The data set as it is now.", json_content(schema("dataSet")), ETag=_ETAG)},
        parameters=(_NAME, _F, *_CONDITIONS),
        errors=(*_READ, "Precondition", "TooLarge", "UnsupportedMediaType", "StorageFull"),
        requestBody={"required": True, "content": {MERGE_PATCH: {"schema": _PATCH}, JSON: {"schema": _PATCH}}},
    ),
    ("/datasets/{datasetName}", "delete"): operation(
        "deleteDataSet", "Data sets", "Delete a data set with all its versions; one alone cannot be deleted",
        {"200": response("It is deleted.", json_content(schema("dataSetDeleted")))},
        parameters=(_NAME, _F, *_CONDITIONS), errors=(*_READ, "Precondition"),
    ),
    ("/datasets/{datasetName}/versions/{versionID}", "get"): operation(
        "dataSetVersion", "Data sets", "One version of a data set", _document("dataSetVersion", "The version."),
        parameters=(_NAME, _VERSION, _F, _UNLESS), errors=_READ,
    ),
} | {
    (path, "get"): _rows_operation(identifier, summary, parameters)
    for path, identifier, summary, parameters in (
        ("/datasets/{datasetName}/rows", "rows", "Rows of a data set's newest version", (_NAME,)),
        ("/datasets/{datasetName}/versions/{versionID}/rows", "versionRows", "Rows of a version", (_NAME, _VERSION)),
    )
} | {
    (path, "get"): _groups_operation(identifier, summary, parameters)
    for path, identifier, summary, parameters in (
        ("/datasets/{datasetName}/aggregate", "aggregate", "Metrics of groups of rows of the newest version", (_NAME,)),
        ("/datasets/{datasetName}/versions/{versionID}/aggregate", "versionAggregate",
         "Metrics of groups of a version's rows", (_NAME, _VERSION)),
    )
}  # fmt: skip
