"""Signs in and around numbers that no type reads (5 %, $1,200, 1'200): which there are, and SQL without them. Pure."""

import re
from collections.abc import Sequence

_UNITS = "%$€£"
SURE = f"{_UNITS}'\u2019\u00a0\u202f"
"""Signs that codes do not have."""
_BLANKS = " \u00a0\u202f"
_PARTS = f"{_BLANKS}'\u2019"  # between groups of three digits
_GROUPS = rf"[1-9][0-9]{{0,2}}([{_PARTS}])[0-9]{{3}}(?:\1[0-9]{{3}})*(?:[.,][0-9]+)?"
_BEFORE, _BEHIND = rf"(?:[+-]?[$€£][{_BLANKS}]?)?[+-]?", rf"(?:[{_BLANKS}]?[{_UNITS}])?"
_NUMBER = re.compile(f"{_BEFORE}(?:{_GROUPS}|[0-9]+(?:[.,][0-9]+)*){_BEHIND}")
_AS_SQL = {"'": "''''", "\u00a0": "chr(160)", "\u202f": "chr(8239)"}  # what ends a text, and what nobody sees


def is_number(text: str) -> bool:
    """Whether a text is digits, with points and commas between them and such signs."""
    return _NUMBER.fullmatch(text) is not None


def signs_of(texts: Sequence[str]) -> str:
    """Of those texts that are numbers, each sign once. Of units only the first: $5 and €5 are not the same."""
    numbers = "".join(filter(is_number, texts))
    unit = unit_of(numbers)
    return "".join(dict.fromkeys(sign for sign in numbers if sign in _PARTS or sign == unit))


def unit_of(signs: str) -> str:
    """The first sign that stands for a currency or for percent; empty where none does."""
    return next((sign for sign in signs if sign in _UNITS), "")


def without(text: str, signs: str) -> str:
    """A number without these signs; what is no number as it is."""
    return text.translate(dict.fromkeys(map(ord, signs))) if is_number(text) else text


def sql_without(sql: str, signs: str) -> str:
    """The SQL of texts without these signs."""
    for sign in signs:
        written = _AS_SQL.get(sign, f"'{sign}'")
        sql = f"replace({sql}, {written}, '')"
    return sql
