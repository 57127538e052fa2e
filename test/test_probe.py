"""Health checks say whether a component is well, by their exit code, for little CPU."""

import os
import resource
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from support import free_port
from support.system import RunningSystem

from gristmill import probe
from gristmill.embedded import EmbeddedServer
from gristmill.settings import Settings
from gristmill.workfolder import WorkFolder


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gristmill", *arguments],
        env=dict(os.environ) | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.fixture
def answering() -> Iterator[Callable[[int], int]]:
    """Return a function that starts a server with this status for everything, and returns its port."""
    servers: list[ThreadingHTTPServer] = []

    def start(status: int) -> int:
        class Answer(BaseHTTPRequestHandler):
            def log_message(self, *_: object) -> None: ...

            def do_GET(self) -> None:
                self.send_response(status if self.path == "/healthz" else 404)
                self.end_headers()

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
        servers.append(server)
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.slow
def test_a_real_api_and_a_real_worker_are_well(running_system: RunningSystem, tmp_path: Path) -> None:
    port = running_system.url.rpartition(":")[2]
    assert run("api", "--check", GRISTMILL_PORT=port).stdout == "The API is well.\n"
    assert run("api", "--check", "--port", port).returncode == 0
    assert run("api", "--check", GRISTMILL_PORT=port, GRISTMILL_HOST="0.0.0.0").returncode == 0
    folder = WorkFolder(tmp_path, "here")
    assert run("worker", "--check", GRISTMILL_WORKER_FOLDER=str(tmp_path)).stdout == "The worker is well.\n"
    folder.close()
    assert run("worker", "--check", GRISTMILL_WORKER_FOLDER=str(tmp_path)).returncode == 1


@pytest.mark.parametrize("options", [(), ("--port",)])
def test_an_api_that_is_not_there_is_exit_code_1_with_the_reason(options: tuple[str, ...]) -> None:
    port = str(free_port())
    result = run("api", "--check", *options, *((port,) if options else ()), GRISTMILL_PORT=port)
    assert (result.returncode, result.stderr) == (1, "")
    assert result.stdout == f"The API does not answer http://127.0.0.1:{port}/healthz: Connection refused.\n"


def test_only_200_is_well(answering: Callable[[int], int]) -> None:
    assert probe.check_api("127.0.0.1", answering(200)) == ""
    for status in (204, 404, 500, 503):
        assert f"with 'HTTP/1.0 {status}" in probe.check_api("127.0.0.1", answering(status))


def test_an_api_that_accepts_and_says_nothing_is_not_well() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        assert "has not answered" in probe.check_api("127.0.0.1", listener.getsockname()[1], seconds=0.2)


def test_an_api_that_hangs_up_is_not_well() -> None:
    def hang_up() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=hang_up)
        thread.start()
        reason = probe.check_api("127.0.0.1", listener.getsockname()[1])
        thread.join()
    assert reason.endswith("without an answer.")


@pytest.mark.parametrize("host", ["127.0.0.1", "0.0.0.0", "::1"])
def test_the_api_of_a_running_up_is_found_where_no_other_is_named(host: str, tmp_path: Path) -> None:
    server = EmbeddedServer(Settings(data_folder=tmp_path))
    environ = {"GRISTMILL_DATA_FOLDER": str(tmp_path), "GRISTMILL_PORT": ""}
    server.lock()
    server.note_running(probe.url_of(host, 18200))
    try:
        assert probe.address_in(environ) == (probe.reached_at(host), "18200")
        assert probe.address_in(environ | {"GRISTMILL_PORT": "8080"}) == ("127.0.0.1", "8080")
        assert probe.address_in(environ | {"GRISTMILL_HOST": "10.0.0.7"}) == ("10.0.0.7", "8000")
        assert probe.address_in(environ | {"REDIS_URL": "redis://r:6379/0"}) == ("127.0.0.1", "8000")
    finally:
        server.stop()
    assert probe.address_in(environ) == ("127.0.0.1", "8000")


