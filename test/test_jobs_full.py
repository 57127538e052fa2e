"""A full Redis, and what is kept: submissions are refused, everything else goes on, and expiry makes room."""

from collections.abc import Callable, Iterator

import pytest
from support import BACKENDS, RedisServer
from support.lab import OFFER, Lab, child_of

from gristmill.errors import StorageFullError
from gristmill.job import End, Finish, JobFilter, Lost, NewJob, Status, new_id
from gristmill.settings import Settings

LONG = b"x" * 50_000


@pytest.fixture(params=BACKENDS)
def lab(
    request: pytest.FixtureRequest, start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> Iterator[Lab]:
    """An engine on a server of its own."""
    server = start_server(request.param, maxmemory_policy="noeviction")
    made = Lab(make_settings(server.url))
    yield made
    made.client.close()


def fill(lab: Lab) -> None:
    """Make what is stored too much by a third of a megabyte."""
    lab.client.config_set("maxmemory", lab.client.info("memory")["used_memory"] - 300_000)


def make_room(lab: Lab) -> None:
    lab.client.config_set("maxmemory", 0)


def test_a_submission_and_a_long_output_are_refused(lab: Lab) -> None:
    lab.submit()
    attempt = lab.claim(lab.worker())
    fill(lab)
    for inputs in (b"{}", b'"' + LONG + b'"'):
        with pytest.raises(StorageFullError):
            lab.jobs.submit(NewJob(new_id(), "echo", "ann", inputs, "face", "v1"))
    with pytest.raises(StorageFullError):
        lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", LONG)
    lab.finish(attempt, Finish(end=End.RESULT_NOT_STORED, detail="Redis is full."))
    assert lab.status(attempt).end is End.RESULT_NOT_STORED
    assert len(lab.jobs.list(JobFilter()).jobs) == 1
    lab.check()


def test_every_other_call_goes_on(lab: Lab) -> None:
    worker = lab.worker()
    jobs = [lab.submit(subscriber={"successUri": "https://example.org/s"}) for _ in range(9)]
    first = lab.claim(worker)
    lab.beat(worker, held={child_of(first): first.token})
    fill(lab)
    with pytest.raises(StorageFullError):
        lab.submit()
    lab.jobs.progress(first.job_id, first.token, 30, "going on")
    second = lab.finish(first, Finish(log=b"words"), offers=(OFFER,))
    assert second is not None
    assert lab.beat(worker, held={child_of(second): second.token}) == frozenset()
    lab.finish(second, Finish(end=End.EXCEPTION, detail="later", retry_after=1000))
    lab.jobs.settle(child_of(lab.claim(worker)), Lost(End.TIMED_OUT, "late", b"log"))
    lab.jobs.hand_back(child_of(lab.claim(worker)))
    dismissed = lab.claim(worker)
    assert lab.jobs.dismiss(dismissed.job_id).status is Status.DISMISSED
    lab.jobs.delete(dismissed.job_id)
    lab.jobs.pause()
    assert lab.status(jobs[-1]).waiting.reason == "paused"
    lab.jobs.resume()
    assert lab.jobs.wait_and_claim(lab.child(worker), (OFFER,), 1) is not None
    make_room(lab)
    lab.end_lease(worker)
    fill(lab)
    lab.jobs.sweep()
    newcomer = lab.worker()
    lab.claim(newcomer)
    lab.jobs.leave(newcomer)
    for call_back in lab.jobs.due_call_backs():
        lab.jobs.call_back_done(call_back)
    lab.jobs.queues()
    lab.jobs.workers()
    lab.jobs.drop_old_libraries()
    assert len(lab.jobs.list(JobFilter()).jobs) == 8
    lab.check()


def test_expiry_makes_room_again(lab: Lab) -> None:
    worker = lab.worker()
    for _ in range(20):
        lab.submit()
        attempt = lab.claim(worker)
        output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", LONG)
        lab.finish(attempt, Finish((output,), log=b"words"))
    fill(lab)
    with pytest.raises(StorageFullError):
        lab.submit()
    Lab(lab.settings.model_copy(update={"retention_seconds": 0})).jobs.sweep()
    assert lab.jobs.list(JobFilter()).jobs == ()
    lab.submit()
    lab.check()


def test_expiry_takes_old_jobs_in_batches_and_leaves_what_runs_or_is_young(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server))
    worker = lab.worker()
    running = lab.submit("bob")
    lab.claim(worker)
    waiting = lab.submit("zoe", "other")
    for number in range(1200):
        job = lab.submit(f"owner-{number % 5}")
        lab.jobs.dismiss(job.id)
    for _ in range(4):
        left = lab.jobs._library.call("expire", 0)
        lab.check()
    assert not left
    assert {job.id for job in lab.jobs.list(JobFilter()).jobs} == {running.id, waiting.id}
    assert {name for name in lab.stored() if name.startswith((":j:", ":o:", ":p:"))} == {
        f":j:{running.id}", f":j:{waiting.id}", ":o:bob", ":o:zoe", ":p:echo", ":p:other",
    }  # fmt: skip
    young = lab.submit()
    lab.jobs.dismiss(young.id)
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    assert lab.jobs.get(young.id).status is Status.DISMISSED


def test_when_everything_is_deleted_nothing_of_any_job_remains(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(server))
    worker = lab.worker()
    jobs = [lab.submit(f"owner-{number % 3}", queue_seconds=60, priority=number % 4) for number in range(10)]
    for _ in range(4):
        attempt = lab.claim(worker)
        output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", LONG)
        lab.finish(attempt, Finish((output,), log=b"words"))
    lab.finish(lab.claim(worker), Finish(end=End.EXCEPTION, detail="no", retry_after=1000))
    for job in jobs:
        lab.jobs.dismiss(job.id)
        lab.jobs.delete(job.id)
    lab.jobs.leave(worker)
    lasting = {":c", ":s", ":facts", ":factsage", ":stats", ":libs", ":wake:echo@face"}
    assert lab.stored() <= lasting
    assert set(lab.client.hkeys(f"{lab.prefix}:c")) <= {b"v"}
