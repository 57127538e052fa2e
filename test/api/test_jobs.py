"""Jobs over HTTP: list, status, dismissal."""

import re
import threading
import time

import pytest
from support import wait_until
from support.by_hand import WorkerByHand

from gristmill.job import End, JobFilter, NewJob, Status, new_id

ASYNC = {"Prefer": "respond-async"}
RFC3339 = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z")
RESULTS = "http://www.opengis.net/def/rel/ogc/1.0/results"
EXCEPTIONS = "http://www.opengis.net/def/rel/ogc/1.0/exceptions"


@pytest.fixture
def worker(api) -> WorkerByHand:
    return WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release))


def submitted(api, process: str = "echo", **inputs: object) -> str:
    made = api.execute(process, headers=ASYNC, **({"inputs": inputs} if inputs else {}))
    assert made.status_code == 201, made.text
    return made.json["jobID"]


def rels(status: dict) -> set[str]:
    return {link["rel"] for link in status["links"]}


# One job's status


def test_an_accepted_job_says_why_it_waits(api):
    job_id = submitted(api)
    told = api.get(f"/jobs/{job_id}").json
    assert told["status"] == "accepted"
    assert told["type"] == "process"
    assert told["message"] == "Waiting: no worker that can run echo is there now."
    assert RFC3339.fullmatch(told["created"])
    assert "started" not in told
    assert {"self", "monitor", "events", "cancel"} <= rels(told)


def test_a_job_behind_others_tells_how_many(api, worker):
    ids = [submitted(api) for _ in range(3)]
    messages = [api.get(f"/jobs/{job_id}").json["message"] for job_id in ids]
    assert messages[0].startswith("The next to run")
    assert "One job is ahead." in messages[1]
    assert "2 jobs are ahead." in messages[2]


def test_a_paused_queue_is_said(api, worker):
    api.services.jobs.pause("echo")
    assert "paused" in api.get(f"/jobs/{submitted(api)}").json["message"]


def test_a_running_job_tells_its_progress(api, worker):
    job_id = submitted(api)
    attempt = worker.claim()
    api.services.jobs.progress(job_id, attempt.token, 40, "halfway there")
    told = api.get(f"/jobs/{job_id}").json
    assert (told["status"], told["progress"], told["message"]) == ("running", 40, "halfway there")
    assert RFC3339.fullmatch(told["started"])


def test_a_successful_job_links_to_its_result(api, worker):
    job_id = submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    told = api.get(f"/jobs/{job_id}").json
    assert (told["status"], told["progress"]) == ("successful", 100)
    assert RFC3339.fullmatch(told["finished"])
    [link] = [link for link in told["links"] if link["rel"] == RESULTS]
    assert link["href"] == f"http://localhost/jobs/{job_id}/results"
    assert "cancel" not in rels(told)


@pytest.mark.parametrize("end", list(End))
def test_a_failed_job_carries_the_problem_that_ended_it(api, worker, end):
    job_id = submitted(api)
    worker.fail(end, "the reason")
    told = api.get(f"/jobs/{job_id}").json
    assert told["status"] == "failed"
    assert told["message"] == "the reason"
    assert told["problem"]["type"] == end.problem_type
    assert told["problem"]["title"]
    assert told["problem"]["detail"] == "the reason"
    assert EXCEPTIONS in rels(told)


def test_a_result_from_an_earlier_job_is_said(api, worker):
    first = submitted(api, "doubled", number=2)
    worker.succeed(("result", "application/json", b"4"))
    again = api.execute("doubled", inputs={"number": 2}, headers=ASYNC).json
    assert again["status"] == "successful"
    assert first in again["message"]


def test_an_unknown_job_is_404_with_the_standards_problem_type(api):
    refused = api.get("/jobs/nope")
    assert refused.status_code == 404
    assert refused.json["type"].endswith("/no-such-job")


@pytest.mark.parametrize("job_id", ["%00", "%F0%9F%98%80", "a%20b", "..", "x" * 500, "%ff"])
def test_any_job_id_is_answered(api, job_id):
    assert api.get(f"/jobs/{job_id}").status_code == 404


# Conditional requests


