"""What is in a file is in the table, exactly; or an error names the place."""

import dataclasses
import datetime as dt
import decimal
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.tables import LIMITS, long_texts, rows_of, types_of

from gristmill.datasets import ingest as module
from gristmill.datasets import sample, stored_parquet
from gristmill.datasets.facts import Facts
from gristmill.datasets.ingest import ingest
from gristmill.datasets.options import ReadingOptions
from gristmill.errors import GristmillError, InvalidRequestError, MalformedDataError, ReadingFailedError, TooLargeError

Read = Callable[..., Facts]


@pytest.fixture
def read(tmp_path: Path) -> Read:
    def read(data: bytes, form: Any = "csv", limits: dict[str, Any] | None = None, **options: Any) -> Facts:
        source = tmp_path / "source"
        source.write_bytes(data)
        changed = dataclasses.replace(LIMITS, **(limits or {}))
        return ingest(source, tmp_path / "table", ReadingOptions(form, **options), changed)

    return read


def refused(tmp_path: Path, read: Read, error: type[GristmillError], data: bytes, *form: Any, **options: Any) -> str:
    with pytest.raises(error) as caught:
        read(data, *form, **options)
    assert [path.name for path in tmp_path.iterdir()] == ["source"]
    assert str(tmp_path) not in caught.value.detail
    return caught.value.detail


at = dt.datetime.fromisoformat
FITS = {
    "1\n-2\n0": ("BIGINT", [1, -2, 0]),
    "9223372036854775807": ("BIGINT", [2**63 - 1]),
    "9223372036854775808\n1": ("DECIMAL(38,0)", [decimal.Decimal(2**63), 1]),
    "9" * 38: ("DECIMAL(38,0)", [decimal.Decimal("9" * 38)]),
    "9" * 39: ("VARCHAR", ["9" * 39]),
    "007\n1": ("VARCHAR", ["007", "1"]),
    "1_000": ("VARCHAR", ["1_000"]),
    "0x1F": ("VARCHAR", ["0x1F"]),
    '" 1"': ("VARCHAR", [" 1"]),
    "1\n1.5": ("DOUBLE", [1.0, 1.5]),
    "1e3\n-0": ("DOUBLE", [1000.0, -0.0]),
    "1\ninf\n-Infinity": ("DOUBLE", [1.0, math.inf, -math.inf]),
    "1e400\n1": ("VARCHAR", ["1e400", "1"]),
    "9007199254740992\n1.5": ("DOUBLE", [2.0**53, 1.5]),
    "9007199254740993\n1.5": ("VARCHAR", ["9007199254740993", "1.5"]),
    "9007199254740993\nnan": ("VARCHAR", ["9007199254740993", "nan"]),
    "9007199254740993\n1e3": ("VARCHAR", ["9007199254740993", "1e3"]),
    "12345678901234567890\n1.5": ("VARCHAR", ["12345678901234567890", "1.5"]),
    "1e22\n0.12345678901234567": ("DOUBLE", [1e22, 0.12345678901234567]),
    "+4915112345678": ("VARCHAR", ["+4915112345678"]),
    "+5\n1.5": ("VARCHAR", ["+5", "1.5"]),
    "+1.5\n1": ("DOUBLE", [1.5, 1.0]),
    "true\nFALSE": ("BOOLEAN", [True, False]),
    "1\ntrue": ("VARCHAR", ["1", "true"]),
    "2024-02-29": ("DATE", [dt.date(2024, 2, 29)]),
    "2023-02-29": ("VARCHAR", ["2023-02-29"]),
    "01/02/2024": ("VARCHAR", ["01/02/2024"]),
    "10:30\n10:30:00.5": ("TIME", [dt.time(10, 30), dt.time(10, 30, 0, 500000)]),
    "2024-01-02T03:04:05": ("TIMESTAMP", [at("2024-01-02T03:04:05")]),
    "2024-01-02 03:04": ("TIMESTAMP", [at("2024-01-02T03:04")]),
    "2024-01-02T03:04:05Z": ("TIMESTAMP WITH TIME ZONE", ["2024-01-02 03:04:05+00"]),
    "2024-01-02T03:04:05+05:30": ("TIMESTAMP WITH TIME ZONE", ["2024-01-01 21:34:05+00"]),
    "2024-01-02T03:04:05+25:00": ("VARCHAR", ["2024-01-02T03:04:05+25:00"]),
    "2024-01-02T03:04:05.123456789": ("VARCHAR", ["2024-01-02T03:04:05.123456789"]),
    "x\n": ("VARCHAR", ["x"]),
}


@pytest.mark.parametrize("text", FITS, ids=lambda text: text[:30])
def test_a_column_has_the_narrowest_type_that_says_all_its_values(tmp_path: Path, read: Read, text: str) -> None:
    kind, values = FITS[text]
    facts = read(b"a\n" + text.encode())
    assert types_of(facts) == {"a": kind}
    assert [row[0] for row in rows_of(tmp_path / "table")] == values


@pytest.mark.parametrize(
    ("early", "late", "kind", "last"),
    [
        ("1", "1.5", "DOUBLE", 1.5),
        ("1", "007", "VARCHAR", "007"),
        ("1", "x", "VARCHAR", "x"),
        ("true", "no", "VARCHAR", "no"),
        ("2024-01-01", "soon", "VARCHAR", "soon"),
        ("", "5", "BIGINT", 5),
    ],
)
def test_a_value_behind_the_sample_that_does_not_fit_decides_the_type(
    tmp_path: Path, read: Read, early: str, late: str, kind: str, last: Any
) -> None:
    lines = ["a,b", *[f"{early},1"] * (sample.SAMPLE_ROWS + 10), f"{late},2"]
    facts = read("\n".join(lines).encode())
    assert types_of(facts) == {"a": kind, "b": "BIGINT"}
    assert rows_of(tmp_path / "table")[-1] == (last, 2)


