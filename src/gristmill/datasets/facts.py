"""What is in a table that was written as Parquet: rows, columns, and of each column its nulls and ends."""

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace
from itertools import islice
from pathlib import Path
from typing import Any

import duckdb

from gristmill.datasets.columns import ROWS_AT_ONCE, Column, kind_of
from gristmill.datasets.inference import literal, name
from gristmill.datasets.json_numbers import EXACT_IN_JSON
from gristmill.datasets.options import ReadingLimits
from gristmill.datasets.texts import shown
from gristmill.errors import TooLargeError

_FACT_LETTERS = 200
_LITTLE_BYTES = 2**20
_COLUMNS_A_STATEMENT = 256  # one over all of thousands would be slow to plan, and takes memory


@dataclass(frozen=True, slots=True)
class Facts:
    """What is in the table that was written."""

    rows: int
    columns: tuple[Column, ...]
    stored_bytes: int
    read_bytes: int

    def as_json(self) -> dict[str, Any]:
        """For another process."""
        return asdict(self)

    @classmethod
    def from_json(cls, told: dict[str, Any]) -> "Facts":
        """What ``as_json`` gave, also in an earlier or a later release."""
        known = [one.name for one in fields(Column)]
        columns = tuple(Column(**{name: one[name] for name in known if name in one}) for one in told["columns"])
        return cls(told["rows"], columns, told["stored_bytes"], told["read_bytes"])


def columns_of(
    target: Path, rows: int, limits: ReadingLimits, connection: duckdb.DuckDBPyConnection
) -> tuple[Column, ...]:
    """The facts of each column of a Parquet file. Raises TooLargeError for a value that is too long."""
    relation = f"read_parquet({literal(str(target))}, hive_partitioning = false)"
    described = connection.execute(f"DESCRIBE SELECT * FROM {relation}").fetchall()
    columns: list[Column] = []
    sizes: dict[str, int] = {}
    for first in range(0, len(described), _COLUMNS_A_STATEMENT):
        batch = [(str(column[0]), str(column[1])) for column in described[first : first + _COLUMNS_A_STATEMENT]]
        asked = [_asked_of(name(called), type_text) for called, type_text in batch]
        parts = ", ".join(part for one in asked for part in one.values())
        long = []
        answers = iter(connection.execute(f"SELECT {parts} FROM {relation}").fetchone() or ())
        for (called, type_text), one in zip(batch, asked, strict=True):
            told = dict(zip(one, islice(answers, len(one)), strict=True))
            if (told.get("longest") or 0) > limits.cell_bytes:
                raise _too_long(called, _length_of(name(called), type_text), relation, limits, connection)
            least, most = (_as_json(type_text, told.get(end)) for end in ("least", "most"))
            columns.append(Column(called, type_text, rows - told["count"], least, most))
            if kind_of(type_text) == "text" and (told["longest"] or 0) * min(rows, ROWS_AT_ONCE) > _LITTLE_BYTES:
                long.append(called)
        if long:
            sizes |= dict(zip(long, _sizes_of(long, relation, connection), strict=True))
    return tuple(replace(column, text_bytes=sizes.get(column.name, 0)) for column in columns)


def _sizes_of(called: Sequence[str], relation: str, connection: duckdb.DuckDBPyConnection) -> Sequence[int]:
    """The bytes of texts that DuckDB takes at a time, at the most: an average would hide long ones among short ones."""
    lengths = ", ".join(f"strlen({name(one)}) AS l{place}" for place, one in enumerate(called))
    sums = ", ".join(f"sum(l{place}) AS s{place}" for place in range(len(called)))
    most = ", ".join(f"CAST(max(s{place}) AS BIGINT)" for place in range(len(called)))
    numbered = f"SELECT {lengths}, row_number() OVER () - 1 AS row FROM {relation}"
    found = connection.execute(
        f"SELECT {most} FROM (SELECT {sums} FROM ({numbered}) GROUP BY row // {ROWS_AT_ONCE})"
    ).fetchone()
    return found or ()


def _asked_of(column: str, type_text: str) -> dict[str, str]:
    """Aggregates over a column. What is known of the type is not asked for: of thousands, each takes time to plan."""
    asked = {"count": f"count({column})"}
    if kind_of(type_text) not in {"nested", "binary", "interval"}:
        asked |= {
            end: f"CAST({function}({column}) AS VARCHAR)" for end, function in (("least", "min"), ("most", "max"))
        }
    if length := _length_of(column, type_text):
        asked["longest"] = f"max({length})"
    return asked


def _length_of(column: str, type_text: str) -> str:
    """The bytes of a value, where these can be many; of a nested one, those of its text."""
    lengths = {"text": "strlen({})", "binary": "octet_length({})", "nested": "strlen(CAST({} AS VARCHAR))"}
    return lengths.get(kind_of(type_text) or "", "").format(column)


def _as_json(type_text: str, text: str | None) -> bool | int | float | str | None:
    """A least or greatest value as JSON: dates and times as in RFC 3339."""
    kind = kind_of(type_text)
    if text is None:
        return None
    if kind == "boolean":
        return text == "true"
    if kind == "integer":
        return int(text) if abs(int(text)) <= EXACT_IN_JSON else text
    if kind == "number":
        special = {"nan": "NaN", "-nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}
        return special[text] if text in special else float(text)
    if kind in {"timestamp", "timestamptz"}:
        text = re.sub(r"\+00$", "Z", re.sub(r"^(\d{4,}-\d\d-\d\d) ", r"\1T", text))
    return text if len(text) <= _FACT_LETTERS else text[:_FACT_LETTERS] + "…"


def _too_long(
    called: str, length: str, relation: str, limits: ReadingLimits, connection: duckdb.DuckDBPyConnection
) -> TooLargeError:
    found = connection.execute(
        f"SELECT min(row) FROM (SELECT row_number() OVER () AS row, {length} AS size FROM "
        f" {relation}) WHERE size > {limits.cell_bytes}"
    ).fetchone()
    return TooLargeError(
        f"Row {found[0] if found else '?'}, column {shown(called)}: the value has more than {limits.cell_bytes:,} "
        "bytes, the most that one has (setting GRISTMILL_DATASET_CELL_BYTES). Shorten it; in CSV, perhaps a "
        "quote is not closed."
    )
