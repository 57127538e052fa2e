"""What a job leaves in its folder goes, whatever it is."""

import os
from pathlib import Path

import pytest

from gristmill.clearing import empty, remove


def test_what_is_unwritable_is_removed_too(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    (folder / "a" / "b").mkdir(parents=True)
    (folder / "a" / "b" / "file").touch()
    (folder / "link").symlink_to(tmp_path)
    (folder / "a" / "b").chmod(0)
    (folder / "a").chmod(0)
    assert empty(folder)
    assert list(folder.iterdir()) == []
    remove(folder)
    remove(folder)
    assert not folder.exists()
    assert tmp_path.exists()


def test_folders_are_removed_however_deep_they_are(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    here = os.open(folder, os.O_RDONLY)
    for _ in range(3000):  # deeper than Python recurses, and longer than the longest path
        os.mkdir("deep", dir_fd=here)
        inner = os.open("deep", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(os.open("file", os.O_CREAT | os.O_WRONLY, dir_fd=here))
    os.close(here)
    assert empty(folder)
    assert list(folder.iterdir()) == []


def test_many_files_and_folders_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    for number in range(300):
        (folder / f"{number}" / "a" / "b").mkdir(parents=True)
        (folder / f"{number}" / "a" / "file").touch()
        (folder / f"file{number}").touch()
    remove(folder)
    assert not folder.exists()


def test_what_cannot_be_removed_is_told_and_ends_the_try(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError

    (tmp_path / "stays").touch()
    (tmp_path / "goes" / "a").mkdir(parents=True)
    monkeypatch.setattr(Path, "unlink", refuse)
    assert not empty(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["stays"]


def test_a_folder_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert empty(tmp_path / "absent")
    remove(tmp_path / "absent")
