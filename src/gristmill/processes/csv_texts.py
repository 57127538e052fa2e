"""CSV (RFC 4180) in memory, as names and texts: in Python what the reader of uploads finds with DuckDB.

The API checks tables that come with requests, and what users have written must not reach DuckDB's parsers there.
"""

import re
from collections.abc import Sequence

from gristmill.datasets.first_lines import LINE_ENDS, ONE_LINE, Start, start_of
from gristmill.datasets.texts import unique_names
from gristmill.errors import MalformedDataError
from gristmill.processes.column import TableError

# Of which an upload is told by `null=NA`, where a request has no place to say it.
NULLS = frozenset(["", "NA", "N/A", "null", "NULL", "None"])
_LINE_END = re.compile(r"\r\n|\n|\r")
_NO_LIMIT = 2**63  # of a name: a request has its own

Cells = Sequence[str | None]


def read_csv(text: str, delimiter: str = "") -> tuple[list[str], list[Cells]]:
    """The names of the columns, and the texts of each; None where missing, which a quoted text never is.

    delimiter: found in the first lines, where none is given. Raises TableError.
    """
    text = text.removeprefix("\ufeff")
    if not text.strip():
        raise TableError("is empty; the first line must name the columns")
    if "\0" in text:
        raise TableError("is not CSV: it has a zero byte")
    try:
        start = start_of(text, delimiter, '"')
        names = unique_names(start.first, _NO_LIMIT)
    except MalformedDataError as error:
        raise TableError(f"is not usable: {error.detail}") from error
    if start.is_one_line:
        raise TableError(f"is {ONE_LINE}: {text[:60]!r}")
    if text[-1] not in "\r\n":
        found = _LINE_END.search(text)
        text += found[0] if found else "\n"
    read = _quoted_records if '"' in text else _plain_records
    head = 1 + start.skipped
    records = read(text, start.delimiter)[head:]
    width = len(names)
    rows = [_row(record, start, number) for number, record in enumerate(records, head + 1) if record or width == 1]
    return names, list(zip(*rows, strict=True)) if rows else [()] * width


def _plain_records(text: str, delimiter: str) -> list[list[str | None]]:
    """The records of a text without quotes; an empty line is one without values."""
    ends = dict.fromkeys(_LINE_END.findall(text))
    _check_ends(list(ends))
    (end,) = ends
    lines = text.removesuffix(end).split(end)
    return [[None if one in NULLS else one for one in line.split(delimiter)] if line else [] for line in lines]


def _quoted_records(text: str, delimiter: str) -> list[list[str | None]]:
    mark = re.escape(delimiter)
    field = re.compile(
        rf'(?:( ?")((?:[^"]|"")*+)" *|(?! ?")([^{mark}\r\n]*+))({mark}|\r\n|\n|\r)|([\s\S]+)'  # the last: what is wrong
    )
    records: list[list[str | None]] = []
    record: list[str | None] = []
    ends: dict[str, None] = {}
    for quote, quoted, plain, end, wrong in field.findall(text):
        if wrong:
            line = len(_LINE_END.findall(text[: len(text) - len(wrong)])) + 1
            raise TableError(
                f"is not CSV: in line {line}, a quote is not closed, or something follows the closing one; a quote "
                "within quotes is doubled"
            )
        if end == delimiter:
            record.append(quoted.replace('""', '"') if quote else None if plain in NULLS else plain)
            continue
        if quote or plain or record:
            record.append(quoted.replace('""', '"') if quote else None if plain in NULLS else plain)
        records.append(record)
        record = []
        ends[end] = None
    _check_ends(list(ends))
    return records


def _check_ends(ends: list[str]) -> None:
    if len(ends) > 1:
        first, second, *_ = (LINE_ENDS[end] for end in ends)
        raise TableError(f"has lines that end in {first}, and others in {second}; give all lines the same end")


def _row(record: list[str | None], start: Start, number: int) -> Cells:
    """The values of a record; what is missing behind the last column is left out."""
    width = len(start.first)
    if len(record) == width:
        return record
    if not record:
        return [None]
    if len(record) < width or any(one is not None for one in record[width:]):
        there = "there is 1 column" if width == 1 else f"there are {width} columns"
        advice = start.advice(len(record), is_next=number == start.skipped + 2)
        told = f". {advice.removesuffix('.')}" if advice else ""
        raise TableError(f"row {number} has {len(record)} values, where {there}{told}")
    return record[:width]
