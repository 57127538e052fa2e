"""``gristmill up``: the embedded server (or REDIS_URL), the API and a worker on this computer, from one command."""

import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import httpx
from rich.console import Console
from rich.text import Text

from gristmill import probe
from gristmill.credentials import CredentialFiles
from gristmill.demo import run_demo
from gristmill.embedded import EmbeddedServer
from gristmill.errors import ConfigurationError, GristmillError
from gristmill.lifeline import tied
from gristmill.settings import Settings
from gristmill.settings_table import unknown_variables, without_password
from gristmill.store import check_credentials
from gristmill.supervisor import Part, Say, Supervisor

COLORS = {"api": "blue", "worker": "magenta", "up": "green"}
# Ctrl-C ends everything within seconds: a longer job goes back to the queue, and runs at the next start.
GRACE_SECONDS = 3.0
STOP_SECONDS = GRACE_SECONDS + 5.0
READY_SECONDS = 90.0


def run_up(settings: Settings, *, demo: bool = False, stay: bool = True) -> int:
    """Start everything and serve until Ctrl-C, or until the demo is over if not ``stay``; returns the exit code.

    ConfigurationError: a taken port, an unusable folder, a second start.
    """
    console = Console(highlight=False, soft_wrap=True)
    say = _sayer(console, plain=settings.log_format == "json")
    if settings.redis_url:
        check_credentials(settings)
    elif CredentialFiles(settings.secrets_folder).are_there():
        raise ConfigurationError(
            f"{settings.secrets_folder}/redis has secrets of a server, and the embedded one lets in nobody "
            "but this user. Name the server with REDIS_URL, or take the files away."
        )
    server = None if settings.redis_url else EmbeddedServer(settings)
    try:
        if server is not None:
            server.lock()
        settings = _with_free_port(settings)
        url = probe.url_of(settings.host, settings.port)
        if server is not None:
            say("", f"Starting the embedded Valkey on {server.folder} ...")
            server.start()
            server.note_running(url)
        else:
            say("", f"Using {without_password(settings.redis_url)} ...")
        for name in unknown_variables(os.environ):
            say("", f"{name} is set, and no setting has this name; see `gristmill settings`.")
        redis_url = server.url if server is not None else settings.redis_url
        environment = _environment(settings, redis_url, terminal=console.is_terminal)
        parts = [] if server is None else [Part("redis", _server_starter(server), server.process)]
        parts += [Part(name, _starter(name, environment)) for name in ("api", "worker")]
        with Supervisor(parts, say, STOP_SECONDS) as supervisor:
            say("", "Starting the API and a worker ...")
            guide = _Guide(settings, url, say, console, supervisor, demo, stay)
            threading.Thread(target=guide.run, daemon=True).start()
            code = supervisor.run()
            say("", "Stopping ...")
        say("", "Everything has stopped.")
        return code
    finally:
        if server is not None:
            server.stop()


@dataclass
class _Guide:
    """What happens beside the supervisor: wait until the API is ready, say so, and run the demo."""

    settings: Settings
    url: str
    say: Say
    console: Console
    supervisor: Supervisor
    demo: bool
    stay: bool

    def run(self) -> None:
        if not self._wait_until_ready():
            self.say(
                "", f"The API at {self.url} is not ready after {READY_SECONDS:.0f} s; the lines above may say why."
            )
            if not self.stay:
                self.supervisor.stop(1)
            return
        if self.settings.anonymous != "none":
            reach = "this computer" if self.settings.host in {"127.0.0.1", "::1", "localhost"} else "your network"
            self.say("", f"Open to everybody on {reach}: role {self.settings.anonymous} (GRISTMILL_ANONYMOUS).")
        code = self._run_demo() if self.demo else 0
        if self.stay:
            self.say("", f"Serving at {self.url}. Ctrl-C stops everything.")
        else:
            self.supervisor.stop(code)

    def _wait_until_ready(self) -> bool:
        began = time.monotonic()
        while not _is_ready(self.url):
            if time.monotonic() - began > READY_SECONDS:
                return False
            time.sleep(0.1)
        self.say("", f"Ready after {time.monotonic() - began:.1f} s: {self.url}")
        return True

    def _run_demo(self) -> int:
        try:
            run_demo(self.url, self.console)
        except (GristmillError, httpx.HTTPError, OSError) as error:
            self.say("", f"The sample job did not work: {error}")
            return 1
        return 0


def _is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=2, trust_env=False).status_code == 200
    except httpx.HTTPError:
        return False


def _starter(name: str, environment: dict[str, str]) -> Callable[[], subprocess.Popen[bytes]]:
    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            tied([sys.executable, "-m", "gristmill", name], signal.SIGKILL),
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )

    return start


def _server_starter(server: EmbeddedServer) -> Callable[[], subprocess.Popen[bytes]]:
    """Hand out the server that runs already, and start it again when it has died."""

    def start() -> subprocess.Popen[bytes]:
        if server.process is None or server.process.poll() is not None:
            server.start()
        assert server.process is not None  # noqa: S101  start() has set it
        return server.process

    return start


def _environment(settings: Settings, redis_url: str, *, terminal: bool) -> dict[str, str]:
    """The environment of the parts: ours, with what the command line and the terminal decide."""
    changed = {
        "REDIS_URL": redis_url,
        "GRISTMILL_HOST": settings.host,
        "GRISTMILL_PORT": str(settings.port),
        "GRISTMILL_WORKERS_GRACE_SECONDS": str(min(settings.workers_grace_seconds, GRACE_SECONDS)),
        "GRISTMILL_LOG_FORMAT": "console" if settings.log_format == "auto" else settings.log_format,
        "PYTHONUNBUFFERED": "1",
    }
    if terminal and not os.environ.get("NO_COLOR"):
        changed["FORCE_COLOR"] = "1"
    return dict(os.environ) | changed


def _sayer(console: Console, *, plain: bool) -> Say:
    """Print a line of a part behind its coloured name; ``plain`` leaves the parts' lines as they are."""

    def say(part: str, line: str) -> None:
        if plain and part:
            console.out(line, highlight=False)
            return
        name = part or "up"
        prefix = (f"{name:<6} | ", COLORS.get(name, "yellow"))
        console.print(Text.assemble(prefix, Text.from_ansi(line) if part else line))

    return say


def _with_free_port(settings: Settings) -> Settings:
    """Settings whose port can be listened on; ConfigurationError names one that cannot. Port 0 becomes a free one."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except (OSError, OverflowError) as error:
            raise ConfigurationError(_why_not(settings, error)) from error
        return settings.model_copy(update={"port": probe.getsockname()[1]})


def _why_not(settings: Settings, error: Exception) -> str:
    number = getattr(error, "errno", None)
    place = f"port {settings.port} of {settings.host}"
    other = str(settings.port % 65535 + 1)
    another = f"gristmill up --port {other} (in a clone: make run PORT={other})"
    if number == errno.EADDRINUSE:
        return f"The {place} is taken by another program. Stop that, or choose another port: {another}"
    if number == errno.EACCES:
        return f"The {place} needs more rights than this user has. Choose one above 1023: gristmill up --port 8000"
    return f"Cannot listen on {place}: {error}. Choose another address with --host or GRISTMILL_HOST."
