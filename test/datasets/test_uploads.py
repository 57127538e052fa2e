"""What arrives is on disk whole, decompressed and hashed; or nothing is there and the error says why."""

import gzip
import hashlib
import itertools
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gristmill.datasets.uploads import Allowance, Upload, UploadLimits, receive
from gristmill.errors import (
    BusyError,
    ClientGoneError,
    GristmillError,
    MalformedDataError,
    SlowUploadError,
    StorageFullError,
    TooLargeError,
    UnsupportedFormatError,
)
from gristmill.presence import CLIENT, Client
from gristmill.settings import Settings

LIMITS = UploadLimits(sent_bytes=2**20, read_bytes=2**20, free_bytes=0, seconds=60)
TEXT = b"a,b\n1,x\n" * 50
SKIPPABLE = b"\x50\x2a\x4d\x18\x03\x00\x00\x00abc"


def zstd(data: bytes, **options: Any) -> bytes:
    return zstandard.ZstdCompressor(**options).compress(data)


PACK = {"gzip": gzip.compress, "zstd": zstd, "identity": bytes}


def cut(data: bytes, size: int) -> Iterator[bytes]:
    return (data[at : at + size] for at in range(0, len(data), size))


def got(tmp_path: Path, data: bytes, size: int = 1000, limits: UploadLimits = LIMITS, **how: Any) -> Upload:
    return receive(cut(data, size), tmp_path / "upload", limits, **how)


def refused(error: type[GristmillError], tmp_path: Path, data: bytes, size: int = 1000, **how: Any) -> str:
    with pytest.raises(error) as caught:
        got(tmp_path, data, size, **how)
    assert list(tmp_path.iterdir()) == []
    return caught.value.detail


@pytest.mark.parametrize("size", [1, 3, 17, 100_000])
@pytest.mark.parametrize("coding", PACK)
def test_what_is_stored_and_hashed_is_the_decompressed_content(tmp_path: Path, coding: str, size: int) -> None:
    packed = PACK[coding](TEXT)
    upload = got(tmp_path, packed, size, coding=coding)

    assert upload.path.read_bytes() == TEXT
    assert upload.sha256 == hashlib.sha256(TEXT).hexdigest()
    assert (upload.sent_bytes, upload.read_bytes) == (len(packed), len(TEXT))


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    data=st.binary(max_size=3000).filter(lambda data: not data.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd"))),
    outer=st.sampled_from(sorted(PACK)),
    inner=st.sampled_from(sorted(PACK)),
    size=st.integers(1, 4000),
)
def test_any_content_comes_through_a_named_and_an_own_compression(
    tmp_path: Path, data: bytes, outer: str, inner: str, size: int
) -> None:
    upload = got(tmp_path, PACK[outer](PACK[inner](data)), size, coding=outer)
    assert upload.path.read_bytes() == data
    upload.path.unlink()


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 7, 100_000])
def test_members_after_each_other_are_one_content(tmp_path: Path, coding: str, size: int) -> None:
    packed = PACK[coding](TEXT) + PACK[coding](b"") + PACK[coding](b"2,y\n")
    assert got(tmp_path, packed, size, coding=coding).path.read_bytes() == TEXT + b"2,y\n"


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_every_truncation_is_noticed(tmp_path: Path, coding: str) -> None:
    packed = PACK[coding](TEXT)
    for length in range(len(packed)):
        refused(MalformedDataError, tmp_path, packed[:length], 50, coding=coding)


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
@pytest.mark.parametrize("size", [1, 100_000])
@pytest.mark.parametrize("garbage", [b"x", b"\x1f", b"\x28\xb5", b"garbage" * 9, b"\x1f\x8c11111111"])
def test_garbage_behind_the_end_is_refused(tmp_path: Path, coding: str, size: int, garbage: bytes) -> None:
    refused(MalformedDataError, tmp_path, PACK[coding](TEXT) + garbage, size, coding=coding)


@pytest.mark.parametrize("size", [1, 100_000])
def test_zero_bytes_behind_gzip_are_padding_but_nothing_may_follow_them(tmp_path: Path, size: int) -> None:
    packed = gzip.compress(TEXT) + bytes(500)
    assert got(tmp_path, packed, size, coding="gzip").read_bytes == len(TEXT)
    (tmp_path / "upload").unlink()
    refused(MalformedDataError, tmp_path, packed + gzip.compress(TEXT), size, coding="gzip")


@pytest.mark.parametrize("first", [b"", SKIPPABLE, b"\x5f" + SKIPPABLE[1:]])  # pzstd begins with one
def test_skippable_frames_of_zstd_are_skipped(tmp_path: Path, first: bytes) -> None:
    packed = first + zstd(TEXT) + SKIPPABLE + zstd(b"2,y\n")
    assert got(tmp_path, packed, 5).path.read_bytes() == TEXT + b"2,y\n"