EACH_KIND = {
    "1": "BIGINT",
    "9223372036854775808": "DECIMAL(38,0)",
    "1.5": "DOUBLE",
    "true": "BOOLEAN",
    "2024-02-29": "DATE",
    "10:30": "TIME",
    "2024-01-02T03:04:05": "TIMESTAMP",
    "2024-01-02T03:04:05Z": "TIMESTAMP WITH TIME ZONE",
    "x": "VARCHAR",
    "": "VARCHAR",
}
LATER = {"": "", "1": "2.5", "2024-02-29": "soon", "true": "false"}
LATER_KIND = {"1": "DOUBLE", "2024-02-29": "VARCHAR"}


@pytest.mark.slow
def test_each_of_hundreds_of_columns_has_its_own_type(tmp_path: Path, read: Read) -> None:
    """More of them than are asked for at a time, alike ones far from each other, some without a value."""
    texts = list(EACH_KIND) * 70
    lines = [",".join(f"c{place}" for place in range(len(texts))), ",".join(texts), "," * (len(texts) - 1)]
    facts = read("\n".join(lines).encode(), limits={"columns": 1000})
    assert list(types_of(facts).values()) == list(EACH_KIND.values()) * 70
    assert [column.nulls for column in facts.columns] == [2 if text == "" else 1 for text in texts]
    assert rows_of(tmp_path / "table")[0][::70][:2] == (1, 1)


@pytest.mark.slow
def test_a_late_value_decides_in_each_of_many_columns(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sample, "SAMPLE_ROWS", 5)
    texts = list(EACH_KIND) * 30
    lines = [",".join(f"c{place}" for place in range(len(texts))), *[",".join(texts)] * 10]
    lines.append(",".join(LATER.get(text, text) if place >= 150 else text for place, text in enumerate(texts)))
    facts = read("\n".join(lines).encode(), limits={"columns": 1000})
    found = list(types_of(facts).values())
    assert found[:150] == list(EACH_KIND.values()) * 15
    assert found[150:] == [LATER_KIND.get(text, kind) for text, kind in EACH_KIND.items()] * 15
    assert rows_of(tmp_path / "table")[-1][150:152] == (2.5, decimal.Decimal(2**63))


@pytest.mark.slow
def test_each_of_hundreds_of_keys_of_json_has_its_own_type(read: Read) -> None:
    values: list[Any] = [1, 1.5, True, "2024-02-29", "x", {"a": 1}, [1, "x"], None]
    kinds = ["BIGINT", "DOUBLE", "BOOLEAN", "DATE", "VARCHAR", "STRUCT(a BIGINT)", "VARCHAR", "VARCHAR"]
    row = {f"c{place}": value for place, value in enumerate(values * 40)}
    facts = read(json.dumps(row).encode() + b"\n", "ndjson", limits={"columns": 1000})
    assert list(types_of(facts).values()) == kinds * 40


def test_late_values_and_late_keys_of_json_count_too(tmp_path: Path, read: Read) -> None:
    facts = read(b'{"a":1}\n' * (sample.SAMPLE_ROWS + 10) + b'{"a":1.5,"b":"x"}\n', "ndjson")
    assert types_of(facts) == {"a": "DOUBLE", "b": "VARCHAR"}
    assert rows_of(tmp_path / "table")[-1] == (1.5, "x")


def test_rows_stay_in_their_order(tmp_path: Path, read: Read) -> None:
    read(b"a,b\n" + "".join(f"{i},{'x' * 50}\n" for i in range(90_000)).encode())
    assert [row[0] for row in rows_of(tmp_path / "table")] == list(range(90_000))


def test_the_facts_name_nulls_and_ends(read: Read) -> None:
    facts = read(b"n,t,x,z,e\n1,2024-01-01T10:00:00Z,0.5,b,\n,2023-01-01T10:00:00Z,nan,a,\n9007199254740993,,-inf,,\n")
    told = {column.name: (column.nulls, column.minimum, column.maximum) for column in facts.columns}
    assert (facts.rows, told) == (
        3,
        {
            "n": (1, 1, "9007199254740993"),
            "t": (1, "2023-01-01T10:00:00Z", "2024-01-01T10:00:00Z"),
            "x": (0, "-Infinity", "NaN"),
            "z": (1, "a", "b"),
            "e": (3, None, None),
        },
    )
    assert Facts.from_json(facts.as_json()) == facts


# What a file may look like


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("last", [True, False])
def test_lines_end_in_any_way_and_quotes_hold_line_ends(tmp_path: Path, read: Read, end: str, last: bool) -> None:
    text = end.join(["a,b", "1,x", f'2,"y{end}""z"""']) + end * last
    read(text.encode())
    assert rows_of(tmp_path / "table") == [(1, "x"), (2, f'y{end}"z"')]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize(("form", "text"), [("csv", "ä€,𝄞\n1,é\n"), ("ndjson", '{"ä€": 1, "𝄞": "é"}\n')])
