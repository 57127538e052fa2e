"""Locks between processes: files that may be deleted by whoever has them alone, and that carry marks for others to see.

A lock is flock's, so it ends with the process that holds it, however that ends. A mark is a letter in the file.
"""

import errno
import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from gristmill.errors import CacheUnusableError

SHARED, ALONE = fcntl.LOCK_SH, fcntl.LOCK_EX
_OPEN = os.O_RDWR | os.O_APPEND | os.O_CLOEXEC


def opened(path: str) -> int:
    """A descriptor of the file, which is made where it is missing, with its folder. Raises CacheUnusableError."""
    with suppress(FileNotFoundError):  # of the folder
        return _open(path, os.O_CREAT)
    folder = Path(path).parent
    with usable(folder):
        folder.mkdir(parents=True, exist_ok=True)
    return _open(path, os.O_CREAT)


def locked(path: str, how: int) -> int | None:
    """A descriptor with this lock on the file, or None when others have it."""
    lock = opened(path)
    try:
        if has(lock, path, how):
            return lock
    except BaseException:
        os.close(lock)
        raise
    os.close(lock)
    return None


def has(lock: int, path: str, how: int) -> bool:
    """Try to have this lock on a descriptor, instead of the one that it has, which is lost then."""
    try:
        fcntl.flock(lock, how | fcntl.LOCK_NB)
        # Else it was deleted before the lock was ours, and keeps nobody away.
        return os.path.samestat(os.fstat(lock), os.stat(path))  # noqa: PTH116 -- half the time of a Path
    except (BlockingIOError, FileNotFoundError):
        return False
    except OSError as error:
        raise unusable(Path(path).parent, error) from error


def mark(path: str, letter: bytes) -> bool:
    """Mark a file for everybody, whoever has the lock; returns whether there is one. Raises CacheUnusableError."""
    while True:
        try:
            lock = _open(path, 0)
        except FileNotFoundError:
            return False
        try:
            with usable(Path(path).parent):
                os.write(lock, letter)
            with suppress(FileNotFoundError):
                if os.path.samestat(os.fstat(lock), Path(path).stat()):
                    return True
        finally:
            os.close(lock)


def marks(lock: int) -> bytes:
    """What a file is marked with."""
    return os.pread(lock, 100, 0) if os.fstat(lock).st_size else b""


def clear_marks(lock: int) -> None:
    """Take all marks away."""
    os.ftruncate(lock, 0)


def note_use(lock: int) -> None:
    """Set the time of the file's last use, as ``st_mtime``."""
    now = time.time_ns()  # the system's own time for files goes in steps of some milliseconds
    os.utime(lock, ns=(now, now))


@contextmanager
def usable(folder: Path) -> Iterator[None]:
    """The errors of a folder of the cache come out as ours."""
    try:
        yield
    except OSError as error:
        raise unusable(folder, error) from error


def unusable(folder: Path, error: OSError) -> CacheUnusableError:
    """Say that a folder cannot be used."""
    if error.errno in {errno.EMFILE, errno.ENFILE}:
        return CacheUnusableError(
            f"{error.strerror}: try again later, or raise the limit on open files (ulimit -n).", retry_after_seconds=5
        )
    return CacheUnusableError(
        f"The cache cannot use the folder {folder} ({error.strerror}); make it writable, or choose "
        "another with GRISTMILL_DATA_FOLDER."
    )


def _open(path: str, more: int) -> int:
    try:
        return os.open(path, _OPEN | more, 0o600)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise unusable(Path(path).parent, error) from error
