"""What an API process does beside its requests."""

import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import duckdb
import pytest
from support import RedisServer, wait_until
from support.by_hand import WorkerByHand
from support.secured import for_clients

from gristmill.api.services import Services, build_services
from gristmill.background import Background
from gristmill.datasets import rows
from gristmill.datasets.statements import Statement
from gristmill.job import NewJob, Offer, Status, new_id
from gristmill.limits import children_of
from gristmill.settings import Settings

OFFER = Offer("p", "i", "v")


@pytest.fixture
def start(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Services]]:
    """Return a function that builds services on a server and starts their background threads."""
    started: list[tuple[Background, Services]] = []

    def make(url: str, **changes: object) -> Services:
        serving = build_services(make_settings(url, beat_seconds=0.2, lease_seconds=1, **changes), threading.Event())
        started.append((Background(serving).start(), serving))
        return serving

    yield make
    for threads, serving in started:
        threads.stop()
        serving.datasets.close()
        serving.jobs.close()


def submit(serving: Services, **more: object) -> str:
    return serving.jobs.submit(NewJob(new_id(), "p", "alice", b"{}", interface="i", process_version="v", **more)).job.id


def test_the_jobs_of_a_lost_worker_are_given_back_without_any_worker(redis_url, start):
    serving = start(redis_url)
    job_id = submit(serving)
    WorkerByHand(serving.jobs, [OFFER]).claim()
    wait_until(lambda: serving.jobs.get(job_id).status is Status.ACCEPTED)


def test_redis_is_looked_at_before_anybody_asks(redis_url, start):
    serving = start(redis_url)
    wait_until(lambda: serving.readiness.reached)


def test_the_process_that_reads_uploads_is_there_before_the_first_one_and_again_when_it_has_died(
    redis_url, start, monkeypatch
):
    monkeypatch.setattr("gristmill.background.PREPARE_SECONDS", 0.2)
    others = set(children_of(os.getpid()))
    start(redis_url)
    wait_until(lambda: set(children_of(os.getpid())) - others)
    (first,) = set(children_of(os.getpid())) - others
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: set(children_of(os.getpid())) - others - {first})


def test_call_backs_are_sent(redis_url, start):
    serving = start(redis_url)
    worker = WorkerByHand(serving.jobs, [OFFER])
    submit(serving, subscriber={"successUri": "http://127.0.0.1:1/"})
    worker.succeed()
    key = f"{serving.jobs.prefix}:cb"
    wait_until(lambda: serving.jobs.client.zcard(key) == 0)  # refused: a private address


def test_the_threads_go_on_after_redis_was_away(own_server: RedisServer, start):
    serving = start(own_server.url)
    wait_until(lambda: serving.readiness.reached)
    own_server.kill()
    own_server.start()
    job_id = submit(serving)
    WorkerByHand(serving.jobs, [OFFER]).claim()
    wait_until(lambda: serving.jobs.get(job_id).status is Status.ACCEPTED, 60)


def test_a_failing_task_is_logged_and_tried_again(redis_url, start, monkeypatch):
    calls = []

    def fail(self: object) -> None:
        calls.append(1)
        raise RuntimeError("no luck")

    monkeypatch.setattr("gristmill.jobs.Jobs.sweep", fail)
    start(redis_url)
    wait_until(lambda: len(calls) >= 2)


def test_stopped_threads_are_gone(settings):
    serving = build_services(settings, threading.Event())
    before = threading.active_count()
    threads = Background(serving).start()
    assert threading.active_count() > before
    threads.stop()
    serving.datasets.close()
    assert threading.active_count() == before
    serving.jobs.close()


@pytest.mark.slow
def test_the_log_says_once_for_each_reason_why_redis_cannot_be_used(start_secured, mount, redis_files, start, capsys):
    server = start_secured(redis_files)
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})

    def said(words: str) -> int:
        seen.append(capsys.readouterr().out)
        return "".join(seen).count(words)

    seen: list[str] = []
    serving = start(server.url, secrets_folder=mount.secrets_folder)
    wait_until(lambda: said("does not let in the user 'gristmill'"))
    mount.put({"ca.crt": redis_files["ca.crt"]})
    wait_until(lambda: said("wants a user and a password"), 20)
    mount.put(for_clients(redis_files))
    wait_until(lambda: serving.readiness.reached, 20)
    assert said("does not let in the user 'gristmill'") <= 5  # tasks


def test_a_query_that_runs_on_for_several_looks_after_it_was_stopped_ends_the_process_once(
    redis_url, start, monkeypatch
):
    monkeypatch.setattr("gristmill.background.LOOK_SECONDS", 0.05)
    look, seen, told = rows.look_for_stuck, [], []
    monkeypatch.setattr(rows, "look_for_stuck", lambda: seen.append(look()) or seen[-1])
    before = signal.signal(signal.SIGTERM, lambda *_: told.append(seen[-1]))
    text, pattern = "a" * 5_000_000, f"%{'a' * 100}b%"
    blind = Statement(r"SELECT ? LIKE ? ESCAPE '\'", (text, pattern), ("b",), ("BOOLEAN",))  # no look at interrupts
    try:
        start(redis_url)
        with duckdb.connect() as connection, ThreadPoolExecutor(1) as pool:
            ended = pool.submit(rows.fetched, connection, blind, seconds=0.1)
            wait_until(lambda: seen and seen[-1] > 8)
            assert not ended.done()
            ended.exception()
        assert told in ([6], [7])
        assert rows.look_for_stuck() == 0
    finally:
        signal.signal(signal.SIGTERM, before)
