"""Tables: named columns of one type each, on NumPy arrays, read from JSON, CSV and Parquet.

A column is boolean, integer, number, datetime or string; nulls are kept apart from values. In JSON a table is one of
``{"columns": ["a", "b"], "rows": [[1, 2], [3, 4]]}`` (a column may be ``{"name": "a", "type": "number"}``), a list of
row objects, an object of column arrays, or a string of CSV. ``"NaN"``, ``"Infinity"`` and ``"-Infinity"`` are numbers
where the rest of the column is numbers. Strings are times where all of the column are ISO 8601 dates or times.
"""

import csv
import io
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal, Self
from urllib.parse import urlsplit

import numpy as np
import numpy.typing as npt
from pydantic import GetCoreSchemaHandler, GetJsonSchemaHandler
from pydantic_core import PydanticCustomError, core_schema

Kind = Literal["boolean", "integer", "number", "datetime", "string"]
Array = npt.NDArray[Any]

KINDS: tuple[Kind, ...] = ("boolean", "integer", "number", "datetime", "string")
_DTYPES: dict[Kind, str] = {"boolean": "?", "integer": "i8", "number": "f8", "datetime": "M8[us]", "string": "O"}
_FILLERS: dict[Kind, object] = {
    "boolean": False,
    "integer": 0,
    "number": math.nan,
    "datetime": np.datetime64("NaT", "us"),
    "string": "",
}
_SPECIAL = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ISO = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d([.,]\d{1,9})?)?(Z|[+-]\d\d:?\d\d)?)?")
_SEVERAL = re.compile(r"[\r\n,]")  # columns or lines
_ISO_UTC = re.compile(r"(?!0000)\d{4}-\d\d-\d\d(T\d\d:\d\d(:\d\d(\.\d{1,6})?)?Z?)?")
_INTEGER = re.compile(r"[+-]?\d{1,18}")
_NULL_TEXTS = {"", "NA", "N/A", "null", "NULL", "None"}
_LARGEST_INTEGER = 2**63


