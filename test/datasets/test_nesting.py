"""Types are held as long as their values can be written as JSON in time, and those that are not are told."""

import time

import duckdb
import pytest

from gristmill.datasets.mapping import json_text_of
from gristmill.datasets.nesting import too_nested


def struct(fields: int, type_text: str, levels: int = 1) -> str:
    inner = f"STRUCT({', '.join(f'a{number} {type_text}' for number in range(fields))})"
    return "STRUCT(a " * (levels - 1) + inner + ")" * (levels - 1)


ZONED = "TIMESTAMP WITH TIME ZONE"
HELD = {
    "lists": ["DOUBLE" + "[]" * 16],
    "lists of times": [ZONED + "[]" * 8],
    "maps": ["MAP(VARCHAR, " * 8 + "DOUBLE" + ")" * 8],
    "plain structs": [struct(1, "INTEGER", 16)],
    "doubles": [struct(5000, "DOUBLE")],
    "integers": [struct(5000, "BIGINT")],
    "dates": [struct(5000, "DATE")],
    "floats": [struct(1000, "FLOAT")],
    "decimals": [struct(1000, "DECIMAL(18,3)")],
    "times": [struct(300, ZONED)],
    "fields in levels": [struct(100, "DOUBLE", 15)],
    "fields in lists": [struct(500, "DOUBLE") + "[][]"],
    "intervals": ["INTERVAL" + "[]" * 6],
    "columns": ["DOUBLE[]"] * 2000,
    "wide columns": [struct(120, ZONED)] * 8,
}
REFUSED = {
    "lists": [ZONED + "[]" * 11],
    "maps": ["MAP(VARCHAR, " * 12 + "DECIMAL(18,3)" + ")" * 12],
    "plain lists": ["VARCHAR" + "[]" * 17],
    "plain structs": [struct(1, "INTEGER", 17)],
    "levels": [struct(1, "DOUBLE", 500)],
    "fields": [struct(450, ZONED)],
    "fields in levels": [struct(500, "DECIMAL(18,3)", 15)],
    "fields in lists": [struct(250, ZONED) + "[][]"],
    "intervals": ["INTERVAL" + "[]" * 8],
    "columns": [ZONED + "[]"] * 2000,
    "wide columns": [struct(120, ZONED)] * 12,
}


def named(types: list[str]) -> list[tuple[str, str]]:
    return [("plain", "BIGINT"), *((f"c{number}", type_text) for number, type_text in enumerate(types))]


@pytest.mark.parametrize("types", HELD.values(), ids=HELD)
def test_values_of_types_that_are_held_are_written_in_seconds_at_the_most(types: list[str]) -> None:
    assert too_nested(named(types)) == ""
    with duckdb.connect(config={"threads": 1, "memory_limit": "500MB"}) as connection:
        connection.execute(f"CREATE TABLE data ({', '.join(f'c{place} {one}' for place, one in enumerate(types))})")
        texts = ", ".join(json_text_of(f"c{place}", one) for place, one in enumerate(types))
        began = time.monotonic()
        connection.execute(f"SELECT {texts} FROM data")
    assert time.monotonic() - began < 10  # a second on a computer that does nothing else


@pytest.mark.parametrize("types", REFUSED.values(), ids=REFUSED)
def test_columns_that_would_take_too_long_are_named(types: list[str]) -> None:
    said = too_nested(named(types))
    assert "'c" in said
    assert "a text that holds them as JSON" in said
