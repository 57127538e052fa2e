"""Reads a page: from the lines of a version where there are some, else from DuckDB; the bytes are the same."""

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import Any

import duckdb
import structlog

from gristmill.datasets import cursors, rows
from gristmill.datasets.cursors import Cursor
from gristmill.datasets.json_rows import AS_OBJECTS, Form, Rows, Writer
from gristmill.datasets.lines import DamagedLinesError, Lines
from gristmill.datasets.statements import Page
from gristmill.errors import BusyError, GristmillError, QueryLimitError

# Read at a time: as Python objects, values take many times their text.
_MOST_BYTES_AT_ONCE = 2**20
_FEWER = 8  # times the rows, where memory did not do

_log = structlog.get_logger(__name__)


def read_page(
    connection: duckdb.DuckDBPyConnection,
    page: Page,
    *,
    seconds: float,
    form: Form = AS_OBJECTS,
    lines: Lines | None = None,
) -> Rows:
    """The rows of a page; fewer where the form has room for no more. Raises QueryLimitError, QueryValueError."""
    if lines is not None and lines.is_good:
        try:
            writer = Writer([column.name for column in page.asked], form)
            return _by_lines(connection, page, lines, seconds, writer)
        except (DamagedLinesError, OSError) as error:
            lines.is_good = False
            _log.warning("lines of a data set are damaged, and are made anew", reason=str(error))
    try:
        return rows.read(connection, page.statement(), seconds=seconds, form=form)
    except (QueryLimitError, BusyError) as error:
        if not _may_be_parted(page, error):
            raise
    return _in_parts(connection, page, seconds, form)


def _may_be_parted(page: Page, error: GristmillError) -> bool:
    """Whether memory was missing for a page whose rows may be long, and which has several."""
    return page.has_nested and page.limit > 1 and isinstance(error.__cause__, duckdb.OutOfMemoryException)


def _in_parts(connection: duckdb.DuckDBPyConnection, page: Page, seconds: float, form: Form) -> Rows:
    """The same rows, some at a time, as many as there is memory for; the time is that of all together."""
    deadline, most = time.monotonic() + seconds, max(1, page.limit // _FEWER)
    parts: list[bytes] = []
    count, left, rest = 0, form.most_bytes, page
    while (time_left := deadline - time.monotonic()) > 0:
        part = replace(rest, limit=min(most, page.limit - count))
        try:
            found = rows.read(connection, part.statement(), seconds=time_left, form=replace(form, most_bytes=left))
        except (QueryLimitError, BusyError) as error:
            if isinstance(error.__cause__, duckdb.InterruptException):
                raise rows.too_slow(seconds) from error
            if not _may_be_parted(part, error):
                raise
            most = max(1, most // _FEWER)
            continue
        if found.count:
            parts.append(found.text if form.is_ndjson else found.text[1:-1])
            left -= len(parts[-1]) + (not form.is_ndjson)  # with the comma
        count += found.count
        if found.cursor is None or count == page.limit or found.count < part.limit or left <= 0:
            text = b"".join(parts) if form.is_ndjson else b"[" + b",".join(parts) + b"]"
            return Rows(text, count, found.more, found.cursor)
        rest = replace(page, after=cursors.decode(found.cursor, page.check, len(page.keys)))
    raise rows.too_slow(seconds)


def _by_lines(connection: duckdb.DuckDBPyConnection, page: Page, lines: Lines, seconds: float, writer: Writer) -> Rows:
    ends: Sequence[tuple[Any, ...]] = ()
    if page.span is None:
        ends = rows.fetched(connection, page.numbers(), seconds=seconds)
        numbers: Sequence[int] = [end[0] for end in ends]
    else:
        numbers = page.span[: max(0, lines.rows - page.span.start)]
    _write(page, lines, numbers[: page.limit], writer)
    kept = numbers[: writer.count]
    if len(kept) == len(numbers):
        return writer.rows()
    values = ends[len(kept) - 1][1:] if ends else ()
    return writer.rows(more=True, cursor=cursors.encode(Cursor(kept[-1], tuple(values)), page.check))


def _write(page: Page, lines: Lines, numbers: Sequence[int], writer: Writer) -> None:
    places = {column.name: place for place, column in enumerate(page.columns)}
    order = [places[column.name] for column in page.asked]
    pick = _picking(order, len(page.columns))
    place = 0
    while place < len(numbers) and not writer.is_full:
        found = lines.values(numbers[place:] if place else numbers, _MOST_BYTES_AT_ONCE)
        writer.values(map(pick, found) if pick else found)
        place += len(found)


def _picking(order: Sequence[int], count: int) -> Callable[[Sequence[Any]], Sequence[Any]] | None:
    """Puts the values of a row into the order that was asked for; None where they stand in it."""
    if order == list(range(count)):
        return None
    if len(order) == 1:
        (only,) = order
        return lambda row: (row[only],)
    return itemgetter(*order)
