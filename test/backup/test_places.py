"""A backup's file is there when it is whole, and only then; a folder keeps the newest, and nothing else is touched."""

import errno
import os
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

import pytest

from gristmill.backup import places
from gristmill.backup.places import NewFile
from gristmill.errors import BackupError

NAMES = [f"gristmill-prod-2026110{day}T030000Z.backup" for day in range(1, 6)]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_has_its_name_once_it_is_kept_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with NewFile(path) as new:
        new.write(b"one ")
        new.write(b"two")
        assert new.rewind().read() == b"one two"
        assert names(tmp_path) == ["file.new"]
        new.keep()
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"one two"
    assert path.stat().st_mode & 0o777 == 0o600


def test_nothing_of_one_that_was_not_kept_remains_and_what_had_the_name_stays(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"earlier")
    with suppress(KeyboardInterrupt), NewFile(path) as new:
        new.write(b"x" * 100_000)
        raise KeyboardInterrupt
    assert names(tmp_path) == ["file"]
    assert path.read_bytes() == b"earlier"


def test_what_a_killed_backup_left_is_written_anew_and_for_its_owner_alone(tmp_path: Path) -> None:
    left = tmp_path / "file.new"
    left.write_bytes(b"x" * 1000)
    left.chmod(0o644)
    with NewFile(tmp_path / "file") as new:
        new.write(b"short")
        new.rewind()
        new.keep()
    assert (tmp_path / "file").read_bytes() == b"short"
    assert (tmp_path / "file").stat().st_mode & 0o777 == 0o600


def test_two_backups_do_not_write_the_same_file(tmp_path: Path) -> None:
    with NewFile(tmp_path / "file") as first:
        first.write(b"mine")
        with pytest.raises(BackupError, match="Another backup is writing"):
            NewFile(tmp_path / "file")
        first.rewind()
        first.keep()
    assert (tmp_path / "file").read_bytes() == b"mine"


@pytest.mark.parametrize("name", ["no/such/folder/file", "pipe"])
def test_what_cannot_be_written_is_named(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BackupError, match=name):
        NewFile(tmp_path / name)
    assert names(tmp_path) == ["pipe"]


def test_a_full_disk_is_said_and_leaves_nothing(small_disk: Path) -> None:
    def fill() -> None:
        with NewFile(small_disk / "file") as new:
            for _ in range(100):
                new.write(bytes(2**18))

    with pytest.raises(BackupError, match="no room") as told:
        fill()
    assert isinstance(told.value.__cause__, OSError)
    assert told.value.__cause__.errno == errno.ENOSPC
    assert names(small_disk) == []


def test_a_name_says_environment_and_time() -> None:
    assert (
        places.new_name("prod", datetime(2026, 11, 28, 3, 45, tzinfo=UTC)) == "gristmill-prod-20261128T034500Z.backup"
    )
    assert places.new_name("test").startswith("gristmill-test-20")


def test_the_newest_stay_and_files_of_others_too(tmp_path: Path) -> None:
    others = [
        "gristmill-test-20261101T030000Z.backup", "gristmill-prod-20261101T030000Z.backup.copy", "notes.txt",
        "gristmill-prod-before-the-move.backup", "my-gristmill-prod-20261101T030000Z.backup",
    ]  # fmt: skip
    for name in (*NAMES, *others):
        (tmp_path / name).touch()
    (tmp_path / "gristmill-prod-20200101T030000Z.backup").mkdir()
    old = places.remove_old(tmp_path, "prod", 2, tmp_path / NAMES[-1])
    assert [path.name for path in old] == NAMES[:3]
    assert names(tmp_path) == sorted([*NAMES[3:], *others, "gristmill-prod-20200101T030000Z.backup"])


@pytest.mark.parametrize(("keep", "left"), [(1, []), (2, NAMES[4:]), (9, NAMES)])
def test_the_new_one_is_never_removed_though_a_clock_was_set_back(tmp_path: Path, keep: int, left: list[str]) -> None:
    new = "gristmill-prod-20200101T030000Z.backup"
    for name in (*NAMES, new):
        (tmp_path / name).touch()
    places.remove_old(tmp_path, "prod", keep, tmp_path / new)
    assert names(tmp_path) == sorted([new, *left])


def test_what_killed_backups_left_is_removed_and_what_one_is_writing_is_not(tmp_path: Path) -> None:
    for name in (NAMES[0], f"{NAMES[0]}.new", "gristmill-test-20261101T030000Z.backup.new", "other.new"):
        (tmp_path / name).touch()
    with NewFile(tmp_path / NAMES[1]):
        places.remove_unfinished(tmp_path, "prod")
        assert f"{NAMES[1]}.new" in names(tmp_path)
    assert names(tmp_path) == [NAMES[0], "gristmill-test-20261101T030000Z.backup.new", "other.new"]
