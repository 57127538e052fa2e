"""The folder of one worker: scratch folders and logs of its children, its lock, and its heartbeat file.

All workers of a computer share a root. A worker holds its lock for as long as it lives, however it ends, so the next
start knows what dead workers have left, and ``check`` whose heartbeat counts.
"""

import contextlib
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from gristmill.clearing import remove
from gristmill.errors import ConfigurationError
from gristmill.heartbeats import DEAD, HEARTBEAT, LOCK, folders_in, is_alive


def scratch_of(folder: Path, child: int) -> Path:
    """Where a child works; nothing else is in it."""
    return folder / str(child)


def log_of(folder: Path, child: int) -> Path:
    """What a child has printed in its present job."""
    return folder / f"{child}.log"


class WorkFolder:
    """A living worker's folder."""

    def __init__(self, root: Path, worker: str) -> None:
        """Make it. Raises ConfigurationError where the root is not usable."""
        self._root = root
        self.path = root / worker
        with _usable(root), _locked(root / ".lock"):
            self.path.mkdir(mode=0o700)
            self._lock = os.open(self.path / LOCK, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(self._lock, fcntl.LOCK_EX)
            self._heartbeat = os.open(self.path / HEARTBEAT, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            self._beat()

    def touch(self) -> None:
        """Say that the worker's loop goes on. What the disk does not take, ``check`` will miss: that is its task."""
        with contextlib.suppress(OSError):
            self._beat()

    def _beat(self) -> None:
        os.pwrite(self._heartbeat, b"%.1f\n" % time.monotonic(), 0)

    def remove_child(self, child: int) -> None:
        """Delete what a child has left."""
        remove(scratch_of(self.path, child))
        log_of(self.path, child).unlink(missing_ok=True)

    def remove_dead(self) -> int:
        """Delete the folders of workers that have died; returns how many there were."""
        with _locked(self._root / ".lock"):
            for folder in folders_in(self._root):
                if folder != self.path and not is_alive(folder):
                    folder.rename(folder.with_name(f"{DEAD}{folder.name}"))
        dead = list(self._root.glob(f"{DEAD}*"))
        for folder in dead:
            remove(folder)
        return len(dead)

    def close(self) -> None:
        """Delete the folder."""
        remove(self.path)
        os.close(self._heartbeat)
        os.close(self._lock)


@contextmanager
def _usable(root: Path) -> Iterator[None]:
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if root.stat().st_uid != os.getuid():
            raise ConfigurationError(
                f"The worker's folder {root} belongs to another user; set GRISTMILL_WORKER_FOLDER."
            )
        yield
    except OSError as error:
        raise ConfigurationError(
            f"The worker cannot use the folder {root} ({error.strerror}); set GRISTMILL_WORKER_FOLDER to another."
        ) from error


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)