def test_a_check_asks_the_api_of_a_running_up(answering: Callable[[int], int], tmp_path: Path) -> None:
    server = EmbeddedServer(Settings(data_folder=tmp_path))
    server.lock()
    server.note_running(f"http://127.0.0.1:{answering(200)}")
    unnamed = {"GRISTMILL_HOST": "", "GRISTMILL_PORT": "", "REDIS_URL": ""}
    try:
        result = run("api", "--check", GRISTMILL_DATA_FOLDER=str(tmp_path), **unnamed)
    finally:
        server.stop()
    assert (result.returncode, result.stdout) == (0, "The API is well.\n")


@pytest.mark.parametrize("port", ["http", "", "65536", "-1"])
def test_a_port_that_is_none_is_a_reason_and_no_trace(port: str) -> None:
    assert probe.check_api("127.0.0.1", port).startswith("The API does not answer")


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:80"),
        ("", "http://127.0.0.1:80"),
        ("::", "http://[::1]:80"),
        ("10.0.0.7", "http://10.0.0.7:80"),
        ("fd00::7", "http://[fd00::7]:80"),
    ],
)
def test_what_listens_everywhere_is_asked_over_loopback(host: str, url: str) -> None:
    assert probe.url_of(host, 80) == url


@pytest.mark.parametrize(
    "environ",
    [
        {},
        {"GRISTMILL_HOST": "0.0.0.0", "GRISTMILL_PORT": "8123", "GRISTMILL_WORKER_FOLDER": "/w"},
        {"GRISTMILL_HOST": "", "GRISTMILL_PORT": "", "GRISTMILL_WORKER_FOLDER": ""},
        {"gristmill_host": "::", "Gristmill_Port": "9"},
    ],
)
def test_the_checks_read_the_settings_as_the_components_do(
    environ: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where nothing runs
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    settings = Settings()
    assert probe.address_in(os.environ) == (settings.host, str(settings.port))
    assert probe.worker_folder_in(os.environ) == settings.worker_folder


@pytest.mark.parametrize(
    ("words", "component"),
    [
        (("/opt/venv/bin/python", "/opt/venv/bin/gristmill", "api", "--port", "80"), "api"),
        (("/sbin/docker-init", "--", "gristmill", "worker"), "worker"),
        (("python", "-m", "gristmill", "verify", "api"), "verify"),
        (("/opt/venv/bin/gristmill",), ""),
        (("redis-server", "*:6379"), ""),
    ],
)
def test_the_component_is_that_of_the_containers_first_process(
    words: tuple[str, ...], component: str, tmp_path: Path
) -> None:
    (tmp_path / "cmdline").write_bytes("".join(f"{word}\0" for word in words).encode())
    assert probe.component_of(tmp_path / "cmdline") == component
    assert probe.component_of(tmp_path / "gone") == ""


def test_a_check_outside_of_a_container_says_what_to_ask_for() -> None:
    if probe.component_of(Path("/proc/1/cmdline")):
        pytest.skip("the first process here is ours")
    result = run("check")
    assert result.returncode == 1
    assert "gristmill worker --check" in result.stdout


def test_a_check_costs_little_and_imports_neither_pydantic_nor_redis(tmp_path: Path) -> None:
    code = "import sys; from gristmill import __main__, probe; probe.main(['worker', '--check']); print(*sys.modules)"
    environment = dict(os.environ) | {"GRISTMILL_WORKER_FOLDER": str(tmp_path)}
    loaded = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)
    assert not {"pydantic", "redis", "typer", "structlog", "httpx", "importlib.metadata"} & set(loaded.stdout.split())

    def cpu_of(*arguments: str) -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        run(*arguments, GRISTMILL_WORKER_FOLDER=str(tmp_path))
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    assert min(cpu_of("worker", "--check") for _ in range(5)) < 0.2
