"""``gristmill backup``: where it writes to, what it says, and what it leaves when it cannot."""

import os
import pty
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from support import RedisServer, wait_until
from support.backups import entries
from support.lab import Lab
from support.odd_system import make
from support.shelf import Shelf

from gristmill.settings import Settings

from .conftest import Run, command, environment

pytestmark = pytest.mark.slow

SHA = re.compile(r"SHA-256 ([0-9a-f]{64})")


@pytest.fixture
def some(settings: Settings) -> Settings:
    """A small system: three jobs, of which one has ended, and a data set."""
    lab, shelf = Lab(settings), Shelf(settings)
    for _ in range(3):
        lab.submit()
    lab.finish(lab.claim(lab.worker()))
    shelf.put("flights", b"content")
    return settings


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_standard_output_is_the_backup_and_nothing_else(some: Settings, run: Run) -> None:
    result = run(some, "backup", "-")
    assert result.returncode == 0
    assert [kind for kind, _ in entries(result.stdout)].count("job") == 3
    said = result.stderr.decode()
    assert re.search(r"^Copied 3 jobs, 1 data set with 1 version: [\d,]+ bytes in [\d.]+ s, SHA-256", said)


def test_what_else_is_printed_does_not_get_into_the_backup(some: Settings, tmp_path: Path, run: Run) -> None:
    noisy = tmp_path / "sitecustomize.py"
    noisy.write_text(
        "import gristmill.backup.copying as c, os\n"
        "good = c.Copier.entries\n"
        "def loud(self):\n    print('hello'); os.write(1, b'there')\n    yield from good(self)\n"
        "c.Copier.entries = loud\n"
    )
    result = run(some, "backup", "-", PYTHONPATH=str(tmp_path))
    assert [kind for kind, _ in entries(result.stdout)].count("job") == 3
    assert b"hello" in result.stderr
    assert b"there" in result.stderr


def test_a_terminal_is_refused(some: Settings, tmp_path: Path) -> None:
    master, slave = pty.openpty()
    result = subprocess.run(
        command("backup", "-"), env=environment(some), stdout=slave, stderr=subprocess.PIPE, timeout=60, check=False
    )
    os.close(slave)
    assert result.returncode == 1
    assert b"terminal" in result.stderr
    os.set_blocking(master, False)
    with pytest.raises((BlockingIOError, OSError)):
        os.read(master, 1)
    os.close(master)


