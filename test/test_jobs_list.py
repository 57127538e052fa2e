"""The job list against a naive evaluation of the same filters, page by page."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.lab import DONE, OFFER, US, Lab, child_of

from gristmill.errors import InvalidRequestError
from gristmill.job import End, Finish, Job, JobFilter, Lost, Offer, Status
from gristmill.settings import Settings

OTHER = Offer("other", "face", "v1")
OWNERS = ["ann", "bob", "cy"]
PROCESSES = ["echo", "other"]


@pytest.fixture(scope="module")
def many(backend_url: Callable[[str], str]) -> tuple[Lab, list[Job]]:
    """Sixty jobs of every owner, process and status, newest first."""
    lab = Lab(Settings(redis_url=backend_url("redis"), key_prefix="{list-test}"))
    worker = lab.worker(OFFER, OTHER)
    for number in range(60):
        lab.submit(OWNERS[number % 3], PROCESSES[number % 5 % 2])
        if number % 2:
            attempt = lab.claim(worker, OFFER, OTHER)
            match number % 9:
                case 1 | 3:
                    lab.finish(attempt)
                case 5:
                    lab.finish(attempt, Finish(end=End.EXCEPTION, detail="no"))
                case 7:
                    lab.jobs.dismiss(attempt.job_id)
                case 2:
                    lab.jobs.settle(child_of(attempt), Lost(End.TIMED_OUT, "late"))
    everything = list(lab.jobs.list(JobFilter(), limit=1000).jobs)
    assert len(everything) == 60
    assert {job.status for job in everything} == set(Status)
    return lab, everything


def naive(everything: list[Job], wanted: JobFilter) -> list[str]:
    def fits(job: Job) -> bool:
        seconds = None if job.started is None or job.finished is None else (job.finished - job.started) / US
        return (
            (not wanted.owner or job.owner == wanted.owner)
            and (not wanted.processes or job.process in wanted.processes)
            and (not wanted.statuses or job.status in wanted.statuses)
            and (wanted.created_from is None or job.created >= wanted.created_from)
            and (wanted.created_to is None or job.created <= wanted.created_to)
            and (wanted.min_duration is None or (seconds is not None and seconds >= wanted.min_duration))
            and (wanted.max_duration is None or (seconds is not None and seconds <= wanted.max_duration))
        )

    return [job.id for job in everything if fits(job)]


def pages(lab: Lab, wanted: JobFilter, limit: int) -> list[str]:
    seen: list[str] = []
    cursor = ""
    for _ in range(1000):
        page = lab.jobs.list(wanted, limit=limit, cursor=cursor)
        assert len(page.jobs) <= limit
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if not cursor:
            return seen
    raise AssertionError("the list has no end")


@given(data=st.data())
@settings(max_examples=150, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
def test_any_filters_list_what_a_naive_evaluation_finds(many: tuple[Lab, list[Job]], data: st.DataObject) -> None:
    lab, everything = many
    finished = sorted({(job.finished - job.started) / US for job in everything if job.finished and job.started})
    ended = (Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED, Status.ACCEPTED)
    times = st.none() | st.sampled_from([job.created for job in everything]).flatmap(
        lambda created: st.sampled_from([created - 1, created, created + 1])
    )
    durations = st.none() | st.sampled_from(finished)
    shortest, longest = data.draw(durations), data.draw(durations)
    timed = shortest is not None or longest is not None
    wanted = JobFilter(
        owner=data.draw(st.sampled_from(["", *OWNERS, "nobody"])),
        processes=tuple(data.draw(st.lists(st.sampled_from([*PROCESSES, "none"]), unique=True))),
        # The duration of what still runs grows while the test looks.
        statuses=tuple(
            data.draw(st.lists(st.sampled_from(ended if timed else list(Status)), unique=True, min_size=timed))
        ),
        created_from=data.draw(times),
        created_to=data.draw(times),
        min_duration=shortest,
        max_duration=longest,
    )
    assert pages(lab, wanted, data.draw(st.integers(1, 70))) == naive(everything, wanted)


def test_a_running_job_has_lasted_until_now(many: tuple[Lab, list[Job]]) -> None:
    lab, everything = many
    running = {job.id for job in everything if job.status is Status.RUNNING}
    found = lab.jobs.list(JobFilter(statuses=(Status.RUNNING,), min_duration=0)).jobs
    assert {job.id for job in found} == running
    assert lab.jobs.list(JobFilter(statuses=(Status.RUNNING,), min_duration=86_400)).jobs == ()


def test_a_job_that_never_ran_has_no_duration(many: tuple[Lab, list[Job]]) -> None:
    lab, _ = many
    assert lab.jobs.list(JobFilter(statuses=(Status.ACCEPTED,), min_duration=0)).jobs == ()
    assert lab.jobs.list(JobFilter(statuses=(Status.ACCEPTED,), max_duration=1e9)).jobs == ()


@pytest.mark.parametrize("cursor", ["x", "-1", "+inf", "(5", "1e5", "٣", "²", " 5", "5\n"])
def test_a_cursor_that_no_link_gave_is_a_bad_request(settings: Settings, cursor: str) -> None:
    with pytest.raises(InvalidRequestError):
        Lab(settings).jobs.list(JobFilter(), cursor=cursor)


def test_a_cursor_beyond_every_job_is_no_error(settings: Settings) -> None:
    lab = Lab(settings)
    job = lab.submit()
    assert [one.id for one in lab.jobs.list(JobFilter(), cursor="9" * 300).jobs] == [job.id]
    assert lab.jobs.list(JobFilter(), cursor="0").jobs == ()


def test_pages_stay_the_same_while_jobs_are_added_ended_and_deleted(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server))
    worker = lab.worker()
    made = [lab.submit().id for _ in range(30)]
    seen: list[str] = []
    cursor: Any = ""
    while True:
        page = lab.jobs.list(JobFilter(), limit=7, cursor=cursor)
        seen += [job.id for job in page.jobs]
        cursor = page.next_cursor
        if not cursor:
            break
        lab.submit()
        lab.finish(lab.claim(worker), DONE)
        lab.jobs.dismiss(page.jobs[-1].id)
        lab.jobs.delete(page.jobs[-1].id)
    assert seen == made[::-1]
