"""What every store of blobs must do. A backend's test module makes a subclass with a fixture ``place``."""

import hashlib
import io
import itertools
import random
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import BinaryIO

import pytest

from gristmill.datasets.blobs import Blob, Blobs, Upload
from gristmill.errors import DamagedDataError, NoSuchVersionError, TooLargeError, UnavailableError

MB = 2**20
LARGE = 5 * MB + 17
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Place:
    """One backend, and what a test does to it behind its back."""

    blobs: Blobs
    begin: Callable[[str, int], Upload]
    """Begin an upload: its id, the most bytes."""
    end: Callable[[Upload], None]
    """Let the time of an upload run out."""
    lose: Callable[[Blob], None]
    """Take away a part from the middle of a blob."""
    damage: Callable[[Blob], None]
    """Change a byte of a blob."""
    left: Callable[[], int]
    """How many bytes are stored, of anything."""

    def upload(self, size: int) -> Upload:
        return self.begin(f"u{next(_numbers)}", size)

    def written(self, data: bytes) -> Blob:
        return self.blobs.write(self.upload(len(data)), io.BytesIO(data))

    def kept(self, data: bytes, reference: str = "flights") -> Blob:
        blob = self.written(data)
        self.blobs.keep(blob, reference)
        return blob

    def read(self, blob: Blob) -> bytes:
        return b"".join(self.blobs.read(blob))


def some(size: int) -> bytes:
    return random.Random(size).randbytes(size)


class Endless(io.RawIOBase):
    """A file of so many bytes that are made as they are read, some at a time."""

    def __init__(self, size: int) -> None:
        self.size = size

    def read(self, size: int = -1, /) -> bytes:
        data = bytes(min(size, self.size, 100_000))
        self.size -= len(data)
        return data


class BlobContract:
    @pytest.fixture
    def place(self) -> Iterator[Place]:
        raise NotImplementedError

    @pytest.mark.parametrize("size", [1, MB - 1024, MB - 1023, MB, LARGE])
    def test_what_is_kept_is_read_back(self, place: Place, size: int) -> None:
        blob = place.kept(some(size))
        assert place.read(blob) == some(size)
        assert (blob.bytes, blob.sha256) == (size, hashlib.sha256(some(size)).hexdigest())

    def test_it_comes_in_chunks_of_at_most_1_mb(self, place: Place) -> None:
        assert max(map(len, place.blobs.read(place.kept(some(LARGE))))) <= MB

    def test_a_blob_is_never_in_memory_as_a_whole(self, place: Place) -> None:
        size = 24 * MB
        place.kept(b"first use")
        tracemalloc.start()
        try:
            blob = place.blobs.write(place.upload(size), Endless(size))  # type: ignore[arg-type]
            place.blobs.keep(blob, "flights")
            assert sum(map(len, place.blobs.read(blob))) == size
            assert tracemalloc.get_traced_memory()[1] < 8 * MB
        finally:
            tracemalloc.stop()

    def test_what_was_written_and_not_kept_goes_with_its_upload(self, place: Place) -> None:
        upload = place.upload(LARGE)
        blob = place.blobs.write(upload, io.BytesIO(some(LARGE)))
        place.end(upload)
        assert place.left() == 0
        with pytest.raises(UnavailableError, match="too long"):
            place.blobs.keep(blob, "flights")
        with pytest.raises(NoSuchVersionError):
            place.read(blob)

    def test_what_is_kept_stays_when_its_upload_ends(self, place: Place) -> None:
        upload = place.upload(LARGE)
        blob = place.blobs.write(upload, io.BytesIO(some(LARGE)))
        place.blobs.keep(blob, "flights")
        place.end(upload)
        place.blobs.discard(upload)
        assert place.read(blob) == some(LARGE)

    def test_a_discarded_upload_leaves_nothing(self, place: Place) -> None:
        upload = place.upload(LARGE)
        place.blobs.write(upload, io.BytesIO(some(LARGE)))
        place.blobs.discard(upload)
        place.blobs.discard(upload)
        assert place.left() == 0

    def test_an_upload_that_broke_off_in_the_middle_can_be_discarded(self, place: Place) -> None:
        class Breaks(io.BytesIO):
            def read(self, size: int | None = -1, /) -> bytes:
                if self.tell() > 2 * MB:
                    raise OSError("gone")
                return super().read(size)

        upload = place.upload(LARGE)
        source: BinaryIO = Breaks(some(LARGE))
        with pytest.raises(OSError, match="gone"):
            place.blobs.write(upload, source)
        place.blobs.discard(upload)
        assert place.left() == 0

    def test_a_blob_goes_with_its_last_reference(self, place: Place) -> None:
        blob = place.kept(some(LARGE), "one")
        place.blobs.keep(blob, "two")
        place.blobs.release(blob.id, "one")
        assert place.read(blob) == some(LARGE)
        assert place.left() >= LARGE
        place.blobs.release(blob.id, "two")
        assert place.left() == 0
        with pytest.raises(NoSuchVersionError):
            place.read(blob)

    def test_keeping_and_releasing_twice_is_as_once(self, place: Place) -> None:
        blob = place.kept(some(LARGE), "one")
        place.blobs.keep(blob, "two")
        place.blobs.keep(blob, "two")
        place.blobs.release(blob.id, "two")
        place.blobs.release(blob.id, "two")
        assert place.read(blob) == some(LARGE)
        place.blobs.release(blob.id, "one")
        place.blobs.release(blob.id, "one")
        assert place.left() == 0

    def test_more_than_was_reserved_is_refused(self, place: Place) -> None:
        upload = place.upload(2 * MB)
        with pytest.raises(TooLargeError, match=str(2 * MB)):
            place.blobs.write(upload, io.BytesIO(some(2 * MB + 1)))
        place.blobs.discard(upload)
        assert place.left() == 0

    def test_a_blob_that_goes_while_it_is_read_is_no_short_answer(self, place: Place) -> None:
        blob = place.kept(some(LARGE))
        chunks = place.blobs.read(blob)
        next(chunks)
        place.blobs.release(blob.id, "flights")
        with pytest.raises(NoSuchVersionError):
            list(chunks)

    def test_a_blob_without_a_part_of_its_middle_is_no_short_answer(self, place: Place) -> None:
        blob = place.kept(some(LARGE))
        place.lose(blob)
        with pytest.raises((NoSuchVersionError, DamagedDataError)):
            place.read(blob)

    def test_a_changed_byte_is_found(self, place: Place) -> None:
        blob = place.kept(some(LARGE))
        place.damage(blob)
        given = []
        with pytest.raises(DamagedDataError, match=blob.id):
            given.extend(place.blobs.read(blob))
        assert sum(map(len, given)) < blob.bytes
