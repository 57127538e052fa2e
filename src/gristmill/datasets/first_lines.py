"""What the first lines of a CSV text say: the mark between values, and the names of the columns. Pure."""

import csv
import io
import itertools
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from gristmill.errors import MalformedDataError

if TYPE_CHECKING:
    from _csv import Reader as csv_reader  # noqa: N813

_DELIMITERS = (",", ";", "\t", "|")
LINE_ENDS = {"\r\n": "CR LF", "\n": "LF", "\r": "CR"}
"""What they are called."""
_LOOKED_AT_RECORDS = 20  # behind the first
_LOOKED_AT_LETTERS = 2**18
ONE_LINE = "one line without a line end, so it has no rows"
"""What a text with a header is where something has taken its line ends away, or it is the name of the file."""
TITLE = "The first line must be the names of the columns: remove a title that stands above it."
# Which Excel writes and reads: the first line names the delimiter, and is no row.
_SEP = re.compile(r"(\"?)sep=([!-,/:-@\[-^`{-~\t])\1(\r\n|\n|\r|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Start:
    """How a CSV text begins.

    skipped: lines before the first record, at most one. is_one_line: whether none ends behind those.
    """

    delimiter: str
    first: list[str]
    skipped: int
    is_one_line: bool


def start_of(text: str, delimiter: str, quote: str, decimal: str = ".") -> Start:
    """Where its values begin. delimiter: the one given; else ``sep=`` says it, else it is the likely one.

    text: without byte order mark; as much of it as is to be looked at. Raises MalformedDataError where nothing is.
    """
    sep = _SEP.match(text)
    if sep and sep[2] == quote:
        sep = None
    rest = text[sep.end() :] if sep else text
    if not rest.strip():
        raise MalformedDataError("The file is empty: there is no line that names columns or holds values.")
    delimiter = delimiter or (sep[2] if sep else likely_delimiter(rest, quote, decimal))
    first = values_of(rest, delimiter, quote)
    skipped = 1 if sep else 0
    if not first:
        raise MalformedDataError(f"Line {1 + skipped} is empty; it must name the columns, or hold values.")
    if sep:
        _check_end(rest, sep[3], quote)
    return Start(delimiter, first, skipped, "\n" not in rest and "\r" not in rest)


def _check_end(rest: str, end: str, quote: str) -> None:
    """DuckDB would leave out all rows, and say nothing, where the line that it skips ends otherwise than the others."""
    quoted = re.escape(quote) + f"[^{re.escape(quote)}]*" + re.escape(quote) if quote else r"(?!)"
    found = re.match(rf"(?:{quoted}|[^\r\n])*+(\r\n|\n|\r)", rest)
    if found and found[1] != end:
        raise MalformedDataError(
            f"Line 1 ends in {LINE_ENDS[end]}, but the next one in {LINE_ENDS[found[1]]}. Give all lines the same end."
        )


def likely_delimiter(text: str, quote: str, decimal: str = ".") -> str:
    """The one in the first line that parts the next lines into as many values; of several, the most frequent there.

    Of as frequent ones, the first of a fixed order, where a comma before a blank comes late and the decimal mark last.
    """
    beginning = text[:_LOOKED_AT_LETTERS]
    is_cut = len(text) > len(beginning)
    commas_are_of_texts = any(value.startswith(" ") for value in values_of(beginning, ",", quote)[1:])

    def rank(delimiter: str) -> tuple[bool, int, bool, bool]:
        reader = records(io.StringIO(beginning, newline=""), delimiter, quote, skipinitialspace=True)
        first, *others = list(itertools.islice(reader, 1 + _LOOKED_AT_RECORDS)) or [[]]
        if is_cut and len(others) < _LOOKED_AT_RECORDS:
            others = others[:-1]
        width = len(first)
        is_even = all(len(one) >= width and not any(one[width:]) for one in others if one)
        is_late = delimiter == "," and commas_are_of_texts
        return width > 1 and is_even, width, delimiter != decimal, not is_late

    return max((one for one in _DELIMITERS if one != quote), key=rank)


def records(lines: Iterable[str], delimiter: str, quote: str, *, skipinitialspace: bool = False) -> "csv_reader":
    """The records of CSV lines, without a check. quote: empty where there is none."""
    csv.field_size_limit(2**31 - 1)
    if quote:
        return csv.reader(lines, delimiter=delimiter, quotechar=quote, skipinitialspace=skipinitialspace)
    return csv.reader(lines, delimiter=delimiter, quoting=csv.QUOTE_NONE)


def values_of(text: str, delimiter: str, quote: str) -> list[str]:
    """The values of one CSV record."""
    return next(iter(records(io.StringIO(text, newline=""), delimiter, quote)), [])
