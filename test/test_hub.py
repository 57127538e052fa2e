"""One subscription a process, for any number of watchers."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from support import RedisServer, wait_until

from gristmill.errors import UnavailableError
from gristmill.hub import LOOK_AGAIN, Event, Hub
from gristmill.job import Status
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect

MakeHub = Callable[[str], tuple[Jobs, Hub]]


@pytest.fixture
def make_hub(make_settings: Callable[..., Settings]) -> Iterator[MakeHub]:
    with ExitStack() as stack:

        def make(url: str) -> tuple[Jobs, Hub]:
            settings = make_settings(url)
            jobs = Jobs(connect(settings), settings)
            stack.callback(jobs.close)
            hub = Hub(jobs)
            stack.callback(hub.close)
            return jobs, hub

        yield make


def tell(jobs: Jobs, job_id: str, text: str) -> int:
    return int(jobs.client.publish(jobs.event_channel(job_id), text))


def subscriptions(jobs: Jobs) -> int:
    return len(jobs.client.pubsub_channels(f"{jobs.prefix}:ev:*"))


def hub_connections(jobs: Jobs) -> int:
    return sum(int(client["sub"]) > 0 for client in jobs.client.client_list())


def test_a_change_right_after_the_watch_began_is_told(server, make_hub):
    jobs, hub = make_hub(server)
    for number in range(50):
        with hub.watch(f"job{number}") as watch:
            assert tell(jobs, f"job{number}", "2 running 40") == 1
            assert watch.wait(10) == Event(2, Status.RUNNING, 40)


def test_a_watch_keeps_the_last_of_several_changes(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    with hub.watch("a") as watch, hub.watch("b") as last:
        for revision in range(2, 10):
            tell(jobs, "a", f"{revision} running {revision}")
        tell(jobs, "b", "2 failed 0")
        assert last.wait(10) == Event(2, Status.FAILED, 0)
        assert watch.wait(0) == Event(9, Status.RUNNING, 9)
        assert watch.wait(0) is None


def test_a_wait_without_a_change_ends_at_its_time(redis_url, make_hub):
    _, hub = make_hub(redis_url)
    with hub.watch("a") as watch:
        assert watch.wait(0.05) is None


def test_wake_is_called_after_the_event_is_there(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    seen: list[Event | None] = []
    woken = threading.Event()

    def wake() -> None:
        seen.append(watch.wait(0))
        woken.set()

    with hub.watch("a", wake=wake) as watch:
        tell(jobs, "a", "3 successful 100")
        assert woken.wait(10)
    assert seen == [Event(3, Status.SUCCESSFUL, 100)]


@pytest.mark.parametrize("content", ["3 suspended 40", "3", "", "a b c d", "\x00"])
def test_a_message_that_is_not_understood_means_look_again(redis_url, make_hub, content):
    jobs, hub = make_hub(redis_url)
    with hub.watch("a") as watch:
        tell(jobs, "a", content)
        assert watch.wait(10) == LOOK_AGAIN
        tell(jobs, "a", "4 running 50")
        assert watch.wait(10) == Event(4, Status.RUNNING, 50)


def test_a_watcher_that_leaves_while_the_hub_closes_finds_it_whole_or_gone(redis_url, make_hub):
    _, hub = make_hub(redis_url)
    with hub.watch("a"), hub._lock:  # as a watcher that leaves holds it
        hub._closed.set()
        hub._poke()
        time.sleep(0.3)  # the hub's thread ends, as far as it can
        hub._is_poked = False
        hub._poke()
    hub.close()
    assert hub.watchers == 0


def test_watchers_of_other_jobs_hear_nothing(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    with hub.watch("a") as a, hub.watch("a") as again, hub.watch("b") as b:
        tell(jobs, "a", "2 running 0")
        assert a.wait(10) is not None
        assert again.wait(10) is not None
        assert b.wait(0) is None


def test_the_last_watcher_to_leave_ends_the_subscription(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    with hub.watch("a") as first:
        with hub.watch("a"):
            assert subscriptions(jobs) == 1
        tell(jobs, "a", "2 running 0")
        assert first.wait(10) is not None
    wait_until(lambda: subscriptions(jobs) == 0)
    assert hub.watchers == 0


def test_a_channel_left_and_taken_again_at_once_misses_nothing(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    failures: list[str] = []

    def churn(job_id: str) -> None:
        for number in range(100):
            with hub.watch(job_id) as watch:
                tell(jobs, job_id, f"{number + 1} running 0")
                if watch.wait(10) is None:
                    failures.append(f"{job_id} {number}")

    threads = [threading.Thread(target=churn, args=(f"job{number}",)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures


def test_a_thousand_watchers_share_one_connection(redis_url, make_hub):
    jobs, hub = make_hub(redis_url)
    before = hub_connections(jobs)
    with ExitStack() as stack:
        watches = [stack.enter_context(hub.watch(f"job{number}")) for number in range(1000)]
        assert hub_connections(jobs) == before + 1
        assert hub.watchers == 1000
        tell(jobs, "job999", "2 running 0")
        assert watches[999].wait(10) is not None


def test_without_redis_a_watch_is_refused_and_leaves_nothing_behind(own_server, make_hub):
    jobs, hub = make_hub(own_server.url)
    own_server.kill()
    with pytest.raises(UnavailableError), hub.watch("a"):
        pass
    assert hub.watchers == 0
    own_server.start()
    with hub.watch("a") as watch:
        wait_until(lambda: tell(jobs, "a", "2 running 0"))
        assert watch.wait(10) is not None


def test_after_a_restart_of_redis_every_watcher_looks_again(own_server: RedisServer, make_hub):
    jobs, hub = make_hub(own_server.url)
    with hub.watch("a") as a, hub.watch("b") as b:
        own_server.kill()
        own_server.start()
        assert a.wait(30) == LOOK_AGAIN
        assert b.wait(30) == LOOK_AGAIN
        assert tell(jobs, "a", "2 running 0") == 1
        assert a.wait(10) == Event(2, Status.RUNNING, 0)


@pytest.mark.slow
def test_a_stalled_redis_is_given_up_and_watchers_look_again(start_server, make_hub, monkeypatch):
    monkeypatch.setattr("gristmill.hub.PING_SECONDS", 0.3)
    server = start_server("redis")
    _, hub = make_hub(server.url)
    with hub.watch("a") as watch:
        server.pause()
        wait_until(lambda: hub._is_lost, 30)
        server.resume()
        assert watch.wait(30) == LOOK_AGAIN


def test_a_hub_connects_although_the_clients_pool_has_no_connection_left(own_server: RedisServer, make_hub) -> None:
    jobs, hub = make_hub(own_server.url)
    jobs.client.connection_pool.max_connections = 0
    with hub.watch("job") as watch:
        assert watch is not None
