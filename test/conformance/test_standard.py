"""What OGC API - Processes 1.0 asks and the published suite does not test: links, the job list, dismissal, refusals."""

import httpx
import pytest
from openapi_spec_validator import OpenAPIV30SpecValidator

from conformance.jobs import ASYNCHRONOUS, execute, finished
from conformance.ogc import CONFORMANCE_CLASSES, EXCEPTIONS, RELATIONS, assert_valid

OPENAPI_JSON = "application/vnd.oai.openapi+json;version=3.0"
CLASSES = {"core", "ogc-process-description", "json", "oas30", "job-list", "dismiss", "callback"}


def test_the_conformance_classes_are_those_that_work(api: httpx.Client) -> None:
    claimed = set(api.get("/conformance").json()["conformsTo"])

    assert {f"{CONFORMANCE_CLASSES}{name}" for name in CLASSES} <= claimed
    assert f"{CONFORMANCE_CLASSES}html" not in claimed


def test_the_api_document_is_valid_openapi_3_0_and_linked(api: httpx.Client) -> None:
    links = {link["rel"]: link for link in api.get("/").json()["links"]}
    assert links["service-desc"]["type"] == OPENAPI_JSON

    answer = httpx.get(links["service-desc"]["href"], timeout=30)

    assert answer.headers["content-type"] == OPENAPI_JSON
    document = answer.json()
    assert document["openapi"].startswith("3.0.")
    assert [str(error.message) for error in OpenAPIV30SpecValidator(document).iter_errors()] == []


def test_links_have_a_media_type_and_lead_somewhere(api: httpx.Client) -> None:
    for path in ("/", "/processes", "/processes/echo", "/jobs"):
        for link in api.get(path).json()["links"]:
            assert link["type"], f"{link} of {path}"
            if not link["rel"].endswith("execute"):
                answer = httpx.get(link["href"], headers={"Accept": link["type"]}, timeout=30)
                assert answer.status_code == 200, f"{link} of {path}"
                assert answer.headers["content-type"].partition(";")[0] == link["type"].partition(";")[0]


def test_the_job_list_is_filtered_by_process_status_and_time(api: httpx.Client) -> None:
    before = api.get(execute(api, ASYNCHRONOUS).headers["location"]).json()
    location = finished(api, execute(api, ASYNCHRONOUS))
    job = api.get(location).json()
    asked = {
        "type=process": True,
        "type=other": False,
        "processID=echo": True,
        "processID=summary": False,
        "status=successful": True,
        "status=running,successful": True,
        "status=failed": False,
        f"datetime={job['created']}": True,
        f"datetime={before['created']}/..": True,
        "datetime=../2001-01-01T00:00:00Z": False,
        "maxDuration=600": True,
        "minDuration=600": False,
    }

    for query, is_listed in asked.items():
        answer = api.get(f"/jobs?{query}&limit=1000".replace("+", "%2B"))
        assert answer.status_code == 200, f"{query}: {answer.text}"
        assert_valid(answer.json(), "jobList.yaml")
        assert (job["jobID"] in {listed["jobID"] for listed in answer.json()["jobs"]}) is is_listed, query


def test_a_limited_job_list_goes_on_at_next(api: httpx.Client) -> None:
    for _ in range(3):
        execute(api, ASYNCHRONOUS)

    page = api.get("/jobs?limit=2").json()

    assert len(page["jobs"]) == 2
    [following] = [link["href"] for link in page["links"] if link["rel"] == "next"]
    later = httpx.get(following, timeout=30).json()["jobs"]
    assert later
    assert not {job["jobID"] for job in later} & {job["jobID"] for job in page["jobs"]}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "status=queued", "datetime=yesterday", "minDuration=-1", "maxDuration=x"]
)
def test_a_wrong_query_of_the_job_list_is_a_bad_request(api: httpx.Client, query: str) -> None:
    answer = api.get(f"/jobs?{query}")

    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert_valid(answer.json(), "exception.yaml")


def test_a_dismissed_job_says_so_and_ends(api: httpx.Client) -> None:
    job = execute(api, ASYNCHRONOUS, inputs={"string": "x", "pause": 60}).headers["location"]

    answer = api.delete(job)

    assert answer.status_code == 200
    assert_valid(answer.json(), "statusInfo.yaml")
    assert answer.json()["status"] == "dismissed"
    assert api.get(job).json()["status"] == "dismissed"


def test_results_of_a_failed_job_are_the_problem_that_it_ended_with(api: httpx.Client) -> None:
    table = {"href": f"{api.base_url}/healthz"}
    answer = api.post("/processes/summary/execution", json={"inputs": {"table": table}}, headers=ASYNCHRONOUS)
    assert answer.status_code == 201, answer.text
    location = finished(api, answer)

    results = api.get(f"{location}/results")

    assert 400 <= results.status_code < 600
    assert results.headers["content-type"] == "application/problem+json"
    assert_valid(results.json(), "exception.yaml")
    assert results.json()["type"] not in {"", "about:blank"}


EXECUTION = "/processes/echo/execution"
XML = {"content": b"<a/>", "headers": {"Content-Type": "text/xml"}}
BAD_REQUESTS = {
    "no such path": ("GET", "/nothing", {}, 404),
    "no such process": ("POST", "/processes/nothing/execution", {"json": {}}, 404),
    "no such job": ("DELETE", "/jobs/nothing", {}, 404),
    "wrong method": ("PUT", "/processes", {}, 405),
    "not JSON": ("POST", EXECUTION, {"content": b"{"}, 400),
    "not an object": ("POST", EXECUTION, {"json": [1]}, 400),
    "wrong media type": ("POST", EXECUTION, XML, 415),
    "unknown input": ("POST", EXECUTION, {"json": {"inputs": {"string": "x", "nothing": 1}}}, 400),
    "unknown output": ("POST", EXECUTION, {"json": {"inputs": {"string": "x"}, "outputs": {"nothing": {}}}}, 400),
    "unknown response": ("POST", EXECUTION, {"json": {"inputs": {"string": "x"}, "response": "both"}}, 400),
}
PROBLEM = "application/problem+json"


@pytest.mark.parametrize(("method", "path", "extra", "status"), BAD_REQUESTS.values(), ids=BAD_REQUESTS.keys())
@pytest.mark.parametrize(
    ("accept", "media_type"), [("application/json", "application/json"), ("*/*", PROBLEM), ("text/csv", PROBLEM)]
)
def test_every_refusal_is_a_valid_exception(
    api: httpx.Client, method: str, path: str, extra: dict[str, object], status: int, accept: str, media_type: str
) -> None:
    headers = {"Content-Type": "application/json", "Accept": accept} | extra.get("headers", {})

    answer = api.request(method, path, **extra | {"headers": headers})

    assert (answer.status_code, answer.headers["content-type"]) == (status, media_type), answer.text
    assert_valid(answer.json(), "exception.yaml")
    assert answer.json()["status"] == status


def test_standard_problem_types_are_used_where_there_are_some(api: httpx.Client) -> None:
    assert api.get("/processes/nothing").json()["type"] == f"{EXCEPTIONS}no-such-process"
    assert api.get("/jobs/nothing").json()["type"] == f"{EXCEPTIONS}no-such-job"
    assert api.get("/jobs/nothing/results").json()["type"] == f"{EXCEPTIONS}no-such-job"
    assert {link["rel"] for link in api.get("/processes/echo").json()["links"]} >= {f"{RELATIONS}execute", "self"}
