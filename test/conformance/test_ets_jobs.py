"""The published suite's tests of jobs, against the running system; each test names the suite's own in its docstring."""

import uuid
from collections.abc import Callable

import httpx
import pytest
from support import wait_until

from conformance.ogc import EXCEPTIONS, RELATIONS, assert_valid
from conformance.suite import ACCEPT_JSON, TEST_STRING, Echo, Json, post, text_parts

Build = Callable[[Echo], Json]

ANY_OUTPUTS = {
    "testJobCreationInputs": Echo.request,
    "testJobCreationDefaultOutputs": lambda echo: {"inputs": echo.request()["inputs"]},
    "testJobCreationInputArray": Echo.with_array,
    "testJobCreationInputInlineBbox": Echo.with_box,
    "testJobCreationInputInlineBinary": Echo.with_binary,
    "testJobCreationInputInlineObject": Echo.with_object,
    "testJobCreationSyncDocument": lambda echo: echo.request(response="document"),
    "testJobCreationSyncRawValueMulti": lambda echo: echo.request(response="raw"),
}


@pytest.mark.parametrize("build", ANY_OUTPUTS.values(), ids=ANY_OUTPUTS.keys())
def test_without_a_preference_execution_is_synchronous(api: httpx.Client, echo: Echo, build: Build) -> None:
    """The suite's testJobCreationDefaultExecutionMode and those named; the others send the same requests."""
    answer = post(api, build(echo))

    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("build", ANY_OUTPUTS.values(), ids=ANY_OUTPUTS.keys())
def test_respond_async_makes_a_job_with_a_valid_status(api: httpx.Client, echo: Echo, build: Build) -> None:
    """The suite's testJobCreationAutoExecutionMode, ...Op, ...Request, ...SuccessAsync, testJobSuccess, testJobResults,
    testJobResultsAsync...: Location leads to the status, also without an Accept header."""
    answer = post(api, build(echo), asynchronous=True)

    assert answer.status_code == 201, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    assert_valid(answer.json(), "statusInfo.yaml")
    for headers in (ACCEPT_JSON, {}):
        status = api.get(answer.headers["location"], headers=headers)
        assert (status.status_code, status.headers["content-type"]) == (200, "application/json")
        assert_valid(status.json(), "statusInfo.yaml")


@pytest.mark.parametrize(
    "with_reference", [False, True], ids=["testJobCreationInputValidation", "testJobCreationInputRef"]
)
def test_several_raw_outputs_come_as_multipart_with_the_text_in_a_text_part(
    api: httpx.Client, echo: Echo, picture_url: str, with_reference: bool
) -> None:
    """The suite's testJobCreationInputRef, and the first half of testJobCreationInputValidation.

    A JSON object would fail here: it fits several members of the suite's oneOf.
    """
    answer = post(api, echo.with_reference(picture_url) if with_reference else echo.request())

    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("multipart/related")
    assert TEST_STRING in text_parts(answer.content)


def test_a_wrong_input_is_a_bad_request(api: httpx.Client, echo: Echo) -> None:
    """The second half of the suite's testJobCreationInputValidation."""
    answer = post(api, echo.with_wrong_input())

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert_valid(answer.json(), "exception.yaml")


def test_a_request_without_the_required_input_is_a_bad_request(api: httpx.Client) -> None:
    """The suite's testJobResultsFailed."""
    answer = post(api, {"invalid-execute-request": "true)"})

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/json")
    assert_valid(answer.json(), "exception.yaml")


def test_one_raw_output_is_the_body_itself(api: httpx.Client, echo: Echo) -> None:
    """The suite's testJobCreationSyncRawValueOne."""
    answer = post(api, echo.one_output())

    assert (answer.status_code, answer.text) == (200, TEST_STRING)


def test_the_status_leads_to_the_result_once_there_is_one(api: httpx.Client, echo: Echo) -> None:
    """The suite's testJobResultsAsyncRawValueOne: by a monitor link while it lasts, then by links to results."""
    answer = post(api, echo.one_output(), asynchronous=True)

    def result_links() -> list[str]:
        status = api.get(answer.headers["location"], headers=ACCEPT_JSON).json()
        links = {link["rel"]: link for link in status["links"]}
        assert "monitor" in links
        return [link["href"] for link in status["links"] if link["rel"] == f"{RELATIONS}results"]

    for href in wait_until(result_links, what="the status has a link to the results"):
        assert TEST_STRING in httpx.get(href, timeout=30).text


def test_results_of_a_running_job_are_not_ready(api: httpx.Client, echo: Echo) -> None:
    """The suite's testJobResultsExceptionResultsNotReady."""
    answer = post(api, echo.with_pause(), asynchronous=True)
    location = answer.headers["location"]

    results = api.get(f"{location}/results", headers=ACCEPT_JSON)

    assert results.status_code == 404
    assert results.json()["type"] == f"{EXCEPTIONS}result-not-ready"
    assert_valid(results.json(), "exception.yaml")
    api.delete(location)


@pytest.mark.parametrize("path", ["", "/results"])
def test_an_unknown_job_is_the_standards_problem(api: httpx.Client, path: str) -> None:
    """The suite's testJobExceptionNoSuchJob, testJobResultsNoSuchJob."""
    answer = api.get(f"/jobs/invalid-job-{uuid.uuid4()}{path}", headers=ACCEPT_JSON)

    assert (answer.status_code, answer.headers["content-type"]) == (404, "application/json")
    assert_valid(answer.json(), "exception.yaml")
    assert answer.json()["type"] == f"{EXCEPTIONS}no-such-job"


def test_a_synchronous_result_links_to_its_job(api: httpx.Client, echo: Echo) -> None:
    """The suite's testJobResultsSync, with the angle brackets that RFC 8288 wants and the suite cannot read."""
    answer = post(api, echo.request())

    assert answer.status_code == 200
    [monitor] = [link for link in answer.headers.get_list("link") if "rel=monitor" in link]
    status = api.get(monitor.split(";")[0].strip("<>"), headers=ACCEPT_JSON)
    assert_valid(status.json(), "statusInfo.yaml")
    assert status.json()["status"] == "successful"