class TableError(ValueError):
    """The data is no table; ``pointer`` is where, as the end of a JSON pointer."""

    def __init__(self, detail: str, pointer: str = "") -> None:
        super().__init__(detail)
        self.pointer = pointer


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    values: array of dtype bool, int64, float64, datetime64[us] (UTC) or object (str).
    valid: False where null; there, ``values`` holds False, 0, NaN, NaT or "".
    """

    name: str
    kind: Kind
    values: Array
    valid: npt.NDArray[np.bool_]

    @property
    def present(self) -> Array:
        """The values that are not null."""
        return self.values if self.valid.all() else self.values[self.valid]

    @property
    def is_numeric(self) -> bool:
        """Whether the column is integer or number."""
        return self.kind in {"integer", "number"}

    def __len__(self) -> int:
        return len(self.values)

    def cells(self) -> list[object]:
        """Return the values as JSON has them: null, ISO 8601 for times, a string for NaN and the infinities."""
        if self.kind == "datetime":
            shown: list[object] = [f"{one}Z" for one in np.datetime_as_string(self.values)]
        elif self.kind == "number":
            shown = [one if math.isfinite(one) else _special_name(one) for one in self.values.tolist()]
        else:
            shown = self.values.tolist()
        if self.valid.all():
            return shown
        return [one if valid else None for one, valid in zip(shown, self.valid.tolist(), strict=True)]

    @classmethod
    def of(cls, name: str, cells: Sequence[Any], kind: Kind | None = None) -> Self:
        """Make a column of JSON values; without ``kind`` it is found out. Raises TableError where they do not agree."""
        valid = np.fromiter((one is not None for one in cells), "?", len(cells))
        present = [one for one in cells if one is not None]
        found = kind or _kind_of(name, cells, present)
        convert = {"datetime": _datetimes, "number": _numbers}.get(found)
        values = np.full(len(cells), _FILLERS[found], _DTYPES[found])
        try:
            values[valid] = convert(present) if convert else _checked(present, found)
        except (ValueError, TypeError, OverflowError) as error:
            if kind is None and found == "datetime":
                return cls.of(name, cells, "string")
            raise TableError(f"column {name!r} does not hold values of type {found}: {error}") from error
        return cls(name, found, values, valid)

    @classmethod
    def of_arrays(cls, name: str, kind: Kind, values: Array, valid: npt.NDArray[np.bool_]) -> Self:
        """Make a column of values of about the right dtype, whatever they are where null."""
        filled = np.full(len(values), _FILLERS[kind], _DTYPES[kind])
        filled[valid] = values[valid]
        return cls(name, kind, filled, valid)


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
    """Columns of equal length, by name: ``table["x"]`` is the array, ``table.column("x")`` knows nulls and type too."""

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
        return self.column(name).values

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

    def to_json(self) -> dict[str, object]:
        """Return ``{"columns": [{"name", "type"}], "rows": [[...]]}``, which reads back as the same table."""
        cells = [column.cells() for column in self.columns]
        return {
            "columns": [{"name": one.name, "type": one.kind} for one in self.columns],
            "rows": [list(row) for row in zip(*cells, strict=True)],
        }

    def to_csv(self) -> str:
        """Return CSV (RFC 4180) with a header line; null is empty."""
        text = io.StringIO()
        writer = csv.writer(text)
        writer.writerow(self._columns)
        writer.writerows(zip(*(column.cells() for column in self.columns), strict=True))
        return text.getvalue()

    @classmethod
    def from_columns(cls, columns: Mapping[str, Sequence[Any] | Array]) -> Self:
        """Make a table of lists or arrays by column name; None and NaT are null."""
        return cls(column_of_values(name, values) for name, values in columns.items())

    @classmethod
    def from_json(cls, value: object) -> Self:
        """Read any of the JSON forms. Raises TableError, which says where."""
        if isinstance(value, str):
            if value.strip() and not _SEVERAL.search(value):
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
            Column.of(_name(name, ""), _scalars(_as_list(cells, f"/{_escape(name)}"), f"/{_escape(name)}/"))
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
            Column.of(_name(name, ""), _scalars([row.get(name) for row in rows], "/", f"/{_escape(name)}"))
            for name in names
        )

    @classmethod
    def from_csv(cls, text: str, delimiter: str = ",") -> Self:
        """Read CSV with a header line (RFC 4180); ``""``, ``NA``, ``N/A``, ``null``, ``NULL`` and ``None`` are null."""
        try:
            lines = [row for row in csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True) if row]
        except csv.Error as error:
            raise TableError(f"is not CSV: {error}") from error
        if not lines:
            raise TableError("is empty; the first line must name the columns")
        heads = [head.strip() or f"column_{number}" for number, head in enumerate(lines[0], start=1)]
        for index, row in enumerate(lines[1:], start=2):
            if len(row) != len(heads):
                raise TableError(f"row {index} has {len(row)} values, where there are {len(heads)} columns")
        cells = zip(*lines[1:], strict=True) if len(lines) > 1 else [()] * len(heads)
        return cls(_column_of_texts(head, texts) for head, texts in zip(heads, cells, strict=True))

    @classmethod
    def from_bytes(cls, content: bytes, media_type: str, *, charset: str = "", name: str = "") -> Self:
        """Read CSV, TSV, JSON, NDJSON or Parquet (needs pyarrow): by media type, else by the ending of ``name``."""
        kind = _format(media_type, name)
        if kind == "parquet":
            return cls._from_parquet(content)
        try:
            text = content.decode(charset or "utf-8-sig")
            match kind:
                case "json":
                    return cls.from_json(json.loads(text))
                case "ndjson":
                    return cls._from_objects([json.loads(line) for line in text.splitlines() if line.strip()])
                case "tsv":
                    return cls.from_csv(text, "\t")
                case _:
                    return cls.from_csv(text)
        except (UnicodeDecodeError, LookupError, json.JSONDecodeError, RecursionError) as error:
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
        except arrow.ArrowException as error:
            raise TableError(f"is not Parquet: {error}") from error
        return cls.from_columns(read.to_pydict())

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
_FORMATS = {
    "text/csv": "csv",
    "application/csv": "csv",
    "text/tab-separated-values": "tsv",
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/ndjson": "ndjson",
    "application/jsonl": "ndjson",
    "application/vnd.apache.parquet": "parquet",
}
_ENDINGS = {
    "csv": "csv",
    "tsv": "tsv",
    "tab": "tsv",
    "json": "json",
    "ndjson": "ndjson",
    "jsonl": "ndjson",
    "parquet": "parquet",
}


def _format(media_type: str, name: str) -> str:
    by_type = _FORMATS.get(media_type.partition(";")[0].strip().lower())
    return by_type or _ENDINGS.get(urlsplit(name).path.rpartition(".")[2].lower(), "csv")


def _special_name(value: float) -> str:
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


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


def _escape(part: str) -> str:
    return part.replace("~", "~0").replace("/", "~1")


def _kind_of(name: str, cells: Sequence[Any], present: list[Any]) -> Kind:
    types = {type(one) for one in present}
    if types <= {bool}:
        return "boolean" if types else "string"
    if types == {int}:
        return "integer" if all(-_LARGEST_INTEGER <= one < _LARGEST_INTEGER for one in present) else "number"
    if types <= {int, float}:
        return "number"
    if types == {str}:
        return "datetime" if all(_ISO.fullmatch(one) for one in present) else "string"
    if types <= {int, float, str} and all(one in _SPECIAL for one in present if isinstance(one, str)):
        return "number"
    first = _word(present[0])
    row = next(index for index, one in enumerate(cells) if one is not None and _word(one) != first)
    raise TableError(f"column {name!r} mixes {first} with {_word(cells[row])}, first in row {row + 1}")


def _word(value: object) -> str:
    return {bool: "booleans", int: "numbers", float: "numbers", str: "strings"}.get(type(value), type(value).__name__)


def _checked(values: list[Any], kind: Kind) -> list[Any]:
    wanted = {"boolean": bool, "integer": int, "string": str}[kind]
    if kind == "string":
        "".join(map(str, values)).encode()  # a lone surrogate could never be written again
    for one in values:
        if type(one) is not wanted:
            raise ValueError(f"{one!r} is none")
    return values


def _numbers(values: list[Any]) -> list[float]:
    for one in values:
        if isinstance(one, bool) or (isinstance(one, str) and one not in _SPECIAL):
            raise ValueError(f"{one!r} is none")
    return [_SPECIAL[one] if isinstance(one, str) else float(one) for one in values]


def _datetimes(values: list[Any]) -> Sequence[np.datetime64] | Array:
    try:
        if all(type(one) is str and _ISO_UTC.fullmatch(one) for one in values):
            return np.array([one.removesuffix("Z") for one in values], "M8[us]")  # many times faster
    except ValueError:
        pass
    return [_datetime(one) for one in values]


def _datetime(value: Any) -> np.datetime64:
    if isinstance(value, str):
        if not _ISO.fullmatch(value):
            raise ValueError(f"{value!r} is no ISO 8601 date or time")
        value = datetime.fromisoformat(value)
    if isinstance(value, datetime) and value.tzinfo is not None:
        value = value.astimezone(UTC).replace(tzinfo=None)
    return np.datetime64(value, "us")


def _column_of_texts(name: str, texts: Sequence[str]) -> Column:
    """Make a column of what CSV held, of the narrowest type that fits all of it."""
    stripped = [text.strip() for text in texts]
    valid = np.fromiter((text not in _NULL_TEXTS for text in stripped), "?", len(stripped))
    present = [text for text in stripped if text not in _NULL_TEXTS]
    lowered = {text.lower() for text in present}
    kind: Kind = "string"
    converted: Sequence[Any] | Array = present
    if present and lowered <= {"true", "false"}:
        kind, converted = "boolean", [text.lower() == "true" for text in present]
    elif present and all(map(_INTEGER.fullmatch, present)):
        kind, converted = "integer", [int(text) for text in present]
    elif present and all(map(_ISO.fullmatch, present)):
        try:
            kind, converted = "datetime", _datetimes(present)
        except (ValueError, OverflowError):
            converted = present
    elif present and not any("_" in text for text in present):  # float() takes 1_000 for a number
        try:
            kind, converted = "number", [float(text) for text in present]
        except ValueError:
            converted = present
    if kind == "string":
        converted = [text for text, is_valid in zip(texts, valid.tolist(), strict=True) if is_valid]
    values = np.full(len(texts), _FILLERS[kind], _DTYPES[kind])
    values[valid] = converted
    return Column(name, kind, values, valid)


def column_of_values(name: str, values: Sequence[Any] | Array) -> Column:
    """Make a column of an array or list of Python values."""
    if not isinstance(values, np.ndarray):
        return Column.of(name, [_plain(one) for one in values])
    if values.ndim != 1:
        raise TableError(f"column {name!r} has {values.ndim} dimensions, where it must have one")
    everywhere = np.ones(len(values), "?")
    match values.dtype.kind:
        case "b":
            return Column(name, "boolean", values, everywhere)
        case "i":
            return Column(name, "integer", values.astype("i8"), everywhere)
        case "f":
            return Column(name, "number", values.astype("f8"), everywhere)
        case "M":
            return Column(name, "datetime", values.astype("M8[us]"), ~np.isnat(values))
        case _:
            return Column.of(name, [_plain(one) for one in values.tolist()])


def _plain(value: Any) -> Any:
    """Turn NumPy scalars, dates and decimals into what JSON has."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, str | bool | int | float):
        return value
    if hasattr(value, "isoformat"):
        return None if value != value else value.isoformat()  # noqa: PLR0124  NaT is not equal to itself
    try:
        return float(value)
    except (TypeError, ValueError):
        return str(value)
