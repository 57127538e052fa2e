"""JSON and NDJSON: what DuckDB reads such a file with, which columns it has, and where an error in it stands.

DuckDB itself would leave out keys that come late, and take an array that ends after a comma.
"""

import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb

from gristmill.datasets.inference import JsonTexts, Rule, literal, name
from gristmill.datasets.json_objects import KeyTwiceError, no_key_twice
from gristmill.datasets.nesting import MOST_LEVELS, too_nested
from gristmill.datasets.options import ReadingLimits, ReadingOptions
from gristmill.datasets.shortage import lacks_memory
from gristmill.datasets.texts import check_width, first_line_of, shown, unique_names
from gristmill.errors import MalformedDataError, TooLargeError

_NO_OBJECT = "gristmill-no-object"
_MANY_KEYS = "gristmill-many-keys"
_GEOJSON = re.compile(rb'"type"\s*:\s*"FeatureCollection"')
# A string without an end is the rest: else each quote in it would be taken for the beginning of another one.
_OUTER = re.compile(r'"(?P<key>(?:\\.|[^"\\])*+)"\s*:\s*\[\s*\{|"(?:\\.|[^"\\])*+"|".*|[^\s"]', re.DOTALL)
_OF_COLUMNS = re.compile(r'\s*\{\s*"(?:\\.|[^"\\])*+"\s*:\s*[\[{]', re.DOTALL)
_START_BYTES = 2**16
_ESCAPE = re.compile(r"(?i)\\(?:ud[89ab][0-9a-f]{2}\\ud[c-f][0-9a-f]{2}|(?P<half>ud[89a-f][0-9a-f]{2})|.)", re.DOTALL)
_HALF = "half of a letter's two escapes, without the other"
_NO_BRACKETS = r'"(\\.|[^"\\])*"|[^\[\]{}]'
# The group is a whole number of more digits than a double always keeps, outside of strings; or what no JSON has, and
# DuckDB writes of a double that a number beyond all doubles has become.
_LONG_WHOLE = r'(?:"(?:\\.|[^"\\])*"|[0-9][.0-9]*[eE][-+]?[0-9]+|[0-9]+\.[0-9]+)|([0-9]{16,}|Infinity)'
_LONG_OR_HUGE = r"[0-9]{16}|[eE]\+?[0-9]{3}"
# What DuckDB calls whole numbers, all above zero or of both signs; Parquet would have the latter as doubles. Not a key.
_WHOLE = re.compile(r'"(?:UBIGINT|HUGEINT)"(?!:)')
_TOO_DEEP = "it is nested too deep"
_VALUES_AN_OBJECT = 4
_LEAST_OBJECT_BYTES = 2**21


