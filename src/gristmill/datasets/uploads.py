"""Receives an upload: decompresses it, writes it to a file, and hashes it, a piece at a time and under limits.

Two layers of compression may lie around the table: the one that Content-Encoding names, and the file's own (a
``.csv.gz`` sent as it is), which its first bytes tell. Nothing of an upload that fails remains.
"""

import errno
import hashlib
import shutil
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from gristmill.datasets.codings import coding_named, decoded, own_content
from gristmill.errors import (
    BusyError,
    SlowUploadError,
    StorageFullError,
    TooLargeError,
)
from gristmill.presence import check
from gristmill.settings import Settings

_LOOK_AT_DISK_EVERY_BYTES = 32 * 2**20
_RETRY_SECONDS = 5
_DISK_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_SENT_TOO_MUCH = (
    "The upload is larger than {:,} bytes, the most that may be sent (setting GRISTMILL_DATASET_SENT_BYTES). "
    "Compress it with gzip or zstd, or upload fewer rows or columns."
)
_READ_TOO_MUCH = (
    "The upload holds more than {:,} bytes when it is decompressed, the most that is read (setting "
    "GRISTMILL_DATASET_READ_BYTES). Upload fewer rows or columns."
)
_HOLDS_TOO_MUCH = (
    "The upload holds more than {:,} bytes when it is decompressed, which all uploads together may have on the disk "
    "(setting GRISTMILL_DATASET_UPLOADS_BYTES). Upload fewer rows or columns."
)


@dataclass(frozen=True, slots=True)
class UploadLimits:
    """What one upload may take. free_bytes: what it leaves free on the disk that it is written to."""

    sent_bytes: int
    read_bytes: int
    free_bytes: int
    seconds: float

    @classmethod
    def of(cls, settings: Settings) -> "UploadLimits":
        """As the settings say."""
        return cls(
            settings.dataset_sent_bytes,
            settings.dataset_read_bytes,
            settings.dataset_free_bytes,
            settings.dataset_upload_seconds,
        )


@dataclass(eq=False, slots=True)
class _Share:
    """What one upload has, and what it waits for."""

    held_bytes: int = 0
    wanted_bytes: int = 0


class Allowance:
    """What all uploads of a process together may have on the disk. Safe for use by many threads.

    Where they want more, the youngest of those that have something gives way and the others wait: were all refused,
    or did all wait, none would ever arrive. One that has nothing yet is in nobody's way, and waits for its turn.
    """

    def __init__(self, most_bytes: int, wait_seconds: float = 15.0) -> None:
        """most_bytes: 0 for no limit. wait_seconds: how long an upload waits, less than its body may be idle."""
        self._most_bytes = most_bytes
        self._wait_seconds = wait_seconds
        self._changed = threading.Condition()
        self._shares: list[_Share] = []  # the oldest first
        self.used_bytes = 0

    @contextmanager
    def share(self) -> Iterator[Callable[[int], None]]:
        """The share of one upload: to be told of so many bytes before they are written; given back at the end.

        Telling raises BusyError when the uploads together would pass the limit, TooLargeError when this one does alone.
        """
        mine = _Share()

        def use(count: int) -> None:
            if not self._most_bytes:
                return
            with self._changed:
                if mine.held_bytes + count > self._most_bytes:  # whatever the others give back
                    raise TooLargeError(_HOLDS_TOO_MUCH.format(self._most_bytes))
                if not self._may_have(mine, count):
                    self._wait(mine, count)
                self.used_bytes += count
                mine.held_bytes += count

        with self._changed:
            self._shares.append(mine)
        try:
            yield use
        finally:
            with self._changed:
                self._shares.remove(mine)
                self.used_bytes -= mine.held_bytes
                self._changed.notify_all()

    def _may_have(self, mine: _Share, count: int) -> bool:
        older = self._shares[: self._shares.index(mine)]
        return self.used_bytes + sum(share.wanted_bytes for share in older) + count <= self._most_bytes

    def _must_give_way(self, mine: _Share) -> bool:
        having = [share for share in self._shares if share.held_bytes]
        return bool(having) and having[-1] is mine

    def _wait(self, mine: _Share, count: int) -> None:
        deadline = time.monotonic() + self._wait_seconds
        mine.wanted_bytes = count
        try:
            while not self._may_have(mine, count):
                if self._must_give_way(mine) or not self._changed.wait(deadline - time.monotonic()):
                    raise BusyError(
                        f"The uploads on their way have the {self._most_bytes:,} bytes on the disk that they may have "
                        "together (setting GRISTMILL_DATASET_UPLOADS_BYTES). Send the upload again later.",
                        retry_after_seconds=_RETRY_SECONDS,
                    )
        finally:
            mine.wanted_bytes = 0


