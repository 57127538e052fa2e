"""The real parts that are measured: a private server, workers as processes of their own, engines."""

import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import redis

REPOSITORY = Path(__file__).parents[1]
FSYNC = "everysec"


@contextmanager
def server(folder: Path) -> Iterator[str]:
    """A private redis-server (with append-only file, fsync policy FSYNC) or embedded Valkey; its URL."""
    sys.path.insert(0, str(REPOSITORY / "test"))
    from support import RedisServer, why_missing  # noqa: PLC0415 - the tests' servers, by their path

    backend = "valkey" if why_missing("redis") else "redis"
    with RedisServer(backend, folder, {"appendfsync": FSYNC, "save": '""'}) as running:
        yield running.url.removesuffix("/0")


class Workers:
    """Processes of one system that can be stopped and continued together, so that only one system works at a time."""

    def __init__(self, *commands: list[str], env: dict[str, str], folder: Path) -> None:
        self._log = (folder / f"{Path(commands[0][0]).name}-{time.monotonic_ns()}.log").open("wb")
        self._processes = [
            subprocess.Popen(
                command, env=os.environ | env, cwd=REPOSITORY, stdout=self._log, stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL, start_new_session=True,
            )
            for command in commands
        ]  # fmt: skip

    @property
    def pids(self) -> list[int]:
        """The process groups' leaders."""
        return [process.pid for process in self._processes]

    def members(self) -> list[int]:
        """The processes and all that descend from them."""
        parents = {}
        for entry in Path("/proc").iterdir():
            if entry.name.isdigit():
                try:
                    parents[int(entry.name)] = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                except OSError:
                    continue
        found = [pid for pid in self.pids if pid in parents]
        for pid in found:
            found += [child for child, parent in parents.items() if parent == pid]
        return found

    def stop(self) -> None:
        """Freeze them (SIGSTOP)."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Thaw them (SIGCONT)."""
        self._signal(signal.SIGCONT)

    def end(self) -> None:
        """Kill them."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGKILL)
        for process in self._processes:
            process.wait(10)
        self._log.close()

    def _signal(self, number: int) -> None:
        for pid in self.members():
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                continue


def wait_until(condition, seconds: float, what: str, every: float = 0.002) -> None:
    """Poll until the condition holds, every so many seconds; TimeoutError after ``seconds``."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError(what)
        time.sleep(every)


def client(url: str) -> redis.Redis:
    """A plain client."""
    return redis.Redis.from_url(url)


def scratch() -> tempfile.TemporaryDirectory:
    """A folder of the run's own."""
    return tempfile.TemporaryDirectory(prefix="gristmill-bench-")
