"""Folders of workers: made safely, and removed when their worker has died."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.errors import ConfigurationError
from gristmill.heartbeats import check
from gristmill.workfolder import WorkFolder, log_of, scratch_of

HOLDER = "import sys; from pathlib import Path; from gristmill.workfolder import WorkFolder; "
HOLDER += "folder = WorkFolder(Path(sys.argv[1]), 'other'); print('up', flush=True); sys.stdin.read()"


def test_what_dead_workers_left_is_removed_and_what_living_ones_have_is_not(tmp_path: Path) -> None:
    other = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert other.stdin
    assert other.stdout
    other.stdout.readline()
    scratch_of(tmp_path / "other", 1).mkdir()
    mine = WorkFolder(tmp_path, "mine")
    assert mine.remove_dead() == 0
    assert check(tmp_path) == ""
    other.send_signal(signal.SIGKILL)
    other.wait()
    other.stdin.close()
    other.stdout.close()
    assert mine.remove_dead() == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == [".lock", "mine"]
    mine.close()
    assert "No worker runs" in check(tmp_path)


def test_a_full_disk_refuses_the_start_by_name_and_does_not_stop_a_worker_that_runs(small_disk: Path) -> None:
    folder = WorkFolder(small_disk, "mine")
    with pytest.raises(OSError, match="No space left"):
        (small_disk / "filler").write_bytes(bytes(2**24))
    with pytest.raises(ConfigurationError, match=r"cannot use the folder .*No space left on device"):
        WorkFolder(small_disk, "other")
    (folder.path / "heartbeat").unlink()
    folder.touch()


def test_what_a_child_left_is_removed(tmp_path: Path) -> None:
    folder = WorkFolder(tmp_path, "mine")
    scratch_of(folder.path, 3).mkdir()
    log_of(folder.path, 3).write_text("x")
    folder.remove_child(3)
    folder.remove_child(4)
    assert sorted(path.name for path in folder.path.iterdir()) == ["heartbeat", "lock"]
    folder.close()


def test_a_folder_that_cannot_be_used_is_refused_with_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ConfigurationError, match="GRISTMILL_WORKER_FOLDER"):
        WorkFolder(tmp_path / "file" / "inner", "mine")


@pytest.mark.skipif(os.getuid() != 0, reason="needs to give a folder away")
def test_a_folder_of_another_user_is_refused(tmp_path: Path) -> None:
    os.chown(tmp_path, 12345, -1)
    with pytest.raises(ConfigurationError, match="another user"):
        WorkFolder(tmp_path, "mine")
