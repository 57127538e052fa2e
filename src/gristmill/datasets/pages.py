"""Reads a page: from the lines of a version where there are some, else from DuckDB; the bytes are the same."""

from collections.abc import Callable, Sequence
from operator import itemgetter
from typing import Any

import duckdb
import structlog

from gristmill.datasets import cursors, rows
from gristmill.datasets.cursors import Cursor
from gristmill.datasets.json_rows import AS_OBJECTS, Form, Rows, Writer
from gristmill.datasets.lines import DamagedLinesError, Lines
from gristmill.datasets.statements import Page

# Read at a time: as Python objects, values take many times their text.
_MOST_BYTES_AT_ONCE = 2**20

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
    return rows.read(connection, page.statement(), seconds=seconds, form=form)


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
