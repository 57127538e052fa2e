"""What a run has made is removed, also what it was never told of, and what cannot be is named with the reason."""

from collections.abc import Callable

import httpx
import pytest
from support.acceptance import Api, named, result_of, run
from support.meddler import Asked, Meddler, Reply

from gristmill.verify.answers import Answer
from gristmill.verify.check import Outcome
from gristmill.verify.made import Made, job_of

Apis = Callable[..., Api]
MONITOR = '<http://x/mill/jobs/1m8g?f=json>; rel=monitor; type="application/json"'


@pytest.mark.parametrize(
    ("status", "headers", "body", "job"),
    [
        (201, {"Location": "https://data.example.org/mill/jobs/1m8g"}, b"", "1m8g"),
        (200, {"Link": MONITOR}, b"", "1m8g"),
        (201, {}, b'{"jobID": "1m8g"}', "1m8g"),
        (201, {}, b"[]", ""),
        (200, {}, b'{"jobID": "1m8g"}', ""),
        (400, {}, b"", ""),
    ],
)
def test_an_answer_names_its_job_in_a_header_or_its_status(status, headers, body, job) -> None:
    assert job_of(Answer("POST /x", status, httpx.Headers(headers), body, 0)) == job


@pytest.mark.parametrize(("status", "lost"), [(201, 1), (200, 1), (500, 1), (422, 0), (503, 1)])
def test_a_job_may_be_lost_unless_its_answer_names_it_or_refuses_it(status: int, lost: int) -> None:
    made = Made()
    made.expect_job()
    made.learn(Answer("POST /x", status, httpx.Headers(), b"", 0))
    assert made.lost == lost
    assert made.is_empty == (not lost)


def test_a_job_whose_answer_was_lost_is_found_by_its_inputs_and_removed(apis: Apis) -> None:
    api = apis()
    lost: list[bytes] = []

    def answer(asked: Asked, reply: Reply) -> None:
        if asked.path.endswith("/execution") and reply.status == 201:
            lost.append(reply.body)
            raise OSError

    with Meddler(api.url, answer=answer) as losing:
        report = run(losing.url, "jobs.accepted")
    assert lost
    assert "disconnected" in result_of(report, "jobs.accepted").came
    assert named(report, Outcome.PASSED)["end.cleaned"] == "1 jobs, 0 data sets"
    assert api.left() == []


def test_a_request_that_never_arrived_leaves_a_warning_that_something_may_be_there(apis: Apis) -> None:
    def ask(asked: Asked) -> None:
        if asked.path.endswith("/execution"):
            raise OSError

    with Meddler(apis().url, ask=ask) as losing:
        report = run(losing.url, "jobs.accepted")
    assert "no such job was found" in named(report, Outcome.WARNED)["end.cleaned"]


@pytest.mark.parametrize("status", [403, 500])
def test_what_cannot_be_deleted_is_named_with_the_reason(apis: Apis, status: int) -> None:
    api = apis()

    def ask(asked: Asked) -> Reply | None:
        return Reply(status, body=b"not today") if asked.method == "DELETE" and "verify-no" not in asked.path else None

    with Meddler(api.url, ask=ask) as keeping:
        report = run(keeping.url, "jobs.accepted", "data.uploaded")
    left = api.left()
    assert len(left) == 2
    assert len(report.left) == 2
    for name in left:
        assert any(name in one and "not today" in one for one in report.left)
    assert result_of(report, "end.cleaned").outcome is Outcome.FAILED
    assert report.exit_code == 1
