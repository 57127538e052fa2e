"""The heartbeats of this computer's workers, as anybody beside them can read them.

Each worker has a folder below a common root, where it holds a lock and writes a file (``workfolder.py``). Health checks
read them every few seconds, each in a new process, so nothing but light parts of the standard library is imported.
"""

import contextlib
import fcntl
import os
import time
from pathlib import Path

STALE_SECONDS = 20.0

LOCK = "lock"
HEARTBEAT = "heartbeat"
DEAD = "dead-"


def root_of(worker_folder: str) -> Path:
    """Where the workers of this computer have their folders.

    worker_folder: the setting; "" for a folder in the system's temporary folder.
    """
    if worker_folder:
        return Path(worker_folder).absolute()
    import tempfile  # noqa: PLC0415  as much as all the rest together, and not needed in a container

    return Path(tempfile.gettempdir(), f"gristmill-{os.getuid()}")


def check(root: Path) -> str:
    """Why no worker here is well, or "" when each that lives goes on."""
    alive = [folder for folder in folders_in(root) if is_alive(folder)]
    if not alive:
        return f"No worker runs with the folder {root}."
    for folder in alive:
        with contextlib.suppress(OSError, ValueError):
            silent = time.monotonic() - float((folder / HEARTBEAT).read_text())
            if silent > STALE_SECONDS:
                return f"Worker {folder.name} has been stuck for {silent:.0f} s."
    return ""


def folders_in(root: Path) -> list[Path]:
    """The folders of workers, living or not, that nobody is deleting yet."""
    if not root.is_dir():
        return []
    return [path for path in root.iterdir() if path.is_dir() and not path.name.startswith(DEAD)]


def is_alive(folder: Path) -> bool:
    """Whether the worker of this folder lives: it holds the lock for as long as it does."""
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False