def test_an_unchanged_status_is_304(api, worker):
    job_id = submitted(api)
    worker.claim()
    etag = api.get(f"/jobs/{job_id}").headers["ETag"]
    same = api.get(f"/jobs/{job_id}", If_None_Match=etag)
    assert (same.status_code, same.data) == (304, b"")


def test_a_changed_status_has_another_etag(api, worker):
    job_id = submitted(api)
    etag = api.get(f"/jobs/{job_id}").headers["ETag"]
    worker.claim()
    assert api.get(f"/jobs/{job_id}", If_None_Match=etag).status_code == 200


def test_another_reason_to_wait_is_another_status(api, worker):
    job_id = submitted(api)
    etag = api.get(f"/jobs/{job_id}").headers["ETag"]
    api.services.jobs.pause("echo")
    assert api.get(f"/jobs/{job_id}", If_None_Match=etag).status_code == 200


def test_head_and_options_are_answered(api):
    job_id = submitted(api)
    head = api.client.head(f"/jobs/{job_id}")
    assert (head.status_code, head.data) == (200, b"")
    assert int(head.headers["Content-Length"]) > 0
    assert {"GET", "HEAD", "DELETE"} <= set(api.client.options(f"/jobs/{job_id}").headers["Allow"].split(", "))


@pytest.mark.parametrize("path", ["/jobs", "/jobs/x/results", "/jobs/x/events", "/jobs/x/prov", "/healthz"])
def test_other_methods_are_405(api, path):
    assert api.client.post(path).status_code == 405


# Prefer: wait


def test_a_wait_ends_when_the_job_ends(api, worker):
    job_id = submitted(api)
    finisher = threading.Timer(0.3, lambda: worker.succeed(("string", "text/plain", b"x")))
    finisher.start()
    began = time.monotonic()
    told = api.get(f"/jobs/{job_id}", Prefer="wait=20")
    assert told.json["status"] == "successful"
    assert told.headers["Preference-Applied"] == "wait=20"
    assert time.monotonic() - began < 10
    finisher.join()
    assert api.services.places.taken == 0


def test_a_wait_ends_at_its_time(api):
    job_id = submitted(api)
    began = time.monotonic()
    assert api.get(f"/jobs/{job_id}", Prefer="wait=1").json["status"] == "accepted"
    assert 1 <= time.monotonic() - began < 10


def test_no_wait_is_longer_than_the_setting(make_api):
    api = make_api(wait_seconds=0.2)
    began = time.monotonic()
    api.get(f"/jobs/{submitted(api)}", Prefer="wait=1000")
    assert time.monotonic() - began < 10


def test_a_draining_server_ends_waits(api):
    job_id = submitted(api)
    api.services.draining.set()
    began = time.monotonic()
    assert api.get(f"/jobs/{job_id}", Prefer="wait=30").status_code == 200
    assert time.monotonic() - began < 10


def test_above_the_cap_a_wait_is_503(make_api):
    api = make_api(waiting_requests=1)
    job_id = submitted(api)
    with api.services.places.take("another"):
        refused = api.get(f"/jobs/{job_id}", Prefer="wait=5")
        assert refused.status_code == 503
        assert int(refused.headers["Retry-After"]) > 0
        assert api.get(f"/jobs/{job_id}").status_code == 200


# Dismissal


def test_a_waiting_job_is_dismissed(api, worker):
    job_id = submitted(api)
    answer = api.client.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json["status"]) == (200, "dismissed")
    assert api.get(f"/jobs/{job_id}").json["status"] == "dismissed"
    assert api.services.jobs.claim(worker.child, worker.offers) is None


def test_a_running_job_is_dismissed_and_its_worker_told(api, worker):
    job_id = submitted(api)
    attempt = worker.claim()
    with api.services.jobs.client.pubsub(ignore_subscribe_messages=False) as told:
        told.subscribe(api.services.jobs.control_channel(worker.id))
        told.get_message(timeout=5)
        assert api.client.delete(f"/jobs/{job_id}").json["status"] == "dismissed"
        assert told.get_message(timeout=10)["data"] == attempt.token.encode()


def test_a_finished_job_is_deleted_with_its_result(api, worker):
    job_id = submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    answer = api.client.delete(f"/jobs/{job_id}")
    assert (answer.status_code, answer.json["status"]) == (200, "dismissed")
    assert answer.json["message"] == "The job and its result have been deleted."
    assert api.get(f"/jobs/{job_id}").status_code == 404
    assert api.get(f"/jobs/{job_id}/results").status_code == 404
    assert api.client.delete(f"/jobs/{job_id}").status_code == 404


