"""Holes that a full disk leaves in append-only files, taken out without losing a command."""

from pathlib import Path

import pytest

from gristmill.append_only import mend

SET = b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$9\r\n*1\r\n\0\0\0\0\0\r\n"
STAMP = b"#TS:1700000000\r\n"


def put(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("size", [1, 63, 64, 65, 3 * 2**20])
@pytest.mark.parametrize("after", [b"", SET, STAMP + SET + SET])
def test_a_hole_is_taken_out_wherever_it_is(tmp_path: Path, size: int, after: bytes) -> None:
    path = put(tmp_path, "a.1.incr.aof", SET + bytes(size) + after)
    assert mend(tmp_path) == {path: size}
    assert path.read_bytes() == SET + after
    assert mend(tmp_path) == {}
    assert list(tmp_path.iterdir()) == [path]


def test_several_holes_in_several_files_are_taken_out(tmp_path: Path) -> None:
    one = put(tmp_path, "a.1.incr.aof", bytes(5) + SET + bytes(7) + SET)
    two = put(tmp_path, "a.2.incr.aof", SET + bytes(9) + SET)
    assert mend(tmp_path) == {one: 12, two: 9}
    assert one.read_bytes() == two.read_bytes() == SET + SET


@pytest.mark.parametrize("rest", [b"", bytes(1), bytes(3 * 2**20)])
@pytest.mark.parametrize("part", range(1, len(SET)))
def test_an_incomplete_end_goes_where_no_command_comes_behind_it(tmp_path: Path, part: int, rest: bytes) -> None:
    path = put(tmp_path, "a.9.incr.aof", SET + SET[:part] + rest)
    put(tmp_path, "a.10.incr.aof", b"")
    assert mend(tmp_path) == {path: part + len(rest)}
    assert path.read_bytes() == SET


def test_an_incomplete_end_stays_where_commands_come_behind_it(tmp_path: Path) -> None:
    put(tmp_path, "a.9.incr.aof", SET + SET[:-3])
    put(tmp_path, "a.10.incr.aof", SET)
    assert mend(tmp_path) == {}


@pytest.mark.parametrize(
    "content", [b"", SET, STAMP + SET, SET + b"garbage" + bytes(9) + SET, SET + b"*1\r\n:5\r\n" + SET]
)
def test_what_is_not_damaged_or_in_another_way_is_left_alone(tmp_path: Path, content: bytes) -> None:
    path = put(tmp_path, "a.1.incr.aof", content)
    put(tmp_path, "a.1.base.rdb", bytes(99))
    assert mend(tmp_path) == {}
    assert path.read_bytes() == content