def test_encodings_with_a_byte_order_mark_are_known(
    tmp_path: Path, read: Read, encoding: str, form: str, text: str
) -> None:
    facts = read(text.encode(encoding), form)
    assert types_of(facts) == {"ä€": "BIGINT", "𝄞": "VARCHAR"}
    assert rows_of(tmp_path / "table") == [(1, "é")]


def test_latin_1_is_read_only_when_asked_for(tmp_path: Path, read: Read) -> None:
    data = "a,b\n1,x\n2,é\n".encode("latin-1")
    said = refused(tmp_path, read, MalformedDataError, data)
    assert [word for word in ("Line 3, letter 3, after '2,',", "0xe9", "offset 10 ") if word not in said] == []
    read(data, encoding="latin-1")
    assert rows_of(tmp_path / "table") == [(1, "x"), (2, "é")]


@pytest.mark.parametrize("at", [2**20 - 1, 2**20, 2**20 + 1])
def test_invalid_bytes_are_found_across_the_pieces_of_a_file(tmp_path: Path, read: Read, at: int) -> None:
    data = (b"ab\n" * 400_000)[:at] + "é".encode()[:1] + b"\n"
    said = refused(tmp_path, read, MalformedDataError, data)
    words = (f"offset {at} ", f"Line {at // 3 + 1}, letter {at % 3 + 1}")
    assert [word for word in words if word not in said] == []


@pytest.mark.parametrize("at", range(2**20 - 2, 2**20 + 3))
def test_a_line_end_of_two_letters_across_the_pieces_of_a_file_is_one(tmp_path: Path, read: Read, at: int) -> None:
    data = b"a" * (at - 2) + b"\r\nbc\xff\r\n"
    assert "Line 2, letter 3, after 'bc', is not UTF-8" in refused(tmp_path, read, MalformedDataError, data)


@pytest.mark.parametrize(("first", "delimiter"), [("a;b", ";"), ("a\tb", "\t"), ("a|b", "|"), ('"a;;;",b', ",")])
def test_the_delimiter_is_the_most_frequent_one_of_the_first_line(read: Read, first: str, delimiter: str) -> None:
    assert len(read(f"{first}\n1{delimiter}2\n".encode()).columns) == 2


def test_a_decimal_comma_is_read_when_asked_for(tmp_path: Path, read: Read) -> None:
    assert types_of(read(b"a;b\n1,5;1.5\n", decimal=",")) == {"a": "DOUBLE", "b": "VARCHAR"}
    assert rows_of(tmp_path / "table") == [(1.5, "1.5")]


def test_a_comma_is_not_found_to_be_the_delimiter_where_it_is_the_decimal_mark(tmp_path: Path, read: Read) -> None:
    assert "Line 1 has commas" in refused(tmp_path, read, MalformedDataError, b"a,b\n1,5\n", decimal=",")
    read(b"a\n1,5\n", decimal=",")
    assert rows_of(tmp_path / "table") == [(1.5,)]


def test_null_and_the_empty_text_are_two_things(tmp_path: Path, read: Read) -> None:
    read(b'a,b\n"",\n,""\nNA,"NA"\n', nulls=("", "NA"))
    assert rows_of(tmp_path / "table") == [("", None), (None, ""), (None, "NA")]


def test_without_null_texts_nothing_is_null(tmp_path: Path, read: Read) -> None:
    read(b"a,b\nx,\n", nulls=())
    assert rows_of(tmp_path / "table") == [("x", "")]


def test_names_become_unique_and_none_is_empty(read: Read) -> None:
    assert list(types_of(read(b"a,A,,a_2,a,\n1,2,3,4,5,6\n"))) == ["a", "A_3", "column_3", "a_2", "a_4", "column_6"]


def test_without_a_header_columns_are_numbered(tmp_path: Path, read: Read) -> None:
    assert list(types_of(read(b"1,2\n3,4\n", header=False))) == ["column_1", "column_2"]
    assert rows_of(tmp_path / "table") == [(1, 2), (3, 4)]


def test_a_header_alone_is_a_table_without_rows(read: Read) -> None:
    facts = read(b"a,b")
    assert (facts.rows, types_of(facts)) == (0, {"a": "VARCHAR", "b": "VARCHAR"})


def test_an_empty_line_is_a_null_where_there_is_one_column_and_nothing_elsewhere(tmp_path: Path, read: Read) -> None:
    read(b"a\n1\n\n2\n")
    assert rows_of(tmp_path / "table") == [(1,), (None,), (2,)]
    read(b"a,b\n1,x\n\n2,y\n")
    assert rows_of(tmp_path / "table") == [(1, "x"), (2, "y")]


def test_a_names_quote_or_a_values_sql_is_only_text(tmp_path: Path, read: Read) -> None:
    facts = read(b'"a""b\',c",d\n1,"\'); DROP TABLE x; --"\n')
    assert list(types_of(facts)) == ["a\"b',c", "d"]
    assert rows_of(tmp_path / "table")[0][1] == "'); DROP TABLE x; --"


