"""The whole way of a version: from a Parquet file into the store, into the cache as a database, to an answer."""

from collections.abc import Callable
from pathlib import Path

import duckdb
import pytest

from gristmill.datasets.cache import Cache
from gristmill.datasets.dataset import NewVersion
from gristmill.datasets.forgetter import Forgetter
from gristmill.datasets.store import Store
from gristmill.errors import NoSuchDataSetError
from gristmill.settings import Settings
from gristmill.store import connect

ROWS = 200_000
VERSION = f"{7:064x}"


@pytest.fixture
def store(server: str, make_settings: Callable[..., Settings], tmp_path: Path) -> Store:
    """A store with one data set."""
    settings = make_settings(server)
    made = Store(connect(settings), settings)
    parquet = tmp_path / "flights.parquet"
    with duckdb.connect() as raw:
        raw.sql(f"SELECT range AS number, random() AS delay FROM range({ROWS})").write_parquet(str(parquet))
    with parquet.open("rb") as file:
        made.put("flights", NewVersion(VERSION, ROWS, 0, b""), file, parquet.stat().st_size, owner="ann")
    return made


def build(store: Store) -> Callable[[Path], None]:
    def make(path: Path) -> None:
        parquet = path.with_suffix(".parquet")
        with parquet.open("wb") as file:
            file.writelines(store.blobs.read(store.version("flights", VERSION).blob))
        with duckdb.connect(str(path)) as database:
            database.execute("CREATE TABLE data AS SELECT * FROM read_parquet(?)", [str(parquet)])

    return make


def total(path: Path) -> int:
    with duckdb.connect(str(path), read_only=True) as database:
        found = database.execute("SELECT sum(number) FROM data").fetchone()
    assert found is not None
    return int(found[0])


def test_what_was_stored_is_queried_and_gone_when_it_is_deleted(store: Store, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2**30)
    look = Forgetter(store, cache.versions, cache.drop)
    with cache.open(VERSION, build(store)) as path:
        assert total(path) == ROWS * (ROWS - 1) // 2
        store.delete("flights")
        look()
        assert total(path) == ROWS * (ROWS - 1) // 2
    assert cache.versions() == frozenset()
    with pytest.raises(NoSuchDataSetError), cache.open(VERSION, build(store)):
        pass


def test_a_file_that_cannot_be_opened_is_reported_and_made_anew(store: Store, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 2**30)
    with cache.open(VERSION, build(store)) as path:
        pass
    path.write_bytes(path.read_bytes()[:5000])
    with cache.open(VERSION, build(store)) as path:
        with pytest.raises(duckdb.Error):
            total(path)
        cache.damaged(VERSION)
    with cache.open(VERSION, build(store)) as path:
        assert total(path) == ROWS * (ROWS - 1) // 2
