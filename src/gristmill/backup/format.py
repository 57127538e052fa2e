"""The format of a backup, as docs/backup.md describes it: entries in checked blocks of 1 MiB, and a digest at the end.

Pure: it writes to what has ``write`` and reads from what has ``read``.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Iterator
from typing import Any, Protocol

import msgpack
import zstandard

from gristmill.errors import DamagedBackupError

FORMAT = 1
# Also the most bytes that an entry may have: no job, and no description of a data set, comes near it.
LARGEST_ENTRY_BYTES = 128 * 2**20
BLOCK_BYTES = 2**20
_LARGEST_FRAME_BYTES = BLOCK_BYTES + 2**16  # what cannot be compressed grows a little
_LENGTH_BYTES = 4
_DIGEST_BYTES = 32
_FIRST_LINE = re.compile(rb"gristmill-backup ([1-9]\d{0,8})\n")
_LONGEST_FIRST_LINE = 40
_LEVEL = 3

Entry = tuple[str, dict[str, Any]]
"""What it is ("job"), and its fields. Whatever comes from Redis is bytes."""


class Sink(Protocol):
    """Where a backup is written to."""

    def write(self, data: bytes, /) -> object:
        """Take all of the bytes."""


class Origin(Protocol):
    """Where a backup is read from."""

    def read(self, size: int, /) -> bytes:
        """Some of the next bytes, at most so many; none at the end."""


class Writer:
    """Writes entries; nothing is a backup before ``finish``."""

    def __init__(self, sink: Sink) -> None:
        self.counts: Counter[str] = Counter()
        self.bytes = 0
        self._sink = sink
        self._digest = hashlib.sha256()
        self._packer = msgpack.Packer(use_bin_type=True, autoreset=True)
        self._compressor = zstandard.ZstdCompressor(level=_LEVEL, write_checksum=True, write_content_size=True)
        self._decompressor = zstandard.ZstdDecompressor()
        self._waiting = bytearray()
        self._put(b"gristmill-backup %d\n" % FORMAT)

    def write(self, kind: str, fields: dict[str, Any]) -> None:
        """Write one entry."""
        self.counts[kind] += 1
        self._waiting += self._packer.pack([kind, fields])
        while len(self._waiting) >= BLOCK_BYTES:
            self._block(bytes(self._waiting[:BLOCK_BYTES]))
            del self._waiting[:BLOCK_BYTES]

    def finish(self) -> str:
        """Write how many entries of each kind there are, and the digest, which is returned in hex."""
        self.write("end", {"counts": dict(self.counts)})
        if self._waiting:
            self._block(bytes(self._waiting))
        self._put((0).to_bytes(_LENGTH_BYTES, "big"))
        digest = self._digest.digest()
        self._put(digest)
        return digest.hex()

    def _block(self, data: bytes) -> None:
        frame = self._compressor.compress(data)
        if self._decompressor.decompress(frame) != data:  # the computer cannot be relied on
            raise DamagedBackupError("A block of the backup could not be read back; it is not whole.")
        self._put(len(frame).to_bytes(_LENGTH_BYTES, "big") + frame)

    def _put(self, data: bytes) -> None:
        self._digest.update(data)
        self._sink.write(data)
        self.bytes += len(data)


class Reader:
    """Reads entries. Whoever has read to the end has read a backup that is whole; ``digest`` is set then."""

    def __init__(self, origin: Origin) -> None:
        """Read the first line. Raises DamagedBackupError."""
        self.counts: Counter[str] = Counter()
        self.bytes = 0
        self.digest = ""
        self._origin = origin
        self._digest = hashlib.sha256()
        self._decompressor = zstandard.ZstdDecompressor()
        self.format = self._first_line()

    def __iter__(self) -> Iterator[Entry]:
        """The entries but the last. Raises DamagedBackupError where the backup is not what was written."""
        unpacker = msgpack.Unpacker(raw=False, strict_map_key=False, max_buffer_size=LARGEST_ENTRY_BYTES)
        end: dict[str, Any] | None = None
        for block in self._blocks():
            try:
                unpacker.feed(block)
                for entry in unpacker:
                    if end is not None:
                        raise self._damaged("something follows its last entry")
                    kind, fields = entry
                    if not isinstance(fields, dict):
                        raise self._damaged("what it holds is no entry")
                    if kind == "end":
                        end = fields
                    else:
                        self.counts[kind] += 1
                        yield kind, fields
            except (ValueError, TypeError, msgpack.UnpackException, msgpack.BufferFull) as error:
                raise self._damaged("what it holds is no entry") from error
        if end is None or unpacker.tell() != self._unpacked:
            raise self._damaged("its last entry is missing")
        if end.get("counts") != dict(self.counts):
            raise self._damaged("entries are missing")

    def _blocks(self) -> Iterator[bytes]:
        self._unpacked = 0
        while length := int.from_bytes(self._take(_LENGTH_BYTES), "big"):
            if length > _LARGEST_FRAME_BYTES:
                raise self._damaged("a block is longer than any can be")
            frame = self._take(length)
            try:
                block = self._decompressor.decompress(frame, max_output_size=BLOCK_BYTES, allow_extra_data=False)
            except zstandard.ZstdError as error:
                raise self._damaged("a block is not what was written") from error
            self._unpacked += len(block)
            yield block
        digest = self._digest.digest()
        if self._take(_DIGEST_BYTES) != digest:
            raise self._damaged("its digest is another one")
        if self._origin.read(1):
            raise self._damaged("something follows its end")
        self.digest = digest.hex()

    def _first_line(self) -> int:
        line = b""
        while not line.endswith(b"\n") and len(line) < _LONGEST_FIRST_LINE:
            if not (byte := self._origin.read(1)):
                break
            line += byte
        found = _FIRST_LINE.fullmatch(line)
        if not found:
            what = "Nothing came" if not line else f"This is no backup: it begins with {line!r}"
            raise DamagedBackupError(f"{what}; a backup is what `gristmill backup` writes.")
        if (number := int(found[1])) > FORMAT:
            raise DamagedBackupError(
                f"This backup has format {number}, and this release reads formats up to {FORMAT}; "
                "restore it with the release that wrote it, or a later one."
            )
        self._count(line)
        return number

    def _take(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self._origin.read(size - len(data))
            if not more:
                raise self._damaged("it ends too early", len(data))
            data += more
        self._count(data)
        return data

    def _count(self, data: bytes) -> None:
        self._digest.update(data)
        self.bytes += len(data)

    def _damaged(self, what: str, more: int = 0) -> DamagedBackupError:
        return DamagedBackupError(f"The backup is damaged: {what} (after {self.bytes + more:,} bytes).")
