"""How a value of each DuckDB type is written in JSON and CSV, as SQL expressions: DuckDB writes the text itself.

JSON: integers beyond 2^53 and decimals are strings, so are NaN, Infinity and -Infinity; dates and times are ISO 8601
(with a zone: UTC with Z; before year 1 or beyond its range: DuckDB's text); intervals are ISO 8601 durations of months,
days and seconds; binary is base64; lists are arrays, structs objects, maps arrays of objects with `key` and `value`.

CSV: as DuckDB writes it (a missing value is empty, an empty text is quoted; NaN is `nan`, infinity `inf`, a time stands
a space after its date), except times with a zone, intervals and binary, which are as in JSON; nested values are JSON.
"""

import re

from gristmill.datasets.json_numbers import EXACT_IN_JSON, with_exact_numbers

# Raise it whenever the same query gives something else: other values (`filters`, `queries`), or the same written in
# another way (here, in `json_rows`, `rows` and `row_formats`, by a later release of DuckDB, or in the document around a
# page, `api/rows.py`). It is a part of ETags and of the names of files in the cache: were it the same, clients and the
# cache would go on with what they have.
WRITTEN_FORM = 12
# What JSON has, and integers of which it has not all.
PLAIN = frozenset(["BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "UTINYINT", "USMALLINT", "UINTEGER", "VARCHAR"])
LONG = frozenset(["BIGINT", "UBIGINT", "HUGEINT", "UHUGEINT"])
_AS_TEXT = frozenset(["DATE", "TIME", "UUID"])
_BY_DUCKDB = PLAIN | LONG | {"DOUBLE"} | _AS_TEXT
_NUMBERS = re.compile("DOUBLE|FLOAT|BIGINT|HUGEINT")


def quoted(name: str) -> str:
    """A name as a SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def json_of(sql: str, type_text: str) -> str:
    """An expression that `to_json` writes as the mapping says, for an expression of a type that is not nested."""
    if type_text in LONG:
        exact = f"{sql} BETWEEN -{EXACT_IN_JSON} AND {EXACT_IN_JSON}"
        return f"CASE WHEN {exact} THEN to_json({sql}) ELSE to_json(CAST({sql} AS VARCHAR)) END"
    if type_text in {"DOUBLE", "FLOAT"}:
        name = f"CASE WHEN isnan({sql}) THEN 'NaN' WHEN {sql} > 0 THEN 'Infinity' WHEN {sql} < 0 THEN '-Infinity' END"
        return f"CASE WHEN isfinite({sql}) THEN to_json({double_of(sql, type_text)}) ELSE to_json({name}) END"
    if type_text in _AS_TEXT:  # else Python would have dates that it cannot hold
        return f"CAST({sql} AS VARCHAR)"
    return within(sql, type_text)


def json_text_of(sql: str, type_text: str) -> str:
    """An expression of the JSON text of a nested value; empty for a type that is not nested."""
    if type_text.endswith("]") or type_text.startswith(("STRUCT(", "MAP(", "UNION(")):
        text = f"CAST(to_json({within(sql, type_text)}) AS VARCHAR)"
        return with_exact_numbers(text) if may_be_inexact(type_text) else text
    return ""


def may_be_inexact(type_text: str) -> bool:
    """Whether there may be numbers within a nested type that JSON does not hold."""
    return _NUMBERS.search(type_text) is not None


def csv_of(sql: str, type_text: str) -> str:
    """An expression that CSV writes as the mapping says."""
    if type_text in {"TIMESTAMP WITH TIME ZONE", "INTERVAL", "BLOB"}:
        return json_of(sql, type_text)
    return json_text_of(sql, type_text) or sql


def double_of(sql: str, type_text: str) -> str:
    """A floating-point number as a double: a FLOAT as the one with the same digits, 0.1 and not 0.10000000149011612."""
    return f"CAST(CAST({sql} AS VARCHAR) AS DOUBLE)" if type_text == "FLOAT" else sql


def microseconds(sql: str, type_text: str, *, up: bool = False) -> str:
    """A time without a zone, its nanoseconds cut off: DuckDB's own cast would round them, into the next year even.

    up: where there are some, it is the next microsecond instead.
    """
    if type_text != "TIMESTAMP_NS":
        return sql
    away = "+ CAST(epoch_ns({0}) % 1000 > 0 AS BIGINT)" if up else "- CAST(epoch_ns({0}) % 1000 < 0 AS BIGINT)"
    micros = f"epoch_ns({sql}) // 1000 {away.format(sql)}"  # `//` goes towards zero
    return f"CASE WHEN isfinite({sql}) THEN make_timestamp({micros}) ELSE CAST({sql} AS TIMESTAMP) END"


def entries_of(type_text: str) -> str:
    """The type of a map's entries, as a list."""
    key, value = _split(type_text[len("MAP(") : -1])
    return f"STRUCT(key {key}, value {value})[]"


def fields_of(type_text: str) -> list[tuple[str, str]]:
    """The names and types of a struct's fields."""
    return [_field(part) for part in _split(type_text[len("STRUCT(") : -1])]


def item_of(type_text: str) -> str:
    """The type of a list's items."""
    return type_text[: type_text.rindex("[")]


def within(sql: str, type_text: str, depth: int = 0) -> str:  # noqa: PLR0911  one return a type
    """An expression that `to_json` writes as the mapping says but for the numbers that JSON does not hold.

    depth: how many lists there are around it.
    """
    if _is_by_duckdb(type_text):
        return sql
    if type_text == "FLOAT":
        return double_of(sql, type_text)
    if type_text.endswith("]"):
        item = f"e{depth}"
        inner = within(item, item_of(type_text), depth + 1)
        return f"list_transform({sql}, lambda {item}: to_json({inner}))"
    if type_text == "TIMESTAMP WITH TIME ZONE":
        written = _moment(f"timezone('UTC', {sql})")
        return f"CASE WHEN isfinite({sql}) THEN {written} || 'Z' ELSE CAST({sql} AS VARCHAR) END"
    if type_text.startswith("TIMESTAMP"):
        return _moment(sql)
    if type_text == "INTERVAL":
        return _duration(sql)
    if type_text == "BLOB":
        return f"base64({sql})"
    if type_text.startswith("MAP("):
        return within(f"map_entries({sql})", entries_of(type_text), depth)
    if type_text.startswith("STRUCT("):
        packed = ", ".join(
            f"{quoted(name)} := {within(f'struct_extract({sql}, {_literal(name)})', inner, depth)}"
            for name, inner in fields_of(type_text)
        )
        return f"CASE WHEN {sql} IS NOT NULL THEN to_json(struct_pack({packed})) END"
    return f"CAST({sql} AS VARCHAR)"


def _is_by_duckdb(type_text: str) -> bool:
    """Whether `to_json` by itself writes values of a type as the mapping says, but for such numbers."""
    if type_text.endswith("]"):
        return _is_by_duckdb(item_of(type_text))
    if type_text.startswith("STRUCT("):
        return all(_is_by_duckdb(inner) for _, inner in fields_of(type_text))
    return type_text in _BY_DUCKDB


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _moment(sql: str) -> str:
    return f"replace(replace(CAST({sql} AS VARCHAR), ' ', 'T'), 'T(BC)T', ' (BC) ')"


def _duration(sql: str) -> str:
    months = f"(datepart('year', {sql}) * 12 + datepart('month', {sql}))"
    micros = f"((datepart('hour', {sql}) * 60 + datepart('minute', {sql})) * 60000000 + datepart('microsecond', {sql}))"
    sign = f"CASE WHEN {micros} < 0 THEN '-' ELSE '' END"
    seconds = f"abs({micros}) // 1000000 || '.' || lpad(CAST(abs({micros}) % 1000000 AS VARCHAR), 6, '0')"
    return f"('P' || {months} || 'M' || datepart('day', {sql}) || 'DT' || {sign} || {seconds} || 'S')"


def _split(text: str) -> list[str]:
    """The parts between commas that stand in no bracket and no quotes."""
    parts, start, depth, inside = [], 0, 0, False
    for place, character in enumerate(text):
        if character == '"':
            inside = not inside
        elif not inside:
            depth += (character in "([") - (character in ")]")
            if character == "," and depth == 0:
                parts.append(text[start:place].strip())
                start = place + 1
    return [*parts, text[start:].strip()]


def _field(text: str) -> tuple[str, str]:
    """The name and the type of a struct's field."""
    if not text.startswith('"'):
        name, _, type_text = text.partition(" ")
        return name, type_text
    end = 1
    while text[end] != '"' or text[end + 1 : end + 2] == '"':
        end += 2 if text[end] == '"' else 1
    return text[1:end].replace('""', '"'), text[end + 1 :].strip()