@dataclass(frozen=True, slots=True)
class Upload:
    """A file that has arrived whole. sha256: of its decompressed content, in hex. read_bytes: its size on disk."""

    path: Path
    sha256: str
    sent_bytes: int
    read_bytes: int


def receive(
    pieces: Iterable[bytes],
    path: Path,
    limits: UploadLimits,
    *,
    coding: str = "",
    media_type: str = "",
    length: int | None = None,
    use: Callable[[int], None] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> Upload:
    """Write a body to a new file at ``path``, decompressed; removes it when anything goes wrong.

    coding: the value of Content-Encoding. media_type: without parameters. length: of the body, if it is known; of one
    that is too long nothing is read. use: told of bytes before they are written.
    Raises TooLargeError, SlowUploadError, StorageFullError, UnsupportedFormatError, MalformedDataError,
    ClientGoneError, and what ``pieces`` and ``use`` raise.
    """
    if length is not None and length > limits.sent_bytes:
        raise TooLargeError(_SENT_TOO_MUCH.format(limits.sent_bytes))
    outer = coding_named(coding)
    look = _Look(limits.seconds, clock)
    sent = _Counted(pieces, limits.sent_bytes, _SENT_TOO_MUCH)
    between = _Counted(decoded(_looked(sent, look), outer, look), limits.read_bytes, _READ_TOO_MUCH)
    read = _Counted(own_content(between, media_type, look), limits.read_bytes, _READ_TOO_MUCH)
    looked_at = 0
    try:
        with path.open("xb") as file:
            _look_at_disk(path, limits, 0)
            digest = hashlib.sha256()
            for piece in read:
                if read.count - looked_at > _LOOK_AT_DISK_EVERY_BYTES:
                    _look_at_disk(path, limits, len(piece))
                    looked_at = read.count
                use(len(piece))
                digest.update(piece)
                file.write(piece)
    except FileExistsError:
        raise
    except BaseException as error:
        path.unlink(missing_ok=True)
        if isinstance(error, OSError) and error.errno in _DISK_FULL:
            raise _disk_is_full() from error
        raise
    return Upload(path, digest.hexdigest(), sent.count, read.count)


def _disk_is_full() -> StorageFullError:
    return StorageFullError(
        "The disk for uploads has no space left (setting GRISTMILL_DATASET_FREE_BYTES says what stays free). "
        "Try again later, or tell the people who run this service."
    )


def _look_at_disk(path: Path, limits: UploadLimits, more: int) -> None:
    if shutil.disk_usage(path.parent).free - more < limits.free_bytes:
        raise _disk_is_full()


class _Counted:
    """Pieces, counted; ``said`` is the error when they are more than ``most`` bytes."""

    def __init__(self, pieces: Iterable[bytes], most: int, said: str) -> None:
        self.count = 0
        self._pieces = pieces
        self._most = most
        self._said = said

    def __iter__(self) -> Iterator[bytes]:
        for piece in self._pieces:
            self.count += len(piece)
            if self.count > self._most:
                raise TooLargeError(self._said.format(self._most))
            yield piece


class _Look:
    """Whether an upload may go on: called again and again while it is received."""

    def __init__(self, seconds: float, clock: Callable[[], float]) -> None:
        self._seconds = seconds
        self._clock = clock
        self._deadline = clock() + seconds

    def __call__(self) -> None:
        """Raise SlowUploadError, ClientGoneError."""
        check()
        if self._clock() > self._deadline:
            raise SlowUploadError(
                f"The upload has not arrived within {self._seconds:g} s (setting GRISTMILL_DATASET_UPLOAD_SECONDS). "
                "Compress it with gzip or zstd, once."
            )


def _looked(pieces: Iterable[bytes], look: Callable[[], None]) -> Iterator[bytes]:
    for piece in pieces:
        look()
        yield piece