def test_a_wrong_checksum_is_noticed(tmp_path: Path) -> None:
    packed = bytearray(gzip.compress(TEXT))
    packed[-8] ^= 1
    assert "damaged" in refused(MalformedDataError, tmp_path, bytes(packed), coding="gzip")
    packed = bytearray(zstd(TEXT, write_checksum=True))
    packed[-1] ^= 1
    assert "damaged" in refused(MalformedDataError, tmp_path, bytes(packed), coding="zstd")


def test_a_zstd_window_that_would_take_much_memory_is_refused(tmp_path: Path) -> None:
    wide = zstandard.ZstdCompressionParameters.from_level(3, window_log=25)
    compressor = zstandard.ZstdCompressor(compression_params=wide).compressobj()
    packed = compressor.compress(TEXT) + compressor.flush()
    assert "8 MiB" in refused(MalformedDataError, tmp_path, packed, coding="zstd")


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_bomb_stops_at_the_limit_with_little_memory(tmp_path: Path, coding: str) -> None:
    compressor = zlib.compressobj(9, wbits=31) if coding == "gzip" else zstandard.ZstdCompressor().compressobj()
    bomb = b"".join(compressor.compress(bytes(2**20)) for _ in range(200)) + compressor.flush()
    assert len(bomb) < 2**20
    tracemalloc.start()
    try:
        said = refused(TooLargeError, tmp_path, bomb, len(bomb), coding=coding)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "GRISTMILL_DATASET_READ_BYTES" in said
    assert peak < 80 * 2**20


def test_more_bytes_than_may_be_sent_are_refused_before_the_rest_is_asked_for(tmp_path: Path) -> None:
    asked = itertools.count()
    endless = (bytes(2**18) for _ in asked)
    with pytest.raises(TooLargeError, match="GRISTMILL_DATASET_SENT_BYTES"):
        receive(endless, tmp_path / "upload", LIMITS)
    assert next(asked) < 10
    assert list(tmp_path.iterdir()) == []


def test_a_body_that_takes_too_long_is_refused(tmp_path: Path) -> None:
    said = refused(SlowUploadError, tmp_path, TEXT, 10, clock=itertools.count(step=5).__next__)
    assert "GRISTMILL_DATASET_UPLOAD_SECONDS" in said


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_time_is_looked_at_also_while_a_piece_gives_nothing(tmp_path: Path, coding: str) -> None:
    empty = PACK[coding](b"") * 100
    said = refused(SlowUploadError, tmp_path, empty, len(empty), coding=coding, clock=itertools.count().__next__)
    assert "GRISTMILL_DATASET_UPLOAD_SECONDS" in said


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_a_client_that_goes_away_while_its_upload_is_decoded_ends_it(tmp_path: Path, coding: str) -> None:
    empty = PACK[coding](b"") * 5000
    client = Client()

    def clock() -> float:
        client.is_gone = next(asked) > 50
        return 0

    asked = itertools.count()
    before = CLIENT.set(client)
    try:
        refused(ClientGoneError, tmp_path, empty, len(empty), coding=coding, clock=clock)
    finally:
        CLIENT.reset(before)
    assert next(asked) < 60


@pytest.mark.parametrize("coding", ["gzip", "zstd"])
def test_more_members_than_anybody_needs_are_refused_soon(tmp_path: Path, coding: str) -> None:
    packed = zstd(PACK[coding](b"") * 2_000_000)
    began = time.monotonic()
    said = refused(
        MalformedDataError, tmp_path, packed, len(packed), limits=replace(LIMITS, read_bytes=2**30), coding="zstd"
    )
    assert "100,000" in said
    assert time.monotonic() - began < 20  # a second on a computer that does nothing else


def test_what_lies_between_two_compressions_is_counted(tmp_path: Path) -> None:
    named = b"\x1f\x8b\x08\x08" + bytes(6) + b"x" * 2**21 + b"\0" + gzip.compress(TEXT)[10:]
    assert gzip.decompress(named) == TEXT
    assert "GRISTMILL_DATASET_READ_BYTES" in refused(TooLargeError, tmp_path, zstd(named), coding="zstd")


def test_uploads_together_have_no_more_on_the_disk_than_they_may(tmp_path: Path) -> None:
    allowance = Allowance(2500)
    with allowance.share() as first:
        got(tmp_path, b"x" * 2000, use=first)
        (tmp_path / "upload").unlink()
        with allowance.share() as second:
            second(1)
            said = refused(BusyError, tmp_path, gzip.compress(b"x" * 2000), coding="gzip", use=second)
            assert "GRISTMILL_DATASET_UPLOADS_BYTES" in said
        assert allowance.used_bytes == 2000
    assert allowance.used_bytes == 0
    with allowance.share() as third:
        got(tmp_path, b"x" * 2000, use=third)


