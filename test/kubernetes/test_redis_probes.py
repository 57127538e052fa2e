"""The Redis of the files as a real server: its arguments are taken, and its probes tell what they are to tell."""

import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from support import free_port, wait_until, why_missing
from support.manifests import pods
from support.secured import OF_SERVER, Files

pytestmark = pytest.mark.skipif(bool(why_missing("redis")), reason="no redis-server 7 or newer")
CONTAINER = pods("test")["redis"].container

Probe = Callable[[str], "subprocess.CompletedProcess[str]"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the server has its disk, its Secret, and a redis-cli that asks it."""
    for name in ("data", "secret", "bin"):
        (tmp_path / name).mkdir()
    return tmp_path


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def with_secret(folder: Path, port: int, redis_files: Files) -> Files:
    """The files of the Secret, which lie in the pod before the server starts."""
    for name in OF_SERVER:
        text = redis_files[name].decode().replace("/run/secrets/redis", str(folder / "secret"))
        (folder / "secret" / name).write_text(text.replace("6379", str(port)) if name == "redis.conf" else text)
    return redis_files


@pytest.fixture
def server(folder: Path, port: int) -> Iterator["subprocess.Popen[bytes]"]:
    """The server, started as in the pod."""
    words = [word.replace("/run/secrets/redis", str(folder / "secret")) for word in CONTAINER["args"]]
    words = [str(folder / "data") if word == "/data" else word for word in words]
    cli = folder / "bin" / "redis-cli"
    cli.write_text(f'#!/bin/sh\nexec {shutil.which("redis-cli")} -p {port} "$@"\n')
    cli.chmod(0o755)
    (folder / "secret" / "port.conf").write_text(f"port {port}\n")
    process = subprocess.Popen([*CONTAINER["command"], *words], stdout=subprocess.DEVNULL)
    yield process
    process.send_signal(signal.SIGCONT)
    process.kill()
    process.wait()


@pytest.fixture
def probe(folder: Path, server: "subprocess.Popen[bytes]") -> Probe:
    """Runs a probe of the container by its name, as the kubelet does."""

    def run(name: str) -> "subprocess.CompletedProcess[str]":
        script = CONTAINER["env"][0]["value"].replace("/run/secrets/redis", str(folder / "secret"))
        path = os.pathsep.join([str(folder / "bin"), os.environ["PATH"]])
        environ = {"PATH": path, CONTAINER["env"][0]["name"]: script}
        seconds = CONTAINER[name]["timeoutSeconds"]
        command = ["timeout", str(seconds), *CONTAINER[name]["exec"]["command"]]
        return subprocess.run(command, check=False, env=environ, capture_output=True, text=True)

    return run


def test_the_server_takes_its_arguments_and_is_ready(probe: Probe) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    assert probe("readinessProbe").stdout == "PONG\n"
    assert probe("livenessProbe").returncode == 0


def test_with_the_secret_the_server_is_ready_and_lets_in_nobody_without_it(
    with_secret: Files, probe: Probe, folder: Path
) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    assert probe("readinessProbe").stdout == "PONG\n"
    assert probe("livenessProbe").stdout == "PONG\n"
    stranger = [folder / "bin" / "redis-cli", "--tls", "--insecure", "GET", "k"]
    assert "NOAUTH" in subprocess.run(stranger, check=True, capture_output=True, text=True).stdout


def test_a_secret_that_changes_while_the_server_runs_leaves_it_alive_and_not_ready(
    with_secret: Files, probe: Probe, folder: Path
) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    (folder / "secret" / "probe-password").write_text("another")
    assert probe("livenessProbe").returncode == 0
    assert "NOAUTH" in probe("readinessProbe").stdout
    for name in OF_SERVER:
        (folder / "secret" / name).unlink()
    assert probe("livenessProbe").returncode == 0
    assert probe("readinessProbe").returncode != 0


@pytest.mark.slow
def test_a_secret_that_comes_while_the_server_runs_leaves_it_ready(
    probe: Probe, folder: Path, redis_files: Files
) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    for name in OF_SERVER:
        (folder / "secret" / name).write_bytes(redis_files[name])
    assert probe("readinessProbe").stdout == "PONG\n"
    assert probe("livenessProbe").returncode == 0


@pytest.mark.slow
def test_a_server_that_answers_nothing_is_neither_ready_nor_alive(
    probe: Probe, server: "subprocess.Popen[bytes]"
) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    server.send_signal(signal.SIGSTOP)
    assert probe("livenessProbe").returncode != 0
    server.send_signal(signal.SIGCONT)
    assert probe("livenessProbe").returncode == 0


def test_a_server_that_wants_a_password_is_alive_and_not_ready(probe: Probe, folder: Path) -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    subprocess.run([folder / "bin" / "redis-cli", "CONFIG", "SET", "requirepass", "x"], check=True, capture_output=True)
    assert probe("livenessProbe").returncode == 0
    assert probe("readinessProbe").returncode != 0


def test_a_server_that_is_gone_is_not_alive(probe: Probe, server: "subprocess.Popen[bytes]") -> None:
    wait_until(lambda: probe("startupProbe").returncode == 0)
    server.kill()
    server.wait()
    assert probe("livenessProbe").returncode != 0
