"""Where backups lie: a file that is there only once it is whole, and a folder that keeps the newest of them."""

import errno
import fcntl
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO, Self

from gristmill.errors import BackupError

NEW = ".new"
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class NewFile:
    """A file being written as ``<path>.new``, for its owner's eyes only. Without ``keep`` nothing of it remains."""

    def __init__(self, path: Path) -> None:
        """Raises BackupError when it cannot be written, or another backup is writing it."""
        self.path = path
        self._new = path.with_name(path.name + NEW)
        with told(self._new):
            if path.exists() and not path.is_file():
                raise BackupError(f"{path} is no file; name a file, a folder, or - for standard output.")
            self.file: BinaryIO = os.fdopen(os.open(self._new, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
            if not _is_ours(self.file, self._new):
                self.file.close()
                raise BackupError(f"Another backup is writing {self._new}; wait for it, or choose another name.")
            os.fchmod(self.file.fileno(), 0o600)
            self.file.truncate()

    def write(self, data: bytes) -> None:
        """Write on. Raises BackupError when the disk is full."""
        with told(self._new):
            self.file.write(data)

    def rewind(self) -> BinaryIO:
        """What has been written, to be read from its beginning, once it is on the disk."""
        with told(self._new):
            self.file.flush()
            os.fsync(self.file.fileno())
            if hasattr(os, "posix_fadvise"):  # so that the disk is read, and not memory
                os.posix_fadvise(self.file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
            self.file.seek(0)
        return self.file

    def keep(self) -> None:
        """Give it its name, in place of what had it."""
        with told(self.path):
            self._new.replace(self.path)
            folder = os.open(self.path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                os.fsync(folder)
            except OSError as error:
                if error.errno != errno.EINVAL:  # a file system that does not know how to
                    raise
            finally:
                os.close(folder)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(OSError):  # a full disk's file cannot be flushed, and is about to go
            if _is_at(self.file, self._new):
                self._new.unlink()
        with suppress(OSError):
            self.file.close()


def new_name(environment: str, now: datetime | None = None) -> str:
    """The name of a backup in a folder, such as ``gristmill-prod-20261128T034500Z.backup``."""
    return f"gristmill-{environment}-{now or datetime.now(UTC):%Y%m%dT%H%M%SZ}.backup"


def remove_unfinished(folder: Path, environment: str) -> None:
    """Delete what backups that were killed have left. Raises BackupError when the folder cannot be used."""
    for path in _ours(folder, environment, re.escape(NEW)):
        with told(path), suppress(FileNotFoundError), path.open("r+b") as file:
            if _is_ours(file, path):
                path.unlink()


def remove_old(folder: Path, environment: str, keep: int, newest: Path) -> list[Path]:
    """Delete all but the ``keep`` newest backups of an environment, ``newest`` never; returns which."""
    others = [path for path in _ours(folder, environment, "") if path.name != newest.name]
    old = others[: max(0, len(others) - (keep - 1))]
    for path in old:
        with told(path):
            path.unlink(missing_ok=True)
    return old


def _ours(folder: Path, environment: str, ending: str) -> list[Path]:
    """The backups in a folder, oldest first, as their names say."""
    name = re.compile(rf"gristmill-{re.escape(environment)}-\d{{8}}T\d{{6}}Z\.backup{ending}")
    with told(folder):
        return sorted(path for path in folder.iterdir() if name.fullmatch(path.name) and path.is_file())


def _is_ours(file: BinaryIO, path: Path) -> bool:
    """Take the file for this process; False when another has it, or has put it elsewhere."""
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks
    return _is_at(file, path)


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False


@contextmanager
def told(path: Path) -> Iterator[None]:
    """What the system says of a file comes out as BackupError."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            raise BackupError(
                f"There is no room for {path} ({error.strerror}); nothing half-written remains. Make room, or write to "
                "another place."
            ) from error
        raise BackupError(f"{path}: {error.strerror}.") from error
