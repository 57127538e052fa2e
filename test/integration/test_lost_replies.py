"""The engine over a bad network and a bad server: lost replies, black holes, a stalled server, a killed one.

Redis' client repeats a call whose reply it did not get, so every function must be safe to repeat.
"""

import re
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from functools import partial
from itertools import count
from typing import Any

import pytest
from support import BACKENDS, RedisServer, wait_until
from support.backups import copied, restored
from support.lab import DONE, OFFER, Lab, child_of
from support.proxy import LossyProxy

from gristmill.backup.restoring import Restorer
from gristmill.errors import LostAttemptError, NoSuchJobError, UnavailableError
from gristmill.job import Attempt, End, Finish, Idempotency, JobFilter, Lost, Status
from gristmill.library import ENGINE
from gristmill.settings import Settings

HASH = ENGINE.hash
FUNCTIONS = re.findall(r"^entry\('(\w+)'", ENGINE.code, re.MULTILINE)
FAILED = Finish(end=End.EXCEPTION, detail="no luck")
LATER = Finish(end=End.EXCEPTION, detail="later", retry_after=1000)


@pytest.fixture
def proxy(server: str) -> Iterator[LossyProxy]:
    with LossyProxy(int(server.rpartition(":")[2].partition("/")[0])) as made:
        yield made


def life(lab: Lab) -> list[Any]:
    """A life with every function of the engine in it; returns what is to be the same however often calls are sent."""
    jobs, told = lab.jobs, []
    worker = lab.worker()
    key = Idempotency("ann POST /x", "key", "body")
    first = jobs.submit(lab.new(), idempotency=key)
    again = jobs.submit(lab.new(), idempotency=key)
    assert again.job.id == first.job.id
    names = [first.job.id] + [lab.submit(subscriber={"successUri": "https://example.org/s"}).id for _ in range(6)]
    told.append([jobs.status(name).waiting for name in names])

    attempt = jobs.wait_and_claim(lab.child(worker), (OFFER,), 1)
    assert attempt is not None
    jobs.progress(attempt.job_id, attempt.token, 40, "half way")
    output = jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", b"x" * 5000)
    following = lab.finish(attempt, Finish((output,)), offers=(OFFER,))
    assert following is not None
    assert following.job_id == names[1]
    last = lab.finish(following, DONE, offers=(OFFER,))
    assert last is not None
    assert jobs.settle(child_of(last), Lost(End.CRASHED, "signal 11")) in {last.job_id, ""}
    handed = lab.claim(worker)
    assert handed.job_id == last.job_id
    assert jobs.hand_back(child_of(handed)) in {handed.job_id, ""}
    lab.finish(lab.claim(worker), LATER)
    lab.finish(lab.claim(worker), FAILED)
    dismissed = lab.claim(worker)
    jobs.dismiss(dismissed.job_id)
    assert lab.beat(worker, held={child_of(dismissed): dismissed.token}) == {dismissed.token}
    lab.claim(worker)

    jobs.pause("echo")
    told.append(jobs.status(names[6]).waiting)
    told.append([(queue.process, queue.ready, queue.running, queue.delayed, queue.paused) for queue in jobs.queues()])
    jobs.resume("echo")
    told.append([(one.id == worker, one.running) for one in jobs.workers()])
    lab.client.zadd(f"{lab.prefix}:delayed", {names[2]: 1})
    lab.swept_ago(lab.settings.beat_seconds)
    jobs.sweep()
    jobs.leave(worker)
    for _ in range(2):  # what nobody answered for is due again after a minute
        for event in lab.client.zrange(f"{lab.prefix}:cb", 0, -1):
            lab.client.zadd(f"{lab.prefix}:cb", {event: 1})
        for call_back in jobs.due_call_backs():
            jobs.call_back_done(call_back)
    assert jobs.due_call_backs() == ()
    told.append(len(jobs.signing_secret("ann")))
    with suppress(NoSuchJobError):  # a delete sent again finds that it is done
        jobs.delete(names[0])
    with pytest.raises(NoSuchJobError):
        jobs.get(names[0])

    page = jobs.list(JobFilter())
    told.append(
        [
            (names.index(job.id), job.status, job.end, job.detail, job.attempts, job.retries, job.losses)
            for job in page.jobs
        ]
    )
    ends: Counter[str] = Counter()
    for (_, end, bucket), number in jobs.attempt_counts().items():
        ends[end] += number if bucket else 0
    told.append(ends)
    told.append([(job.crashes, job.hand_backs, len(job.outputs)) for job in page.jobs])
    lab.check()
    is_the_same_when_restored(lab)
    return told


