"""CSV and TSV (RFC 4180): what DuckDB reads such a file with, which columns it has, and where an error in it stands."""

from dataclasses import dataclass
from pathlib import Path

import duckdb

from gristmill.datasets.first_lines import LINE_ENDS, NOTE, Start
from gristmill.datasets.inference import Texts, literal
from gristmill.datasets.options import ReadingLimits, ReadingOptions
from gristmill.datasets.texts import (
    behind_line_ends,
    check_records,
    check_width,
    find_record,
    first_line_of,
    line_at,
    record_at,
    shown,
    start_of_file,
    unique_names,
)
from gristmill.errors import MalformedDataError, TooLargeError

_VALUES_A_LINE = 4
_LEAST_LINE_BYTES = 2**21
# DuckDB's sixteen would take much memory, and leave nothing for a second thread in files of some megabytes.
_LINES_A_BUFFER = 2
_REJECTS = 1000


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A CSV or TSV file in UTF-8."""

    path: Path
    start: Start
    options: ReadingOptions
    names: list[str]
    line_bytes: int

    @classmethod
    def open(cls, path: Path, options: ReadingOptions, limits: ReadingLimits) -> "CsvFile":
        """Look at its first lines. Raises MalformedDataError, TooLargeError."""
        line_bytes = max(_VALUES_A_LINE * limits.cell_bytes, _LEAST_LINE_BYTES)
        start = start_of_file(path, options, line_bytes)
        first, delimiter = start.first, start.delimiter
        if delimiter == options.decimal and len(first) > 1:
            raise MalformedDataError(
                f"Line {1 + start.skipped} has commas between its values, but a comma is the decimal mark (decimal=,): "
                f"{shown(','.join(first))}. Give the delimiter, or leave the decimal mark out."
            )
        check_width(len(first), limits)
        check_records(path, delimiter, options.quote, line_bytes, width=len(first))
        names = unique_names(first if options.header else [""] * len(first), limits.column_name_bytes)
        return cls(path, start, options, names, line_bytes)

    def relation(self, **more: str) -> str:
        """What stands behind FROM: all values as texts, in columns c0, c1 and so on."""
        quote = literal(self.options.quote)
        nulls = ", ".join(map(literal, self.options.nulls)) or "chr(1)"
        told = {
            "auto_detect": "false",
            "header": str(self.options.header).lower(),
            "skip": str(self.start.skipped),
            "delim": literal(self.start.delimiter),
            "quote": quote,
            "escape": quote,
            "comment": "''",
            "nullstr": f"[{nulls}]",
            "allow_quoted_nulls": "false",
            "max_line_size": str(self.line_bytes),
            "buffer_size": str(_LINES_A_BUFFER * self.line_bytes),
            "compression": "'none'",
            "columns": "{" + ", ".join(f"'c{at}': 'VARCHAR'" for at in range(len(self.names))) + "}",
        } | more
        return f"read_csv({literal(str(self.path))}, {', '.join(f'{key} = {value}' for key, value in told.items())})"

    def columns(self) -> list[Texts]:
        """The texts of each column."""
        return [Texts(f"c{at}", self.options.decimal) for at in range(len(self.names))]

    def place(self, row: int) -> str:
        """Where a row stands, from 1."""
        at = row - 1 + self.options.header + self.start.skipped
        line, _ = find_record(self.path, self.start.delimiter, self.options.quote, number=at, width=len(self.names))
        return f"Line {line}"

    def explain(self, error: duckdb.Error, connection: duckdb.DuckDBPyConnection) -> Exception:
        """The first place that DuckDB could not read."""
        relation = self.relation(store_rejects="true", rejects_limit=str(_REJECTS))
        try:
            counts = ", ".join(f"count(c{at})" for at in range(len(self.names)))
            connection.execute(f"SELECT {counts} FROM {relation}").fetchall()
            found = connection.execute(
                "SELECT line_byte_position, column_idx, error_type::VARCHAR, csv_line, error_message "
                "FROM reject_errors ORDER BY line_byte_position, byte_position LIMIT 1"
            ).fetchone()
        except duckdb.Error:
            found = None
        if found is None:
            return self._explain_line_ends(error)
        position, column, kind, text, said = found
        return self._problem(max(0, (position or 1) - 1), column or 0, str(kind), text or "", str(said))

    def _problem(self, begin: int, column: int, kind: str, text: str, said: str) -> Exception:
        """What is wrong with the record that begins at an offset, or behind the empty lines there, as DuckDB has it."""
        width = len(self.names)
        text = text.lstrip("\r\n")
        offset = behind_line_ends(self.path, begin)
        line = line_at(self.path, offset)
        if kind == "LINE SIZE OVER MAXIMUM":
            return TooLargeError(
                f"Line {line} has more than {self.line_bytes:,} bytes; the setting "
                f"GRISTMILL_DATASET_CELL_BYTES limits each value. It begins with {shown(text)}. "
                "Perhaps a quote is not closed."
            )
        if kind in {"MISSING COLUMNS", "TOO MANY COLUMNS"}:
            # DuckDB's own text of a long one is cut.
            text, values = record_at(self.path, self.start.delimiter, self.options.quote, offset)
            if not values:
                return MalformedDataError(f"Line {line} and the lines before it are empty. Remove them.")
            if len(values) != width:
                is_below_empty_lines = line > line_at(self.path, begin)
                return self._wrong_width(line, text, values, is_below_empty_lines=is_below_empty_lines)
        where = f", column {shown(self.names[column - 1])}" if 0 < column <= width else ""
        if kind == "UNQUOTED VALUE":
            said = f"a quote ({self.options.quote}) is not closed, or something follows the closing one"
        return MalformedDataError(
            f"Line {line}{where}: {said.rstrip('.')}. The text is {shown(text)}. "
            "A quote within quotes is doubled (RFC 4180)."
        )

    def _wrong_width(self, line: int, text: str, values: list[str], *, is_below_empty_lines: bool) -> Exception:
        width = len(self.names)
        there = f"{len(values)} {'value' if len(values) == 1 else 'values'}"
        has_more = len(values) > width
        if has_more:
            more = f"value {width + 1}, behind the last column, is {shown(values[width])}"
            advice = f"The delimiter is {self.start.delimiter!r}; put values that contain it in quotes."
        else:
            more = f"column {shown(self.names[len(values)])} has none"
            advice = f"The delimiter is {self.start.delimiter!r}; it also stands where a value is missing."
        columns = f"{width} {'column' if width == 1 else 'columns'}"
        is_next = self.place(1) == f"Line {line}"
        of_start = self.start.advice(len(values), is_next=is_next) if self.options.header else ""
        if of_start:
            advice += f" {of_start}"
        elif not has_more or is_below_empty_lines:
            advice += f" {NOTE}"
        return MalformedDataError(
            f"Line {line} has {there}, but the table has {columns}; {more}: {shown(text)}. {advice}"
        )

    def _explain_line_ends(self, error: duckdb.Error) -> Exception:
        found = _second_line_end(self.path, self.options.quote)
        if found:
            return MalformedDataError(
                f"Line {found[0]} ends in {found[2]}, but the lines before it in {found[1]}. "
                "Give all lines the same end."
            )
        return MalformedDataError(f"The file cannot be read as CSV: {first_line_of(error, self.path)}.")


def _second_line_end(path: Path, quote: str) -> tuple[int, str, str] | None:
    """The first line that ends otherwise than the first one: its number, and both ends. Quoted ends do not count."""
    first, line, quoted = "", 1, False
    with path.open(encoding="utf-8", newline="") as file:
        for text in file:
            end = LINE_ENDS.get(text[len(text.rstrip("\r\n")) :], "")
            quoted ^= bool(quote) and text.count(quote) % 2 == 1
            if end and not quoted:
                first = first or end
                if end != first:
                    return line, first, end
            line += 1
    return None
