"""The function library: loaded when it is missing, side by side with other versions, dropped when long unnamed."""

import threading
from collections.abc import Callable

import pytest
import redis
from redis.exceptions import ResponseError
from support import RedisServer
from support.lab import DONE, OFFER, Lab

from gristmill.errors import StorageFullError
from gristmill.job import JobFilter, Status
from gristmill.library import ENGINE, Library, Source
from gristmill.settings import Settings
from gristmill.store import connect


def loaded(client: redis.Redis) -> set[str]:
    found = client.execute_command("FUNCTION", "LIST", "LIBRARYNAME", "gristmill_*")
    return {
        (it[b"library_name"] if isinstance(it, dict) else it[1]).decode().removeprefix("gristmill_") for it in found
    }


HASH = ENGINE.hash


def use_other_version(lab: Lab) -> None:
    """From now on the engine calls another version of the library."""
    lab.jobs._library.source = Source("another", ENGINE.code.replace(HASH, "another"))


def test_a_server_that_lacks_the_library_is_given_it(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    assert loaded(lab.client) == set()
    job = lab.submit()
    assert loaded(lab.client) == {HASH}
    lab.client.function_flush()
    assert lab.claim(lab.worker()).job_id == job.id


def test_many_that_load_it_at_once_do_not_hinder_each_other(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    labs = [Lab(make_settings(own_server.url)) for _ in range(8)]
    gate, found = threading.Barrier(len(labs)), []

    def go(lab: Lab) -> None:
        gate.wait()
        found.append(lab.submit().id)

    threads = [threading.Thread(target=go, args=(lab,)) for lab in labs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == len(labs)
    labs[0].check()


def test_a_full_server_that_lacks_the_library_does_all_but_submit(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    worker = lab.worker()
    running, waiting, done = (lab.submit() for _ in range(3))
    attempt = lab.claim(worker)
    lab.client.config_set("maxmemory", 1)
    lab.client.function_flush()

    with pytest.raises(StorageFullError):
        lab.submit()
    assert lab.jobs.dismiss(waiting.id).status is Status.DISMISSED
    lab.beat(worker, held={attempt.token.partition(".")[2]: attempt.token})
    following = lab.finish(attempt, DONE, offers=(OFFER,))
    assert following is not None
    assert following.job_id == done.id
    lab.jobs.sweep()
    lab.jobs.delete(running.id)
    assert {job.id for job in lab.jobs.list(JobFilter()).jobs} == {waiting.id, done.id}
    assert loaded(lab.client) == set()

    lab.client.config_set("maxmemory", 0)
    lab.finish(following)
    assert loaded(lab.client) == {HASH}
    lab.check()


def test_two_versions_work_on_the_same_jobs_in_turn(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    worker = lab.worker()
    jobs = [lab.submit() for _ in range(3)]
    mine = lab.claim(worker)
    lab.finish(mine)
    taken = lab.claim(worker)
    use_other_version(lab)
    lab.check()
    lab.beat(worker, held={taken.token.partition(".")[2]: taken.token})
    following = lab.finish(taken, DONE, offers=(OFFER,))
    assert following is not None
    assert following.job_id == jobs[2].id
    lab.finish(following)
    assert [lab.status(job).status for job in jobs] == [Status.SUCCESSFUL] * 3
    assert loaded(lab.client) == {HASH, "another"}
    lab.check()


def test_a_version_that_no_heartbeat_has_named_for_a_day_is_dropped(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    lab.worker()
    use_other_version(lab)
    lab.worker()
    lab.jobs.drop_old_libraries()
    assert loaded(lab.client) == {HASH, "another"}
    now = lab.client.time()[0]
    lab.client.zadd(f"{lab.prefix}:libs", {HASH: (now - 86_401) * 1_000_000, "another": (now - 86_000) * 1_000_000})
    lab.jobs.drop_old_libraries()
    lab.jobs.drop_old_libraries()
    assert loaded(lab.client) == {"another"}
    assert lab.client.zrange(f"{lab.prefix}:libs", 0, -1) == [b"another"]


def test_a_dropped_version_that_is_still_called_comes_back(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    lab = Lab(make_settings(own_server.url))
    job = lab.submit()
    lab.client.zadd(f"{lab.prefix}:libs", {HASH: 1})
    lab.jobs.drop_old_libraries()
    assert loaded(lab.client) == set()
    assert lab.status(job).status is Status.ACCEPTED
    assert loaded(lab.client) == {HASH}


def test_a_refusal_of_the_function_itself_is_not_taken_for_a_missing_library(settings: Settings) -> None:
    with pytest.raises(ResponseError, match="LOST"):
        Library(connect(settings), settings.key_prefix).call("progress", "nobody", "1.w.1", 1, "")


def test_a_command_gets_through_however_often_the_connection_was_lost(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    client = connect(make_settings(own_server.url))
    library_ = Library(client, "{g0}")
    for _ in range(client.connection_pool.max_connections + 1):
        library_.command("PING")
        client.client_kill_filter(_type="normal", skipme=True)
    assert library_.command("PING") == b"PONG"


def test_more_commands_may_be_under_way_than_the_clients_pool_has_connections(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    client = connect(make_settings(own_server.url))
    library_ = Library(client, "{g0}")
    count = client.connection_pool.max_connections + 20
    replies: list[object] = []
    threads = [
        threading.Thread(target=lambda: replies.append(library_.command("BLPOP", "gate", 2.5))) for _ in range(count)
    ]
    for thread in threads:
        thread.start()
    client.rpush("gate", *range(count))
    for thread in threads:
        thread.join()
    assert len([reply for reply in replies if reply]) == count
