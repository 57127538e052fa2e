"""Immutable blobs, streamed in and out in chunks: what any backend must do, and the backend in Redis.

The law for every backend is the contract suite, test/datasets/blob_contract.py.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO, Protocol

from redis.exceptions import ResponseError

from gristmill.errors import DamagedDataError, NoSuchVersionError, TooLargeError, UnavailableError
from gristmill.library import Library, Source
from gristmill.records import pack

# A little less than 1 MiB: with the server's own bytes on top, a chunk of 1 MiB takes up 1.25 MiB.
CHUNK_BYTES = 2**20 - 1024
LIBRARY = Source.of("datasets/datasets", "restores", "datasets/datasets_backup")


@dataclass(frozen=True, slots=True)
class Upload:
    """Leave to write one blob of at most ``bytes``; whatever is not kept ``until`` then (us) goes by itself."""

    id: str
    bytes: int
    until: int


@dataclass(frozen=True, slots=True)
class Blob:
    """What has been written. ``id`` is the upload's; ``sha256`` is in hex."""

    id: str
    bytes: int
    sha256: str


class Blobs(Protocol):
    """A store of blobs. Every method is safe to repeat, and may raise UnavailableError."""

    def write(self, upload: Upload, source: BinaryIO) -> Blob:
        """Store what the file holds from here to its end; it goes with the upload unless it is kept.

        Raises TooLargeError beyond the upload's bytes, StorageFullError.
        """

    def keep(self, blob: Blob, reference: str) -> None:
        """Keep a written blob as long as it has this reference. Raises UnavailableError when its upload has ended."""

    def release(self, blob_id: str, reference: str) -> None:
        """Take a reference back; a blob goes with its last one."""

    def discard(self, upload: Upload) -> None:
        """Delete at once what was written and not kept."""

    def read(self, blob: Blob) -> Iterator[bytes]:
        """The bytes, in chunks of at most 1 MB, no more than one of them in memory.

        Whoever reads to the end has read what was written: the last chunk comes after all have been checked. Raises
        NoSuchVersionError when the blob is gone, also in the middle; DamagedDataError.
        """


class RedisBlobs:
    """Blobs in Redis, next to the data sets that they belong to; the keys stand at the top of ``datasets.lua``."""

    def __init__(self, library: Library) -> None:
        self._library = library

    def write(self, upload: Upload, source: BinaryIO) -> Blob:
        """Store the rest of a file; as ``Blobs`` says."""
        digest = hashlib.sha256()
        size = number = 0
        while data := _chunk_of(source):
            size += len(data)
            if size > upload.bytes:
                raise TooLargeError(f"More than the {upload.bytes} bytes came that room was reserved for.")
            digest.update(data)
            self._library.command("SET", self._key(upload.id, number), data, "PXAT", upload.until // 1000)
            number += 1
        return Blob(upload.id, size, digest.hexdigest())

    def keep(self, blob: Blob, reference: str) -> None:
        """Make a blob permanent; as ``Blobs`` says."""
        try:
            self._library.call("keep", blob.id, pack(packable(blob)), reference)
        except ResponseError as error:
            raise expired(error) from error

    def release(self, blob_id: str, reference: str) -> None:
        """Take a reference back; as ``Blobs`` says."""
        self._library.call("release_blob", blob_id, reference)

    def discard(self, upload: Upload) -> None:
        """Delete what an upload wrote; as ``Blobs`` says."""
        self._library.call("discard", upload.id, chunk_count(upload.bytes))

    def read(self, blob: Blob) -> Iterator[bytes]:
        """The bytes of a blob; as ``Blobs`` says."""
        digest = hashlib.sha256()
        size = 0
        count = chunk_count(blob.bytes)
        for number in range(count):
            data = self._library.command("GET", self._key(blob.id, number))
            if data is None:
                raise NoSuchVersionError("The data has been deleted.")
            size += len(data)
            digest.update(data)
            if number == count - 1 and (size, digest.hexdigest()) != (blob.bytes, blob.sha256):
                raise DamagedDataError(
                    f"Blob {blob.id} in Redis is not what was written to it; delete the data set and upload it again."
                )
            yield data

    def _key(self, blob_id: str, number: int) -> str:
        return f"{self._library.prefix}:ds:c:{blob_id}:{number}"


def _chunk_of(source: BinaryIO) -> bytes:
    data = source.read(CHUNK_BYTES)
    while 0 < len(data) < CHUNK_BYTES and (more := source.read(CHUNK_BYTES - len(data))):
        data += more
    return data


def chunk_count(size: int) -> int:
    """How many chunks hold so many bytes."""
    return -(-size // CHUNK_BYTES)


def packable(blob: Blob) -> dict[str, int | str]:
    """What the function library wants to know of a written blob."""
    return {"n": chunk_count(blob.bytes), "s": blob.bytes, "h": blob.sha256}


def expired(error: ResponseError) -> Exception:
    """The error of ours for a refusal to keep a blob."""
    if str(error).startswith("EXPIRED"):
        return UnavailableError("The upload took too long; try again.", retry_after_seconds=1)
    return error
