"""Versions as tables: made once from what is stored, the same rows in the same order, let go when deleted."""

import errno
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, ExitStack, nullcontext
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace

import duckdb
import pytest
from support.tables import long_texts

from gristmill.datasets import line_files, lines, locks, rows, stored_parquet, tables
from gristmill.datasets.dataset import Version
from gristmill.datasets.json_rows import Form
from gristmill.datasets.options import ReadingOptions
from gristmill.datasets.pages import read_page
from gristmill.datasets.queries import Table
from gristmill.datasets.shelf import Shelf
from gristmill.errors import CacheBusyError, CacheUnusableError, InvalidFilterError, NoSuchVersionError, QueryLimitError
from gristmill.settings import Settings
from gristmill.store import connect

CSV = b"n\n" + b"".join(b"%d\n" % (number * 7919 % 10_000) for number in range(10_000))


@pytest.fixture
def open_shelf(redis_url: str, make_settings: Callable[..., Settings], tmp_path: Path) -> Iterator[Callable[[], Shelf]]:
    """Return a function that opens a shelf as a further process would, all with the same cache."""
    with ExitStack() as stack:

        def open_() -> Shelf:
            settings = make_settings(redis_url, data_folder=tmp_path / "data", dataset_free_bytes=0)
            client = connect(settings)
            stack.callback(client.close)
            made = Shelf.of(client, settings)
            stack.callback(made.close)
            return made

        yield open_


@pytest.fixture
def shelf(open_shelf: Callable[[], Shelf]) -> Shelf:
    return open_shelf()


@pytest.fixture
def other(open_shelf: Callable[[], Shelf]) -> Shelf:
    """As in another process, with the same cache."""
    return open_shelf()


def nested_deep(version: Version) -> Version:
    """A version as it would be had its file been nested."""
    told = json.loads(version.facts)
    told["columns"][0]["type"] = "DOUBLE" + "[]" * 20
    return replace(version, facts=json.dumps(told).encode())


def test_a_filter_may_make_as_many_new_texts_as_there_is_memory_for(shelf: Shelf) -> None:
    version = put(shelf)
    told = json.loads(version.facts)
    told["columns"][0] |= {"type": "VARCHAR", "minimum": "a", "maximum": "z"}
    refused = pytest.raises(InvalidFilterError, match="memory for 268,435,456")
    for text_bytes, problem in ((2**28, nullcontext()), (2**28 + 1, refused)):
        told["columns"][0]["text_bytes"] = text_bytes
        long = replace(version, facts=json.dumps(told).encode())
        with shelf.tables.use(long) as (_, table), problem:
            table.page(filter_text="casei(n) = 'word'", limit=10)
        shelf.tables.tidy(0)


def test_of_a_version_that_is_nested_deeper_than_json_may_be_written_the_rest_is_read(
    shelf: Shelf, tmp_path: Path
) -> None:
    with shelf.tables.use(nested_deep(put(shelf))) as (connection, table):
        page = table.page(limit=10).statement()
        with pytest.raises(QueryLimitError, match=r"'n' has lists.*properties="):
            rows.read(connection, page, seconds=30)
        for kind in ("csv", "parquet"):
            with pytest.raises(QueryLimitError, match="'n'") if kind == "csv" else nullcontext():
                rows.write(connection, table.export(), tmp_path / kind, kind, seconds=30)
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["parquet"]


def put(shelf: Shelf, name: str = "numbers", content: bytes = CSV) -> Version:
    shelf.intake.put(name, iter([content[:1000], content[1000:]]), ReadingOptions("csv"), owner="ann")
    return shelf.store.version(name)


def numbers(shelf: Shelf, version: Version) -> list[list[int]]:
    with shelf.tables.use(version) as (connection, table):
        found = rows.read(connection, table.page(limit=20_000).statement(), seconds=30, form=Form("arrays"))
    return json.loads(found.text)  # type: ignore[no-any-return]


def test_a_table_has_the_rows_of_its_upload_in_their_order(shelf: Shelf) -> None:
    version = put(shelf)
    assert numbers(shelf, version) == [[int(line)] for line in CSV.split()[1:]]


