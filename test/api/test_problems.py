"""Errors as problem details."""

import json
import re
from pathlib import Path

import pytest
import structlog
from support import RedisServer

from gristmill.api.problems import failure
from gristmill.errors import BusyError, Fault, GristmillError, RateLimitedError, UnavailableError, pointer_part
from gristmill.job import End, Job, Status


def raises(api, error):
    """Make the application answer GET /raises by raising."""

    @api.app.get("/raises")
    def view():
        raise error

    return api.get("/raises")


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/nothing", 404),
        ("GET", "/jobs/nothing", 404),
        ("PATCH", "/processes", 405),
        ("GET", "/processes?f=x", 400),
        ("get", "/processes", 501),
    ],
)
def test_every_error_is_problem_details(api, method, path, status):
    response = api.client.open(path, method=method)
    assert response.status_code == status
    assert response.mimetype == "application/problem+json"
    assert response.json["status"] == status
    assert response.json["type"].startswith(("urn:gristmill:problem:", "http://www.opengis.net/def/exceptions/"))
    assert response.json["title"]
    assert response.json["detail"]


def test_a_405_says_what_is_allowed(api):
    assert set(api.client.delete("/processes").headers["Allow"].split(", ")) == {"GET", "HEAD", "OPTIONS"}


def test_an_unexpected_error_is_500_with_an_id_that_the_log_has_too_and_no_trace(api):
    with structlog.testing.capture_logs() as logs:
        response = raises(api, ZeroDivisionError("the secret of line 12"))
    assert response.status_code == 500
    number = response.json["instance"].removeprefix("urn:gristmill:error:")
    assert number in response.json["detail"]
    assert [entry["error_id"] for entry in logs] == [number]
    assert isinstance(logs[0]["exc_info"], ZeroDivisionError)
    assert "secret" not in response.text


def test_an_error_of_ours_that_nobody_expected_tells_nothing_of_itself(api):
    with structlog.testing.capture_logs() as logs:
        response = raises(api, GristmillError("the secret of line 12"))
    assert response.status_code == 500
    assert "secret" not in response.text
    assert logs[0]["error_id"] in response.text


@pytest.mark.parametrize("error", [BusyError, RateLimitedError, UnavailableError])
def test_an_error_that_passes_says_when_to_come_back(api, error):
    response = raises(api, error("later", retry_after_seconds=7))
    assert response.status_code == error.status
    assert response.headers["Retry-After"] == "7"


def test_every_fault_is_listed_with_its_pointer(api):
    response = raises(api, BusyError("x", faults=[Fault("/a/0", "is wrong"), Fault("limit", "is too much")]))
    assert response.json["errors"] == [
        {"pointer": "/a/0", "detail": "is wrong"},
        {"pointer": "limit", "detail": "is too much"},
    ]


def test_of_very_many_faults_the_first_hundred_are_listed_and_the_others_counted(api):
    error = BusyError("x", faults=(Fault(f"/a/{number}", "is wrong") for number in range(5000)))
    response = raises(api, BusyError("y", faults=[*error.faults, Fault("/b", "is wrong too")]))
    listed = response.json["errors"]
    assert [fault["pointer"] for fault in listed] == [*(f"/a/{number}" for number in range(100)), ""]
    assert listed[-1]["detail"] == "has 4,901 more faults"


@pytest.mark.parametrize("number", [1, 100, 101])
def test_faults_that_can_be_listed_are_and_again_when_the_error_is_raised_again(number):
    faults = tuple(Fault(f"/a/{number}", "is wrong") for number in range(number))
    assert BusyError("y", faults=BusyError("x", faults=faults).faults).faults == faults


def test_a_pointer_has_the_start_of_a_very_long_name():
    assert pointer_part("a/b~") == "a~1b~0"
    assert pointer_part("x" * 5_000_000) == "x" * 300 + "…"


def test_a_client_that_takes_json_only_gets_problems_as_json(api):
    response = api.get("/nothing", Accept="application/json")
    assert response.mimetype == "application/json"
    assert response.json["status"] == 404


@pytest.mark.parametrize(
    "accept",
    ["", "*/*", "application/*", "application/json, application/problem+json", "text/html,*/*;q=0.8", "image/png"],
)
def test_other_clients_get_them_under_their_own_media_type(api, accept):
    assert api.get("/nothing", Accept=accept).mimetype == "application/problem+json"


def test_redis_away_is_503_with_a_time_to_come_back(make_api, start_server):
    server: RedisServer = start_server("redis")
    api = make_api(redis_url=server.url)
    server.kill()
    response = api.execute(headers={"Prefer": "respond-async"})
    assert response.status_code == 503
    assert response.json["type"] == "urn:gristmill:problem:unavailable"
    assert int(response.headers["Retry-After"]) > 0


@pytest.mark.parametrize("end", list(End))
def test_every_end_of_a_job_has_a_problem_type_of_its_own(end):
    job = Job("1", "p", "o", Status.FAILED, 0, 0, 1, end=end, detail="why")
    assert failure(job)["type"] == f"urn:gristmill:problem:{end.value}"
    assert failure(job)["detail"] == "why"
    assert json.dumps(failure(job))


def test_every_problem_type_stands_in_the_docs():
    page = (Path(__file__).parents[2] / "docs" / "api.md").read_text()
    types = {kind.type for kind in descendants(GristmillError)} | {end.problem_type for end in End}
    internal = {"urn:gristmill:problem:configuration", "urn:gristmill:problem:lost-attempt"}
    fetching = {"urn:gristmill:problem:not-fetched", "urn:gristmill:problem:url-refused"}
    commands = {"urn:gristmill:problem:backup", "urn:gristmill:problem:damaged-backup"}
    for type_ in types - internal - fetching - commands:
        assert re.search(
            rf"`(urn:gristmill:problem:|http://www\.opengis\.net/.*/)?{type_.rpartition(':')[2].rpartition('/')[2]}`",
            page,
        ), type_


def descendants(kind):
    return {one for child in kind.__subclasses__() for one in {child, *descendants(child)}}


def test_a_404_says_where_to_look(api):
    assert "http://localhost/ lead" in api.get("/nothing").json["detail"]
    assert "without the slash" in api.get("/jobs/").json["detail"]


def test_a_405_names_what_is_possible(api):
    assert "DELETE is not possible here, only GET, HEAD, OPTIONS" in api.client.delete("/processes").json["detail"]


@pytest.mark.parametrize(
    ("method", "path", "said"),
    [
        ("POST", "/datasets", "Upload a file with PUT http://localhost/datasets/NAME."),
        ("PUT", "/datasets", "Upload a file with PUT"),
        ("POST", "/datasets/birds", "Upload a file with PUT"),
        ("DELETE", "/datasets/birds/versions/0123", "A version is deleted with its data set alone"),
        ("DELETE", "/datasets", "only GET, HEAD, OPTIONS."),
    ],
)
def test_a_405_says_by_which_way_to_get_there(api, method, path, said):
    refused = api.client.open(path, method=method)
    assert refused.status_code == 405
    assert said in refused.json["detail"]


def test_a_413_names_the_limit_and_its_setting(make_api):
    response = make_api(body_bytes=1000).execute(inputs={"string": "x" * 2000})
    assert response.status_code == 413
    assert "1,000 bytes (GRISTMILL_BODY_BYTES)" in response.json["detail"]


@pytest.mark.parametrize("path", ["/jobs//results", "/jobs//", "/processes//execution"])
def test_an_empty_segment_is_a_404_and_no_redirect(api, path):
    response = api.client.get(path)
    assert response.status_code == 404
    assert response.mimetype == "application/problem+json"
