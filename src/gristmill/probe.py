"""Whether a component is well, asked from beside it: ``gristmill api --check``, ``worker --check`` and ``check``.

Containers and pods run these every few seconds, each time in a new process. So they do without the command line and the
settings, whose imports take a second of CPU, and read the few settings that they need for themselves.
"""

import itertools
import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from gristmill import heartbeats
from gristmill.running import running_on

SECONDS = 3.0

PROCESS_1 = Path("/proc/1/cmdline")


def is_asked_by(arguments: Sequence[str]) -> bool:
    """Whether ``main`` answers this command line; with further options, the command line proper does."""
    return tuple(arguments) in {("check",), ("api", "--check"), ("worker", "--check")}


def main(arguments: Sequence[str]) -> int:
    """Answer one of these command lines, on standard output and by the exit code: 0 for well."""
    component = component_of(PROCESS_1) if arguments[0] == "check" else arguments[0]
    if component == "api":
        return tell("API", check_api(*address_in(os.environ)))
    if component == "worker":
        return tell("worker", check_worker(worker_folder_in(os.environ)))
    if component:
        print(f"`gristmill {component}` runs, and needs no check.")  # noqa: T201  what the command is for
        return 0
    print(  # noqa: T201
        "No command of ours is the first process here, as it is in a container: "
        "ask for `gristmill api --check` or `gristmill worker --check`."
    )
    return 1


def tell(name: str, reason: str) -> int:
    """Print that a component is well, or the reason why not; returns the exit code."""
    print(reason or f"The {name} is well.")  # noqa: T201  what the commands are for
    return 1 if reason else 0


def check_worker(worker_folder: str) -> str:
    """Why the workers here are not well, or "". worker_folder: the setting."""
    return heartbeats.check(heartbeats.root_of(worker_folder))


def check_api(host: str, port: str | int, seconds: float = SECONDS) -> str:
    """Why the API of this computer is not alive, or "". host, port: those that it listens on, as the settings say."""
    host = reached_at(host)
    base = url_of(host, port)
    url = f"{base}/healthz"
    deadline = time.monotonic() + seconds
    try:
        with socket.create_connection((host, int(port)), timeout=seconds) as connection:
            request = f"GET /healthz HTTP/1.1\r\nHost: {base.removeprefix('http://')}\r\nConnection: close\r\n\r\n"
            connection.sendall(request.encode())
            answer = b""
            while b"\r\n" not in answer:
                connection.settimeout(max(0.001, deadline - time.monotonic()))
                received = connection.recv(4096)
                if not received:
                    return f"The API closed the connection to {url} without an answer."
                answer += received
    except TimeoutError:
        return f"The API has not answered {url} within {seconds:g} s."
    except (OSError, ValueError, OverflowError) as error:
        return f"The API does not answer {url}: {getattr(error, 'strerror', None) or error}."
    status = answer.split(b"\r\n", 1)[0].decode(errors="replace")
    return "" if status.split(" ")[1:2] == ["200"] else f"The API answered {url} with {status[:100]!r}."


def reached_at(host: str) -> str:
    """The address by which a program on this computer reaches what listens on ``host``."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1", "": "127.0.0.1"}.get(host, host)  # noqa: S104


def url_of(host: str, port: str | int) -> str:
    """The URL of a server of this computer, by the address and port that it listens on."""
    host = reached_at(host)
    return f"http://{f'[{host}]' if ':' in host else host}:{port}"


def component_of(command_line: Path) -> str:
    """Which of our commands a process runs, such as ``worker``; "" when it runs none, or cannot be read.

    command_line: its ``cmdline`` in ``/proc``. An init may stand before the command.
    """
    try:
        words = command_line.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return ""
    for word, following in itertools.pairwise(words):
        if word == "gristmill" or word.endswith("/gristmill"):
            return following
    return ""


def address_in(environ: Mapping[str, str]) -> tuple[str, str]:
    """Host and port that the API listens on, by the environment; where it says nothing, those of a running ``up``."""
    named = [_setting(environ, name, "") for name in ("GRISTMILL_HOST", "GRISTMILL_PORT", "REDIS_URL")]
    found = None if any(named) else running_on(Path(_setting(environ, "GRISTMILL_DATA_FOLDER", "data")))
    if found and found.api_url:
        host, _, port = found.api_url.removeprefix("http://").rpartition(":")
        return host.strip("[]"), port
    return named[0] or "127.0.0.1", named[1] or "8000"


def worker_folder_in(environ: Mapping[str, str]) -> str:
    """The folder of workers, by the environment."""
    return _setting(environ, "GRISTMILL_WORKER_FOLDER", "")


def _setting(environ: Mapping[str, str], name: str, default: str) -> str:
    """A setting as ``settings.py`` reads it: in any case, and an empty variable counts as not set."""
    return next((value for given, value in environ.items() if given.lower() == name.lower() and value), default)