def test_a_reader_that_goes_away_is_an_error_in_one_line(settings: Settings) -> None:
    shelf = Shelf(settings)
    for number in range(4):
        shelf.put(f"d{number}", bytes([number]) + os.urandom(3_000_000))
    process = subprocess.Popen(
        command("backup", "-"), env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.read(1000)
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(60) == 1
    assert said == "gristmill: Whoever was to read the backup has gone; it is not whole.\n"


def test_a_file_is_written_checked_and_for_its_owner_alone(some: Settings, run: Run, tmp_path: Path) -> None:
    result = run(some, "backup", "here.backup")
    assert (result.returncode, result.stdout) == (0, b"")
    path = tmp_path / "here.backup"
    assert path.stat().st_mode & 0o777 == 0o600
    assert names(tmp_path) == ["here.backup"]
    assert "Checked: here.backup can be read and is what was written." in result.stderr.decode()
    again = run(some, "backup", "here.backup")
    assert again.returncode == 0


def test_check_says_what_is_in_a_file_without_a_server(settings: Settings, run: Run, tmp_path: Path) -> None:
    make(settings)
    written = run(settings, "backup", "here.backup")
    result = run(settings, "backup", "--check", "here.backup", REDIS_URL="redis://127.0.0.1:1/0")
    assert result.returncode == 0, result.stderr
    said = result.stdout.decode()
    assert said.startswith("here.backup is whole: ")
    assert "format 1" in said
    assert "jobs         19 (9 accepted, 2 running, 5 successful, 2 failed, 1 dismissed)" in said
    assert "data sets    3 with 4 versions (636166c3a9, air, flights)" in said
    assert "call-backs   5 not delivered yet" in said
    assert "in dev" in said
    assert SHA.findall(written.stderr.decode()) == re.findall(r"[0-9a-f]{64}", said)
    piped = run(settings, "backup", "--check", "-", input=(tmp_path / "here.backup").read_bytes())
    assert piped.stdout.decode().startswith("The stream is whole")


@pytest.mark.parametrize("cut", [0, 10, 500, -1])
def test_check_of_a_damaged_file_is_exit_code_1(some: Settings, run: Run, tmp_path: Path, cut: int) -> None:
    data = run(some, "backup", "-").stdout
    (tmp_path / "bad").write_bytes(data[:cut])
    result = run(some, "backup", "--check", "bad")
    assert (result.returncode, result.stdout) == (1, b"")
    assert result.stderr.startswith(b"gristmill: ")


def test_a_folder_gets_a_new_file_and_keeps_the_newest(some: Settings, run: Run, tmp_path: Path) -> None:
    folder = tmp_path / "backups"
    folder.mkdir()
    old = [f"gristmill-dev-202001{day:02}T000000Z.backup" for day in range(1, 5)]
    for name in (*old, "gristmill-prod-20200101T000000Z.backup", f"{old[0]}.new"):
        (folder / name).write_bytes(b"old")
    result = run(some, "backup", folder, "--keep", "3")
    assert result.returncode == 0, result.stderr
    (new,) = set(names(folder)) - {*old, "gristmill-prod-20200101T000000Z.backup"}
    assert re.fullmatch(r"gristmill-dev-20\d{6}T\d{6}Z\.backup", new)
    assert names(folder) == sorted([*old[2:], new, "gristmill-prod-20200101T000000Z.backup"])
    assert f"Removed {folder / old[0]}." in result.stderr.decode()
    assert run(some, "backup", "--check", folder / new).returncode == 0


def test_without_keep_nothing_is_removed(some: Settings, run: Run, tmp_path: Path) -> None:
    (tmp_path / "gristmill-dev-20200101T000000Z.backup").touch()
    assert run(some, "backup", ".").returncode == 0
    assert len(names(tmp_path)) == 2


@pytest.mark.parametrize("target", ["-", "file"])
def test_keep_without_a_folder_is_refused(some: Settings, run: Run, target: str) -> None:
    result = run(some, "backup", target, "--keep", "3")
    assert (result.returncode, result.stdout) == (1, b"")
    assert b"--keep" in result.stderr


def test_an_empty_name_as_of_an_unset_variable_is_refused(some: Settings, run: Run, tmp_path: Path) -> None:
    result = run(some, "backup", "")
    assert result.returncode == 1
    assert b"empty" in result.stderr
    assert names(tmp_path) == []


def test_a_folder_that_is_not_there_is_refused_and_not_made(some: Settings, run: Run, tmp_path: Path) -> None:
    result = run(some, "backup", "nowhere/")
    assert result.returncode == 1
    assert b"no folder nowhere" in result.stderr
    assert names(tmp_path) == []


def test_a_full_disk_leaves_the_older_backups_and_nothing_half_written(
    settings: Settings, run: Run, small_disk: Path
) -> None:
    Shelf(settings).put("flights", os.urandom(12_000_000))
    (small_disk / "gristmill-dev-20200101T000000Z.backup").write_bytes(b"old")
    result = run(settings, "backup", small_disk, "--keep", "1")
    assert result.returncode == 1
    assert b"There is no room for" in result.stderr
    assert names(small_disk) == ["gristmill-dev-20200101T000000Z.backup"]
    with (small_disk / "x").open("wb") as full:
        piped = subprocess.run(
            command("backup", "-"),
            env=environment(settings),
            stdout=full,
            stderr=subprocess.PIPE,
            timeout=60,
            check=False,
        )
    assert piped.returncode == 1
    assert b"Standard output cannot be written: No space left" in piped.stderr


def test_what_is_damaged_is_an_error_though_the_rest_is_there_and_no_older_backup_goes(
    settings: Settings, run: Run, tmp_path: Path
) -> None:
    shelf = Shelf(settings)
    shelf.put("bad", b"content")
    shelf.put("good", b"other content")
    key = f"{shelf.prefix}c:{shelf.store.version('bad').blob.id}:0"
    shelf.client.set(key, b"CONTENT")
    (tmp_path / "gristmill-dev-20200101T000000Z.backup").touch()
    result = run(settings, "backup", ".", "--keep", "1")
    assert result.returncode == 1
    assert b"of data set bad" in result.stderr
    old, new = names(tmp_path)
    assert old == "gristmill-dev-20200101T000000Z.backup"
    assert [fields["name"] for kind, fields in entries((tmp_path / new).read_bytes()) if kind == "data-set"] == [
        b"good"
    ]


def test_a_backup_that_is_stopped_leaves_nothing(
    start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    server = start_server("valkey")
    settings = make_settings(server.url)
    Shelf(settings).put("flights", os.urandom(8_000_000))
    server.pause()
    process = subprocess.Popen(
        command("backup", tmp_path / "file"), env=environment(settings), stderr=subprocess.DEVNULL
    )
    wait_until((tmp_path / "file.new").exists, 120, "it has begun")
    process.terminate()
    assert process.wait(60) == 128 + signal.SIGTERM
    server.resume()
    assert not (tmp_path / "file.new").exists()
    assert not (tmp_path / "file").exists()


def test_a_server_that_goes_away_is_an_error_and_leaves_nothing(
    start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings], run: Run, tmp_path: Path
) -> None:
    server = start_server("valkey")
    settings = make_settings(server.url)
    Shelf(settings).put("flights", os.urandom(8_000_000))
    server.pause()
    result = run(settings, "backup", tmp_path / "file")
    server.resume()
    assert result.returncode == 1
    assert result.stderr.startswith(b"gristmill: Redis does not answer")
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("file")] == []