@dataclass(frozen=True, slots=True)
class JsonFile:
    """An array of objects, or an object a line, in UTF-8."""

    path: Path
    options: ReadingOptions
    keys: list[str]
    names: list[str]
    object_bytes: int

    @classmethod
    def open(
        cls, path: Path, options: ReadingOptions, limits: ReadingLimits, connection: duckdb.DuckDBPyConnection
    ) -> "JsonFile":
        """Collect all keys, in the order of their first appearance.

        Raises MalformedDataError, TooLargeError, and duckdb.Error where memory is missing.
        """
        file = cls(path, options, [], [], max(_VALUES_AN_OBJECT * limits.cell_bytes, _LEAST_OBJECT_BYTES))
        file._check_start()
        keys = f"CASE WHEN json_type(json) = 'OBJECT' THEN json_keys(json) ELSE error('{_NO_OBJECT}') END"
        objects = f"SELECT {keys} AS keys, row_number() OVER () AS row FROM {file._read('json', records=False)}"
        # Of millions, be it of one key, the query below would take gigabytes.
        few = f"CASE WHEN len(keys) > {limits.columns} THEN error('{_MANY_KEYS}') ELSE keys END"
        objects = f"SELECT {few} AS keys, row FROM ({objects})"
        try:
            found = connection.execute(
                "SELECT key, min(row) FROM (SELECT row, unnest(keys) AS key, generate_subscripts(keys, 1) AS place "
                f"FROM ({objects})) GROUP BY key ORDER BY min(row), arg_min(place, row) LIMIT {limits.columns + 1}"
            ).fetchall()
        except duckdb.Error as error:
            if lacks_memory(error):
                raise
            if _MANY_KEYS in str(error):
                raise TooLargeError(
                    f"An object has more than {limits.columns:,} keys, the most columns that a data set has (setting "
                    "GRISTMILL_DATASET_COLUMNS). Make rows of what are columns, or leave some out; it may also be one "
                    "key that stands there again and again."
                ) from error
            raise file.explain(error, connection) from error
        keys_found = {str(key): int(row) for key, row in found}
        if not keys_found:
            raise MalformedDataError("The file holds no object with a key, so the table would have no columns.")
        check_width(len(keys_found), limits)
        file._check_keys(keys_found)
        names = unique_names([*keys_found], limits.column_name_bytes)
        return cls(path, options, [*keys_found], names, file.object_bytes)

    def relation(self, only: int | None = None) -> str:
        """What stands behind FROM: the value of each key as JSON text, in columns c0, c1 and so on; or of one alone."""
        keys = [(at, key) for at, key in enumerate(self.keys) if only in {None, at}]
        texts = ", ".join(f"nullif({name(key)}::VARCHAR, 'null') AS c{at}" for at, key in keys)
        return f"(SELECT {texts} FROM {self._read(*(key for _, key in keys), records=True)})"

    def _read(self, *keys: str, records: bool) -> str:
        columns = ", ".join(f"{literal(key)}: 'JSON'" for key in keys)
        form = "array" if self.options.format == "json" else "newline_delimited"
        return (
            f"read_json({literal(str(self.path))}, auto_detect = false, format = '{form}', "
            f"records = {str(records).lower()}, columns = {{{columns}}}, "
            f"maximum_object_size = {self.object_bytes}, compression = 'none')"
        )

    def columns(self) -> list[JsonTexts]:
        """The texts of each column."""
        return [JsonTexts(f"c{at}") for at in range(len(self.names))]

    def place(self, row: int) -> str:
        """Where a row stands, from 1."""
        if self.options.format == "json":
            return f"Object {row}"
        return next((f"Line {line}" for line, count, _ in self._lines() if count == row), f"Object {row}")

    def explain(self, error: duckdb.Error, _connection: duckdb.DuckDBPyConnection) -> Exception:
        """The first place that is no JSON, or no object."""
        if "maximum_object_size" in str(error):
            return TooLargeError(
                f"An object has more than {self.object_bytes:,} bytes; the setting GRISTMILL_DATASET_CELL_BYTES "
                "limits each value. Write shorter values."
            )
        try:
            if self.options.format == "ndjson":
                for line, _, text in self._lines():
                    _check_object(f"Line {line}", text)
            else:
                self._check_array()
        except MalformedDataError as found:
            return found
        return MalformedDataError(f"The file cannot be read as JSON: {first_line_of(error, self.path)}.")

    def _lines(self) -> Iterator[tuple[int, int, str]]:
        """Each line that is not empty: its number, how many there were with it, and its text."""
        count = 0
        with self.path.open("rb") as file:
            for line, data in enumerate(file, 1):
                if data.strip():
                    count += 1
                    yield line, count, data.decode("utf-8").rstrip("\r\n")

    def _check_start(self) -> None:
        with self.path.open("rb") as file:
            text = file.read(_START_BYTES).lstrip()
        start = text[:1]
        if not start:
            raise MalformedDataError("The file is empty, so the table would have no columns.")
        if start == b"{" and _GEOJSON.search(text[:4096]):
            raise MalformedDataError(
                "The file is GeoJSON, a FeatureCollection, which is no table. Send an array of its features' "
                "properties."
            )
        if self.options.format == "json" and start != b"[":
            raise MalformedDataError(
                "The file does not begin with [: JSON must be one array of objects."
                + _advice(text.decode("utf-8", "ignore"))
            )
        if self.options.format == "json" and _last_byte(self.path) != b"]":
            raise MalformedDataError("The file does not end with ]: the array is not complete. Send the file again.")
        if self.options.format == "ndjson" and start == b"[":
            raise MalformedDataError(
                "Line 1 begins with [: each line must be one object. Send an array as application/json."
            )

    def _check_keys(self, rows: dict[str, int]) -> None:
        """rows: of each key, in which it stands first."""
        if "" in rows:
            raise MalformedDataError(
                f"{self.place(rows[''])}: the object has a key without letters. A key is the name of a column."
            )
        seen: dict[str, str] = {}
        for key, row in rows.items():
            other = seen.setdefault(key.casefold(), key)
            if other != key:
                raise MalformedDataError(
                    f"{self.place(row)}: the keys {shown(other)} and {shown(key)} differ in case alone. Rename one of "
                    "them."
                )

    def _check_array(self) -> None:
        text = self.path.read_text("utf-8")
        decoder = json.JSONDecoder(object_pairs_hook=no_key_twice)
        at, count, end = text.index("[") + 1, 0, len(text)
        while True:
            while at < end and text[at] in " \t\r\n":
                at += 1
            if not count and text[at : at + 1] == "]":
                break
            count += 1
            try:
                value, after = decoder.raw_decode(text, at)
            except (json.JSONDecodeError, KeyTwiceError) as error:
                place = getattr(error, "pos", at)
                raise _no_json(_line_column(text, place), error, text[place : place + 80]) from error
            except RecursionError as error:
                raise _no_json(_line_column(text, at), _TOO_DEEP, text[at : at + 80]) from error
            if not isinstance(value, dict):
                raise _not_an_object(_line_column(text, at), text[at:after])
            half = _half_letter(text[at:after])
            if half is not None:
                raise _no_json(_line_column(text, at + half), _HALF, text[at + half : at + half + 80])
            at = after
            while at < end and text[at] in " \t\r\n":
                at += 1
            if text[at : at + 1] == "]":
                break
            if text[at : at + 1] != ",":
                raise _no_json(_line_column(text, at), "a comma or ] is missing", text[at : at + 80])
            at += 1
        rest = text[at + 1 :]
        if rest.strip():
            at += 1 + len(rest) - len(rest.lstrip())
            raise _no_json(_line_column(text, at), "something follows the array", text[at : at + 80])


