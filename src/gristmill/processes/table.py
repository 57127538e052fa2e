"""Tables: named columns of one type each, on NumPy arrays, read from JSON, CSV and Parquet.

A column is boolean, integer, number, datetime or string; nulls are kept apart from values. In JSON a table is one of
``{"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]}`` (a column may be ``{"name": "a", "type": "number"}``), a list of
row objects, an object of column arrays, or a string of CSV. ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are numbers
where the rest of the column is numbers. Strings are times where all of the column are ISO 8601 dates or times.
"""

import codecs
import io
import re
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Self, assert_never
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

from gristmill.datasets.json_objects import read_json, read_json_lines
from gristmill.datasets.mistaken import START_BYTES, check_start
from gristmill.datasets.options import DELIMITERS, ENDINGS, MEDIA_TYPES, Format, encoding_labelled
from gristmill.errors import MalformedDataError, pointer_part
from gristmill.processes.column import KINDS, Array, Column, Kind, TableError, column_of_values
from gristmill.processes.column_texts import column_of_texts
from gristmill.processes.csv_texts import read_csv
from gristmill.processes.frames import columns_of_arrow

_SEVERAL = re.compile(r"[\r\n,]")  # columns or lines
_QUOTED = re.compile(r'[",\r\n]')


class _Loaded(Mapping[str, Column]):
    """Columns that are loaded when they are first asked for."""

    def __init__(self, names: Sequence[str], load: Callable[[str], Column]) -> None:
        self._columns: dict[str, Column | None] = dict.fromkeys(names)
        self._load = load

    def __getitem__(self, name: str) -> Column:
        column = self._columns[name]
        if column is None:
            column = self._columns[name] = self._load(name)
        return column

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)


