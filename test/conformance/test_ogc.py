"""The schemas that the other tests rely on accept what the standard shows and refuse what it forbids."""

import pytest

from conformance.ogc import assert_valid, faults, validator

PROCESS = {
    "id": "EchoProcess",
    "version": "1.0.0",
    "title": "Echo",
    "keywords": ["test"],
    "jobControlOptions": ["sync-execute", "async-execute", "dismiss"],
    "outputTransmission": ["value", "reference"],
    "inputs": {
        "text": {"title": "Text", "minOccurs": 1, "maxOccurs": "unbounded", "schema": {"type": "string"}},
        "mixed": {"schema": {"oneOf": [{"type": "string", "contentMediaType": "text/csv"}, {"type": "object"}]}},
    },
    "outputs": {"text": {"schema": {"$ref": "http://example.org/schema.json"}}},
    "links": [{"href": "http://example.org/processes/EchoProcess/execution", "rel": "execute"}],
}
STATUS = {
    "jobID": "81574318-1eb1-4d7c-af61-4b3fbcf33c4f",
    "type": "process",
    "status": "accepted",
    "progress": 0,
    "created": "2021-05-04T10:13:00.000+02:00",
}


@pytest.mark.parametrize(
    ("schema", "document"),
    [
        ("process.yaml", PROCESS),
        ("processSummary.yaml", PROCESS),
        ("processList.yaml", {"processes": [PROCESS], "links": []}),
        ("statusInfo.yaml", STATUS),
        ("jobList.yaml", {"jobs": [STATUS], "links": []}),
        ("exception.yaml", {"type": "about:blank", "title": "x", "status": 404, "own": [1]}),
        ("landingPage.yaml", {"title": "x", "links": [{"href": "/conformance"}]}),
        ("confClasses.yaml", {"conformsTo": ["http://www.opengis.net/spec/ogcapi-processes-1/1.0/conf/core"]}),
        ("execute.yaml", {"inputs": {"a": 1, "b": {"value": {"c": 1}}, "d": [{"href": "http://x.org"}, "e"]}}),
        ("results.yaml", {"a": 1, "b": {"value": {"c": 1}}, "d": {"href": "http://x.org"}, "e": [1]}),
    ],
)
def test_what_the_standard_shows_is_valid(schema: str, document: object) -> None:
    assert_valid(document, schema)


@pytest.mark.parametrize(
    ("schema", "document", "pointer"),
    [
        ("process.yaml", {"id": "x"}, "/"),
        ("process.yaml", PROCESS | {"inputs": {"a": {"schema": {"const": 1}}}}, "/inputs/a/schema"),
        ("process.yaml", PROCESS | {"inputs": {"a": {"schema": {"type": ["string", "null"]}}}}, "/inputs/a/schema"),
        ("process.yaml", PROCESS | {"inputs": {"a": {"schema": {"exclusiveMinimum": 0}}}}, "/inputs/a/schema"),
        ("process.yaml", PROCESS | {"outputs": {"a": {}}}, "/outputs/a"),
        ("process.yaml", PROCESS | {"jobControlOptions": ["async"]}, "/jobControlOptions/0"),
        ("statusInfo.yaml", STATUS | {"status": "queued"}, "/status"),
        ("statusInfo.yaml", STATUS | {"progress": 101}, "/progress"),
        ("statusInfo.yaml", STATUS | {"created": "yesterday"}, "/created"),
        ("statusInfo.yaml", STATUS | {"message": None}, "/message"),
        ("jobList.yaml", {"jobs": [{}], "links": []}, "/jobs/0"),
        ("exception.yaml", {"title": "x"}, "/"),
        ("landingPage.yaml", {"links": [{"rel": "self"}]}, "/links/0"),
        ("results.yaml", {"a": {"b": 1}}, "/a"),
    ],
)
def test_what_the_standard_forbids_is_refused_where_it_stands(schema: str, document: object, pointer: str) -> None:
    assert [fault for fault in faults(document, schema) if fault.startswith(pointer)]


def test_an_unknown_schema_is_named() -> None:
    with pytest.raises(KeyError, match=r"nothing\.yaml"):
        validator("nothing.yaml")
