"""Fixtures that every test can use: private servers, and settings with a key prefix of the test's own.

Nothing here touches a server that the tests did not start, and no test empties one: each has its own prefix.
"""

import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest
import redis
from hypothesis import HealthCheck
from hypothesis import settings as hypothesis_settings
from support import BACKENDS, RedisServer, why_missing
from support.secured import Files, Mount, SecuredServer, redis_secret
from support.system import GivenSystem, RunningSystem

from gristmill.settings import Settings

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # as in a job of a shell's background: what is started has it so
    signal.signal(signal.SIGINT, signal.default_int_handler)

REPOSITORY = Path(__file__).parents[1]
hypothesis_settings.register_profile(
    "busy machine",
    deadline=None,
    derandomize="CI" in os.environ,  # a change is to fail for what it changed; developers go on searching
    suppress_health_check=[HealthCheck.too_slow],
)
hypothesis_settings.load_profile("busy machine")
_numbers = itertools.count(1)


@pytest.fixture(scope="session", autouse=True)
def _own_environment() -> Iterator[None]:
    """Keep the developer's settings out of the tests."""
    with pytest.MonkeyPatch.context() as patch:
        for name in [name for name in os.environ if name.startswith("GRISTMILL_") or name == "REDIS_URL"]:
            patch.delenv(name)
        yield


@pytest.fixture(scope="session")
def backend_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], str]]:
    """URL of the session's server of a backend ("redis" or "valkey"), started at first use, or a skip."""
    running: dict[str, RedisServer] = {}
    with ExitStack() as stack:

        def url(backend: str) -> str:
            if reason := why_missing(backend):
                pytest.skip(reason)
            if backend not in running:
                running[backend] = stack.enter_context(RedisServer(backend, tmp_path_factory.mktemp(backend)))
            return running[backend].url

        yield url


@pytest.fixture(params=BACKENDS)
def server(request: pytest.FixtureRequest, backend_url: Callable[[str], str]) -> str:
    """URL of a server; the test runs once on real Redis and once on the embedded Valkey."""
    return backend_url(request.param)


@pytest.fixture
def redis_url(backend_url: Callable[[str], str]) -> str:
    """URL of one server: real Redis, or the embedded Valkey where there is none."""
    return backend_url("valkey" if why_missing("redis") else "redis")


@pytest.fixture
def key_prefix() -> str:
    """Prefix of this test's keys; a hash tag, as in production."""
    return f"{{t{os.getpid()}-{next(_numbers)}}}"


@pytest.fixture
def make_settings(tmp_path: Path, key_prefix: str) -> Iterator[Callable[..., Settings]]:
    """Return a function that makes settings: ``make_settings(url, lease_seconds=2)``.

    What the test leaves under its prefix is removed afterwards, so that scanning stays quick for the others.
    """
    urls: set[str] = set()

    def make(url: str, **changes: Any) -> Settings:
        urls.add(url)
        return Settings(
            **{
                "redis_url": url,
                "key_prefix": key_prefix,
                "data_folder": tmp_path / "data",
                "processes_folder": REPOSITORY / "processes",
                "port": 0,
            }
            | changes
        )

    yield make
    for url in urls:
        _remove_keys(url, key_prefix)


def _remove_keys(url: str, prefix: str) -> None:
    with suppress(redis.RedisError, ValueError), redis.Redis.from_url(url, socket_timeout=5, retry=None) as client:
        found = client.scan_iter(f"{prefix}:*", count=1000)
        while batch := list(itertools.islice(found, 1000)):
            client.unlink(*batch)


@pytest.fixture
def settings(redis_url: str, make_settings: Callable[..., Settings]) -> Settings:
    """Settings on one server, with this test's own key prefix and folders."""
    return make_settings(redis_url)


@pytest.fixture(params=BACKENDS)
def own_server(request: pytest.FixtureRequest, start_server: Callable[..., RedisServer]) -> RedisServer:
    """Return a server of this test alone, on both backends in turn: to kill, to stall, to fill."""
    return start_server(request.param)


@pytest.fixture
def start_server(tmp_path: Path) -> Iterator[Callable[..., RedisServer]]:
    """Return a function that starts a server for this test: ``start_server("redis", appendfsync="always")``.

    Underscores in a directive's name stand for hyphens. Skips the test where the backend is missing.
    """
    with ExitStack() as stack:

        def start(backend: str = "redis", **configuration: str) -> RedisServer:
            if reason := why_missing(backend):
                pytest.skip(reason)
            folder = tmp_path / f"server-{next(_numbers)}"
            directives = {name.replace("_", "-"): value for name, value in configuration.items()}
            return stack.enter_context(RedisServer(backend, folder, directives))

        yield start


@pytest.fixture(scope="session")
def redis_files() -> Files:
    """Return the files of a Secret for Redis, as `gristmill secret` makes them."""
    return redis_secret()


@pytest.fixture
def start_secured(tmp_path: Path) -> Iterator[Callable[..., SecuredServer]]:
    """Return a function that starts a Redis with a Secret's files: ``start_secured(files, appendfsync="no")``."""
    if reason := why_missing("redis"):
        pytest.skip(reason)
    with ExitStack() as stack:

        def start(files: Files | None, **configuration: str) -> SecuredServer:
            directives = {name.replace("_", "-"): value for name, value in configuration.items()}
            return stack.enter_context(SecuredServer(tmp_path / f"server-{next(_numbers)}", files, directives))

        yield start


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    """Return the folder ``redis`` of a secrets folder, with nothing in it yet."""
    return Mount(tmp_path / "secrets" / "redis")


@pytest.fixture(scope="session")
def running_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem | GivenSystem]:
    """The real thing, started once a session: a server, ``gristmill api`` and ``gristmill worker``.

    Inputs by reference may come from this computer. Stop or kill no part of it; a test that does starts its own.
    Where TEST_URL names a system, it is that one; tests that need more of it than its URL are skipped.
    """
    if url := os.environ.get("TEST_URL"):
        yield GivenSystem(url.rstrip("/"))
        return
    folder = tmp_path_factory.mktemp("system")
    with RunningSystem(folder, settings={"FETCH_ALLOW": "127.0.0.0/8", "CALL_BACK_ALLOW": "127.0.0.0/8"}) as system:
        yield system


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 8 MB."""
    folder = tmp_path / "small"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=8m", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(mount, check=False, capture_output=True).returncode:
        pytest.skip("only root on Linux can mount a small file system")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
