"""Lock files that may be deleted, and their marks."""

import os
from pathlib import Path

import pytest

from gristmill.datasets import locks
from gristmill.errors import CacheUnusableError


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "made" / "when" / "needed.lock")


def test_shared_locks_go_together_and_one_alone_does_not(path: str) -> None:
    one, two = locks.locked(path, locks.SHARED), locks.locked(path, locks.SHARED)
    assert one is not None
    assert two is not None
    assert locks.locked(path, locks.ALONE) is None
    os.close(one)
    assert locks.locked(path, locks.ALONE) is None
    os.close(two)
    alone = locks.locked(path, locks.ALONE)
    assert alone is not None
    assert locks.locked(path, locks.SHARED) is None
    assert locks.has(alone, path, locks.SHARED)
    shared = locks.locked(path, locks.SHARED)
    assert shared is not None
    os.close(shared)
    os.close(alone)


def test_a_deleted_file_locks_nothing(path: str) -> None:
    lock = locks.opened(path)
    Path(path).unlink()
    assert not locks.has(lock, path, locks.ALONE)
    newer = locks.locked(path, locks.ALONE)
    assert newer is not None
    assert not locks.has(lock, path, locks.SHARED)
    os.close(newer)
    os.close(lock)


def test_marks_are_for_everybody_and_need_no_lock(path: str) -> None:
    lock = locks.locked(path, locks.ALONE)
    assert lock is not None
    assert locks.marks(lock) == b""
    assert locks.mark(path, b"x")
    assert locks.mark(path, b"y")
    assert set(locks.marks(lock)) == set(b"xy")
    locks.clear_marks(lock)
    assert locks.marks(lock) == b""
    os.close(lock)


def test_a_file_that_is_not_there_is_not_marked_and_not_made(path: str) -> None:
    assert not locks.mark(path, b"x")
    assert not Path(path).exists()


def test_an_unusable_folder_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("")
    for call in (locks.opened, lambda path: locks.mark(path, b"x")):
        with pytest.raises(CacheUnusableError, match=str(file)):
            call(f"{file}/needed.lock")


def test_no_descriptor_is_left_open_by_a_lock_that_others_have(path: str) -> None:
    lock = locks.locked(path, locks.ALONE)
    assert lock is not None
    following = os.dup(lock)
    os.close(following)
    for _ in range(5):
        assert locks.locked(path, locks.SHARED) is None
    again = os.dup(lock)
    assert again == following
    os.close(again)
    os.close(lock)
