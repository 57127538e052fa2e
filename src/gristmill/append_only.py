"""Mends the damage that a full disk does to the embedded server's append-only files.

With ``appendfsync everysec`` a write that the disk takes only in part is cut off again, and the whole is written once
there is room. Into a file begun since the last start, Redis 7 and Valkey write it behind the place of the first try,
so that a hole of zeros is left between two commands; the next start then refuses the file. No command is in the hole:
it is taken out, and nothing is lost. When the disk fills once more, they cut off too much, and part of a command with
zeros behind it may stay at the end; it goes too, as they themselves drop what is incomplete at the end of the last
file.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

_PIECE_BYTES = 2**20
_LINE_BYTES = 64
Span = tuple[int, int]


class _NoCommandError(Exception):
    """Something else than a command stands here."""


def mend(folder: Path) -> dict[Path, int]:
    """Take the damage out of the files of ``folder``; returns how many bytes went from which.

    A file that is damaged in another way stays as it is. The server must not run. Raises OSError, with every file
    still there, as it was or mended.
    """
    mended = {}
    is_last = True
    for path in sorted(folder.glob("*.incr.aof"), key=_number, reverse=True):
        with path.open("rb") as file:
            damage = list(_damage(file, path.stat().st_size, is_last=is_last))
        is_last = is_last and not path.stat().st_size
        if damage:
            _without(path, damage)
            mended[path] = sum(end - start for start, end in damage)
    return mended


def _number(path: Path) -> int:
    """7 of ``appendonly.aof.7.incr.aof``."""
    return int(path.name.split(".")[-3])


def _damage(file: BinaryIO, size: int, *, is_last: bool) -> Iterator[Span]:
    """Holes between commands; and the incomplete end, where no file with commands comes behind this one."""
    end = _end_without_zeros(file, size)
    file.seek(0)
    whole = True
    while whole and (start := file.tell()) < end:
        try:
            whole = _skip_command(file, end)
        except _NoCommandError:
            file.seek(start)
            if file.read(1) != b"\0":
                return
            _skip_zeros(file)
            yield start, file.tell()
    kept = end if whole else start
    if kept < size and (whole or is_last):
        yield kept, size


def _skip_command(file: BinaryIO, end: int) -> bool:
    """Go behind the command, or the comment, that begins here; returns whether it ends within the file."""
    line = file.readline(_LINE_BYTES)
    if not line.startswith(b"#"):
        for _ in range(_count(line, b"*")):
            if file.tell() >= end:
                return False
            file.seek(_count(file.readline(_LINE_BYTES), b"$") + len(b"\r\n"), os.SEEK_CUR)
    return line.endswith(b"\n") and file.tell() <= end


def _count(line: bytes, kind: bytes) -> int:
    """The number in a line such as ``*3``, or in the part of one at the end of the file."""
    digits = line[1:].rstrip(b"\r\n\0")
    if line[:1] != kind or not (digits.isdigit() or not digits):
        raise _NoCommandError
    return int(digits or 0)


def _skip_zeros(file: BinaryIO) -> None:
    while piece := file.read(_PIECE_BYTES):
        if rest := piece.lstrip(b"\0"):
            file.seek(-len(rest), os.SEEK_CUR)
            return


def _end_without_zeros(file: BinaryIO, size: int) -> int:
    """Where the last byte ends that is no zero: every command ends with a line's end."""
    while size:
        start = max(0, size - _PIECE_BYTES)
        file.seek(start)
        if rest := file.read(size - start).rstrip(b"\0"):
            return start + len(rest)
        size = start
    return 0


def _without(path: Path, damage: list[Span]) -> None:
    """Put a copy without the damage in the file's place."""
    beside = path.with_suffix(".mending")
    try:
        with path.open("rb") as source, beside.open("wb") as target:
            for start, end in [*damage, (path.stat().st_size, 0)]:
                while source.tell() < start:
                    target.write(source.read(min(_PIECE_BYTES, start - source.tell())))
                source.seek(end)
            target.flush()
            os.fsync(target.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
