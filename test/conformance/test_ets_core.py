"""The published suite's tests of landing page, conformance, process list and descriptions, against the running system.

Each test names the suite's own in its docstring.
"""

import uuid

import httpx
import pytest

from conformance.ogc import CONFORMANCE_CLASSES, EXCEPTIONS, RELATIONS, assert_valid
from conformance.suite import ACCEPT_JSON, Echo

JAVA_ACCEPT = "text/html, image/gif, image/jpeg, *; q=.2, */*; q=.2"


@pytest.mark.parametrize("accept", [JAVA_ACCEPT, "*/*", "application/json"])
def test_the_root_answers_over_http_1_1_whatever_is_accepted(api: httpx.Client, accept: str) -> None:
    """The suite's start, testHttp, landingPageRetrieval."""
    answer = api.get("", headers={"Accept": accept})

    assert (answer.status_code, answer.http_version) == (200, "HTTP/1.1")


def test_the_landing_page_leads_to_everything(api: httpx.Client) -> None:
    """The suite's landingPageValidation."""
    page = api.get("/", headers=ACCEPT_JSON).json()

    assert_valid(page, "landingPage.yaml")
    relations = {link["rel"] for link in page["links"]}
    assert relations & {"service-desc", "service-doc"}
    assert {f"{RELATIONS}conformance", f"{RELATIONS}processes", f"{RELATIONS}job-list"} <= relations


def test_the_core_is_among_the_conformance_classes(api: httpx.Client) -> None:
    """The suite's validateConformanceOperationAndResponse."""
    answer = api.get("/conformance", headers=ACCEPT_JSON)

    assert answer.status_code == 200
    assert_valid(answer.json(), "confClasses.yaml")
    assert f"{CONFORMANCE_CLASSES}core" in answer.json()["conformsTo"]


def test_the_list_of_processes_is_valid(api: httpx.Client) -> None:
    """The suite's testProcessList, testProcessListSuccess."""
    answer = api.get("/processes", headers=ACCEPT_JSON)

    assert answer.status_code == 200
    assert_valid(answer.json(), "processList.yaml")
    assert answer.json()["processes"]


def test_a_limit_of_one_lists_exactly_one_process(api: httpx.Client) -> None:
    """The suite's testPlLimitResponse, testPlLinks."""
    page = api.get("/processes?limit=1", headers=ACCEPT_JSON).json()

    assert len(page["processes"]) == 1
    assert isinstance(page["links"], list)


def test_every_process_has_a_valid_description(api: httpx.Client) -> None:
    """The suite's testProcess, testProcessSuccess, testOGCProcessDescriptionJSON with all processes."""
    for summary in api.get("/processes", headers=ACCEPT_JSON).json()["processes"]:
        answer = api.get(f"/processes/{summary['id']}", headers=ACCEPT_JSON)

        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        assert_valid(answer.json(), "process.yaml")


def test_an_unknown_process_is_the_standards_problem(api: httpx.Client) -> None:
    """The suite's testProcessExceptionNoSuchProcess: as application/json to a client that names only that."""
    answer = api.get(f"/processes/invalid-process-{uuid.uuid4()}", headers=ACCEPT_JSON)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert_valid(answer.json(), "exception.yaml")
    assert answer.json()["type"] == f"{EXCEPTIONS}no-such-process"


def test_echo_describes_inputs_and_outputs_of_mixed_type(echo: Echo) -> None:
    """The suite's testOGCProcessDescription...: InputsDef, InputDef, OutputsDef, OutputDef, and both of MixedType."""
    for side in ("inputs", "outputs"):
        schemas = [given["schema"] for given in echo.description[side].values()]
        assert schemas
        assert any("oneOf" in schema for schema in schemas)


def test_the_job_list_is_valid_and_not_empty(api: httpx.Client, echo: Echo) -> None:
    """The suite's testJobList, testJobListSuccess."""
    api.post("/processes/echo/execution", json=echo.one_output(), headers={"Prefer": "respond-async"})

    answer = api.get("/jobs", headers=ACCEPT_JSON)

    assert answer.status_code == 200
    assert_valid(answer.json(), "jobList.yaml")
    assert answer.json()["jobs"]
