"""How nested the types of a table's columns may be: as far as their values can be written as JSON in time.

DuckDB cannot be interrupted while it plans a statement. Planning what `mapping` writes takes twice as long for each
list or map around a value, and grows with the square of a struct's fields and levels; what DuckDB itself writes
(doubles, integers, texts, dates) takes none of that.
"""

from collections.abc import Iterable

from gristmill.datasets.mapping import entries_of, fields_of, item_of, may_be_inexact, within
from gristmill.datasets.texts import shown
from gristmill.errors import MalformedDataError

MOST_LEVELS = 16
# About the letters of SQL that are planned, those within a list twice as many: a column of so many takes a third of
# a second, a table two or three seconds.
_MOST_OF_COLUMN = 120_000
_MOST_OF_TABLE = 300_000
_OF_NUMBERS = 140  # as long as a letter takes: to look through a text for numbers that JSON does not hold
_LEAST = 36  # of any value in a struct
_TOO_MANY = (
    "more decimals, 32-bit numbers, times or binary values within lists, maps and structs than can be written "
    "as JSON in time; a struct may have some 1,000 of them, 400 times with a zone, or 120 intervals"
)
_ADVICE = "Make columns of the values within, or a text that holds them as JSON."


def too_nested(columns: Iterable[tuple[str, str]], advice: str = _ADVICE) -> str:
    """What is wrong with columns (names and DuckDB types) whose values cannot be written in time, and what to do.

    Empty where they can.
    """
    total = 0
    for name, type_text in columns:
        if not _is_nested(type_text):
            continue
        if _is_deep(type_text, MOST_LEVELS):
            return f"The column {shown(name)} has lists, maps and structs in more than {MOST_LEVELS} levels. {advice}"
        effort = _effort(type_text, 1)
        total += effort + _OF_NUMBERS * may_be_inexact(type_text)
        if effort > _MOST_OF_COLUMN:
            return f"The column {shown(name)} holds {_TOO_MANY}. {advice}"
        if total > _MOST_OF_TABLE:
            return f"The columns up to {shown(name)} together hold {_TOO_MANY}. {advice}"
    return ""


def check_nesting(columns: Iterable[tuple[str, str]]) -> None:
    """Raise MalformedDataError when ``too_nested`` has something to say."""
    if why := too_nested(columns):
        raise MalformedDataError(why)


def _is_nested(type_text: str) -> bool:
    return type_text.endswith("]") or type_text.startswith(("STRUCT(", "MAP("))


def _inner(type_text: str) -> list[str]:
    """The types within a type."""
    if type_text.endswith("]"):
        return [item_of(type_text)]
    if type_text.startswith("MAP("):
        return _inner(item_of(entries_of(type_text)))
    if type_text.startswith("STRUCT("):
        return [inner for _, inner in fields_of(type_text)]
    return []


def _is_deep(type_text: str, most: int) -> bool:
    inner = _inner(type_text)
    return bool(inner) and (most == 0 or any(_is_deep(one, most - 1) for one in inner))


def _effort(type_text: str, path: int) -> int:
    """About the letters of SQL that are planned for a type. path: how many structs a value is taken from, and one."""
    written = within("c", type_text)
    if written == "c":
        return path
    if type_text.endswith("]"):
        return 2 * _effort(item_of(type_text), 1)
    if type_text.startswith("MAP("):
        return _effort(entries_of(type_text), path)
    if type_text.startswith("STRUCT("):
        return sum(_effort(inner, path + 1) for _, inner in fields_of(type_text))
    return max(len(written), _LEAST) * path