MALFORMED = {
    "empty": (b"", ["empty"]),
    "blank": (b" \n\n", ["empty"]),
    "too few": (b'a,b\n"x\ny",1\n2\n', ["Line 4 ", "1 value,", "2 columns", "column 'b' has none: '2'"]),
    "too many": (b"a,b\n1,2\n1,2,3\n", ["Line 3 ", "3 values", "value 3, behind the last column, is '3': '1,2,3'"]),
    "open quote": (b'a,b\n1,"x\n2,y\n', ["Line 2, column 'b'", "not closed"]),
    "behind a quote": (b'a,b\n1,"x"y\n', ["Line 2, column 'b'", "'1,\"x\"y'"]),
    "zero byte": (b"a,b\n1,x\0\n", ["Line 2, letter 4, after '1,x', is a zero byte"]),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), ["zero byte"]),
    "line ends": (b"a,b\r\n1,x\r\n2,y\n", ["Line 3 ends in LF", "CR LF"]),
    "control character": (b'a,"b\nc"\n1,2\n', ["column 2", "control character"]),
    "first line empty": (b"\na,b\n", ["Line 1 is empty"]),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_csv_is_refused_with_the_place(tmp_path: Path, read: Read, what: str) -> None:
    data, words = MALFORMED[what]
    said = refused(tmp_path, read, MalformedDataError, data)
    assert [word for word in words if word not in said] == [], said


def test_what_stands_in_a_file_is_never_taken_for_a_message_of_duckdb(tmp_path: Path, read: Read) -> None:
    data = b"a,b\ngristmill-misfit:7 bad_alloc maximum_object_size\n"
    assert "Line 2 has 1 value," in refused(tmp_path, read, MalformedDataError, data)
    data = b'a,b\n1,2\n"x\nInvalid Input Error: gristmill-misfit:7\n",2,3\n'
    assert "Line 3 has 3 values" in refused(tmp_path, read, MalformedDataError, data)


BROKEN_JSON = {
    ("ndjson", b""): ["empty"],
    ("ndjson", b'{"a":1}\n\n{"a":\n'): ["Line 3, column 6", "'{\"a\":'"],
    ("ndjson", b'{"a":1}\n5\n'): ["Line 2", "no object", "'5'"],
    ("ndjson", b'{"a":1}\nnull\n'): ["Line 2", "no object"],
    ("ndjson", b'{"a":1}\n{"a":1,"a":2}\n'): ["Line 2", "stands twice"],
    ("ndjson", b'[{"a":1}]'): ["Line 1", "application/json"],
    ("ndjson", b'{"a":1,"A":2}'): ["'a' and 'A'"],
    ("ndjson", b'{"":1}'): ["without letters"],
    ("ndjson", b"{}\n{}\n"): ["no columns"],
    ("json", b'{"a":1}'): ["NDJSON"],
    ("json", b'{"type": "FeatureCollection", "features": []}'): ["GeoJSON", "properties"],
    ("json", b'[{"a":1},\n{"a":"\\ud83d\\ude00\\ud800"}]'): ["Line 2, column 19", "half of a letter", "ud800"],
    ("ndjson", b'{"a":"\\\\ud800"}\n{"a":"\\udc00"}\n'): ["Line 2, column 7", "half of a letter"],
    ("json", b"[]"): ["no columns"],
    ("json", b'[{"a":1},'): ["not complete"],
    ("json", b'[{"a":1},{"b":[1]'): ["Line 1"],
    ("json", b'[{"a":1},\n{"a": nope}]'): ["Line 2, column 7", "'nope"],
    ("json", b'[{"a":1}] [{"a":2}]'): ["Line 1, column 11", "follows the array"],
    ("json", b'[{"a":1},2]'): ["Line 1, column 10", "no object", "'2'"],
}


@pytest.mark.parametrize(("form", "data"), BROKEN_JSON)
def test_malformed_json_is_refused_with_the_place(tmp_path: Path, read: Read, form: str, data: bytes) -> None:
    said = refused(tmp_path, read, MalformedDataError, data, form)
    assert [word for word in BROKEN_JSON[form, data] if word not in said] == [], said


@pytest.mark.parametrize(("form", "start", "end"), [("ndjson", b'{"a":1}\n', b""), ("json", b'[{"a":1},\n', b"]")])
def test_broken_json_nested_too_deep_is_refused_with_its_line(
    tmp_path: Path, read: Read, form: str, start: bytes, end: bytes
) -> None:
    deep = b'{"a":' + b"[" * 5000 + b"}"
    said = refused(tmp_path, read, MalformedDataError, start + deep + end, form)
    assert [word for word in ("Line 2", "nested too deep", "[[[") if word not in said] == [], said


def test_values_of_json_have_the_types_of_csv_and_nested_ones_stay(tmp_path: Path, read: Read) -> None:
    facts = read(
        b'[{"i":1,"d":"2024-01-01","x":"NaN","n":{"k":[1,2.5]},"l":[1],"m":1,"big":9223372036854775808,"z":"007"},'
        b' {"i":null,"d":"2024-01-02","x":0.5,"n":null,"l":[],"m":"a","b":true}]',
        "json",
    )
    assert types_of(facts) == {
        "i": "BIGINT", "d": "DATE", "x": "DOUBLE", "n": "STRUCT(k DOUBLE[])", "l": "BIGINT[]", "m": "VARCHAR",
        "big": "DECIMAL(38,0)", "z": "VARCHAR", "b": "BOOLEAN",
    }  # fmt: skip
    first, second = rows_of(tmp_path / "table")
    assert math.isnan(first[2])
    assert first[3:6] == ({"k": [1.0, 2.5]}, [1], "1")
    assert second == (None, dt.date(2024, 1, 2), 0.5, None, [], "a", None, None, True)


def test_a_whole_number_of_json_that_a_double_would_round_stays_text(tmp_path: Path, read: Read) -> None:
    read(b'{"a":9007199254740993}\n{"a":"NaN"}\n', "ndjson")
    assert rows_of(tmp_path / "table") == [("9007199254740993",), ("NaN",)]


