"""The connection to Redis or Valkey, and the border where its errors become Gristmill's."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs, urlsplit

import redis
from redis.backoff import ExponentialWithJitterBackoff
from redis.driver_info import DriverInfo
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    NoPermissionError,
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
from gristmill.connection import SocketConnection, TcpConnection
from gristmill.credentials import CredentialFiles, DoubtfulError, RefusedError
from gristmill.errors import ConfigurationError, StorageFullError, UnavailableError
from gristmill.settings import Settings
from gristmill.settings_table import without_password

# A blocking command waits less than this, so that a dead connection and an empty queue are told apart.
SOCKET_TIMEOUT_SECONDS = 3.0
LONGEST_BLOCK_SECONDS = 2.0
RETRY_AFTER_SECONDS = 2
# How long a call that got no reply is sent again; with the last try's time-out, a caller waits twice this at most.
RETRY_SECONDS = 2.5
# What a URL may have behind its question mark, beside ssl_...
_URL_OPTIONS = ("db", "username", "password")
# Everybody may read this; what is wrong exactly is for the log.
_NOT_LET_IN = "Redis does not let this system in; those who run it see why in its log. Try again later."
_NO_SUCH_DATABASE = "Redis has no database of the number that REDIS_URL ends with; servers have 16, from 0, by default."

# Made once: redis-py would read its own version from a file for every connection.
_DRIVER = DriverInfo(lib_version=redis.__version__).add_upstream_driver("gristmill", __version__)

Client = redis.Redis


def connect(settings: Settings) -> Client:
    """A client of the configured server; it connects with the first command, and again after a loss.

    Every call that changes state is safe to repeat, so a call whose reply was lost is sent again.
    Raises ConfigurationError when the URL is malformed.
    """
    url = settings.redis_url
    if not url:
        raise ConfigurationError("No server: set REDIS_URL, such as redis://localhost:6379/0, or use `gristmill up`.")
    retry = Retry(ExponentialWithJitterBackoff(cap=0.5, base=0.05), 2)
    options: dict[str, Any] = {"connection_class": SocketConnection}
    if not url.startswith("unix:"):
        is_tls = url.startswith("rediss:")
        options = {"connection_class": TcpConnection, "is_tls_url": is_tls, "socket_keepalive": True}
        if not is_tls and re.search(r"[?&]ssl_", url):
            raise ConfigurationError("REDIS_URL has options ssl_..., but no TLS: it must begin with rediss://.")
    try:
        _check_url(url)
        client = redis.Redis.from_url(
            url,
            files=CredentialFiles(settings.secrets_folder),
            socket_timeout=SOCKET_TIMEOUT_SECONDS,
            socket_connect_timeout=SOCKET_TIMEOUT_SECONDS,
            retry=retry,
            retry_on_error=[RedisConnectionError, RedisTimeoutError],
            client_name="gristmill",
            driver_info=_DRIVER,
            protocol=3,
            **options,
        )
        if "ssl_" in url:
            new_connection(client)  # which sees whether there are such options
    except TypeError:
        raise ConfigurationError(_why_unusable(url, "of the options ssl_... one is not known")) from None
    except (ValueError, RedisError) as error:
        raise ConfigurationError(_why_unusable(url, str(error))) from None
    return client


def _check_url(url: str) -> None:
    """ValueError for what redis-py would leave out, or let overrule what is decided here."""
    parts = urlsplit(url)
    names = parse_qs(parts.query, keep_blank_values=True)
    if not all(name in _URL_OPTIONS or name.startswith("ssl_") for name in names):
        raise ValueError(f"behind ? there may be {', '.join(_URL_OPTIONS)} and ssl_..., and nothing else")
    if parts.scheme != "unix" and not re.fullmatch(r"/?|/[0-9]+/?", parts.path):
        raise ValueError("behind the host comes the number of a database, as in redis://localhost:6379/0")


def _why_unusable(url: str, reason: str) -> str:
    """What is wrong with a URL, without what may be a password or part of one."""
    if "://" not in url:
        return "REDIS_URL is not usable: it must begin with redis://, rediss:// or unix://."
    if reason.startswith("Port"):  # and goes on with what it took for the port
        reason = "the port is no number, or a password has one of / ? # in it, which are written %2F, %3F and %23"
    return f"REDIS_URL is not usable ({without_password(url)!r}): {reason}."


def check_credentials(settings: Settings) -> None:
    """See that what is there of user, password and authority can be used; no server is asked.

    For the start: ConfigurationError says which file or setting to mend. Later, it is an UnavailableError.
    """
    with connect(settings) as client:
        try:
            new_connection(client).take_credentials()
        except RefusedError as error:
            raise ConfigurationError(str(error)) from error


def new_connection(client: Client, **options: Any) -> Any:
    """A connection like those of the client's pool, but beside it: the pool never makes more than 100 in all.

    options: keywords of the connection's class that differ.
    """
    pool = client.connection_pool
    return pool.connection_class(**pool.connection_kwargs | options)


@contextmanager
def mapped_errors(but: type[RedisError] | tuple[()] = ()) -> Iterator[None]:
    """Turn redis-py's errors into UnavailableError and StorageFullError, all ``but`` one kind."""
    try:
        yield
    except but:
        raise
    except RedisError as error:
        raise translated(error) from error


