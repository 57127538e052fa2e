"""Files that the tests of data sets read, and what came of them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gristmill.datasets import stored_parquet
from gristmill.datasets.facts import Facts
from gristmill.datasets.inference import name
from gristmill.datasets.options import ReadingLimits
from gristmill.errors import GristmillError

Read = Callable[..., Facts]
"""Reads bytes as a file of a form (CSV), with limits and reading options, into the Parquet ``table``."""

LIMITS = ReadingLimits(
    rows=100_000,
    columns=50,
    cell_bytes=100_000,
    column_name_bytes=40,
    stored_bytes=2**24,
    memory_bytes=2**29,
    threads=2,
    seconds=30,
)


def rows_of(path: Path) -> list[tuple[Any, ...]]:
    """What stands in a Parquet file; times with zones as texts."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        relation = f"read_parquet('{path}')"
        described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        columns = [name(called) + "::VARCHAR" * ("ZONE" in kind) for called, kind, *_ in described]
        return connection.execute(f"SELECT {', '.join(columns)} FROM {relation}").fetchall()


def types_of(facts: Facts) -> Mapping[str, str]:
    """The types of the columns by name."""
    return {column.name: column.type for column in facts.columns}


def long_texts(rows: int, letters: int) -> bytes:
    """CSV with a number and a text of so many letters in each row, all of them different."""
    words = " ".join(f"{number * 2_654_435_761 % 2**40:x}" for number in range(letters))
    return b"i,t\n" + b"".join(f"{row},{row} {words[row % 9973 :][:letters]}\n".encode() for row in range(rows))


def refused(tmp_path: Path, read: Read, error: type[GristmillError], data: bytes, *form: Any, **options: Any) -> str:
    """What the error says. Nothing of the upload remains, and no path is told."""
    with pytest.raises(error) as caught:
        read(data, *form, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert str(tmp_path) not in caught.value.detail
    return caught.value.detail


def settings_at_writing(monkeypatch: pytest.MonkeyPatch, *settings: str) -> list[tuple[Any, ...]]:
    """DuckDB's settings while each table is written from here on; a test's own list, which fills up."""
    found: list[tuple[Any, ...]] = []
    write = stored_parquet.write
    asked = ", ".join(f"current_setting('{one}')" for one in settings)

    def looked_at(select: str, target: Path, connection: duckdb.DuckDBPyConnection, **more: int) -> int:
        found.extend(connection.execute(f"SELECT {asked}").fetchall())
        return write(select, target, connection, **more)

    monkeypatch.setattr(stored_parquet, "write", looked_at)
    return found