@pytest.mark.parametrize(
    ("levels", "kind"), [(20, "BIGINT" + "[]" * 20), (21, "VARCHAR"), (90, "VARCHAR"), (200, "VARCHAR")]
)
def test_values_of_json_of_many_levels_are_text(tmp_path: Path, read: Read, levels: int, kind: str) -> None:
    deep = "[" * levels + "1" + "]" * levels
    many = '{"c":"y"},' * 30
    facts = read(f'{{"a":{deep},"b":[{{"c":"[{{"}},{many}{{"c":"x"}}]}}\n'.encode(), "ndjson")
    assert types_of(facts) == {"a": kind, "b": "STRUCT(c VARCHAR)[]"}
    assert kind != "VARCHAR" or rows_of(tmp_path / "table")[0][0] == deep


# Types that are given


def test_a_type_that_is_given_is_the_type(tmp_path: Path, read: Read) -> None:
    facts = read(b"a,b,c,d\n007,1.50,1,x\n", types={"a": "INTEGER", "b": "DECIMAL(9,2)", "c": "text"})
    assert types_of(facts) == {"a": "INTEGER", "b": "DECIMAL(9,2)", "c": "VARCHAR", "d": "VARCHAR"}
    assert rows_of(tmp_path / "table") == [(7, decimal.Decimal("1.50"), "1", "x")]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("INTEGER", "1.5"), ("TINYINT", "128"), ("DECIMAL(9,2)", "1.005"), ("DATE", "2023-02-29"), ("UUID", "x"),
     ("BOOLEAN", "maybe"), ("DOUBLE", "1,5"), ("DOUBLE", "1e400"), ("TIMESTAMP", "2024-01-01T00:00:00Z"),
     ("DATE", "2024-02-29T23:30-05:00"), ("DATE", "2024-02-29 23:59:59.999999"), ("DATE", "epoch"),
     ("DOUBLE", "9007199254740993"), ("FLOAT", "16777217")],
)  # fmt: skip
def test_a_value_that_a_given_type_would_change_is_refused_with_its_place(
    tmp_path: Path, read: Read, kind: str, value: str
) -> None:
    data = f'x,n\n"two\nlines",\nz,"{value}"\n'.encode()
    said = refused(tmp_path, read, MalformedDataError, data, types={"n": kind})
    assert f"Line 4, column 'n': '{value}' is no " in said
    data = f'{{"n":null}}\n\n{{"n":"{value}"}}\n'.encode()
    said = refused(tmp_path, read, MalformedDataError, data, "ndjson", types={"n": kind})
    assert "Line 3, column 'n'" in said
    assert "NULL" not in said


def test_a_number_with_a_plus_is_one_where_the_type_is_given(tmp_path: Path, read: Read) -> None:
    read(b"a,b,c\n+5,+16777216,+9007199254740992\n", types={"a": "INTEGER", "b": "FLOAT", "c": "DOUBLE"})
    assert rows_of(tmp_path / "table") == [(5, 2.0**24, 2.0**53)]


@pytest.mark.parametrize("text", ["2024-02-09", "2024/2/9", "2024-02-09T00:00", "2024-02-09 00:00:00.000"])
def test_a_date_may_be_given_for_days_written_in_other_ways_and_for_midnights(
    tmp_path: Path, read: Read, text: str
) -> None:
    read(f"a\n{text}\n".encode(), types={"a": "DATE"})
    assert rows_of(tmp_path / "table") == [(dt.date(2024, 2, 9),)]


def test_a_type_for_a_column_that_is_not_there_is_refused(tmp_path: Path, read: Read) -> None:
    assert "'b'" in refused(tmp_path, read, InvalidRequestError, b"a\n1\n", types={"b": "DATE"})


# Limits


@pytest.mark.parametrize(
    ("limit", "setting", "data"),
    [
        ({"rows": 2}, "GRISTMILL_DATASET_ROWS", b"a\n1\n2\n3\n"),
        ({"columns": 2}, "GRISTMILL_DATASET_COLUMNS", b"a,b,c\n1,2,3\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a\nx\n" + b"x" * 51 + b"\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a,b\n1," + b"x" * 5000 + b"\n"),
        ({"cell_bytes": 50}, "GRISTMILL_DATASET_CELL_BYTES", b"a" * 9_000_000),
        ({"column_name_bytes": 3}, "GRISTMILL_DATASET_COLUMN_NAME_BYTES", "éé\n1\n".encode()),
        ({"stored_bytes": 100}, "GRISTMILL_DATASET_STORED_BYTES", b"a\n1\n"),
    ],
)
def test_a_limit_is_named_by_its_setting(
    tmp_path: Path, read: Read, limit: dict[str, int], setting: str, data: bytes
) -> None:
    assert setting in refused(tmp_path, read, TooLargeError, data, limits=limit)


@pytest.mark.parametrize(
    "row",
    [b"3," + b"x" * 5_000_000, b'3,"' + b"x\n" * 2_500_000 + b'"'],
    ids=["one line", "quoted lines"],
)
@pytest.mark.parametrize("last", [b"\n", b"\n5,y\n", b""])
def test_a_row_longer_than_duckdbs_buffer_is_refused_and_not_left_out(
    tmp_path: Path, read: Read, row: bytes, last: bytes
) -> None:
    said = refused(tmp_path, read, TooLargeError, b"a,b\n1,2\n" + row + last)
    assert [word for word in ("GRISTMILL_DATASET_CELL_BYTES", "Line 3 ") if word not in said] == []


