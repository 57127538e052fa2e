"""The connection to Redis or Valkey, and the border where its errors become Gristmill's."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
)
from redis.exceptions import (
    ConnectionError as RedisConnectionError,
)
from redis.exceptions import (
    TimeoutError as RedisTimeoutError,
)
from redis.retry import Retry

from gristmill import __version__
from gristmill.errors import ConfigurationError, StorageFullError, UnavailableError
from gristmill.settings import Settings
from gristmill.settings_table import without_password

# A blocking command waits less than this, so that a dead connection and an empty queue are told apart.
SOCKET_TIMEOUT_SECONDS = 3.0
LONGEST_BLOCK_SECONDS = 2.0
RETRY_AFTER_SECONDS = 2
# How long a call that got no reply is sent again; with the last try's time-out, a caller waits twice this at most.
RETRY_SECONDS = 2.5

_KEEPALIVE_OVER_TCP: dict[str, Any] = {"socket_keepalive": True}

# Made once: redis-py would read its own version from a file for every connection.
_DRIVER = DriverInfo(lib_version=redis.__version__).add_upstream_driver("gristmill", __version__)

Client = redis.Redis


def connect(settings: Settings) -> Client:
    """A client of the configured server; it connects with the first command, and again after a loss.

    Every call that changes state is safe to repeat, so a call whose reply was lost is sent again.
    Raises ConfigurationError when the URL is malformed.
    """
    if not settings.redis_url:
        raise ConfigurationError("No server: set REDIS_URL, such as redis://localhost:6379/0, or use `gristmill up`.")
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2)
    try:
        return redis.Redis.from_url(
            settings.redis_url,
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            **_KEEPALIVE_OVER_TCP if not settings.redis_url.startswith("unix:") else {},
            retry=retry,
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
            client_name="gristmill",
            driver_info=_DRIVER,
            protocol=3,
        )
    except ValueError as error:
        raise ConfigurationError(
            f"REDIS_URL is not usable ({without_password(settings.redis_url)!r}): {error}."
        ) from error


def new_connection(client: Client) -> Any:
    """A connection like those of the client's pool, but beside it: the pool never makes more than 100 in all."""
    pool = client.connection_pool
    return pool.connection_class(**pool.connection_kwargs)


@contextmanager
def mapped_errors() -> Iterator[None]:
    """Turn redis-py's errors into UnavailableError and StorageFullError."""
    try:
        yield
    except RedisError as error:
        raise translated(error) from error


def translated(error: RedisError) -> Exception:
    """The error of ours that one of redis-py's means; itself where it is our own mistake."""
    if isinstance(error, OutOfMemoryError):
        return StorageFullError("Redis has no memory left; delete finished jobs, or try again when some have expired.")
    if isinstance(error, AuthenticationError):
        return UnavailableError(
            f"Redis refuses the user or the password: {error}.", retry_after_seconds=RETRY_AFTER_SECONDS
        )
    if isinstance(error, RedisConnectionError | RedisTimeoutError | BusyLoadingError | ReadOnlyError):
        return UnavailableError("Redis does not answer; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
    if isinstance(error, ResponseError) and str(error).startswith(
        ("MISCONF", "LOADING", "BUSY ", "MASTERDOWN", "READONLY", "UNBLOCKED")
    ):
        return UnavailableError(f"Redis cannot write now: {error}", retry_after_seconds=RETRY_AFTER_SECONDS)
    return error


def told_with_server(error: UnavailableError, redis_url: str) -> str:
    """The message for whoever runs the server: with its address and with what redis-py said."""
    cause = f": {error.__cause__}" if isinstance(error.__cause__, RedisError) else ""
    return f"{error.detail} ({without_password(redis_url)}{cause})"


def facts_about(client: Client) -> dict[str, Any]:
    """What matters about the server: version, append-only file, fsync and eviction policy, memory in bytes."""
    with mapped_errors():
        info = client.info()
        memory = {key: info.get(key) for key in ("used_memory", "maxmemory", "maxmemory_policy")}
        fsync = client.config_get("appendfsync").get("appendfsync", "") if info.get("aof_enabled") else ""
    return {
        "server": "valkey" if "valkey_version" in info else "redis",
        "version": info.get("valkey_version") or info.get("redis_version"),
        "append_only": bool(info.get("aof_enabled")),
        "appendfsync": fsync,
        **memory,
    }