def test_many_that_ask_first_have_it_made_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    version = put(shelf)
    made: list[str] = []
    build = shelf.tables._files._build
    monkeypatch.setattr(
        shelf.tables._files, "_build", lambda version, target: (made.append(str(target)), build(version, target))
    )
    found: list[int] = []
    threads = [threading.Thread(target=lambda: found.append(len(numbers(shelf, version)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [10_000] * 8
    assert len(made) == 1


def test_many_that_wait_for_another_process_wait_no_longer_than_one(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf)
    monkeypatch.setattr(tables, "WAIT_SECONDS", 0.5)
    other = locks.locked(f"{shelf.cache.folder}/{version.edition.version}.lock", locks.ALONE)
    assert other is not None
    began = time.monotonic()

    with ThreadPoolExecutor(20) as threads:
        errors = [one.exception() for one in [threads.submit(numbers, shelf, version) for _ in range(20)]]

    assert {type(error) for error in errors} == {CacheBusyError}
    assert time.monotonic() - began < 5  # and not half a second for each
    os.close(other)
    assert len(numbers(shelf, version)) == 10_000


@pytest.mark.slow
def test_versions_that_come_and_go_at_the_same_time_stay_usable(shelf: Shelf) -> None:
    versions = [put(shelf, f"numbers-{number}", b"n\n%d\n" % number) for number in range(8)]
    found: list[list[list[int]]] = []

    def come_and_go(number: int) -> None:
        for _ in range(100):
            found.append(numbers(shelf, versions[number]))
            shelf.tables.tidy(0)

    with ThreadPoolExecutor(len(versions)) as threads:
        for done in [threads.submit(come_and_go, number) for number in range(len(versions))]:
            done.result()
    assert sorted(found) == sorted([[[number]] for number in range(8)] * 100)


def test_a_deleted_data_set_leaves_the_cache_at_the_next_tidying(shelf: Shelf) -> None:
    version = put(shelf)
    shelf.tidy()
    with shelf.tables.use(version) as (connection, table):
        shelf.store.delete("numbers")
        shelf.tidy()
        assert (
            rows.read(connection, table.aggregate(limit=1), seconds=30).text == b'[{"count()":10000}]'
        )  # in use, it stays
    shelf.tables.tidy(0)
    assert shelf.cache.versions() == frozenset()
    with pytest.raises(NoSuchVersionError), shelf.tables.use(version):
        pass


def test_a_damaged_file_is_made_anew(shelf: Shelf) -> None:
    version = put(shelf)
    numbers(shelf, version)
    shelf.tables.tidy(0)
    (file,) = shelf.cache.folder.glob("*.data")
    file.write_bytes(b"no database" * 1000)
    assert len(numbers(shelf, version)) == 10_000


def test_a_file_that_turns_out_to_be_damaged_when_it_is_read_is_made_anew(shelf: Shelf) -> None:
    version = put(shelf)
    with shelf.tables.use(version):  # attached, and nothing of it read
        (file,) = shelf.cache.folder.glob("*.data")
        damage(file)
    with pytest.raises(CacheBusyError, match="made anew; try again"):
        numbers(shelf, version)
    shelf.tables.tidy()
    assert len(numbers(shelf, version)) == 10_000


def test_a_file_that_was_deleted_while_another_process_has_it_is_made_anew(
    shelf: Shelf, other: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "WAIT_SECONDS", tables.IDLE_SECONDS / 3)
    version = put(shelf)
    numbers(shelf, version)
    (file,) = shelf.cache.folder.glob("*.data")
    file.unlink()
    stop = threading.Event()

    def let_go() -> None:
        while not stop.wait(0.05):
            shelf.tables.tidy()

    tidying = threading.Thread(target=let_go)
    tidying.start()
    try:
        assert len(numbers(other, version)) == 10_000
    finally:
        stop.set()
        tidying.join()
    assert len(numbers(shelf, version)) == 10_000


def damage(file: Path) -> None:
    """Spoil what comes after DuckDB's headers."""
    with file.open("r+b") as opened:
        opened.seek(12_288)
        opened.write(b"x" * (file.stat().st_size - 12_288))


def test_what_a_killed_process_left_of_its_uploads_is_removed(shelf: Shelf, tmp_path: Path) -> None:
    left = tmp_path / "data" / "uploads" / "dead"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "upload").write_bytes(b"x")
    put(shelf)
    assert shelf.intake.remove_dead() == 1
    assert not left.exists()
    put(shelf, "others")


def test_a_folder_that_is_being_made_is_not_taken_for_a_dead_one(open_shelf: Callable[[], Shelf]) -> None:
    maker, remover = open_shelf().intake, open_shelf().intake
    is_over = threading.Event()

    def remove_all() -> None:
        while not is_over.is_set():
            remover.remove_dead()

    with ThreadPoolExecutor(2) as threads:
        removing = [threads.submit(remove_all) for _ in range(2)]
        try:
            for _ in range(300):
                folder, lock = maker._new_folder()
                assert (folder / "lock").exists()
                os.close(lock)
        finally:
            is_over.set()
    assert [each.result() for each in removing] == [None, None]


def test_uploads_go_on_after_their_folder_was_cleared(shelf: Shelf, tmp_path: Path) -> None:
    put(shelf)
    shutil.rmtree(tmp_path / "data")
    assert numbers(shelf, put(shelf, "others", b"n\n1\n")) == [[1]]


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EROFS, "make it writable"), (errno.EMFILE, "raise the limit on open files")],
)
def test_a_folder_for_uploads_that_cannot_be_used_is_told(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, code: int, said: str
) -> None:
    put(shelf)

    def refuse(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    with monkeypatch.context() as patched:
        patched.setattr("gristmill.datasets.intake.tempfile.mkdtemp", refuse)
        with pytest.raises(CacheUnusableError, match=said):
            put(shelf, "others")
    put(shelf, "others")


def page(shelf: Shelf, version: Version) -> tuple[bytes, bool]:
    """The first rows, and whether they came from lines."""
    with shelf.tables.use(version) as (connection, table):
        made = shelf.tables.lines(version)
        return read_page(connection, table.page(limit=3), seconds=30, lines=made).text, made is not None


FIRST = b'[{"n":0},{"n":7919},{"n":5838}]'


def test_lines_are_made_once_pages_are_asked_for_and_shared_between_processes(shelf: Shelf, other: Shelf) -> None:
    version = put(shelf)
    numbers(shelf, version)
    shelf.tables.make_lines()
    assert len(list(shelf.cache.folder.glob("*.data"))) == 1  # nobody has asked for a page
    assert page(shelf, version) == (FIRST, False)
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, True)
    assert len(list(shelf.cache.folder.glob("*.data"))) == 2
    made = {file: file.stat().st_mtime_ns for file in shelf.cache.folder.glob("*.data")}

    page(other, version)
    other.tables.make_lines()

    assert page(other, version) == (FIRST, True)
    assert {file: file.stat().st_mtime_ns for file in shelf.cache.folder.glob("*.data")} == made


