"""The real thing, as its users start it: a server, and ``gristmill api`` and ``gristmill worker`` over it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
import pytest

from gristmill.lifeline import tied
from support.servers import RedisServer, free_port
from support.waiting import wait_until

REPOSITORY = Path(__file__).parents[2]


@dataclass
class Part:
    """One command of ours that runs, and its log."""

    name: str
    process: subprocess.Popen[bytes]
    log_path: Path

    @property
    def log(self) -> str:
        return self.log_path.read_text(errors="replace")

    def stop(self, seconds: float = 30) -> int:
        """SIGTERM, and SIGKILL after ``seconds``; returns the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        return self.process.returncode


@dataclass
class RunningSystem:
    """A private server with one API process and one worker over it, in ``folder``.

    settings: more settings, by variable name without the prefix, such as ``{"FETCH_ALLOW": "127.0.0.0/8"}``.
    make_server: how to make another server than a plain one, given its folder.
    """

    folder: Path
    backend: str = "valkey"
    settings: dict[str, str] = field(default_factory=dict)
    make_server: Callable[[Path], RedisServer] | None = None
    url: str = ""
    parts: list[Part] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)

    def start(self, seconds: float = 90) -> Self:
        """Start everything, and return once the API is ready and the worker takes jobs."""
        make_server = self.make_server or (lambda folder: RedisServer(self.backend, folder))
        self.server = self._stack.enter_context(make_server(self.folder / "redis"))
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self.run("worker")
        self.run("api", GRISTMILL_PORT=str(port))
        deadline = time.monotonic() + seconds
        with httpx.Client(base_url=self.url, timeout=5) as client:
            wait_until(lambda: self._answers(client), seconds, "the API is ready", every=0.1)
            left = max(1.0, deadline - time.monotonic())
            wait_until(lambda: self._runs_a_job(client), left, "the worker takes a job", every=0.2)
        return self

    def run(self, command: str, **environment: str) -> Part:
        """Start one more ``gristmill`` command over the same server; it ends with the system."""
        own = {
            "REDIS_URL": self.server.url,
            "GRISTMILL_DATA_FOLDER": str(self.folder / "data"),
            "GRISTMILL_PROCESSES": str(REPOSITORY / "processes"),
            "GRISTMILL_LOG_FORMAT": "json",
            "GRISTMILL_CHILDREN": "2",
        } | {f"GRISTMILL_{name}": value for name, value in self.settings.items()}
        log_path = self.folder / f"{command}-{len(self.parts)}.log"
        with log_path.open("wb") as log:
            process = subprocess.Popen(
                tied([sys.executable, "-m", "gristmill", command], signal.SIGTERM),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=self.folder,
                env=os.environ | own | environment,
            )
        part = Part(command, process, log_path)
        self.parts.append(part)
        self._stack.callback(part.stop)
        return part

    def logs(self) -> str:
        """What all parts wrote so far."""
        return "\n".join(f"--- {part.name}\n{part.log}" for part in self.parts)

    def _answers(self, client: httpx.Client) -> bool:
        self._check_alive()
        try:
            return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False

    def _runs_a_job(self, client: httpx.Client) -> bool:
        self._check_alive()
        first_input = next(iter(client.get("/processes/echo").json()["inputs"]))
        request = {"inputs": {first_input: "ready"}, "response": "document"}
        answer = client.post("/processes/echo/execution", json=request, headers={"Prefer": "wait=2"})
        assert answer.status_code in {200, 201}, answer.text
        return answer.status_code == 200

    def _check_alive(self) -> None:
        ended = [part for part in self.parts if part.process.poll() is not None]
        assert not ended, f"{[part.name for part in ended]} ended:\n{self.logs()}"

    def stop(self) -> None:
        """Stop the parts and the server."""
        self._stack.close()

    def __enter__(self) -> Self:
        try:
            return self.start()
        except BaseException as error:
            error.add_note(self.logs())
            self.stop()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class GivenSystem:
    """A system that others have started, known by its URL alone. What needs more of it skips the test."""

    url: str

    def __getattr__(self, name: str) -> object:
        if name.startswith("__"):
            raise AttributeError(name)
        pytest.skip(f"needs a system of its own, for its {name}")
