"""The backup that is to be restored, read twice: to its end first, and then again without bytes, to be applied."""

import tempfile
from abc import ABC, abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from gristmill.backup.format import Entry, Reader, Writer
from gristmill.backup.places import told
from gristmill.backup.restoring import BYTES
from gristmill.backup.streams import STREAM, opened
from gristmill.errors import BackupError


class Incoming(ABC):
    """A backup. ``bytes`` and ``digest`` are known when it has been read once."""

    bytes = 0
    digest = ""

    @abstractmethod
    def first(self) -> Iterator[Entry]:
        """All entries. Whoever has seen the last knows that the backup is whole. Raises DamagedBackupError."""

    @abstractmethod
    def again(self) -> Iterator[Entry]:
        """The same entries, after ``first``; perhaps without those of bytes."""

    def close(self) -> None:  # noqa: B027 -- a file has nothing to close
        """Delete what was kept for the second reading."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def incoming(source: str, spool_mb: int) -> Incoming:
    """The backup in a file, or on standard input ("-"); spool_mb: most room for what is kept of that, in MiB."""
    return _Stream(spool_mb) if source == STREAM else _File(source)


class _File(Incoming):
    """It is read once more before the first time, so that a damaged one never reaches Redis."""

    def __init__(self, path: str) -> None:
        self._path = path

    def first(self) -> Iterator[Entry]:
        for _ in self._read():
            pass
        yield from self._read()

    def again(self) -> Iterator[Entry]:
        return self._read()

    def _read(self) -> Iterator[Entry]:
        with opened(self._path) as file:
            reader = Reader(file)
            yield from reader
        if self.digest not in {"", reader.digest}:
            raise BackupError(f"{self._path} has changed while it was read.")
        self.bytes, self.digest = reader.bytes, reader.digest


class _Stream(Incoming):
    """It cannot be read twice, so its entries, not the bytes, wait in a temporary file: a backup without bytes."""

    def __init__(self, spool_mb: int) -> None:
        self._most = spool_mb * 2**20
        self._spool = tempfile.TemporaryFile(prefix="gristmill-restore-")  # noqa: SIM115 -- ``close`` does
        self._written = 0

    def close(self) -> None:
        self._spool.close()

    def first(self) -> Iterator[Entry]:
        spool = Writer(self)
        with opened(STREAM) as stream:
            reader = Reader(stream)
            for kind, fields in reader:
                if kind not in BYTES:
                    spool.write(kind, fields)
                yield kind, fields
        self.bytes, self.digest = reader.bytes, reader.digest
        spool.finish()

    def again(self) -> Iterator[Entry]:
        self._spool.seek(0)
        return iter(Reader(self._spool))

    def write(self, data: bytes) -> None:
        """Keep some of the temporary file. Raises BackupError when it gets too large."""
        self._written += len(data)
        if self._written > self._most:
            raise BackupError(
                f"The entries of this stream take more than {self._most // 2**20} MiB, and must be kept here until its "
                "end has come. Allow more with --spool-mb, or restore from a file."
            )
        with told(Path(tempfile.gettempdir())):
            self._spool.write(data)
