"""How nested the types of a table's columns may be: as far as their values can be written as JSON in time.

DuckDB cannot be interrupted while it plans a statement. Planning what `mapping` writes takes twice as long for each
list or map around a value, and grows with the square of a struct's fields and levels; what DuckDB itself writes as the
mapping says takes none of that.
"""

from collections.abc import Iterable

from gristmill.datasets.mapping import entries_of, fields_of, item_of, json_of
from gristmill.datasets.texts import shown
from gristmill.errors import MalformedDataError

MOST_LEVELS = 16
# About the letters of SQL that are planned, those within a list twice as many: a column of so many takes a quarter of
# a second at the worst, a table a few seconds.
_MOST_OF_COLUMN = 40_000
_MOST_OF_TABLE = 200_000
_ADVICE = "Make columns of the values within, or a text that holds them as JSON."


def too_nested(columns: Iterable[tuple[str, str]]) -> str:
    """What is wrong with columns (names and DuckDB types) whose values cannot be written in time, and what to do.

    Empty where they can.
    """
    total = 0
    for name, type_text in columns:
        if _is_deep(type_text, MOST_LEVELS):
            return f"The column {shown(name)} has lists, maps and structs in more than {MOST_LEVELS} levels. {_ADVICE}"
        effort = _effort(type_text, 1) if _is_nested(type_text) else 0
        total += effort
        if effort > _MOST_OF_COLUMN:
            return (
                f"The column {shown(name)} holds more numbers, dates or times within its lists, maps and structs than "
                f"can be written as JSON in time. {_ADVICE}"
            )
        if total > _MOST_OF_TABLE:
            return (
                f"The columns up to {shown(name)} together hold more numbers, dates or times within lists, maps and "
                f"structs than can be written as JSON in time. {_ADVICE}"
            )
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
    written = json_of("c", type_text)
    if written == "c":
        return path
    if type_text.endswith("]"):
        return 2 * _effort(item_of(type_text), 1)
    if type_text.startswith("MAP("):
        return _effort(entries_of(type_text), path)
    if type_text.startswith("STRUCT("):
        return sum(_effort(inner, path + 1) for _, inner in fields_of(type_text))
    return len(written) * path