# The list


def test_the_list_shows_the_newest_first(api):
    ids = [submitted(api) for _ in range(3)]
    listed = api.get("/jobs").json
    assert [job["jobID"] for job in listed["jobs"]] == ids[::-1]
    assert {link["rel"] for link in listed["links"]} == {"self"}


def test_next_links_lead_through_all_jobs_once(api):
    ids = [submitted(api) for _ in range(7)]
    found, url = [], "/jobs?limit=3"
    while url:
        page = api.get(url)
        found += [job["jobID"] for job in page.json["jobs"]]
        following = [link["href"] for link in page.json["links"] if link["rel"] == "next"]
        assert bool(following) == ("Link" in page.headers)
        url = following[0].removeprefix("http://localhost") if following else ""
    assert found == ids[::-1]


def test_the_list_filters_by_status_and_process(api, worker):
    echo = submitted(api)
    worker.fail()
    pair = submitted(api, "pair", number=1)
    assert [job["jobID"] for job in api.get("/jobs?status=failed").json["jobs"]] == [echo]
    assert [job["jobID"] for job in api.get("/jobs?processID=pair").json["jobs"]] == [pair]
    assert [job["jobID"] for job in api.get("/jobs?processID=pair,echo&status=accepted").json["jobs"]] == [pair]
    assert api.get("/jobs?type=other").json["jobs"] == []


def test_the_list_filters_by_time(api):
    first = submitted(api)
    created = api.services.jobs.get(first).created
    wait_until(lambda: time.time() * 1_000_000 > created + 5000)
    second = submitted(api)
    between = api.get(f"/jobs/{first}").json["created"]
    assert [job["jobID"] for job in api.get(f"/jobs?datetime=../{between}").json["jobs"]] == [first]
    assert second in [job["jobID"] for job in api.get(f"/jobs?datetime={between}/..").json["jobs"]]
    assert api.get("/jobs?datetime=../2020-01-01").json["jobs"] == []


def test_the_list_filters_by_duration(api, worker):
    job_id = submitted(api)
    worker.succeed()
    submitted(api)
    assert [job["jobID"] for job in api.get("/jobs?maxDuration=1000").json["jobs"]] == [job_id]
    assert api.get("/jobs?minDuration=1000").json["jobs"] == []


@pytest.mark.parametrize(
    "query", ["status=x", "limit=0", "limit=x", "cursor=x", "datetime=x", "minDuration=x", "f=xml"]
)
def test_a_wrong_filter_is_400_and_named(api, query):
    refused = api.get(f"/jobs?{query}")
    assert refused.status_code == 400
    assert refused.json["errors"][0]["pointer"] == query.partition("=")[0]


def test_a_job_of_a_process_that_is_gone_is_still_listed(api):
    job = NewJob(new_id(), "gone", "127.0.0.1", b"{}", interface="i", process_version="v")
    api.services.jobs.submit(job)
    assert api.services.jobs.list(JobFilter(statuses=(Status.ACCEPTED,))).jobs
    assert api.get("/jobs").json["jobs"][0]["processID"] == "gone"


@pytest.mark.parametrize("query", ["state=failed", "processid=sql", "status=failed&page=2"])
def test_a_parameter_that_the_list_does_not_have_is_refused_with_those_it_has(api, query):
    refused = api.client.get(f"/jobs?{query}")
    assert refused.status_code == 400
    assert refused.json["errors"][0]["pointer"] == query.rpartition("&")[2].partition("=")[0]
    assert "only type, processID, status" in refused.json["detail"]


@pytest.mark.parametrize("path", ["", "/results", "/prov"])
def test_a_parameter_that_a_job_does_not_have_is_refused(api, path):
    refused = api.get(f"/jobs/{submitted(api)}{path}?wait=10")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (400, "wait")


def test_a_deletion_with_a_parameter_that_it_does_not_have_deletes_nothing(api):
    job_id = submitted(api)
    assert api.client.delete(f"/jobs/{job_id}?output=plot").status_code == 400
    assert api.get(f"/jobs/{job_id}").json["status"] == "accepted"