def is_the_same_when_restored(lab: Lab) -> None:
    """Back up, delete and restore all jobs, one of which has a call-back to be delivered."""
    lab.submit(subscriber={"successUri": "https://example.org/s"})
    attempt: Attempt | None = lab.claim(lab.worker())
    while attempt:
        attempt = lab.finish(attempt, Finish(log=b"what it printed " * 200), offers=(OFFER,))
    before = lab.jobs.list(JobFilter()).jobs
    data = copied(lab.client, lab.settings)
    lab.client.set(f"{lab.prefix}:r:another:l:x", "left by a restore that was killed", ex=60)
    with closing(Restorer(lab.client, lab.settings)) as restorer, restorer.taken():
        restorer.clear()
    assert lab.jobs.list(JobFilter()).jobs == ()
    restored(data, lab.settings)
    lab.check()
    assert lab.jobs.list(JobFilter()).jobs == before


@pytest.fixture(scope="module")
def undisturbed(
    backend_url: Callable[[str], str], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], list[Any]]:
    """What the life tells when no reply is lost, by URL."""
    known: dict[str, list[Any]] = {}

    def tell(url: str) -> list[Any]:
        if url not in known:
            known[url] = life(Lab(Settings(redis_url=url, key_prefix=f"{{undisturbed-{time.time_ns()}}}")))
        return known[url]

    return tell


@pytest.mark.parametrize("function", [*(f"{name}_{HASH}" for name in FUNCTIONS), "BLPOP", "HSETNX", "\r\nSET\r\n"])
def test_a_call_whose_reply_is_lost_may_be_sent_again(
    function: str,
    server: str,
    proxy: LossyProxy,
    make_settings: Callable[..., Settings],
    undisturbed: Callable[[str], list[Any]],
) -> None:
    lab = Lab(make_settings(proxy.url))
    proxy.swallow(function.encode())
    told = life(lab)
    assert proxy.lost == [function.encode()], "the life does not call it"
    assert told == undisturbed(server)


@pytest.mark.parametrize("function", ["submit", "claim", "finish", "beat", "settle", "dismiss"])
def test_a_call_that_never_arrived_is_sent_again(
    function: str,
    server: str,
    proxy: LossyProxy,
    make_settings: Callable[..., Settings],
    undisturbed: Callable[[str], list[Any]],
) -> None:
    proxy.refuse(f"{function}_{HASH}".encode())
    assert life(Lab(make_settings(proxy.url))) == undisturbed(server)
    assert proxy.lost


def test_every_reply_of_a_submission_lost_is_an_error_and_at_most_one_job(
    server: str, proxy: LossyProxy, make_settings: Callable[..., Settings]
) -> None:
    """The caller was told nothing; when it asks again with the same id, there is one job."""
    lab, near = Lab(make_settings(proxy.url)), Lab(make_settings(server))
    lab.submit("bob")
    new = lab.new()
    done = threading.Event()

    def lose_all() -> None:
        while not done.is_set():
            proxy.swallow(f"submit_{HASH}".encode())
            time.sleep(0.001)

    thread = threading.Thread(target=lose_all)
    thread.start()
    try:
        with pytest.raises(UnavailableError) as error:
            lab.jobs.submit(new)
    finally:
        done.set()
        thread.join()
        proxy.swallow(b"")
    assert error.value.retry_after_seconds
    assert lab.jobs.submit(new).job.id == new.id
    assert len(near.jobs.list(JobFilter(owner="ann")).jobs) == 1
    near.check()


