"""The connection, and what errors of Redis become."""

import socket
import time
from collections.abc import Callable

import pytest
import redis
from redis import exceptions
from support import RedisServer, free_port

from gristmill.errors import ConfigurationError, StorageFullError, UnavailableError
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import (
    LONGEST_BLOCK_SECONDS,
    SOCKET_TIMEOUT_SECONDS,
    connect,
    facts_about,
    mapped_errors,
    translated,
)

UNAVAILABLE = [
    exceptions.ConnectionError("refused"),
    exceptions.TimeoutError("no answer"),
    exceptions.BusyLoadingError("loading"),
    exceptions.ReadOnlyError("a replica"),
    exceptions.AuthenticationError("WRONGPASS"),
    exceptions.ResponseError("MISCONF cannot persist"),
    exceptions.MasterDownError("link is down", status_code="MASTERDOWN"),
    exceptions.ResponseError("UNBLOCKED force unblock from blocking operation, instance state changed"),
    exceptions.ResponseError("BUSY running a script"),
]


@pytest.mark.parametrize("error", UNAVAILABLE, ids=str)
def test_a_server_that_cannot_answer_now_is_unavailable_with_a_time_to_come_back(error: redis.RedisError) -> None:
    with pytest.raises(UnavailableError) as raised, mapped_errors():
        raise error
    assert raised.value.retry_after_seconds
    assert raised.value.__cause__ is error


def test_a_server_without_memory_is_full() -> None:
    error = translated(exceptions.OutOfMemoryError("maxmemory"))
    assert isinstance(error, StorageFullError)
    assert "finished jobs or data sets" in error.detail


def test_a_mistake_of_our_own_stays_what_it_is() -> None:
    error = exceptions.ResponseError("ERR unknown command")
    assert translated(error) is error


@pytest.mark.parametrize("url", ["", "nonsense", "http://localhost:1", "redis://localhost:port"])
def test_an_unusable_url_is_a_configuration_error_that_names_the_setting(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        connect(Settings(redis_url=url))


@pytest.mark.parametrize(
    ("url", "right"),
    [
        ("redis://localhost:1/0?foo=bar", "db, username, password and ssl_"),
        ("redis://localhost:1/0?protocol=9", "db, username, password and ssl_"),
        ("redis://localhost:1/0?retry=1", "db, username, password and ssl_"),
        ("redis://localhost:1/x", "the number of a database, as in redis://localhost:6379/0"),
        ("redis://localhost:1/0/1", "the number of a database, as in redis://localhost:6379/0"),
        ("rediss://localhost:1/0?ssl_foo=bar", "of the options ssl_... one is not known"),
        ("rediss://localhost:1/0?ssl_cert_reqs=bar", "Invalid SSL Certificate Requirements"),
    ],
)
def test_what_a_url_cannot_have_is_refused_before_anything_connects(url: str, right: str) -> None:
    with pytest.raises(ConfigurationError) as raised:
        connect(Settings(redis_url=url))
    assert f"REDIS_URL is not usable ({url!r})" in raised.value.detail
    assert right in raised.value.detail


@pytest.mark.parametrize(
    "url",
    [
        *("redis://ada:c4n/ary@localhost:6379", "redis://:c4n?ary@localhost", "ada:c4n@localhost"),
        *("redis://ada:1/c4n@localhost:6379", "redis://:1?c4n@localhost"),
    ],
)
def test_a_url_that_cannot_be_read_is_not_told_with_what_may_be_a_password(url: str) -> None:
    with pytest.raises(ConfigurationError, match="REDIS_URL") as raised:
        connect(Settings(redis_url=url))
    assert raised.value.__suppress_context__
    assert "c4n" not in str(raised.value)
    assert "c4n" not in repr(Settings(redis_url=url))


def test_a_server_that_is_not_there_is_an_error_within_seconds(make_settings: Callable[..., Settings]) -> None:
    settings = make_settings(f"redis://127.0.0.1:{free_port()}/0")
    started = time.monotonic()
    with pytest.raises(UnavailableError):
        Jobs(connect(settings), settings).get("x")
    assert time.monotonic() - started < 10


@pytest.mark.slow
def test_a_server_that_accepts_and_says_nothing_is_an_error_within_seconds(
    make_settings: Callable[..., Settings],
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        settings = make_settings(f"redis://127.0.0.1:{listener.getsockname()[1]}/0")
        started = time.monotonic()
        with pytest.raises(UnavailableError):
            Jobs(connect(settings), settings).get("x")
        assert time.monotonic() - started < 15


def test_a_database_that_the_server_does_not_have_is_said(
    start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(f"redis://127.0.0.1:{start_server('redis').port}/99")
    with pytest.raises(UnavailableError, match="no database of the number"):
        Jobs(connect(settings), settings).get("x")


def test_a_replica_without_its_primary_is_unavailable(
    start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> None:
    server = start_server("redis", replicaof="127.0.0.1 1", replica_serve_stale_data="no")
    with pytest.raises(UnavailableError, match="Link with MASTER is down"):
        Jobs(connect(make_settings(server.url)), make_settings(server.url)).get("x")


def test_a_wrong_password_is_unavailable_and_is_not_told(
    start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]
) -> None:
    server = start_server("redis")
    server.client().config_set("requirepass", "right")
    settings = make_settings(f"redis://:wr0ng@127.0.0.1:{server.port}/0")
    with pytest.raises(UnavailableError) as raised:
        Jobs(connect(settings), settings).get("x")
    assert "wr0ng" not in str(raised.value)


def test_a_unix_socket_will_do(
    start_server: Callable[..., RedisServer],
    make_settings: Callable[..., Settings],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("s") / "r.sock"
    start_server("redis", unixsocket=str(path))
    settings = make_settings(f"unix://{path}?db=0")
    assert Jobs(connect(settings), settings).workers() == ()


def test_a_blocking_wait_is_shorter_than_the_time_after_which_a_connection_is_given_up() -> None:
    assert LONGEST_BLOCK_SECONDS < SOCKET_TIMEOUT_SECONDS


def test_the_facts_name_the_server_and_how_it_keeps_data(own_server: RedisServer) -> None:
    facts = facts_about(own_server.client())
    assert (facts["server"], facts["append_only"], facts["appendfsync"]) == (own_server.backend, True, "everysec")
    assert facts["maxmemory_policy"] == "noeviction"