def test_lines_that_are_damaged_or_deleted_are_made_anew(shelf: Shelf) -> None:
    version = put(shelf)
    page(shelf, version)
    shelf.tables.make_lines()
    (file,) = shelf.cache.folder.glob(f"{version.edition.version}-*.data")
    with file.open("r+b") as opened:
        opened.write(b"[9999]")
    assert page(shelf, version)[0] == FIRST
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, True)

    shelf.tables.tidy(0)
    file.unlink()
    assert page(shelf, version) == (FIRST, False)
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, True)


def test_lines_leave_the_cache_when_it_needs_their_room_and_with_their_data_set(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf)
    page(shelf, version)
    shelf.tables.make_lines()
    (lock,) = shelf.cache.folder.glob(f"{version.edition.version}-*.lock")
    locks.mark(str(lock), b"d")  # as another process does that makes room
    shelf.tables.make_lines()
    assert len(list(shelf.cache.folder.glob("*.data"))) == 1
    assert page(shelf, version) == (FIRST, False)
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, False)  # not at once: the cache would have to make room again

    monkeypatch.setattr(line_files, "_REST_SECONDS", 0)
    shelf.tables.tidy(0)
    page(shelf, version)
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, True)
    shelf.store.delete("numbers")
    shelf.tidy()
    shelf.tables.tidy(0)
    assert list(shelf.cache.folder.glob("*.data")) == []


def test_a_table_that_would_take_much_of_the_cache_has_no_lines(shelf: Shelf) -> None:
    version = put(shelf)
    page(shelf, version)
    shelf.cache.most_bytes = 150_000
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, False)
    assert list(shelf.cache.folder.glob("*-*.data")) == []