def test_of_uploads_that_grow_together_as_many_arrive_as_fit() -> None:
    allowance = Allowance(1000)
    outcome: list[str] = []
    start = threading.Barrier(5)

    def upload() -> None:
        with allowance.share() as use:
            use(10)
            start.wait(30)
            try:
                for _ in range(39):
                    use(10)
            except BusyError:
                outcome.append("refused")
                return
        outcome.append("arrived")

    threads = [threading.Thread(target=upload) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert len(outcome) == 5
    assert outcome.count("arrived") >= 2  # 400 bytes each
    assert allowance.used_bytes == 0


def test_the_youngest_upload_gives_way_and_older_ones_have_its_bytes() -> None:
    allowance = Allowance(1000, wait_seconds=30)
    with ThreadPoolExecutor() as pool, allowance.share() as oldest:
        oldest(500)
        with allowance.share() as youngest:
            youngest(400)
            more = pool.submit(oldest, 200)
            with pytest.raises(TimeoutError):
                more.result(0.1)
            with pytest.raises(BusyError):
                youngest(10)  # it would fit, but an older one waits
        more.result(30)
        assert allowance.used_bytes == 700


def test_an_upload_that_has_nothing_yet_waits_for_its_turn() -> None:
    allowance = Allowance(1000, wait_seconds=30)
    with ThreadPoolExecutor() as pool, allowance.share() as late:
        with allowance.share() as other:
            other(950)
            first = pool.submit(late, 100)
            with pytest.raises(TimeoutError):
                first.result(0.1)
        first.result(30)


def test_an_upload_waits_for_some_time_only_and_not_for_itself() -> None:
    allowance = Allowance(1000, wait_seconds=0.1)
    with allowance.share() as oldest, allowance.share() as other:
        other(900)
        with pytest.raises(BusyError):
            oldest(200)
        other(100)  # the oldest waits no more
    with Allowance(1000, wait_seconds=60).share() as alone, pytest.raises(TooLargeError, match="UPLOADS_BYTES"):
        alone(2000)


def test_without_a_limit_uploads_have_what_the_disk_gives(tmp_path: Path) -> None:
    with Allowance(0).share() as use:
        assert got(tmp_path, b"x" * 5000, use=use).read_bytes == 5000


def test_a_disk_without_space_is_said_as_such(tmp_path: Path) -> None:
    greedy = UploadLimits(LIMITS.sent_bytes, LIMITS.read_bytes, 2**62, LIMITS.seconds)
    assert "GRISTMILL_DATASET_FREE_BYTES" in refused(StorageFullError, tmp_path, TEXT, limits=greedy)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
def test_a_disk_that_fills_up_is_said_as_such() -> None:
    with pytest.raises(StorageFullError):
        receive(iter([TEXT]), _Full("/dev/null"), LIMITS)


class _Full(type(Path())):  # type: ignore[misc]
    """A path on a full disk: the system's own device for that, opened and never removed."""

    def open(self, *_mode: Any, **_options: Any) -> Any:
        return Path("/dev/full").open("wb")

    def unlink(self, missing_ok: bool = False) -> None:
        pass


def test_a_client_that_goes_away_leaves_nothing(tmp_path: Path) -> None:
    def broken() -> Iterator[bytes]:
        yield TEXT
        raise ConnectionResetError("gone")

    with pytest.raises(ConnectionResetError):
        receive(broken(), tmp_path / "upload", LIMITS)
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_exists_is_never_written_over(tmp_path: Path) -> None:
    (tmp_path / "upload").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        got(tmp_path, TEXT)
    assert (tmp_path / "upload").read_bytes() == b"other"


@pytest.mark.parametrize("coding", ["br", "gzip, gzip", "deflate"])
def test_another_content_coding_is_unsupported(tmp_path: Path, coding: str) -> None:
    assert repr(coding) in refused(UnsupportedFormatError, tmp_path, TEXT, coding=coding)


def test_a_media_type_that_promises_compression_is_held_to_it(tmp_path: Path) -> None:
    assert got(tmp_path, gzip.compress(TEXT), media_type="application/gzip").read_bytes == len(TEXT)
    (tmp_path / "upload").unlink()
    refused(MalformedDataError, tmp_path, TEXT, media_type="application/gzip")
    refused(MalformedDataError, tmp_path, gzip.compress(TEXT), media_type="application/zstd")


def test_an_empty_body_is_an_empty_file(tmp_path: Path) -> None:
    assert got(tmp_path, b"").read_bytes == 0


def test_the_limits_are_those_of_the_settings() -> None:
    told = Settings(dataset_sent_bytes=1, dataset_read_bytes=2, dataset_free_bytes=3, dataset_upload_seconds=4)
    assert UploadLimits.of(told) == UploadLimits(1, 2, 3, 4)
