"""JSON in memory in which no object names a key twice: two readers would understand it differently. Pure."""

import json
from typing import Any

from gristmill.datasets.texts import shown
from gristmill.errors import MalformedDataError


class KeyTwiceError(ValueError):
    """An object names one key twice."""


def no_key_twice(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of its pairs. Raises KeyTwiceError."""
    found = dict(pairs)
    if len(found) < len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise KeyTwiceError(f"the key {shown(twice)} stands twice in one object")
    return found


def read_json(text: str, place: str = "") -> Any:
    """The value of a JSON text. Raises MalformedDataError, which begins with ``place``."""
    try:
        return _DECODER.decode(text)
    except (ValueError, RecursionError) as error:
        raise MalformedDataError(f"{place}{error}") from error


def read_json_lines(text: str) -> list[Any]:
    """The value of each line of NDJSON that is not empty. Raises MalformedDataError, which says the line."""
    lines = enumerate(text.split("\n"), 1)  # a JSON string may have what else ends a line
    return [read_json(line, f"line {number}: ") for number, line in lines if line.strip()]


_DECODER = json.JSONDecoder(object_pairs_hook=no_key_twice)
