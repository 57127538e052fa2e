"""Blobs in Redis keep the contract, on both servers; and what Redis adds."""

import io
from collections.abc import Callable, Iterator

import pytest

from gristmill.datasets.blobs import CHUNK_BYTES, LIBRARY, Blob, RedisBlobs, Upload, chunk_count
from gristmill.library import Library
from gristmill.settings import Settings
from gristmill.store import connect

from .blob_contract import LARGE, BlobContract, Place, some


@pytest.fixture
def library(server: str, make_settings: Callable[..., Settings]) -> Iterator[Library]:
    settings = make_settings(server)
    made = Library(connect(settings), settings.key_prefix, LIBRARY)
    yield made
    made.close()


class TestRedisBlobs(BlobContract):
    @pytest.fixture
    def place(self, library: Library) -> Place:
        def key(blob: Blob, number: int) -> str:
            return f"{library.prefix}:ds:c:{blob.id}:{number}"

        def begin(upload_id: str, size: int) -> Upload:
            return Upload(upload_id, size, library.call("reserve", upload_id, "", "ann", size, 2**30, 2**30, 600))

        def end(upload: Upload) -> None:
            library.command("ZADD", f"{library.prefix}:ds:uploads", 1, upload.id)
            library.call("sweep", 10)
            for number in range(chunk_count(upload.bytes)):
                if library.command("PTTL", f"{library.prefix}:ds:c:{upload.id}:{number}") >= 0:
                    library.command("PEXPIREAT", f"{library.prefix}:ds:c:{upload.id}:{number}", 1)

        def stored() -> int:
            used = int(library.command("HGET", f"{library.prefix}:ds:bytes", "total") or 0)
            return used + len(library.command("KEYS", f"{library.prefix}:ds:*"))

        return Place(
            RedisBlobs(library),
            begin,
            end,
            lose=lambda blob: library.command("DEL", key(blob, chunk_count(blob.bytes) // 2)),
            damage=lambda blob: library.command("SETRANGE", key(blob, 1), 1000, "?"),
            left=stored,
        )


def test_chunks_that_nobody_keeps_expire_with_their_upload(library: Library) -> None:
    until = library.call("reserve", "u", "", "ann", LARGE, 2**30, 2**30, 600)
    place = RedisBlobs(library)
    blob = place.write(Upload("u", LARGE, until), io.BytesIO(some(LARGE)))
    for number in range(chunk_count(LARGE)):
        assert library.command("PEXPIRETIME", f"{library.prefix}:ds:c:u:{number}") == until // 1000
    place.keep(blob, "flights")
    for number in range(chunk_count(LARGE)):
        assert library.command("PTTL", f"{library.prefix}:ds:c:u:{number}") == -1


def test_a_chunk_takes_up_little_more_memory_than_it_holds(library: Library) -> None:
    library.command("SET", f"{library.prefix}:ds:c:u:0", bytes(CHUNK_BYTES))
    assert library.command("MEMORY", "USAGE", f"{library.prefix}:ds:c:u:0") < 1.02 * CHUNK_BYTES
