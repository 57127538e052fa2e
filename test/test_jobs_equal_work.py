"""Equal work: copied, joined, promoted, failed alike; bytes that several jobs share live until the last one goes."""

from collections.abc import Callable

import pytest
from support.lab import DONE, OFFER, Lab, child_of

from gristmill.job import End, Finish, Job, Lost, Made, Status
from gristmill.settings import Settings

LONG = b"z" * 1_500_000


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server))


def succeed(lab: Lab, worker: str) -> str:
    attempt = lab.claim(worker)
    output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", LONG)
    lab.finish(attempt, Finish((output, *DONE.outputs)))
    return attempt.job_id


def read(lab: Lab, job: Job) -> bytes:
    return b"".join(lab.jobs.output_chunks(lab.jobs.get(job.id).outputs[0]))


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 3, 0, 2)])
def test_shared_bytes_live_until_their_last_job_goes(lab: Lab, order: tuple[int, ...]) -> None:
    worker = lab.worker()
    jobs = [lab.submit(equal_work="same"), lab.submit(equal_work="same")]
    succeed(lab, worker)
    jobs += [lab.submit(equal_work="same"), lab.submit(equal_work="same")]
    assert [lab.jobs.get(job.id).same_as for job in jobs] == ["", jobs[0].id, jobs[0].id, jobs[0].id]
    for place, number in enumerate(order):
        lab.check()
        for left in order[place:]:
            assert read(lab, jobs[left]) == LONG
        lab.jobs.delete(jobs[number].id)
    assert not [name for name in lab.stored() if name.startswith((":b:", ":j:"))]
    assert lab.client.hgetall(f"{lab.prefix}:owners") == {}


@pytest.mark.parametrize("is_joined", [True, False])
def test_a_copy_remembers_the_attempt_that_made_its_result(lab: Lab, is_joined: bool) -> None:
    worker = lab.worker()
    first = lab.submit(equal_work="same")
    joined = lab.submit(equal_work="same") if is_joined else None
    succeed(lab, worker)
    copy = lab.jobs.get((joined or lab.submit(equal_work="same")).id)
    source = lab.jobs.get(first.id)
    lab.jobs.delete(first.id)

    assert lab.jobs.get(copy.id).made == Made(
        source.token, source.worker, source.run_release, source.process_version, source.started, source.finished
    )


def test_a_copy_of_a_deleted_original_is_not_made_but_the_work_done_again(lab: Lab) -> None:
    worker = lab.worker()
    first = lab.submit(equal_work="same")
    succeed(lab, worker)
    lab.jobs.delete(first.id)
    assert lab.jobs.submit(lab.new(equal_work="same")).how == "new"
    succeed(lab, worker)
    assert lab.jobs.submit(lab.new(equal_work="same")).how == "copied"
    lab.check()


def test_a_copy_says_so_is_called_back_and_counts_for_its_owner(lab: Lab) -> None:
    worker = lab.worker()
    first = lab.submit(equal_work="same")
    succeed(lab, worker)
    copy = lab.submit(equal_work="same", subscriber={"successUri": "https://example.org/s"})
    assert (copy.status, copy.same_as, copy.attempts) == (Status.SUCCESSFUL, first.id, 0)
    assert [one.job_id for one in lab.jobs.due_call_backs()] == [copy.id]
    lab.check()


@pytest.mark.parametrize("end", [End.EXCEPTION, End.TIMED_OUT, End.OUT_OF_MEMORY, End.OUT_OF_DISK, End.INVALID_INPUTS])
def test_joined_work_fails_alike_where_the_fault_is_its_own(lab: Lab, end: End) -> None:
    worker = lab.worker()
    first, second, third = (lab.submit(equal_work="same") for _ in range(3))
    lab.jobs.settle(child_of(lab.claim(worker)), Lost(end, "as it happened"))
    for job in (second, third):
        found = lab.jobs.get(job.id)
        assert (found.status, found.end, found.detail, found.same_as) == (
            Status.FAILED,
            end,
            "as it happened",
            first.id,
        )
    lab.check()


@pytest.mark.parametrize("end", ["dismissed", "lost", "interrupted"])
def test_joined_work_goes_on_where_the_fault_is_anothers(lab: Lab, end: str) -> None:
    first, second, third = (lab.submit(equal_work="same") for _ in range(3))
    for _ in range({"dismissed": 1, "lost": 3, "interrupted": 5}[end]):
        worker = lab.worker()
        attempt = lab.claim(worker)
        assert attempt.job_id == first.id
        match end:
            case "dismissed":
                lab.jobs.dismiss(first.id)
            case "lost":
                lab.lose(worker)
            case "interrupted":
                lab.jobs.leave(worker)
        lab.check()
    assert lab.jobs.get(first.id).status.is_final
    waiting = [lab.status(job).waiting for job in (second, third)]
    assert sorted(one.reason for one in waiting if one) in (["joined", "next"], ["joined", "no-worker"])
    succeed(lab, lab.worker())
    assert [read(lab, job) for job in (second, third)] == [LONG, LONG]
    lab.check()


def test_dismissing_a_joined_job_leaves_the_others_alone(lab: Lab) -> None:
    worker = lab.worker()
    first, second, third = (lab.submit(equal_work="same") for _ in range(3))
    lab.jobs.dismiss(second.id)
    lab.check()
    assert succeed(lab, worker) == first.id
    assert [lab.jobs.get(job.id).status for job in (second, third)] == [Status.DISMISSED, Status.SUCCESSFUL]
    lab.check()


def test_joined_jobs_follow_through_retries_and_losses(lab: Lab) -> None:
    first, second = (lab.submit(equal_work="same") for _ in range(2))
    worker = lab.worker()
    lab.claim(worker)
    lab.lose(worker)
    worker = lab.worker()
    lab.finish(lab.claim(worker), Finish(end=End.EXCEPTION, detail="no", retry_after=1000))
    lab.check()
    waiting = lab.status(second).waiting
    assert waiting is not None
    assert (waiting.reason, waiting.joined) == ("joined", first.id)
    lab.jobs.dismiss(first.id)
    lab.check()
    assert succeed(lab, worker) == second.id


def test_at_most_a_hundred_join_one_job(lab: Lab) -> None:
    ways = [lab.jobs.submit(lab.new(equal_work="same")).how for _ in range(103)]
    assert ways.count("joined") >= 100
    assert ways[:101] == ["new", *["joined"] * 100]
    lab.check()
    worker = lab.worker()
    while attempt := lab.jobs.claim(lab.child(worker), (OFFER,)):
        lab.finish(attempt)
    lab.check()