def _advice(text: str) -> str:
    """What to do with a file that begins so and not with an array."""
    arrays, has_second = _arrays_of_outer_object(text)
    if has_second:
        return " For an object a line, send it as NDJSON (application/x-ndjson)."
    if arrays:
        return f" The rows stand under {' or '.join(map(shown, arrays))}: send that array."
    if _OF_COLUMNS.match(text):
        return ' pandas writes one by to_json(orient="records"), not by its default, an object of columns.'
    return ""


def _arrays_of_outer_object(text: str) -> tuple[list[str], bool]:
    """The keys of the outer object that have arrays of objects, and whether a second object follows it."""
    arrays: list[str] = []
    last, level = "", 0
    for found in _OUTER.finditer(text):
        piece = found[0]
        if not level and last:
            return arrays, piece == "{"
        if level == 1 and found["key"] is not None:
            arrays.append(found["key"])
        level += (piece[-1] in "[{") - (piece[-1] in "]}") + (found["key"] is not None)
        last = piece
    return arrays, False


def _last_byte(path: Path) -> bytes:
    """The last byte that is no space; DuckDB itself takes an array that ends after a comma."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            size = min(end, 4096)
            file.seek(end - size)
            if text := file.read(size).rstrip(b" \t\r\n"):
                return text[-1:]
            end -= size
    return b""


def _check_object(place: str, text: str) -> None:
    try:
        value = json.loads(text, object_pairs_hook=no_key_twice)
    except json.JSONDecodeError as error:
        raise _no_json(f"{place}, column {error.colno}", error, text[error.pos : error.pos + 80] or text) from error
    except KeyTwiceError as error:
        raise _no_json(place, error, text) from error
    except RecursionError as error:
        raise _no_json(place, _TOO_DEEP, text) from error
    if not isinstance(value, dict):
        raise _not_an_object(place, text)
    half = _half_letter(text)
    if half is not None:
        raise _no_json(f"{place}, column {half + 1}", _HALF, text[half : half + 80])


def _half_letter(text: str) -> int | None:
    """Where valid JSON escapes half a surrogate pair, which Python takes and DuckDB does not."""
    return next((found.start() for found in _ESCAPE.finditer(text) if found["half"]), None)


def _line_column(text: str, at: int) -> str:
    return f"Line {text.count(chr(10), 0, at) + 1}, column {at - text.rfind(chr(10), 0, at)}"


def _no_json(place: str, why: object, text: str) -> MalformedDataError:
    said = why.msg if isinstance(why, json.JSONDecodeError) else str(why)
    return MalformedDataError(f"{place}: this is no JSON that can be read ({said}); the text is {shown(text)}.")


def _not_an_object(place: str, text: str) -> MalformedDataError:
    return MalformedDataError(
        f"{place}: this is no object, but {shown(text)}. Each row is an object: a value for each column."
    )


def nested(file: JsonFile, at: int, connection: duckdb.DuckDBPyConnection) -> Rule:
    """The rule for a JSON column that no plain type fits: a nested type that holds all values, else JSON text."""
    column, relation = file.columns()[at].column, file.relation(at)
    text = Rule("VARCHAR", "true", f"({column} ->> '$')")
    if connection.execute(f"SELECT bool_or({_is_deep(column)}) FROM {relation}").fetchone() == (True,):
        return text
    found = connection.execute(
        f"SELECT bool_and(starts_with({column}, '{{') OR starts_with({column}, '[')), "
        f"json_group_structure({column}::JSON)::VARCHAR FROM {relation}"
    ).fetchone()
    if not found or not found[0] or '"JSON"' in found[1] or '"NULL"' in found[1]:
        return text
    structure = literal(_WHOLE.sub('"BIGINT"', found[1]))
    value = f"from_json_strict({column}::JSON, {structure})"
    (kind,) = connection.execute(f"SELECT typeof(from_json_strict('null'::JSON, {structure}))").fetchone() or ("",)
    if too_nested([(file.names[at], str(kind))]):
        return text
    is_rounded = _is_rounded(column, value) if '"DOUBLE"' in found[1] else "false"
    try:
        told = connection.execute(f"SELECT count({value}), bool_or({is_rounded}) FROM {relation}").fetchone()
    except duckdb.Error as error:
        if lacks_memory(error):
            raise
        return text
    return text if told and told[1] else Rule("nested", "true", value)


def _is_rounded(column: str, value: str) -> str:
    """SQL: whether a number of a JSON text is another in what became of it: a long whole one, or one beyond doubles."""

    def wholes(text: str) -> str:
        return f"list_sort(list_filter(regexp_extract_all({text}, {literal(_LONG_WHOLE)}, 1), lambda one: one <> ''))"

    is_rounded = f"{wholes(column)} <> {wholes(f'CAST(to_json({value}) AS VARCHAR)')}"
    # Most texts have no such number, and are not written again to look for it.
    return f"CASE WHEN regexp_matches({column}, {literal(_LONG_OR_HUGE)}) THEN {is_rounded} ELSE false END"


def _is_deep(column: str) -> str:
    """SQL: whether a JSON text has more levels than a type may; of its brackets, each step takes the innermost away."""
    brackets = f"length({column}) - length(replace(replace({column}, '[', ''), '{{', ''))"
    rest = f"regexp_replace({column}, {literal(_NO_BRACKETS)}, '', 'g')"
    for _ in range(MOST_LEVELS):
        rest = f"replace(replace({rest}, '[]', ''), '{{}}', '')"
    return f"CASE WHEN {brackets} > {MOST_LEVELS} THEN {rest} <> '' ELSE false END"