@pytest.mark.slow
def test_a_stray_quote_does_not_hide_a_row_that_is_too_long(read: Read) -> None:
    data = b'a,b\n3,h"m\n4,"' + b"x\n" * 2_200_000 + b'"\n5,z\n'
    with pytest.raises((TooLargeError, MalformedDataError)):
        read(data)


def test_quotes_inside_unquoted_texts_are_letters_however_long_the_file_is(tmp_path: Path, read: Read) -> None:
    facts = read(b'a,b\n1,6"\n' + b"2,yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy\n" * 60_000)
    assert facts.rows == 60_001


def test_an_object_longer_than_the_buffer_is_refused(tmp_path: Path, read: Read) -> None:
    data = b'{"a":1}\n{"a":"' + b"x" * 9_000_000 + b'"}\n'
    assert "GRISTMILL_DATASET_CELL_BYTES" in refused(tmp_path, read, TooLargeError, data, "ndjson")


def test_a_table_exactly_at_its_limits_is_taken(read: Read) -> None:
    limits = {"rows": 2, "columns": 1, "cell_bytes": 50, "column_name_bytes": 4}
    assert read("éé\n1\n".encode() + b"x" * 50, limits=limits).rows == 2


def test_memory_is_limited_by_duckdb_itself(tmp_path: Path, read: Read) -> None:
    data = b"a\n" + "".join(f"{'x' * 1000}{i}\n" for i in range(20_000)).encode()
    said = refused(tmp_path, read, ReadingFailedError, data, limits={"memory_bytes": 2 * 2**20})
    assert "GRISTMILL_DATASET_READING_MEMORY_MB" in said


@pytest.mark.slow
def test_a_table_of_long_texts_takes_little_more_memory_than_a_group_of_them(tmp_path: Path, read: Read) -> None:
    data = long_texts(6000, 10_000)
    assert read(data, limits={"memory_bytes": 250 * 2**20}).rows == 6000
    groups = duckdb.sql(f"SELECT DISTINCT row_group_num_rows FROM parquet_metadata('{tmp_path / 'table'}')").fetchall()
    assert max(groups) < (4000,)


@pytest.mark.slow
def test_the_sample_of_a_file_whose_rows_become_long_has_few_of_them(tmp_path: Path) -> None:
    source = tmp_path / "source.csv"
    source.write_bytes(b"i,t\n" + b"1,x\n" * 300 + long_texts(8000, 10_000)[4:])
    with duckdb.connect() as connection:
        row_bytes = sample.take(f"read_csv('{source}')", 2, source.stat().st_size, connection)
        taken = connection.execute(f"SELECT sum(strlen(t)), count(*) FROM {sample.TABLE}").fetchone()
    assert taken is not None
    assert 8 * 2**20 < taken[0] < 48 * 2**20
    assert taken[0] // taken[1] <= row_bytes < 10_100


def test_a_nested_value_has_no_more_bytes_than_a_text(tmp_path: Path, read: Read) -> None:
    lines = b'{"a":[1,2]}\n' + b'{"a":[' + b",".join([b"1234567890"] * 60) + b"]}\n"
    said = refused(tmp_path, read, TooLargeError, lines, "ndjson", limits={"cell_bytes": 500})
    assert "Row 2, column 'a'" in said
    assert read(lines, "ndjson", limits={"cell_bytes": 1000}).rows == 2


@pytest.mark.parametrize(("columns", "threads"), [(3, 2), pytest.param(600, 1, marks=pytest.mark.slow)])
def test_a_wide_table_is_written_by_one_thread_and_no_setting_can_change(
    read: Read, monkeypatch: pytest.MonkeyPatch, columns: int, threads: int
) -> None:
    """Two have 2.5 GB of a table of 2,000 columns in memory, one has 1.1."""
    found: list[object] = []
    write = stored_parquet.write

    def looked_at(select: str, target: Path, connection: duckdb.DuckDBPyConnection, **more: int) -> int:
        found.append(connection.execute("SELECT current_setting('threads')").fetchone())
        with pytest.raises(duckdb.Error, match="locked"):
            connection.execute("SET threads = 2")
        return write(select, target, connection, **more)

    monkeypatch.setattr(stored_parquet, "write", looked_at)
    row = ",".join(f"c{place}" for place in range(columns))
    read(f"{row}\n{row}\n".encode(), limits={"columns": 1000})
    read((json.dumps(dict.fromkeys(row.split(","), 1)) + "\n").encode(), "ndjson", limits={"columns": 1000})
    assert found == [(threads,)] * 2


def test_memory_that_zstd_lacks_is_said_to_be_lacking(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **__: object) -> int:
        raise duckdb.InternalException("INTERNAL Error: Parquet writer: 9 compressed page size out of range for type")

    monkeypatch.setattr(stored_parquet, "write", failing)
    assert "MiB of memory" in refused(tmp_path, read, ReadingFailedError, b"a\n1\n")


# Parquet


def parquet(tmp_path: Path, select: str, group_rows: int = 122_880) -> bytes:
    path = tmp_path / "made"
    with duckdb.connect() as connection:
        connection.execute(f"COPY ({select}) TO '{path}' (FORMAT parquet, ROW_GROUP_SIZE {group_rows})")
    data = path.read_bytes()
    path.unlink()
    return data