class Table(Mapping[str, Array]):
    """Columns of equal length, by name.

    ``table["x"]`` is the array, with NaN, NaT or None where null; ``table.column("x")`` knows nulls and type too.
    """

    __slots__ = ("_columns", "rows")

    def __init__(self, columns: Iterable[Column]) -> None:
        by_name: dict[str, Column] = {}
        for column in columns:
            if column.name in by_name:
                raise TableError(f"there are two columns {column.name!r}")
            by_name[column.name] = column
        lengths = {name: len(column) for name, column in by_name.items()}
        if len(set(lengths.values())) > 1:
            raise TableError(f"the columns are not equally long: {lengths}")
        self._columns: Mapping[str, Column] = by_name
        self.rows: int = next(iter(lengths.values()), 0)

    @classmethod
    def loaded(cls, names: Sequence[str], rows: int, load: Callable[[str], Column]) -> Self:
        """Make a table of so many rows whose columns are loaded when they are first asked for."""
        table = cls(())
        table._columns, table.rows = _Loaded(names, load), rows
        return table

    def __getitem__(self, name: str) -> Array:
        if not isinstance(name, Hashable):  # as pandas takes them: masks and lists
            raise TypeError(
                f"a table takes the name of one column, and this is {type(name).__name__}; "
                "table.where(mask) gives the rows for which a mask is true"
            )
        return self.column(name).array

    def __contains__(self, name: object) -> bool:
        return name in self._columns

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Table) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        columns = ", ".join(f"{one.name}: {one.kind}" for one in self.columns)
        return f"Table({self.rows} rows; {columns})"

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return tuple(self._columns.values())

    def column(self, name: str) -> Column:
        """Return a column; KeyError names those that there are."""
        try:
            return self._columns[name]
        except KeyError:
            raise KeyError(f"there is no column {name!r}; there are: {', '.join(self._columns)}") from None

    def where(self, chosen: npt.NDArray[np.bool_]) -> "Table":
        """Return the rows for which a boolean array of one value a row is true."""
        return Table(Column(one.name, one.kind, one.values[chosen], one.valid[chosen]) for one in self.columns)

    def complete(self, *names: str) -> "Table":
        """Return these columns, of the rows that have a value in each of them; NaN is none."""
        columns = [self.column(name) for name in dict.fromkeys(names)]
        chosen = np.ones(self.rows, "?")
        for column in columns:
            chosen &= column.valid
            if column.kind == "number":
                chosen &= ~np.isnan(column.values)
        return Table(columns).where(chosen)

    def to_json(self) -> dict[str, object]:
        """Return ``{"columns": [{"name", "type"}], "rows": [[...]]}``, which reads back as the same table."""
        cells = [column.cells() for column in self.columns]
        return {
            "columns": [{"name": one.name, "type": one.kind} for one in self.columns],
            "rows": [list(row) for row in zip(*cells, strict=True)],
        }

    def to_csv(self) -> str:
        """Return CSV (RFC 4180) with a header line; null is empty, an empty text is ``""``."""
        rows = [[_text_field(name) for name in self], *zip(*map(_fields, self.columns), strict=True)]
        return "\r\n".join([*map(",".join, rows), ""])

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | Array]) -> Self:
        """Make a table of lists or arrays by column name; None and NaT are null."""
        return cls(column_of_values(name, values) for name, values in columns.items())

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read any of the JSON forms. Raises TableError, which says where."""
        if isinstance(value, str):
            if value.strip() and not _SEVERAL.search(value):
                if value.lstrip().lower().startswith(("http://", "https://")):
                    raise TableError('is no table, but a URL; what is behind one is named by {"href": "https://..."}')
                raise TableError('is no table, but one word; a data set of this API is named by {"dataset": "..."}')
            return cls.from_csv(value)
        if isinstance(value, list):
            return cls._from_objects(value)
        if not isinstance(value, dict):
            raise TableError(
                "is no table; send columns and rows, a list of row objects, an object of column arrays, or CSV"
            )
        if value.keys() == {"columns", "rows"} and all(
            isinstance(row, list) for row in _as_list(value["rows"], "/rows")
        ):
            return cls._from_rows(_as_list(value["columns"], "/columns"), value["rows"])
        return cls(
            Column.of(_name(name, ""), _scalars(_as_list(cells, f"/{pointer_part(name)}"), f"/{pointer_part(name)}/"))
            for name, cells in value.items()
        )

    @classmethod
    def _from_rows(cls, heads: list[Any], rows: list[list[Any]]) -> Self:
        for index, row in enumerate(rows):
            if len(row) != len(heads):
                raise TableError(f"has {len(row)} values, where there are {len(heads)} columns", f"/rows/{index}")
        columns = []
        for index, head in enumerate(heads):
            name, kind = _head(head, f"/columns/{index}")
            columns.append(Column.of(name, _scalars([row[index] for row in rows], "/rows/", f"/{index}"), kind))
        return cls(columns)

    @classmethod
    def _from_objects(cls, rows: list[Any]) -> Self:
        names: dict[str, None] = {}
        for index, row in enumerate(rows):
            if not isinstance(row, dict):
                raise TableError("must be an object with a value for each column", f"/{index}")
            names.update(dict.fromkeys(row))
        return cls(
            Column.of(_name(name, ""), _scalars([row.get(name) for row in rows], "/", f"/{pointer_part(name)}"))
            for name in names
        )

    @classmethod
    def from_csv(cls, text: str, delimiter: str = "") -> Self:
        """Read CSV with a header line (RFC 4180) as uploads are read; ``NA``, ``null`` and their like are null too."""
        names, cells = read_csv(text, delimiter)
        return cls(column_of_texts(name, texts) for name, texts in zip(names, cells, strict=True))

    @classmethod
    def from_bytes(cls, content: bytes, media_type: str, *, charset: str = "", name: str = "") -> Self:
        """Read CSV, TSV, JSON, NDJSON or Parquet (needs pyarrow): by media type, else by the ending of ``name``."""
        bare = media_type.partition(";")[0].strip().lower()
        kind = MEDIA_TYPES.get(bare) or ENDINGS.get(urlsplit(name).path.rpartition(".")[2].lower())
        try:
            return cls._of_format(kind or "csv", content, charset)
        except TableError as error:
            if kind or not bare:
                raise
            raise TableError(
                f"{error} (it was read as CSV: {bare[:60]} is no media type of a table; those are "
                f"{', '.join(MEDIA_TYPES)})"
            ) from error

    @classmethod
    def _of_format(cls, kind: Format, content: bytes, charset: str) -> Self:
        if kind == "parquet":
            return cls._from_parquet(content)
        try:
            check_start(content[:START_BYTES])
            text = _decoded(content, charset)
            match kind:
                case "json":
                    return cls.from_json(read_json(text))
                case "ndjson":
                    return cls._from_objects(read_json_lines(text))
                case "csv" | "tsv":
                    return cls.from_csv(text, DELIMITERS.get(kind, ""))
                case _:
                    assert_never(kind)
        except MalformedDataError as error:
            raise TableError(f"is not {kind.upper()}: {error.detail}") from error
        except (UnicodeDecodeError, LookupError) as error:
            raise TableError(f"is not {kind.upper()}: {error}") from error

    @classmethod
    def _from_parquet(cls, content: bytes) -> Self:
        try:
            import pyarrow as arrow  # noqa: PLC0415  an extra
            from pyarrow import parquet  # noqa: PLC0415
        except ImportError as error:
            raise TableError("is Parquet, which needs the extra `arrow` of this installation") from error
        try:
            read = parquet.read_table(io.BytesIO(content))
        except (arrow.ArrowException, OSError) as error:  # OSError: what is damaged further in, or too deep
            raise TableError(f"is not Parquet: {error}") from error
        return cls(columns_of_arrow(read))

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        """Let Pydantic read and write tables."""
        del source, handler
        return core_schema.no_info_plain_validator_function(
            read_table, serialization=core_schema.plain_serializer_function_ser_schema(lambda table: table.to_json())
        )

    @classmethod
    def __get_pydantic_json_schema__(
        cls, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        """Describe the JSON forms."""
        del schema
        return dict(ROWS_SCHEMA) if handler.mode == "serialization" else table_schema()


def read_table(value: object) -> Table:
    """Read any of the JSON forms, for Pydantic."""
    try:
        return value if isinstance(value, Table) else Table.from_json(value)
    except TableError as error:
        raise PydanticCustomError("table", "{detail}", {"detail": str(error), "pointer": error.pointer}) from error


def table_schema() -> dict[str, Any]:
    """The JSON forms of a table."""
    return {"anyOf": [ROWS_SCHEMA, *_OTHER_FORMS]}


ROWS_SCHEMA: dict[str, Any] = {
    "title": "Columns and rows",
    "type": "object",
    "properties": {
        "columns": {
            "type": "array",
            "items": {
                "oneOf": [
                    {"type": "string"},
                    {
                        "type": "object",
                        "properties": {"name": {"type": "string"}, "type": {"type": "string", "enum": list(KINDS)}},
                        "required": ["name"],
                        "additionalProperties": False,
                    },
                ]
            },
        },
        "rows": {"type": "array", "items": {"type": "array", "items": {}}},
    },
    "required": ["columns", "rows"],
    "additionalProperties": False,
}
_OTHER_FORMS: list[dict[str, Any]] = [
    {"title": "Row objects", "type": "array", "items": {"type": "object"}},
    {"title": "Column arrays", "type": "object", "additionalProperties": {"type": "array", "items": {}}},
    {"title": "CSV", "type": "string", "contentMediaType": "text/csv"},
]


def _fields(column: Column) -> list[str]:
    """The cells as CSV has them."""
    write = _WRITERS.get(column.kind, str)
    return ["" if cell is None else write(cell) for cell in column.cells()]


def _number_field(cell: float | str) -> str:
    return str(float(cell)) if isinstance(cell, str) else str(cell)


def _text_field(text: str) -> str:
    if text and not _QUOTED.search(text):
        return text
    return '"' + text.replace('"', '""') + '"'


_WRITERS: dict[Kind, Callable[[Any], str]] = {
    "boolean": lambda cell: str(cell).lower(),
    "number": _number_field,
    "string": _text_field,
}


def _decoded(content: bytes, charset: str) -> str:
    is_utf16 = content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))
    encoding = encoding_labelled(charset) or charset
    return content.decode("utf-16" if is_utf16 else encoding or "utf-8-sig")


def _as_list(value: object, at: str) -> list[Any]:
    if not isinstance(value, list):
        raise TableError("must be an array", at)
    return value


def _name(value: object, at: str) -> str:
    if not isinstance(value, str) or not value:
        raise TableError("a column's name must be a string that is not empty", at)
    if not value.isascii() and any("\ud800" <= one <= "\udfff" for one in value):
        raise TableError(f"a column's name has half of a surrogate pair, which is no character: {value!r}", at)
    return value


def _head(head: object, at: str) -> tuple[str, Kind | None]:
    """Read a column's entry in the header: its name, or name and type."""
    if not isinstance(head, dict):
        return _name(head, at), None
    if head.keys() - {"name", "type"}:
        raise TableError("a column has a name and a type, nothing else", at)
    kind = head.get("type")
    if kind is not None and kind not in KINDS:
        raise TableError(f"must be one of {', '.join(KINDS)}", f"{at}/type")
    return _name(head.get("name"), at), kind


def _scalars(cells: list[Any], before: str, after: str = "") -> list[Any]:
    """The cells; their pointers have the number of the cell between ``before`` and ``after``."""
    for index, cell in enumerate(cells):
        if isinstance(cell, dict | list):
            raise TableError("a cell must be a number, string, boolean or null", f"{before}{index}{after}")
    return cells
