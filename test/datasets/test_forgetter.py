"""What no data set has any more leaves the cache of every machine."""

import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from support import wait_until

from gristmill.datasets import forgetter
from gristmill.datasets.forgetter import forget_deleted
from gristmill.datasets.options import ReadingOptions
from gristmill.datasets.shelf import Shelf
from gristmill.settings import Settings
from gristmill.store import connect


def test_a_worker_with_a_cache_of_its_own_forgets_what_is_deleted_elsewhere(
    redis_url: str, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    here, there = (
        make_settings(redis_url, data_folder=tmp_path / folder, dataset_free_bytes=0) for folder in ("api", "worker")
    )
    client = connect(here)
    shelves = [Shelf.of(client, one) for one in (here, there)]
    shelves[0].intake.put("numbers", iter([b"x\n1\n"]), ReadingOptions("csv"), owner="ann")
    with shelves[1].tables.use(shelves[0].store.version("numbers")):
        pass
    shelves[1].close()
    made = list((tmp_path / "worker" / "cache").glob("*.data"))
    assert len(made) == 1
    stop = threading.Event()
    thread = threading.Thread(target=forget_deleted, args=(there, stop))
    thread.start()
    try:
        shelves[0].store.delete("numbers")
        wait_until(lambda: not made[0].exists(), 10, "the file has left the worker's cache")
    finally:
        stop.set()
        thread.join()
        shelves[0].close()
        client.close()


def test_what_an_emptied_redis_no_longer_has_is_forgotten(
    redis_url: str,
    key_prefix: str,
    make_settings: Callable[..., Settings],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = make_settings(redis_url, data_folder=tmp_path / "data", dataset_free_bytes=0)
    with connect(settings) as client:
        shelf = Shelf.of(client, settings)
        shelf.intake.put("numbers", iter([b"x\n1\n"]), ReadingOptions("csv"), owner="ann")
        with shelf.tables.use(shelf.store.version("numbers")):
            pass
        shelf.tidy()
        client.delete(*client.keys(f"{key_prefix}:*"))
        monkeypatch.setattr(forgetter, "LOOK_SECONDS", 0.0)
        shelf.tidy()
        left = list(shelf.cache.folder.glob("*.data"))
        shelf.close()
    assert not left
