"""Which type the texts of a CSV column have, by the rules of ``datasets/inference.py``, in Python.

Times of day, and whole numbers beyond 64 bits, are what no column of a table says: they stay text.
"""

import math
import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from gristmill.processes.column import PAST_INTEGERS, Array, Column, Kind

_INTEGER = re.compile(r"0|-?[1-9][0-9]{0,37}")
_NUMBER = re.compile(
    r"[+-]?(?:(?:(?:0|[1-9][0-9]{0,37})(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|(?P<named>(?i:nan|inf|infinity)))"
)
_WHOLE = re.compile(r"[+-]?[0-9]+")
_DAY = r"[0-9]{4}-[0-9]{2}-[0-9]{2}"
_CLOCK = r"(?:(?:[01][0-9]|2[0-3]):[0-5][0-9](?::[0-5][0-9](?:\.[0-9]{1,6})?)?|24:00(?::00(?:\.0{1,6})?)?)"
_DATE = re.compile(rf"(?!0000){_DAY}")
_MOMENT = re.compile(rf"{_DAY}[T ]{_CLOCK}")
_ZONED = re.compile(rf"({_DAY}[T ]{_CLOCK})(?:Z|([+-])(0[0-9]|1[0-5])(?::?([0-5][0-9]))?)")


class _MisfitError(ValueError):
    """A text does not say a value of this type."""


def column_of_texts(name: str, texts: Sequence[str | None]) -> Column:
    """Make a column of what CSV held, of the first type that says all of it exactly; None is missing."""
    valid = np.fromiter((text is not None for text in texts), "?", len(texts))
    present = [text for text in texts if text is not None]
    if present:
        for kind, convert in _RULES:
            try:
                return Column.filled(name, kind, convert(present), valid)
            except ValueError:
                continue
    return Column.filled(name, "string", present, valid)


def _booleans(texts: list[str]) -> list[bool]:
    if not all(text.lower() in {"true", "false"} for text in texts):
        raise _MisfitError
    return [text.lower() == "true" for text in texts]


def _integers(texts: list[str]) -> list[int]:
    numbers = list(map(int, _wide_integers(texts)))
    if not -PAST_INTEGERS <= min(numbers) <= max(numbers) < PAST_INTEGERS:
        raise _MisfitError
    return numbers


def _wide_integers(texts: list[str]) -> list[str]:
    _check(texts, _INTEGER)
    return texts


def _numbers(texts: list[str]) -> list[float]:
    found = []
    for text in texts:
        match = _NUMBER.fullmatch(text)
        number = float(text) if match else math.nan
        if not match or not (match["named"] or math.isfinite(number)):
            raise _MisfitError
        if _WHOLE.fullmatch(text) and (text.startswith("+") or int(text) != number):
            raise _MisfitError  # a telephone number, and what a float would round
        found.append(number)
    return found


def _dates(texts: list[str]) -> Array:
    _check(texts, _DATE)
    return np.array(texts, "M8[us]")


def _moments(texts: list[str]) -> Array:
    _check(texts, _MOMENT)
    at_the_end = [text[11:13] == "24" for text in texts]
    if not any(at_the_end):
        return np.array(texts, "M8[us]")
    begun = [f"{text[:11]}00{text[13:]}" if is_end else text for text, is_end in zip(texts, at_the_end, strict=True)]
    moments: Array = np.array(begun, "M8[us]") + np.array(at_the_end, "m8[D]")
    return moments


def _zoned(texts: list[str]) -> Array:
    _check(texts, _ZONED)
    moments, minutes = [], []
    for moment, sign, hours, rest in (match.groups() for match in map(_ZONED.fullmatch, texts) if match):
        moments.append(moment)
        minutes.append(int(f"{sign or ''}{60 * int(hours or 0) + int(rest or 0)}"))
    found: Array = _moments(moments) - np.array(minutes, "m8[m]")
    return found


def _check(texts: list[str], pattern: re.Pattern[str]) -> None:
    if not all(map(pattern.fullmatch, texts)):
        raise _MisfitError


_RULES: list[tuple[Kind, Callable[[list[str]], Sequence[Any] | Array]]] = [
    ("boolean", _booleans),
    ("integer", _integers),
    ("string", _wide_integers),
    ("number", _numbers),
    ("datetime", _dates),
    ("datetime", _moments),
    ("datetime", _zoned),
]