def test_a_full_disk_leaves_pages_without_lines(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    version = put(shelf)
    page(shelf, version)

    def fill(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(lines, "write", fill)
    shelf.tables.make_lines()
    assert page(shelf, version) == (FIRST, False)
    assert list(shelf.cache.folder.glob("*.making")) == []


def test_lines_that_duckdb_cannot_write_are_not_tried_again_at_once(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf)
    page(shelf, version)
    tries: list[int] = []

    def fail(*_: object, **__: object) -> None:
        tries.append(1)
        raise duckdb.BinderException("no such function")

    monkeypatch.setattr(lines, "write", fail)
    for _ in range(3):
        shelf.tables.make_lines()
        assert page(shelf, version) == (FIRST, False)
    assert len(tries) == 1


def test_lines_that_cannot_be_made_are_tried_more_and_more_seldom(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf)
    page(shelf, version)
    clock = 1000.0
    tries: list[float] = []

    def fail(*_: object, **__: object) -> None:
        tries.append(clock)
        raise duckdb.OutOfMemoryException("no memory")

    monkeypatch.setattr(lines, "write", fail)
    with monkeypatch.context() as patched:
        patched.setattr(line_files, "time", SimpleNamespace(monotonic=lambda: clock))
        while clock < 1300:
            shelf.tables.make_lines()
            page(shelf, version)
            clock += 1
    assert [round(later - first) for first, later in pairwise(tries)] == [30, 60, 120]


def test_a_version_that_was_detached_meanwhile_gets_its_lines_when_it_is_asked_for_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf)
    page(shelf, version)
    use = shelf.tables.use

    def use_later(version: Version) -> AbstractContextManager[tuple[duckdb.DuckDBPyConnection, Table]]:
        shelf.tables.tidy(0)
        return use(version)

    with monkeypatch.context() as patched:
        patched.setattr(shelf.tables, "use", use_later)
        shelf.tables.make_lines()
    assert list(shelf.cache.folder.glob("*-*.data")) == []  # lines are called by their version and their layout

    page(shelf, version)
    shelf.tables.make_lines()
    assert len(list(shelf.cache.folder.glob("*-*.data"))) == 1


@pytest.mark.slow
@pytest.mark.parametrize("is_told", [True, False])
def test_a_version_of_long_texts_gets_into_the_cache_in_smaller_groups(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, is_told: bool
) -> None:
    """The groups of the Parquet tell how small; where they do not, it is found out."""
    if not is_told:
        monkeypatch.setattr(stored_parquet, "group_rows", lambda _path, _connection: 0)
    version = put(shelf, content=long_texts(6000, 10_000))
    files, attempts = shelf.tables._files, list[bool]()
    write = files._write

    def counted(parquet: Path, target: Path, deadline: float | None, *, is_sparing: bool = False) -> None:
        attempts.append(is_sparing)
        write(parquet, target, deadline, is_sparing=is_sparing)

    monkeypatch.setattr(files, "_write", counted)
    monkeypatch.setattr(files, "_memory_bytes", 80 * 2**20)
    with shelf.tables.use(version) as (connection, table):
        found = connection.execute(f"SELECT i, strlen(t) FROM {table.sql} ORDER BY rowid").fetchall()
    assert found == [(row, len(f"{row} ") + 10_000) for row in range(6000)]
    assert attempts == ([False] if is_told else [False, True])


def test_a_version_of_many_empty_columns_gets_into_the_cache_in_smaller_blocks(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    header = ",".join(f"c{place}" for place in range(300))
    version = put(shelf, content=f"{header}\n".encode() + (b"," * 299 + b"\n") * 700)
    monkeypatch.setattr(shelf.tables._files, "_memory_bytes", 75 * 2**20)  # as much as its blocks would take
    with shelf.tables.use(version) as (connection, table):
        assert connection.execute(f"SELECT count(*), count(c299) FROM {table.sql}").fetchall() == [(700, 0)]


def test_a_version_that_needs_too_much_memory_for_the_cache_is_refused_with_the_setting(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = b"t\n" + b"".join(b"%064x\n" % (number * 2**200 // 7919) for number in range(50_000))
    version = put(shelf, content=texts)
    monkeypatch.setattr(shelf.tables._files, "_memory_bytes", 2**20)
    with pytest.raises(QueryLimitError, match=r"1 MiB .*GRISTMILL_DATASET_QUERY_MEMORY_MB"):
        numbers(shelf, version)
    assert list(shelf.cache.folder.glob("*.making")) == []


def test_a_version_that_takes_too_long_to_get_into_the_cache_is_refused_with_the_setting(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    parquet = tmp_path / "equal.parquet"
    with duckdb.connect() as connection:
        connection.execute(f"COPY (SELECT repeat('a', 1000) AS n FROM range(8000000)) TO '{parquet}' (FORMAT parquet)")
    shelf.intake.put("equal", [parquet.read_bytes()], ReadingOptions("parquet"), owner="ann")
    version = shelf.store.version("equal")
    monkeypatch.setattr(shelf.tables._files, "_seconds", 0.2)
    started = time.monotonic()
    with pytest.raises(QueryLimitError, match=r"0\.2 s .*GRISTMILL_DATASET_READING_SECONDS"):
        numbers(shelf, version)
    assert time.monotonic() - started < 2
    assert list(shelf.cache.folder.glob("*.making")) == []
