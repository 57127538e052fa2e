"""The format: what is written is read, and whatever else there is in a file is found out."""

import io
import tracemalloc
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.backup.format import BLOCK_BYTES, Entry, Reader, Writer
from gristmill.errors import DamagedBackupError

VALUES = st.one_of(st.binary(max_size=50), st.text(max_size=20), st.integers(-(2**63), 2**64 - 1))
FIELDS = st.dictionaries(st.text(max_size=10), VALUES, max_size=4)
ENTRIES = st.lists(st.tuples(st.sampled_from(["job", "data-set", "a later kind"]), FIELDS), max_size=8)
LARGE = bytes(range(256)) * 12_000


def written(entries: list[Entry]) -> bytes:
    out = io.BytesIO()
    writer = Writer(out)
    for kind, fields in entries:
        writer.write(kind, fields)
    writer.finish()
    assert writer.bytes == len(out.getvalue())
    return out.getvalue()


def read(data: bytes) -> list[Entry]:
    reader = Reader(io.BytesIO(data))
    found = list(reader)
    assert len(reader.digest) == 64
    assert reader.bytes == len(data)
    return found


SOME = written([("job", {"record": b"x" * 300, "time": 2**53}), ("job", {"owner": "böb"}), ("data-set", {})])


@given(ENTRIES)
def test_what_is_written_is_read(entries: list[Entry]) -> None:
    assert read(written(entries)) == entries


@pytest.mark.parametrize("size", [BLOCK_BYTES - 40, BLOCK_BYTES - 20, BLOCK_BYTES, 5 * BLOCK_BYTES])
def test_an_entry_may_lie_in_several_blocks(size: int) -> None:
    entries: list[Entry] = [("job", {"n": 1}), ("job-bytes", {"data": LARGE[:size] + bytes(size)}), ("job", {"n": 2})]
    assert read(written(entries)) == entries


@given(ENTRIES, st.data())
def test_a_changed_byte_anywhere_is_found(entries: list[Entry], data: Any) -> None:
    good = written(entries)
    place = data.draw(st.integers(0, len(good) - 1))
    bad = bytearray(good)
    bad[place] ^= data.draw(st.integers(1, 255))
    with pytest.raises(DamagedBackupError):
        read(bytes(bad))


def test_every_bit_of_a_backup_counts() -> None:
    for place in range(len(SOME)):
        for bit in range(8):
            bad = bytearray(SOME)
            bad[place] ^= 1 << bit
            with pytest.raises(DamagedBackupError):
                read(bytes(bad))


def test_a_backup_that_ends_too_early_is_found_wherever_it_ends() -> None:
    for size in range(len(SOME)):
        with pytest.raises(DamagedBackupError):
            read(SOME[:size])


@pytest.mark.parametrize("more", [b"\n", b"\0" * 40, SOME])
def test_something_behind_the_end_is_found(more: bytes) -> None:
    with pytest.raises(DamagedBackupError, match="follows its end"):
        read(SOME + more)


def test_a_part_that_was_taken_out_or_put_elsewhere_is_found() -> None:
    data = written([("job-bytes", {"data": LARGE, "number": number}) for number in range(3)])
    for cut in (30, len(data) // 3, len(data) // 2):
        for length in (4, 1000, len(data) // 4):
            with pytest.raises(DamagedBackupError):
                read(data[:cut] + data[cut + length :])
            with pytest.raises(DamagedBackupError):
                read(data[:cut] + data[cut + length :] + data[cut : cut + length])


@pytest.mark.parametrize("data", [b"", b"PK\x03\x04", b"gristmill-backup x\n", b"gristmill-backup", b"x" * 1000])
def test_what_is_no_backup_is_named_as_such(data: bytes) -> None:
    with pytest.raises(DamagedBackupError, match="`gristmill backup`"):
        Reader(io.BytesIO(data))


def test_a_later_format_is_refused_with_what_to_do() -> None:
    with pytest.raises(DamagedBackupError, match=r"format 2, and this release reads formats up to 1; restore it with"):
        Reader(io.BytesIO(SOME.replace(b"backup 1\n", b"backup 2\n")))


def test_a_writer_that_was_not_finished_has_written_no_backup() -> None:
    out = io.BytesIO()
    writer = Writer(out)
    for _ in range(3):
        writer.write("job-bytes", {"data": LARGE})
    with pytest.raises(DamagedBackupError, match="too early"):
        read(out.getvalue())


def test_a_block_that_the_computer_has_changed_while_it_was_written_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    writer = Writer(io.BytesIO())
    monkeypatch.setattr(writer, "_decompressor", type("Broken", (), {"decompress": lambda *_: b"other"})())
    with pytest.raises(DamagedBackupError, match="could not be read back"):
        writer.finish()


def test_neither_side_has_much_in_memory_however_large_a_backup_is(tmp_path) -> None:
    def many() -> Iterator[Entry]:
        for number in range(150):
            yield "job-bytes", {"data": LARGE[:BLOCK_BYTES], "number": number}

    tracemalloc.start()
    try:
        with (tmp_path / "large").open("wb") as file:
            writer = Writer(file)
            for kind, fields in many():
                writer.write(kind, fields)
            writer.finish()
        with (tmp_path / "large").open("rb") as file:
            assert sum(1 for _ in Reader(file)) == 150
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**20
    finally:
        tracemalloc.stop()
