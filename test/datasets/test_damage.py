"""Damage is told by what DuckDB says of a file, never by a text that a user has written."""

import os
from pathlib import Path

import duckdb
import pytest

from gristmill.datasets.damage import is_damage


def error_of(sql: str, attached: Path | None = None) -> duckdb.Error:
    attach = f"ATTACH '{attached}' AS stored (READ_ONLY); " if attached else ""
    with duckdb.connect() as connection, pytest.raises(duckdb.Error) as caught:
        connection.execute(attach + sql).fetchall()
    return caught.value


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "stored.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("CREATE TABLE data AS SELECT hash(range) AS h FROM range(300000)")
    return path


def test_a_block_that_was_changed_is_damage(file: Path) -> None:
    content = bytearray(file.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300_000] = bytes(300_000)
    file.write_bytes(content)

    assert is_damage(error_of("SELECT sum(h) FROM stored.data", file))


def test_a_file_that_was_cut_off_is_damage(file: Path) -> None:
    os.truncate(file, file.stat().st_size // 2)

    assert is_damage(error_of("SELECT sum(h) FROM stored.data", file))


@pytest.mark.parametrize("text", ["Corrupt database file", "Could not read", "IO Error: Could not read"])
def test_the_same_words_from_a_user_are_none(text: str) -> None:
    assert not is_damage(error_of(f"SELECT error('{text}')"))
    assert not is_damage(error_of(f"SELECT CAST('{text}' AS INTEGER)"))
    assert not is_damage(error_of(f'SELECT "{text}"'))
