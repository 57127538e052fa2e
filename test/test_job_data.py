"""What a child opens for its runs."""

import contextlib
import threading
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from support import why_missing
from support.servers import RedisServer

from gristmill import job_data
from gristmill.datasets.cache import cache_of
from gristmill.datasets.options import ReadingOptions
from gristmill.datasets.shelf import Shelf
from gristmill.errors import DamagedDataError, NoSuchDataSetError
from gristmill.job_data import JobData
from gristmill.processes import Progress
from gristmill.processes.groupby import groupby
from gristmill.processes.references import Reference
from gristmill.processes.run_data import RunData
from gristmill.processes.selects import select
from gristmill.settings import Settings
from gristmill.store import Client, connect

SECONDS = 30.0


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisServer]:
    with RedisServer("valkey" if why_missing("redis") else "redis", tmp_path / "server") as running:
        yield running


@pytest.fixture
def settings(server: RedisServer, make_settings: Callable[..., Settings], tmp_path: Path) -> Settings:
    return make_settings(server.url, data_folder=tmp_path / "data", dataset_free_bytes=0, dataset_versions=1)


@pytest.fixture
def client(settings: Settings) -> Iterator[Client]:
    made = connect(settings)
    yield made
    made.close()


@pytest.fixture
def shelf(client: Client, settings: Settings) -> Iterator[Shelf]:
    made = Shelf.of(client, settings)
    yield made
    made.close()


def put(shelf: Shelf, *values: int) -> str:
    content = "x\n" + "".join(f"{value}\n" for value in values)
    shelf.intake.put("numbers", iter([content.encode()]), ReadingOptions("csv"), owner="ann")
    return shelf.store.get("numbers").newest.version


def total(data: JobData, version: str) -> int:
    with RunData(partial(data.open, "job", SECONDS)) as made:
        table = made.stored("table", Reference("numbers", version))
        ((found,),) = table.query(f"SELECT sum(x) FROM {table.sql}").fetchall()
    return int(found)


def test_a_version_stays_as_long_as_the_job_that_has_opened_it_may_live(
    shelf: Shelf, client: Client, settings: Settings
) -> None:
    first = put(shelf, 1, 2)

    assert total(JobData(client, settings, cache_of(settings), contextlib.nullcontext), first) == 3
    second = put(shelf, 3)

    assert [one.version for one in shelf.store.get("numbers").editions] == [second, first]


def test_while_redis_is_away_a_run_waits(
    shelf: Shelf, client: Client, settings: Settings, server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    version = put(shelf, 5)
    waits = threading.Event()
    monkeypatch.setattr(job_data.time, "sleep", lambda _: waits.set())
    found: list[int] = []
    run = threading.Thread(
        target=lambda: found.append(
            total(JobData(client, settings, cache_of(settings), contextlib.nullcontext), version)
        )
    )

    server.pause()
    try:
        run.start()
        assert waits.wait(30)
        assert not found
    finally:
        server.resume()
    run.join(30)

    assert found == [5]


def test_after_a_run_over_a_damaged_file_the_next_one_has_it_made_anew(
    shelf: Shelf, client: Client, settings: Settings
) -> None:
    version = put(shelf, *range(10_000))
    data = JobData(client, settings, cache_of(settings), contextlib.nullcontext)

    def run(query: str, *, damaged: bool = False) -> str:
        with RunData(partial(data.open, "job", SECONDS)) as made:
            table = made.stored("t", Reference("numbers", version))
            if damaged:
                (file,) = (settings.data_folder / "cache").glob("*.data")
                with file.open("r+b") as opened:
                    opened.seek(12_288)  # after DuckDB's headers
                    opened.write(b"x" * (file.stat().st_size - 12_288))
            return select({"t": table}, query, 10).csv()

    with pytest.raises(DamagedDataError, match="send the job again"):
        run("SELECT sum(x) AS s FROM t", damaged=True)

    assert run("SELECT sum(x) AS s FROM t") == "s\n49995000\n"


def test_files_are_made_without_the_limits_of_the_run(shelf: Shelf, client: Client, settings: Settings) -> None:
    made_within: list[bool] = []
    cache = settings.data_folder / "cache"

    @contextlib.contextmanager
    def unlimited() -> Iterator[None]:
        before = set(cache.glob("*.data"))
        yield
        made_within.append(bool(set(cache.glob("*.data")) - before))

    total(JobData(client, settings, cache_of(settings), unlimited), put(shelf, 5))

    assert made_within == [True]


def test_a_data_set_that_is_gone_is_named(shelf: Shelf, client: Client, settings: Settings) -> None:
    version = put(shelf, 1)
    shelf.store.delete("numbers")

    with pytest.raises(NoSuchDataSetError, match="numbers"):
        total(JobData(client, settings, cache_of(settings), contextlib.nullcontext), version)


def test_the_deviation_of_whole_numbers_that_no_double_holds_is_exact_in_a_job(
    shelf: Shelf, client: Client, settings: Settings
) -> None:
    lines = "".join(f"a,{1_700_000_000_000_000_000 + 100 * step}\n" for step in range(3))
    shelf.intake.put("numbers", iter([f"g,x\n{lines}".encode()]), ReadingOptions("csv"), owner="ann")
    version = shelf.store.get("numbers").newest.version
    data = JobData(client, settings, cache_of(settings), contextlib.nullcontext)

    with RunData(partial(data.open, "job", SECONDS)) as made:
        table = made.stored("table", Reference("numbers", version))
        found: Any = groupby(table, ["g"], "stddev(x)", progress=Progress())["table"].to_json()

    assert found["rows"] == [["a", 100.0]]
