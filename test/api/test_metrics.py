"""Metrics over HTTP, as Prometheus reads them."""

import re
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.by_hand import WorkerByHand

DOCS = Path(__file__).parents[2] / "docs"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def worker(api) -> WorkerByHand:
    return WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release))


def samples(api) -> dict[tuple[str, ...], float]:
    """Every sample: its name and label values, and its value."""
    answer = api.get("/metrics")
    assert answer.status_code == 200
    return {
        (sample.name, *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_queues_are_told_by_process(api, worker):
    for _ in range(3):
        api.execute(headers=ASYNC)
    worker.claim()
    api.services.jobs.pause("echo")
    told = samples(api)
    assert told["gristmill_jobs_ready", "echo"] == 2
    assert told["gristmill_jobs_running", "echo"] == 1
    assert told["gristmill_oldest_job_seconds", "echo"] > 0
    assert told["gristmill_queue_paused", "echo"] == 1
    assert told["gristmill_process_workers", "echo"] == 1
    assert told["gristmill_jobs_ready", "pair"] == 0


def test_attempts_are_told_by_process_and_end_with_their_durations(api, worker):
    for _ in range(3):
        api.execute(headers=ASYNC)
    worker.succeed()
    worker.succeed()
    worker.fail()
    told = samples(api)
    assert told["gristmill_attempts_total", "successful", "echo"] == 2
    assert told["gristmill_attempts_total", "process-failed", "echo"] == 1
    assert told["gristmill_attempt_seconds_bucket", "+Inf", "echo"] == 3
    assert told["gristmill_attempt_seconds_count", "echo"] == 3
    assert told["gristmill_attempt_seconds_sum", "echo"] > 0


def test_workers_and_children_are_told(api, worker):
    api.execute(headers=ASYNC)
    worker.claim()
    told = samples(api)
    assert told["gristmill_workers",] == 1
    assert told["gristmill_children",] == 1
    assert told["gristmill_children_busy",] == 1


def test_requests_are_counted_by_route_not_by_address(api):
    for job_id in ("a", "b"):
        api.get(f"/jobs/{job_id}")
    api.get("/nowhere")
    told = samples(api)
    assert told["gristmill_requests_total", "GET", "/jobs/<job_id>", "404"] == 2
    assert told["gristmill_requests_total", "GET", "none", "404"] == 1
    assert told["gristmill_request_seconds_count", "/jobs/<job_id>"] == 2


def test_strange_methods_make_no_series_of_their_own(api):
    api.client.open("/jobs", method="BREW")
    assert ("gristmill_requests_total", "other", "none", "405") in samples(api) or (
        "gristmill_requests_total",
        "other",
        "/jobs",
        "405",
    ) in samples(api)


def test_waiting_requests_and_the_release_are_told(api):
    with api.services.places.take("another"):
        told = samples(api)
    assert told["gristmill_waiting_requests",] == 1
    assert told["gristmill_info", api.services.release] == 1


def test_redis_memory_is_told(api):
    told = samples(api)
    assert told["gristmill_redis_up",] == 1
    assert told["gristmill_redis_memory_bytes",] > 0


def test_without_redis_the_metrics_say_so(make_api, start_server):
    server = start_server("redis")
    api = make_api(redis_url=server.url)
    server.kill()
    told = samples(api)
    assert told["gristmill_redis_up",] == 0
    assert ("gristmill_workers",) not in told


def test_two_applications_count_apart(make_api):
    first, second = make_api(), make_api()
    first.get("/version")
    assert ("gristmill_requests_total", "GET", "/version", "200") in samples(first)
    assert ("gristmill_requests_total", "GET", "/version", "200") not in samples(second)


def test_the_docs_list_every_metric(api):
    listed = (DOCS / "http.md").read_text()
    told = re.findall(r"^# TYPE (\w+)", api.get("/metrics").text, re.MULTILINE)
    assert len(told) > 10
    assert [name for name in told if f"`{name}`" not in listed] == []