def test_parquet_keeps_its_types_and_nested_values(tmp_path: Path, read: Read) -> None:
    select = (
        "SELECT 1::UTINYINT AS u, [1, 2] AS l, {'a': DATE '2024-01-01', 'b': ['x']} AS s, MAP {'k': 1.5::DOUBLE} AS m, "
        "'\\xAB'::BLOB AS b, 1.25::DECIMAL(38,10) AS d, TIMESTAMP_NS '2024-01-01 00:00:00.123456789' AS n, NULL AS z, "
        "INTERVAL 1 DAY AS i, '6ba7b810-9dad-11d1-80b4-00c04fd430c8'::UUID AS g, 1.5::FLOAT AS f"
    )
    facts = read(parquet(tmp_path, select), "parquet")
    assert list(types_of(facts).values()) == [
        "UTINYINT", "INTEGER[]", "STRUCT(a DATE, b VARCHAR[])", "MAP(VARCHAR, DOUBLE)", "BLOB", "DECIMAL(38,10)",
        "TIMESTAMP_NS", "VARCHAR", "INTERVAL", "UUID", "FLOAT",
    ]  # fmt: skip
    assert [column.kind for column in facts.columns][:4] == ["integer", "nested", "nested", "nested"]
    assert rows_of(tmp_path / "table")[0][1:3] == ([1, 2], {"a": dt.date(2024, 1, 1), "b": ["x"]})


def test_times_that_may_have_nanoseconds_and_a_zone_are_held_where_they_have_none(tmp_path: Path, read: Read) -> None:
    times = "(VALUES (NULL), ('2024-01-01 00:00:00.123456+02'), ('1969-12-31 23:59:59.999999Z')) v(t)"
    facts = read(parquet(tmp_path, f"SELECT CAST(t AS TIMESTAMPTZ_NS) AS t FROM {times}"), "parquet")
    assert types_of(facts) == {"t": "TIMESTAMP WITH TIME ZONE"}
    assert (facts.columns[0].minimum, facts.columns[0].nulls) == ("1969-12-31T23:59:59.999999Z", 1)
    finer = parquet(tmp_path, "SELECT '2024-01-01 00:00:00.000000001Z'::TIMESTAMPTZ_NS AS finer")
    assert "'finer'" in refused(tmp_path, read, MalformedDataError, finer, "parquet")


def test_a_parquet_type_that_is_not_held_is_refused_by_column(tmp_path: Path, read: Read) -> None:
    data = parquet(tmp_path, "SELECT 1 AS ok, 1::VARIANT AS odd")
    assert "'odd'" in refused(tmp_path, read, MalformedDataError, data, "parquet")


def test_what_is_no_parquet_is_refused(tmp_path: Path, read: Read) -> None:
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"", "parquet")
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"a\n1\n", "parquet")
    assert "is not Parquet" in refused(tmp_path, read, MalformedDataError, b"a,b\n1,2\n3,4\n5,6\n", "parquet")
    refused(tmp_path, read, MalformedDataError, b"a,b\n1,2\n" * 10, "parquet")


def test_parquet_that_is_damaged_is_said_to_be_damaged(tmp_path: Path, read: Read) -> None:
    good = parquet(tmp_path, "SELECT range AS a FROM range(1000)")
    footer = len(good) - 8 - int.from_bytes(good[-8:-4], "little")
    scrambled = good[:footer] + b"\r" * 40 + good[footer + 40 :]
    for data in (b"PAR1PAR1", good[:-8] + b"\xff\xff\xff\x7fPAR1", scrambled, good[:-1]):
        assert "is damaged" in refused(tmp_path, read, MalformedDataError, data, "parquet")


def test_rows_of_parquet_are_limited_before_they_are_read(tmp_path: Path, read: Read) -> None:
    data = parquet(tmp_path, "SELECT 1 AS a FROM range(100001)")
    assert "GRISTMILL_DATASET_ROWS" in refused(tmp_path, read, TooLargeError, data, "parquet")