def translated(error: RedisError) -> Exception:
    """The error of ours that one of redis-py's means; itself where it is our own mistake."""
    if isinstance(error, OutOfMemoryError):
        return StorageFullError(
            "Redis has no memory left; delete finished jobs or data sets, or try again when some jobs have expired."
        )
    if isinstance(error, RefusedError | AuthenticationError | NoPermissionError) or _is_forbidden_in_script(error):
        return UnavailableError(_NOT_LET_IN, retry_after_seconds=RETRY_AFTER_SECONDS)
    if isinstance(error, ResponseError) and "DB index is out of range" in str(error):
        return UnavailableError(_NO_SUCH_DATABASE, retry_after_seconds=RETRY_AFTER_SECONDS)
    if isinstance(error, RedisConnectionError | RedisTimeoutError | BusyLoadingError | ReadOnlyError):
        return UnavailableError("Redis does not answer; try again.", retry_after_seconds=RETRY_AFTER_SECONDS)
    if isinstance(error, ClusterDownError) or (
        isinstance(error, ResponseError)
        and str(error).startswith(("MISCONF", "LOADING", "BUSY ", "READONLY", "UNBLOCKED"))
    ):
        return UnavailableError(f"Redis cannot write now: {error}", retry_after_seconds=RETRY_AFTER_SECONDS)
    return error


def _is_forbidden_in_script(error: RedisError) -> bool:
    return isinstance(error, ResponseError) and str(error).startswith(
        ("The user executing the script can't", "ACL failure in script")
    )


def reason_of(error: UnavailableError) -> str:
    """Why Redis cannot be used, for the log and for whoever runs the system: not for those who use the API."""
    cause = error.__cause__
    if isinstance(cause, RefusedError):
        return str(cause)
    if isinstance(cause, NoPermissionError) or (isinstance(cause, RedisError) and _is_forbidden_in_script(cause)):
        return f"Redis lets us in, but not do what we must ({cause}): see the user's rights in docs/security.md."
    return f"{error.detail} ({cause})" if isinstance(cause, RedisError) else error.detail


def kind_of(error: UnavailableError) -> str:
    """What is the same for errors of which one line in the log is enough."""
    return str(error.__cause__) if isinstance(error.__cause__, RefusedError | DoubtfulError) else error.detail


def told_with_server(error: UnavailableError, redis_url: str) -> str:
    """The message for whoever runs the server: with its address and with what redis-py said."""
    return f"{reason_of(error)} ({without_password(redis_url)})"


@dataclass(frozen=True, slots=True)
class Protection:
    """Who gets at the server. has_password: it wants one. is_private: nobody on the way reads what passes."""

    has_password: bool
    is_private: bool


def protection_of(client: Client) -> Protection:
    """How a server is protected, found out by asking it as a stranger. UnavailableError."""
    ours, stranger = new_connection(client), new_connection(client, stranger=True)
    try:
        with mapped_errors():
            ours.connect()
            try:
                stranger.connect()
            except RefusedError as error:
                if not isinstance(error.__cause__, AuthenticationError):
                    raise
                return Protection(has_password=True, is_private=ours.is_private)
            return Protection(has_password=False, is_private=ours.is_private)
    finally:
        ours.disconnect()
        stranger.disconnect()


def facts_about(client: Client) -> dict[str, Any]:
    """What matters about the server: version, append-only file, fsync and eviction policy, memory in bytes.

    Raises UnavailableError, and redis-py's NoPermissionError from a server that keeps it to itself.
    """
    with mapped_errors(but=NoPermissionError):
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
