"""What other languages write in a filter, or leave out, and how it is written in CQL2 text."""

import re
from collections.abc import Iterable

# What stands before the place where the parser stops, without the blanks between; what is found there; what is said.
_SPELLINGS: tuple[tuple[re.Pattern[str], re.Pattern[str], str], ...] = tuple(
    (re.compile(f"(?:{before})$", re.IGNORECASE), re.compile(found, re.IGNORECASE), said)
    for before, found, said in (
        ("", "==", "equal is written ="),
        ("(?<![<>!=])=+", "=", "equal is written ="),
        ("(?<![<>!])=", ">", "at least is written >="),
        ("(?<![<>!])=", "<", "at most is written <="),
        ("", "≥", "at least is written >="),
        ("", "≤", "at most is written <="),
        ("", "≠", "unequal is written <>"),
        ("", "&(?:amp|gt|lt|quot);", "signs are written as they are, not as in HTML"),
        ("", "&", "and is written AND"),
        ("", r"\|", "or is written OR; texts are not joined here"),
        ("", "!", "not is written NOT, unequal <>"),
        ("", ";", "a filter is one condition, and ends without a semicolon"),
        (r"\bin", r"\S", "the values of IN stand in round brackets: IN ('a', 'b')"),
        (r"\bbetween", r"\[", "BETWEEN is written BETWEEN 1 AND 5"),
        ("", r"[`\[]", "a name with other signs than letters and digits stands in double quotes"),
        ("", "[\u2018\u2019\u201c\u201d\u00b4]", "texts stand in straight single quotes, '...', names in double ones"),
        ("", r"(?:not\s+)?ilike", "to overlook case, write casei(column) LIKE casei('...')"),
        ("", r"(?:is\s+)?not\s+null", "without a value is written IS NULL, with one IS NOT NULL"),
        ("", r"not\s*[=<>'\d]", "unequal is written <>"),
        ("", "contains|~", "a text that holds another is found by LIKE '%...%'"),
        (r"\b(?:and|or)", r"[<>=]|\w", "each side of AND and OR is a whole comparison"),
        (r"\bis(?:\s+not)?", r"\S", "IS has NULL or NOT NULL behind it"),
        (r"\b(?:date|timestamp)", "'", "dates and times are written DATE('2024-12-31')"),
        (r"\d", r"-?\d", "between two values stands a comma or an operator; there are no geometries"),
        ("", r",\s*\d", "decimals have a point, and BETWEEN has AND"),
    )
)
_PLAIN = re.compile(r"(?!\d)\w+")


def spelling(text: str, position: int, names: Iterable[str] = ()) -> str:
    """What to write in the place of what is found there, after a colon; empty where nobody can tell.

    names: of the columns, of which one may stand there without its quotes.
    """
    around = max((name for name in names if _stands_around(name, text, position)), key=len, default="")
    if around:
        name = around.replace('"', '""')
        return f': a name with blanks or other signs stands in double quotes: "{name}"'
    before = text[:position].rstrip()
    found = (said for left, right, said in _SPELLINGS if right.match(text, position) and left.search(before))
    return next((f": {said}" for said in found), "")


def _stands_around(name: str, text: str, position: int) -> bool:
    """Whether a name that needs quotes stands at the position without them, whatever the case."""
    if _PLAIN.fullmatch(name):
        return False
    return name.lower() in text[max(0, position - len(name) + 1) : position + len(name)].lower()