def threads_of(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """By how many threads each table is written from here on."""
    found: list[int] = []
    write = stored_parquet.write

    def looked_at(select: str, target: Path, connection: duckdb.DuckDBPyConnection, **more: int) -> int:
        told = connection.execute("SELECT current_setting('threads')").fetchone()
        found.append(told[0] if told else 0)
        return write(select, target, connection, **more)

    monkeypatch.setattr(stored_parquet, "write", looked_at)
    return found


def test_large_row_groups_of_parquet_are_read_by_one_thread(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of groups of 1,048,576 rows, as pyarrow writes them, each thread has one in memory."""
    found = threads_of(monkeypatch)
    monkeypatch.setattr(module, "_MOST_BYTES_FOR_THREADS", 200_000)
    for group_rows in (10_240, 40_960):
        read(parquet(tmp_path, "SELECT hash(range) AS a FROM range(80_000)", group_rows), "parquet")
    assert found == [2, 1]


@pytest.mark.slow
def test_what_two_threads_have_no_memory_for_is_read_by_one(
    tmp_path: Path, read: Read, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That a dictionary holds long texts is not seen in the size of a row group."""
    found = threads_of(monkeypatch)
    data = parquet(tmp_path, "SELECT repeat(CAST(range % 100 AS VARCHAR), 600) AS a FROM range(600_000)", 102_400)
    limits = {"rows": 600_000, "memory_bytes": 150 * 2**20}
    assert (len(data) < 10**6, read(data, "parquet", limits=limits).rows) == (True, 600_000)
    assert found == [2, 1]


# What DuckDB may reach


def test_duckdb_reaches_nothing_but_the_two_files(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("a\n1\n")
    with module._duckdb(tmp_path / "source", tmp_path / "table", LIMITS) as connection:
        module._lock(connection, columns=3)
        for statement in (
            f"FROM read_csv('{tmp_path}/secret')",
            f"FROM read_text('{tmp_path}/*')",
            f"FROM glob('{tmp_path}/*')",
            f"COPY (SELECT 1) TO '{tmp_path}/other'",
            f"ATTACH '{tmp_path}/other.db'",
            f"FROM read_csv('{tmp_path}/source/../secret')",
            "FROM read_text('/etc/passwd')",
            "INSTALL httpfs",
            "LOAD httpfs",
            "SET enable_external_access = true",
            "SET allowed_paths = ['/']",
            "SET memory_limit = '90GB'",
        ):
            with pytest.raises(duckdb.Error):
                connection.execute(statement).fetchall()


# Any table

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)
INTEGERS = st.integers(-(10**37), 10**37)
FLOATS = st.floats(width=64)
VALUES: dict[str, st.SearchStrategy[Any]] = {
    "integer": INTEGERS,
    "float": FLOATS,
    "text": TEXTS,
    "boolean": st.booleans(),
    "date": st.dates(min_value=dt.date(1, 1, 1)),
    "timestamp": st.datetimes(min_value=at("0001-01-01")),
}
NAMES = st.lists(
    st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=5).filter(lambda t: t == t.strip()),
    min_size=1,
    max_size=5,
    unique_by=str.casefold,
)
quick = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[str], list[tuple[Any, ...]]]:
    names = draw(NAMES)
    kinds = [draw(st.sampled_from(sorted(VALUES))) for _ in names]
    row = st.tuples(*(st.none() | VALUES[kind] for kind in kinds))
    return names, kinds, draw(st.lists(row, min_size=1, max_size=8))


def csv_text(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, str):
        return '"' + value.replace('"', '""') + '"'
    if isinstance(value, bool):
        return str(value).lower()
    return value.isoformat() if isinstance(value, dt.date) else repr(value)


def meant(kind: str, value: Any) -> Any:
    """A value that the table gave back, as the one that was written, for its kind."""
    if value is None:
        return None
    if kind == "integer":
        return int(value)
    if kind == "float":
        return "nan" if math.isnan(float(value)) else float(value)
    return {"true": True, "false": False}.get(value, value) if kind == "boolean" else value


def as_kinds(kinds: list[str], rows: list[tuple[Any, ...]]) -> list[list[Any]]:
    return [[meant(kind, value) for kind, value in zip(kinds, row, strict=True)] for row in rows]


SQL_TYPES = {
    "integer": "DECIMAL(38,0)", "float": "DOUBLE", "text": "VARCHAR", "boolean": "BOOLEAN", "date": "DATE",
    "timestamp": "TIMESTAMP",
}  # fmt: skip


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_csv_with_its_types_given(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    lines = [",".join(map(csv_text, names)), *(",".join(map(csv_text, row)) for row in rows)]
    types = {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    facts = read("\n".join([*lines, ""]).encode(), types=types, delimiter=",")
    assert types_of(facts) == types
    assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)


@pytest.mark.slow
@quick
@given(tables())
def test_without_given_types_no_number_of_a_csv_is_changed(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    lines = [",".join(map(csv_text, names)), *(",".join(map(csv_text, row)) for row in rows)]
    facts = read("\n".join([*lines, ""]).encode(), delimiter=",")
    assert list(types_of(facts)) == names
    got = rows_of(tmp_path / "table")
    for at, kind in enumerate(kinds):
        if kind in {"integer", "float"}:
            assert [meant(kind, row[at]) for row in got] == [meant(kind, row[at]) for row in rows]


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_json(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    objects = [{name: _json_value(value) for name, value in zip(names, row, strict=True)} for row in rows]
    types = {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    for form, text in (("json", json.dumps(objects)), ("ndjson", "\n".join(map(json.dumps, objects)))):
        read(text.encode(), form, types=types)
        assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)


def _json_value(value: Any) -> Any:
    if isinstance(value, dt.date):
        return value.isoformat()
    if isinstance(value, float) and not math.isfinite(value):
        return {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity"}[str(value)]
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


@pytest.mark.slow
@quick
@given(tables())
def test_any_table_comes_back_from_parquet(
    tmp_path: Path, read: Read, table: tuple[list[str], list[str], list[tuple[Any, ...]]]
) -> None:
    names, kinds, rows = table
    columns = ", ".join(f"c{at} {SQL_TYPES[kind]}" for at, kind in enumerate(kinds))
    aliases = ", ".join(f'c{at} AS "{name.replace(chr(34), chr(34) * 2)}"' for at, name in enumerate(names))
    path = tmp_path / "made"
    with duckdb.connect() as connection:
        connection.execute(f"CREATE TABLE t ({columns})")
        connection.executemany(f"INSERT INTO t VALUES ({', '.join('?' * len(kinds))})", rows)
        connection.execute(f"COPY (SELECT {aliases} FROM t) TO '{path}' (FORMAT parquet)")
    facts = read(path.read_bytes(), "parquet")
    assert types_of(facts) == {name: SQL_TYPES[kind] for name, kind in zip(names, kinds, strict=True)}
    assert as_kinds(kinds, rows_of(tmp_path / "table")) == as_kinds(kinds, rows)
