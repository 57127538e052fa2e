"""What other languages write in a filter, or leave out, and how it is written in CQL2 text."""

import re
from collections.abc import Iterable

# What is found where the parser stops, behind a `=` even with it; and what is said of it.
_SPELLINGS: tuple[tuple[re.Pattern[str], str], ...] = tuple(
    (re.compile(found, re.IGNORECASE), said)
    for found, said in (
        ("==", "equal is written ="),
        ("=>|≥", "at least is written >="),
        ("=<|≤", "at most is written <="),
        ("≠", "unequal is written <>"),
        ("&", "and is written AND"),
        (r"\|", "or is written OR"),
        ("!", "not is written NOT, unequal <>"),
        (";", "a filter is one condition, and ends without a semicolon"),
        (r"[`\[]", "a name with other signs than letters and digits stands in double quotes"),
        ("[\u2018\u2019\u201c\u201d\u00b4]", "texts stand in straight single quotes, '...', names in double ones"),
        (r"not\s*[=<>]", "unequal is written <>"),
        ("contains|~", "a text that holds another is found by LIKE '%...%'"),
        (r"(?<= and )\s*[<>=]|(?<= or )\s*[<>=]", "each side of AND and OR is a whole comparison"),
        (r"(?<= is )\s*\S|(?<= is not )\s*\S", "IS has NULL or NOT NULL behind it"),
        (r"(?<= in )\s*\S", "the values of IN stand in brackets: IN ('a', 'b')"),
        ("ilike", "to overlook case, write casei(column) LIKE casei('...')"),
        (r"(?<=date )\s*'|(?<=timestamp )\s*'", "dates and times are written DATE('2024-12-31')"),
        (r"(?<=\d )\s*-?\d", "between two values stands a comma or an operator; there are no geometries"),
        (r",\s*\d", "decimals have a point, and BETWEEN has AND"),
    )
)


def spelling(text: str, position: int, names: Iterable[str] = ()) -> str:
    """What to write in the place of what is found there, after a colon; empty where nobody can tell.

    names: of the columns, of which one may stand there without its quotes.
    """
    around = max((name for name in names if _stands_around(name, text, position)), key=len, default="")
    if around:
        name = around.replace('"', '""')
        return f': a name with blanks or other signs stands in double quotes: "{name}"'
    starts = (position - 1, position) if text[position - 1 : position] == "=" else (position,)
    found = (said for start in starts for pattern, said in _SPELLINGS if pattern.match(text, start))
    return next((f": {said}" for said in found), "")


def _stands_around(name: str, text: str, position: int) -> bool:
    """Whether a name begins before the position and goes on there, whatever the case."""
    first, end = max(0, position - len(name) + 1), position + len(name) - 1
    return name.lower() in text[first:end].lower()
