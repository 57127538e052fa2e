"""Exports as files of the cache, while somebody reads them."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import duckdb
import pytest

from gristmill.datasets.cache import Cache
from gristmill.datasets.exports import Export, ExportFile, open_export
from gristmill.datasets.statements import Statement
from gristmill.errors import CacheBusyError

VERSION = "1" * 64
ROWS = 10_000


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    """A cache with room for one export."""
    return Cache(tmp_path / "cache", 100_000)


@pytest.fixture
def connection() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect(config={"async_threads": 0}) as made:
        yield made


def opened(cache: Cache, connection: duckdb.DuckDBPyConnection, first: int) -> ExportFile:
    """The export of another statement for each ``first``."""
    statement = Statement(f"SELECT range AS n FROM range({first}, {first + ROWS})", (), ("n",), ("BIGINT",))
    return open_export(cache, Export(VERSION, statement, "csv", ""), connection, seconds=30)


def test_what_is_being_read_counts_in_the_cache_and_stays(
    cache: Cache, connection: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cache, "open", partial(cache.open, wait_seconds=0.3))
    slow = opened(cache, connection, 10_000)
    assert slow.read(8) == b"n\n10000\n"

    with pytest.raises(CacheBusyError, match="GRISTMILL_DATASET_CACHE_BYTES"):
        opened(cache, connection, 20_000)

    with opened(cache, connection, 10_000) as again:
        assert len(again.read()) == 2 + 6 * ROWS
    assert len(slow.read()) == 6 * ROWS - 6
    slow.close()
    with opened(cache, connection, 20_000) as other:
        assert other.read(8) == b"n\n20000\n"


def test_what_is_dropped_while_it_is_read_goes_when_it_has_been_read(
    cache: Cache, connection: duckdb.DuckDBPyConnection
) -> None:
    with opened(cache, connection, 10_000) as slow:
        cache.drop(VERSION)
        assert len(slow.read()) == 2 + 6 * ROWS
    assert not list(cache.folder.glob("*.data"))
