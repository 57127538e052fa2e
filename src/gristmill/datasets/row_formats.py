"""The formats in which rows are sent, a record each: its media type, and for a whole file how DuckDB writes it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from gristmill.datasets.mapping import csv_of


@dataclass(frozen=True, slots=True)
class FileForm:
    """All rows as one file.

    options: of DuckDB's COPY. value: the SQL of what is written of a value, for an expression and its type, as
    `mapping` says. is_packed: whether the format compresses by itself, so that content codings only cost time.
    """

    options: str
    value: Callable[[str, str], str]
    is_packed: bool = False


@dataclass(frozen=True, slots=True)
class RowFormat:
    """A format of rows. file: None for one that gives pages, which `json_rows` writes."""

    media_type: str
    file: FileForm | None = None


# By what `f` calls them; the first where a client does not care.
ROW_FORMATS: Mapping[str, RowFormat] = {
    "json": RowFormat("application/json"),
    "ndjson": RowFormat("application/x-ndjson"),
    "csv": RowFormat("text/csv", FileForm("FORMAT csv, HEADER true", csv_of)),
    "parquet": RowFormat(
        "application/vnd.apache.parquet",
        FileForm("FORMAT parquet, COMPRESSION zstd", lambda sql, _: sql, is_packed=True),
    ),
}
FILE_FORMS: Mapping[str, FileForm] = {name: one.file for name, one in ROW_FORMATS.items() if one.file}
