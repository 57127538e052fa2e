"""What ``gristmill up`` runs on a data folder, noted there for other commands, health checks and a second start.

The note counts while the folder's lock is held. Health checks read it, each in a new process, so nothing but light
parts of the standard library is imported.
"""

import contextlib
import fcntl
import os
from pathlib import Path
from typing import NamedTuple

LOCK = "lock"
NOTE = "running.json"


class Running(NamedTuple):
    """What runs on a data folder: the supervisor's process id, and where its server and API answer."""

    pid: int
    redis_url: str
    api_url: str = ""


def folder_of(data_folder: Path) -> Path:
    """The folder of the embedded server, which holds its data, the lock and the note."""
    return data_folder.absolute() / "embedded"


def running_on(data_folder: Path) -> Running | None:
    """What runs on a data folder now, or None."""
    folder = folder_of(data_folder)
    try:
        descriptor = os.open(folder / LOCK, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        return None if try_lock(descriptor) else read_note(folder)
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Take the lock of a folder, unless another process has it."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def write_note(folder: Path, found: Running) -> None:
    """Say in the folder what runs there."""
    import json  # noqa: PLC0415  not needed by the health check of a container, where nothing is noted

    (folder / NOTE).write_text(json.dumps(found._asdict()) + "\n")


def read_note(folder: Path) -> Running | None:
    """What the folder says that runs there, whether it still does or not; None for no note."""
    import json  # noqa: PLC0415  the same

    with contextlib.suppress(OSError, ValueError, TypeError):
        return Running(**json.loads((folder / NOTE).read_text()))
    return None
