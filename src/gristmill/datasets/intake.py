"""The way of an upload: received to disk, read by a child, stored. Nothing of one that fails remains."""

import errno
import json
import os
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from gristmill.clearing import remove
from gristmill.datasets import locks
from gristmill.datasets.dataset import UNCONDITIONAL, Conditions, NewVersion, Stored
from gristmill.datasets.facts import Facts
from gristmill.datasets.options import ReadingOptions, version_id
from gristmill.datasets.reading import Readings
from gristmill.datasets.store import Store
from gristmill.datasets.uploads import Allowance, UploadLimits, receive
from gristmill.errors import CacheUnusableError
from gristmill.job import new_id
from gristmill.presence import check
from gristmill.settings import Settings

FOLDER = "uploads"
_LOCK = "lock"
_TRIES = 10
_UNUSABLE = {errno.EROFS, errno.EACCES, errno.EPERM, errno.ENOENT, errno.ENOTDIR, errno.EMFILE, errno.ENFILE}


class Intake:
    """Takes uploads in. Safe for use by many threads; holds no process or connection before its first use."""

    def __init__(self, store: Store, settings: Settings) -> None:
        self._store = store
        self._limits = UploadLimits.of(settings)
        self._allowance = Allowance(settings.dataset_uploads_bytes)
        self._settings = settings
        self._root = settings.data_folder.absolute() / FOLDER
        self._opening = threading.Lock()
        self._desk: _Desk | None = None

    def put(
        self,
        name: str,
        pieces: Iterable[bytes],
        options: ReadingOptions,
        *,
        owner: str,
        coding: str = "",
        media_type: str = "",
        length: int | None = None,
        conditions: Conditions = UNCONDITIONAL,
    ) -> Stored:
        """Make a body the newest version of a data set.

        coding: the value of Content-Encoding. media_type: without parameters. length: of the body, in bytes, if it is
        known. The conditions must hold now, before anything is read, and at the end. Raises what ``receive``,
        ``Readings.read`` and ``Store.put`` do; BusyError when too many bytes of other uploads are on the disk;
        CacheUnusableError when the folder for uploads cannot be used; ClientGoneError when the client goes before it is
        read.
        """
        self._store.require(name, conditions)
        desk = self._open()
        with (
            _usable(desk.folder),
            self._allowance.share() as use,
            tempfile.TemporaryDirectory(dir=desk.folder) as name_of_folder,
        ):
            folder = Path(name_of_folder)
            upload = receive(
                pieces,
                folder / "upload",
                self._limits,
                coding=coding,
                media_type=media_type,
                length=length,
                use=use,
            )
            written = folder / "table.parquet"
            facts = desk.readings.read(upload.path, written, options)
            check()
            upload.path.unlink()
            version = NewVersion(
                version_id(upload.sha256, options),
                facts.rows,
                facts.read_bytes,
                json.dumps(facts.as_json(), ensure_ascii=False, separators=(",", ":")).encode(),
                options.canonical().encode(),
            )
            with written.open("rb") as source:
                return self._store.put(name, version, source, facts.stored_bytes, owner=owner, conditions=conditions)

    def prepare(self) -> None:
        """Start the process that reads uploads now: starting it takes seconds where CPUs are few and busy."""
        self._open().readings.prepare()

    def remove_dead(self) -> int:
        """Delete what uploads of dead processes have left; returns how many processes there were."""
        return remove_dead(self._settings)

    def close(self) -> None:
        """End the processes that read, and delete what there is on disk."""
        with self._opening:
            self._leave()

    def _leave(self) -> None:
        desk, self._desk = self._desk, None
        if desk is not None:
            desk.readings.close()
            remove(desk.folder)
            os.close(desk.lock)

    def _open(self) -> "_Desk":
        with self._opening:
            if self._desk is not None and not self._desk.folder.exists():
                self._leave()  # somebody has cleared the folder of uploads, or of all data
            if self._desk is None:
                folder, lock = self._new_folder()
                self._desk = _Desk(folder, lock, Readings.of(self._settings, folder=folder))
            return self._desk

    def _new_folder(self) -> tuple[Path, int]:
        """A folder, and its lock: between the making of the two, another process may take it for a dead one's."""
        for _ in range(_TRIES):
            folder = self._root / new_id()
            with suppress(FileNotFoundError):
                lock = locks.locked(str(folder / _LOCK), locks.ALONE)
                if lock is not None:
                    return folder, lock
        raise CacheUnusableError(f"No folder for uploads can be locked in {self._root}.")


@dataclass(frozen=True, slots=True)
class _Desk:
    """Where a process works on its uploads: a folder that is locked as long as the process lives."""

    folder: Path
    lock: int
    readings: Readings


@contextmanager
def _usable(folder: Path) -> Iterator[None]:
    """A folder that cannot be written, or is gone, comes out as ours."""
    try:
        yield
    except OSError as error:
        if error.errno not in _UNUSABLE:
            raise
        raise locks.unusable(folder, error) from error


def facts_of(packed: bytes) -> Facts:
    """The facts of a version as ``Intake.put`` has stored them."""
    return Facts.from_json(json.loads(packed))


def remove_dead(settings: Settings) -> int:
    """Delete what uploads of dead processes have left; returns how many processes there were."""
    return sum(map(_removed_if_dead, (settings.data_folder.absolute() / FOLDER).glob("*/")))


def _removed_if_dead(folder: Path) -> bool:
    """Delete a folder whose process is dead, and keep its lock meanwhile: nobody is to begin to work in it."""
    try:
        lock = locks.locked(str(folder / _LOCK), locks.ALONE)
    except FileNotFoundError:  # another process deletes it
        return False
    if lock is None:
        return False
    try:
        remove(folder)
    finally:
        os.close(lock)
    return True