@pytest.mark.slow
def test_a_black_hole_is_an_error_within_seconds_and_passes_by_itself(
    proxy: LossyProxy, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(proxy.url))
    worker = lab.worker()
    lab.submit()
    attempt = lab.claim(worker)
    proxy.black_hole.set()
    ends: list[tuple[type[BaseException], float]] = []

    def call(work: Callable[[], object]) -> None:
        started = time.monotonic()
        try:
            work()
        except Exception as error:
            ends.append((type(error), time.monotonic() - started))

    calls = (lab.submit, lambda: lab.finish(attempt), lambda: lab.jobs.get(attempt.job_id))
    threads = [threading.Thread(target=call, args=(work,)) for work in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert [error for error, _ in ends] == [UnavailableError] * 3
    assert max(seconds for _, seconds in ends) < 15
    proxy.black_hole.clear()
    lab.finish(attempt)
    assert lab.status(attempt).status is Status.SUCCESSFUL


def test_a_waiting_child_outlives_cut_connections(
    proxy: LossyProxy, server: str, make_settings: Callable[..., Settings]
) -> None:
    lab, near = Lab(make_settings(proxy.url)), Lab(make_settings(server))
    child = lab.child(lab.worker())
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(lab.jobs.wait_and_claim(child, (OFFER,), 2)))
    thread.start()
    wait_until(lambda: near.client.info("clients")["blocked_clients"] or found, 10, "the child waits")
    proxy.cut_all()
    job = near.submit()
    thread.join(20)
    assert [attempt.job_id for attempt in found] == [job.id]


@pytest.mark.slow
def test_a_stalled_server_is_an_error_within_seconds_and_loses_nothing(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    worker = lab.worker()
    accepted = [lab.submit().id for _ in range(3)]
    attempt = lab.claim(worker)
    own_server.pause()
    try:
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            lab.finish(attempt)
        assert time.monotonic() - started < 12
    finally:
        own_server.resume()
    lab.finish(attempt)
    lab.check()
    assert [job.id for job in lab.jobs.list(JobFilter()).jobs] == accepted[::-1]
    assert lab.status(attempt).status is Status.SUCCESSFUL
    lab.jobs.sweep()
    assert [one.id for one in lab.jobs.workers()] == [worker]


@pytest.mark.parametrize("backend", BACKENDS)
def test_nothing_acknowledged_is_lost_when_the_server_is_killed(
    backend: str, start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> None:
    server = start_server(backend, appendfsync="always")
    settings = make_settings(server.url)
    accepted: list[str] = []
    finished: list[str] = []
    dismissed: list[str] = []
    done = threading.Event()

    def until_told(call: Callable[[], Any]) -> Any:
        while True:
            try:
                return call()
            except UnavailableError:
                time.sleep(0.05)

    def submit(lab: Lab) -> None:
        for number in count():
            if done.is_set():
                return
            new = lab.new(f"owner-{number % 3}")
            until_told(lambda new=new: lab.jobs.submit(new))
            accepted.append(new.id)
            if number % 10 == 9:
                until_told(lambda new=new: lab.jobs.dismiss(new.id))
                dismissed.append(new.id)

    def work(lab: Lab, child: str) -> None:
        attempt = None
        while attempt or not done.is_set():
            if attempt is None:
                attempt = until_told(lambda: lab.jobs.wait_and_claim(child, (OFFER,), 0.5))
                continue
            offers = () if done.is_set() else (OFFER,)
            ended = attempt
            finish = partial(lab.jobs.finish, ended.job_id, ended.token, DONE, child=child, offers=offers)
            try:
                attempt = until_told(finish)
            except LostAttemptError:
                attempt = None
                continue
            finished.append(ended.job_id)

    labs = [Lab(settings) for _ in range(4)]
    worker = labs[0].worker()
    threads = [threading.Thread(target=submit, args=(lab,)) for lab in labs[:2]]
    threads += [threading.Thread(target=work, args=(lab, labs[0].child(worker))) for lab in labs[2:]]
    for thread in threads:
        thread.start()
    for so_many in (20, 60):
        wait_until(lambda n=so_many: len(finished) >= n, 60, f"{so_many} jobs are done")
        server.kill()
        server.start()
    wait_until(lambda: len(finished) >= 100, 60, "work goes on")
    done.set()
    for thread in threads:
        thread.join(60)
    lab = Lab(settings)
    lab.check()
    for job_id in accepted:
        assert lab.jobs.get(job_id).id == job_id
    for job_id in finished:
        assert lab.jobs.get(job_id).status is Status.SUCCESSFUL
    for job_id in dismissed:
        assert lab.jobs.get(job_id).status is not Status.ACCEPTED
    assert len(set(finished)) >= 100
