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
NOTE = "Remove what is no row of the table, such as a note below it."
_ONE_NAME_LESS = (
    f"{TITLE.removesuffix('.')}; or, if each line begins with the name of its row, as in files of R's write.table, "
    "name that column too (in R, write.csv does, and so does col.names=NA)."
)
_MISSING = re.compile(r"(?:n/?a|nan|null|none|-+|\?)?", re.IGNORECASE)
# What is no name of a column: what begins like a number or date, or says that a value is missing.
_NO_NAME = re.compile(rf"[+-]?[.,]?[0-9]|{_MISSING.pattern}\Z", re.IGNORECASE)
_FIGURE = re.compile("[-+€$£]?[.,]?[0-9][-+0-9.,:/TZeE '\u00a0\u202f]*[%€$£]?")
_YEAR = re.compile("(?:19|20)[0-9]{2}")
# Which Excel writes and reads: the first line names the delimiter, and is no row.
_SEP = re.compile(r"(\"?)sep=([!-,/:-@\[-^`{-~\t])\1(\r\n|\n|\r|\Z)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Start:
    """How a CSV text begins.

    skipped: lines before the first record, at most one. is_one_line: whether none ends behind those.
    lacks_a_name: whether the lines below have one value more than the first, which may as well be a title.
    """

    delimiter: str
    first: list[str]
    skipped: int
    is_one_line: bool
    lacks_a_name: bool

    def advice(self, values: int, *, is_next: bool) -> str:
        """What to do where a line has too few or too many values. is_next: whether it is the one below the names."""
        width = len(self.first)
        if values == width + 1 and (self.lacks_a_name or (is_next and width == 1)):
            return _ONE_NAME_LESS
        return TITLE if width == 1 or (is_next and values > width) else ""


def start_of(text: str, delimiter: str, quote: str, decimal: str = ".", *, header: bool = True) -> Start:
    """Where its values begin. delimiter: the one given; else ``sep=`` says it, else it is the likely one.

    text: without byte order mark; as much of it as is to be looked at. Raises MalformedDataError where nothing is, and
    where a title stands in the place of the header.
    """
    sep = _SEP.match(text)
    if sep and sep[2] == quote:
        sep = None
    rest = text[sep.end() :] if sep else text
    if not rest.strip():
        raise MalformedDataError("The file is empty: there is no line that names columns or holds values.")
    told = delimiter or (sep[2] if sep else "")
    delimiter = told or likely_delimiter(rest, quote, decimal)
    first = values_of(rest, delimiter, quote)
    skipped = 1 if sep else 0
    if not first:
        raise MalformedDataError(f"Line {1 + skipped} is empty; it must name the columns, or hold values.")
    if sep:
        _check_end(rest, sep[3], quote)
    if header and len(first) == 1 and not told:
        _refuse_title_of_one_value(rest, quote)
    if header and len(first) > 1 and sum(map(bool, first)) == 1 and _is_title(rest, delimiter, quote):
        raise MalformedDataError(
            f"Line {1 + skipped} has one value, where lines below have {len(first)}. {TITLE} If it is no title, "
            "name the other columns too."
        )
    is_one_line = "\n" not in rest and "\r" not in rest
    return Start(delimiter, first, skipped, is_one_line, header and _lacks_a_name(rest, delimiter, quote))


def _check_end(rest: str, end: str, quote: str) -> None:
    """DuckDB would leave out all rows, and say nothing, where the line that it skips ends otherwise than the others."""
    quoted = re.escape(quote) + f"[^{re.escape(quote)}]*" + re.escape(quote) if quote else r"(?!)"
    found = re.match(rf"(?:{quoted}|[^\r\n])*+(\r\n|\n|\r)", rest)
    if found and found[1] != end:
        raise MalformedDataError(
            f"Line 1 ends in {LINE_ENDS[end]}, but the next one in {LINE_ENDS[found[1]]}. Give all lines the same end."
        )


def _refuse_title_of_one_value(text: str, quote: str) -> None:
    for delimiter in _DELIMITERS[1:]:
        if delimiter != quote and len(values_of(text, delimiter, quote)) == 1 and _is_title(text, delimiter, quote):
            raise MalformedDataError(
                f"Line 1 has one value, where lines below have several, with {delimiter!r} between them. {TITLE} If "
                "they are texts of one column, put them in quotes, or write sep=, in a line above all others."
            )


def _lacks_a_name(text: str, delimiter: str, quote: str) -> bool:
    """Whether all lines have one value more than the first, which has two or more."""
    first, *others = _first_records(text, delimiter, quote)
    rows = [record for record in others if record]
    are_longer = len(first) > 1 and all(len(record) == len(first) + 1 for record in rows)
    return are_longer and any(record[-1] for record in rows)  # else these are delimiters at the ends of the lines


def _is_title(text: str, delimiter: str, quote: str) -> bool:
    """Whether names of columns follow the first line, which has one value, and rows of as many values as these.

    Texts of one column may hold the delimiter, and only the first of several columns may be named. So figures must
    stand below what is none, or below its unit; where all are texts, the delimiter is a tab, or the first line looks
    like no name. The first column may lack its name, and notes of one value may stand below the rows.
    """
    first, *others = _first_records(text, delimiter, quote)
    lines_of_title = list(itertools.takewhile(lambda record: sum(map(bool, record)) < 2, others))
    names, *rows = [record for record in others[len(lines_of_title) :] if any(record)] or [[]]
    while names and not names[-1]:
        names.pop()
    width = len(names)
    has_corner = width > 2 and not names[0]  # that no name stands in, above the names of rows
    named = names[has_corner:]
    is_name = not _NO_NAME.match("".join(named[:1])) or (has_corner and _are_years(named))
    are_names = is_name and all(named) and len(set(named)) == len(named)
    rows = _without_notes(rows, width, " ".join(first))
    is_table = all(len(row) >= width and not any(row[width:]) for row in rows)
    is_prose = any(value.startswith(" ") for row in [names, *rows] for value in row)
    if not are_names or not is_table or is_prose or len(rows) < (2 if width == 2 or has_corner else 1):
        return False
    if _stand_above_figures(names, rows) or (_are_units(rows, width) and _stand_above_figures(names, rows[1:])):
        return True
    is_no_name = " " in "".join(first) or not all(map(any, lines_of_title))
    is_sure = delimiter == "\t" if len(first) == 1 else is_no_name
    return is_sure and width > 2 and not any(map(_NO_NAME.match, names))


def _without_notes(rows: list[list[str]], width: int, title: str) -> list[list[str]]:
    """The rows but for lines of one value at the end that are sentences, such as `Source: BFS`."""
    end = len(rows)
    while end and len(rows[end - 1]) < width and sum(map(bool, rows[end - 1])) == 1:
        end -= 1
    notes = [" ".join(row).strip() for row in rows[end:]]
    are_notes = all(":" in note or (" " in note and " " in title) for note in notes)
    return rows[:end] if are_notes else rows


def _are_units(rows: list[list[str]], width: int) -> bool:
    """Whether the first of the rows has units of the columns: texts, and two rows or more with figures below them."""
    units, *others = rows
    if len(others) < 2 or any(map(_FIGURE.fullmatch, units)):
        return False
    columns = list(zip(*others, strict=False))[1:width]
    return not units[0] or (
        width > 2 and all(_FIGURE.fullmatch(value) or _MISSING.fullmatch(value) for one in columns for value in one)
    )


def _stand_above_figures(names: list[str], rows: list[list[str]]) -> bool:
    """Whether one of the names has figures alone below it, and is none itself."""
    are_years = _are_years(names)
    for name, *values in zip(names, *rows, strict=False):  # without what is empty behind the names
        figures = [value for value in values if not _MISSING.fullmatch(value)]
        if figures and all(map(_FIGURE.fullmatch, figures)) and (are_years or not _NO_NAME.match(name)):
            return True
    return False


def _are_years(names: list[str]) -> bool:
    """Whether the figures among the names are years in a row."""
    years = [int(name) if _YEAR.fullmatch(name) else 0 for name in names if name and _NO_NAME.match(name)]
    return len(years) > 1 and years == list(range(years[0], years[0] + len(years)))


def _first_records(text: str, delimiter: str, quote: str, *, skipinitialspace: bool = False) -> list[list[str]]:
    """The first records, without one that is not there as a whole."""
    beginning = text[:_LOOKED_AT_LETTERS]
    reader = records(io.StringIO(beginning, newline=""), delimiter, quote, skipinitialspace=skipinitialspace)
    found = list(itertools.islice(reader, 1 + _LOOKED_AT_RECORDS)) or [[]]
    if len(text) > len(beginning) and 1 < len(found) <= _LOOKED_AT_RECORDS:
        found.pop()
    return found


def likely_delimiter(text: str, quote: str, decimal: str = ".") -> str:
    """The one in the first line that parts the next lines into as many values; of several, the most frequent there.

    Of as frequent ones, the first of a fixed order, where a comma before a blank comes late and the decimal mark last.
    """
    commas_are_of_texts = any(value.startswith(" ") for value in values_of(text[:_LOOKED_AT_LETTERS], ",", quote)[1:])

    def rank(delimiter: str) -> tuple[bool, int, bool, bool]:
        first, *others = _first_records(text, delimiter, quote, skipinitialspace=True)
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
