"""The embedded server keeps what it acknowledged, guards its folder, and ends with the one who started it."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import redis
from support import RedisServer, wait_until

from gristmill.embedded import EmbeddedServer, written_by
from gristmill.errors import ConfigurationError
from gristmill.running import running_on
from gristmill.settings import Settings

Starter = Callable[..., EmbeddedServer]


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Starter]:
    """Return a function that starts the embedded server on ``tmp_path/data``."""
    with ExitStack() as stack:

        def start(**changes: object) -> EmbeddedServer:
            server = EmbeddedServer(Settings(**({"data_folder": tmp_path / "data"} | changes)))
            stack.callback(server.stop)
            server.start()
            return server

        yield start


def _client(server: EmbeddedServer) -> redis.Redis:
    return redis.Redis.from_url(server.url)


def test_it_writes_an_append_only_file_never_evicts_and_has_a_memory_limit(embedded: Starter) -> None:
    with _client(embedded(embedded_memory_mb=64)) as client:
        settings = client.config_get("append*", "maxmemory*")

    assert settings["appendonly"] == "yes"
    assert settings["appendfsync"] == "everysec"
    assert settings["maxmemory-policy"] == "noeviction"
    assert settings["maxmemory"] == str(64 * 2**20)


def test_only_its_own_user_can_reach_it(embedded: Starter) -> None:
    server = embedded()
    with _client(server) as client:
        assert client.config_get("port") == {"port": "0"}
    assert (server.folder / "valkey.sock").stat().st_mode & 0o077 == 0


def test_data_outlives_a_stop(embedded: Starter) -> None:
    server = embedded()
    with _client(server) as client:
        client.set("kept", "yes")
    server.stop()
    with _client(embedded()) as client:
        assert client.get("kept") == b"yes"


def test_data_outlives_a_kill_and_the_same_object_starts_it_again(embedded: Starter) -> None:
    server = embedded()
    with _client(server) as client:
        client.set("kept", "yes")
        assert server.process is not None
        server.process.kill()
        server.process.wait()

        server.start()

        assert client.get("kept") == b"yes"


def test_a_second_start_on_the_same_folder_is_refused_by_name(embedded: Starter, tmp_path: Path) -> None:
    embedded().note_running("http://127.0.0.1:8000")
    with pytest.raises(ConfigurationError, match=r"already runs on .*embedded \(process \d+\) and answers at http:"):
        EmbeddedServer(Settings(data_folder=tmp_path / "data")).start()


def test_what_runs_on_a_folder_is_known_while_it_runs(embedded: Starter, tmp_path: Path) -> None:
    settings = Settings(data_folder=tmp_path / "data")
    assert running_on(settings.data_folder) is None
    server = embedded()
    server.note_running("http://127.0.0.1:8000")
    found = running_on(settings.data_folder)
    assert found is not None
    assert (found.pid, found.redis_url, found.api_url) == (os.getpid(), server.url, "http://127.0.0.1:8000")
    server.stop()
    assert running_on(settings.data_folder) is None


def test_a_folder_that_redis_wrote_is_refused_by_name(start_server: Callable[..., RedisServer], tmp_path: Path) -> None:
    other = start_server("redis")
    other.stop()
    (tmp_path / "data").mkdir()
    other.folder.rename(tmp_path / "data" / "embedded")

    with pytest.raises(ConfigurationError, match=r"embedded was written by Redis \d+\.\d+.*REDIS_URL"):
        EmbeddedServer(Settings(data_folder=tmp_path / "data")).start()


def test_who_wrote_a_folder_is_read_from_its_files(embedded: Starter, tmp_path: Path) -> None:
    assert written_by(tmp_path) is None
    server = embedded()
    writer = written_by(server.folder)
    assert writer is not None
    assert writer[0] == "valkey"


def test_a_folder_that_cannot_be_written_is_refused_by_name(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("a file where the folder should be")
    with pytest.raises(ConfigurationError, match=r"Cannot write to .*data/embedded"):
        EmbeddedServer(Settings(data_folder=tmp_path / "data")).start()


@pytest.mark.slow
def test_a_server_that_cannot_read_its_data_is_refused_with_its_log(embedded: Starter, tmp_path: Path) -> None:
    server = embedded()
    server.stop()
    (base,) = server.folder.glob("appendonlydir/*.base.rdb")
    base.write_bytes(base.read_bytes()[:20] + b"garbage" * 20)
    with pytest.raises(ConfigurationError, match=r"did not start. Its log .*valkey\.log ends:\n.+"):
        embedded()


@pytest.mark.slow
def test_what_was_acknowledged_before_and_after_a_full_disk_outlives_the_next_start(
    embedded: Starter, small_disk: Path
) -> None:
    server = embedded(data_folder=small_disk)
    with _client(server) as client:
        client.bgrewriteaof()  # only a file begun since the start gets a hole
        wait_until(lambda: not client.info("persistence")["aof_rewrite_in_progress"])
        kept = []
        with pytest.raises(redis.ResponseError, match="No space left"):  # noqa: PT012  the last write fails
            for number in range(1000):
                client.set(f"before {number}", os.urandom(50_000))
                kept.append(f"before {number}")
        subprocess.run(["mount", "-o", "remount,size=64m", str(small_disk)], check=True)
        wait_until(lambda: client.info("persistence")["aof_last_write_status"] == "ok")
        client.set("after", 1)
    server.stop()
    with _client(embedded(data_folder=small_disk)) as client:
        assert client.get("after") == b"1"
        assert client.exists(*kept) == len(kept)


def test_it_works_in_a_folder_with_a_long_name_and_spaces(embedded: Starter, tmp_path: Path) -> None:
    server = embedded(data_folder=tmp_path / "with space" / ("long" * 30))
    with _client(server) as client:
        assert client.ping()


CRASHING = """
import os, signal, sys
from pathlib import Path
import redis
from gristmill.embedded import EmbeddedServer
from gristmill.settings import Settings
server = EmbeddedServer(Settings(data_folder=Path(sys.argv[1])))
server.start()
server.note_running("")
redis.Redis.from_url(server.url).set("kept", "yes")
print(server.process.pid, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_it_ends_when_its_starter_is_killed_and_the_next_start_has_the_data(embedded: Starter, tmp_path: Path) -> None:
    result = subprocess.run(
        [sys.executable, "-c", CRASHING, str(tmp_path / "data")], capture_output=True, text=True, check=False
    )
    assert result.returncode == -signal.SIGKILL, result.stderr

    with _client(embedded()) as client:
        assert client.get("kept") == b"yes"
    wait_until(lambda: not Path(f"/proc/{result.stdout.strip()}").exists(), 20, "the old server is gone")
