"""Parquet as it is uploaded: what it says of itself, and what of its types becomes another one."""

import re
from dataclasses import dataclass
from pathlib import Path

import duckdb

from gristmill.datasets.columns import kind_of
from gristmill.datasets.inference import literal, name
from gristmill.datasets.nesting import check_nesting
from gristmill.datasets.options import ReadingLimits
from gristmill.datasets.texts import check_width, shown, unique_names
from gristmill.errors import MalformedDataError

_NOT_STORED = re.compile(r"\b(VARIANT|GEOMETRY|GEOGRAPHY|HUGEINT|UHUGEINT|BIT|ANY)\b")
_FIELD = r'(?! )|"(?:[^"]|"")*+"'  # or a field's name, which a blank and its type follow
_NULL_TYPE = re.compile(rf'("NULL"){_FIELD}')
_NANOSECONDS = re.compile(rf"\b(TIMESTAMPTZ_NS)\b{_FIELD}")


@dataclass(frozen=True, slots=True)
class ParquetFile:
    """A Parquet file.

    columns: of each its name there, its name in the data set, and DuckDB's type. rows, row_bytes, group_bytes: how many
    rows it has, what a row has on average and the largest row group, all as the file says, which need not be true.
    """

    relation: str
    columns: tuple[tuple[str, str, str], ...]
    rows: int
    row_bytes: int
    group_bytes: int

    @classmethod
    def open(cls, path: Path, limits: ReadingLimits, connection: duckdb.DuckDBPyConnection) -> "ParquetFile":
        """Look at its end. Raises TooLargeError for too many columns, MalformedDataError, duckdb.Error."""
        file = literal(str(path))
        relation = f"read_parquet({file}, hive_partitioning = false)"
        found = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
        check_width(len(found), limits)
        counted = connection.execute(
            f"SELECT (SELECT sum(num_rows) FROM parquet_file_metadata({file})), sum(size), max(size) FROM "
            f"(SELECT sum(total_uncompressed_size) AS size FROM parquet_metadata({file}) GROUP BY row_group_id)"
        ).fetchone()
        rows, size, group_bytes = (int(number or 0) for number in counted or (0, 0, 0))
        raw, types = [str(column[0]) for column in found], [str(column[1]) for column in found]
        names = unique_names(raw, limits.column_name_bytes)
        return cls(relation, tuple(zip(raw, names, types, strict=True)), rows, size // max(1, rows), group_bytes)

    def select(self, connection: duckdb.DuckDBPyConnection) -> str:
        """All of it, with the names and types of a data set. Raises MalformedDataError for a type that none has."""
        check_nesting((called, type_text) for _, called, type_text in self.columns)
        parts = [f"{self._value(*column, connection)} AS {name(column[1])}" for column in self.columns]
        return f"SELECT {', '.join(parts)} FROM {self.relation}"

    def _value(self, given: str, called: str, type_text: str, connection: duckdb.DuckDBPyConnection) -> str:
        value = name(given)
        if (held := _without_null_types(type_text)) != type_text:
            value, type_text = f"CAST({value} AS {held})", held
        held = _in_microseconds(type_text)
        if held != type_text and self._is_kept(value, type_text, held, connection):
            value, type_text = f"CAST({value} AS {held})", held
        if kind_of(type_text) is None or _NOT_STORED.search(type_text) or held != type_text:
            raise MalformedDataError(
                f"The column {shown(called)} is of the Parquet type {type_text}, which data sets do not hold. Leave "
                "it out, or convert it before the upload."
            )
        return value

    def _is_kept(self, value: str, type_text: str, held: str, connection: duckdb.DuckDBPyConnection) -> bool:
        """Whether no value changes as one of another type: it comes back from there."""
        back = f"TRY_CAST(CAST({value} AS {held}) AS {type_text})"
        sql = f"SELECT count(*) FROM {self.relation} WHERE {back} IS DISTINCT FROM {value}"
        return connection.execute(sql).fetchone() == (0,)


def _without_null_types(type_text: str) -> str:
    """The type with texts in the place of what has no value anywhere; pandas writes `e: [[], []]` so."""
    return _NULL_TYPE.sub(lambda found: "VARCHAR" if found[1] else found[0], type_text)


def _in_microseconds(type_text: str) -> str:
    """The type with times in microseconds for those with a zone in nanoseconds, which pandas and Polars write."""
    return _NANOSECONDS.sub(lambda found: "TIMESTAMP WITH TIME ZONE" if found[1] else found[0], type_text)
