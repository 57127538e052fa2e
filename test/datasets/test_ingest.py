"""Text files: what is in them is in the table, exactly; or an error names the place."""

import datetime as dt
import decimal
import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.tables import Read, refused, rows_of, types_of

from gristmill.datasets import sample
from gristmill.datasets.facts import Facts
from gristmill.errors import InvalidRequestError, MalformedDataError, TooLargeError

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


def test_rows_stay_in_their_order(tmp_path: Path, read: Read) -> None:
    read(b"a,b\n" + "".join(f"{i},{'x' * 50}\n" for i in range(90_000)).encode())
    assert [row[0] for row in rows_of(tmp_path / "table")] == list(range(90_000))


def test_the_facts_know_how_much_text_stands_together(read: Read) -> None:
    rows = [(f"{row}", "short", "\u00e4" * (20_000 if 3_000 <= row < 3_100 else 1)) for row in range(5_000)]
    data = "id,row,t\n" + "".join(",".join(row) + "\n" for row in rows)
    sizes = {column.name: column.text_bytes for column in read(data.encode()).columns}
    assert sizes == {"id": 0, "row": 0, "t": 100 * 40_000 + (2_048 - 100) * 2}


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


def test_facts_of_other_releases_are_read(read: Read) -> None:
    facts = read(b"a\n1\n")
    earlier, later = facts.as_json(), facts.as_json()
    del earlier["columns"][0]["text_bytes"]
    later["columns"][0]["more"] = 1
    assert Facts.from_json(earlier) == Facts.from_json(later) == facts


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


@pytest.mark.parametrize("label", ["windows-1252", "latin-1"])
def test_windows_1252_is_read_only_when_asked_for(tmp_path: Path, read: Read, label: str) -> None:
    data = "a,b\n1,x\n2,é €“”…\n".encode("cp1252")
    said = refused(tmp_path, read, MalformedDataError, data)
    words = ("Line 3, letter 3, after '2,',", "0xe9", "offset 10 ", "encoding=windows-1252")
    assert [word for word in words if word not in said] == []
    read(data, encoding=label)
    assert rows_of(tmp_path / "table") == [(1, "x"), (2, "é €“”…")]


@pytest.mark.parametrize("byte", [0x81, 0x8D, 0x8F, 0x90, 0x9D])
def test_a_byte_that_windows_1252_has_no_letter_for_is_refused_with_its_place(
    tmp_path: Path, read: Read, byte: int
) -> None:
    data = b"a,b\n1,x" + bytes([byte])
    said = refused(tmp_path, read, MalformedDataError, data, encoding="latin-1")
    words = ("Line 2, letter 4, after '1,x',", "WINDOWS-1252", f"0x{byte:02x}", "offset 7 ")
    assert [word for word in words if word not in said] == []
    assert "encoding=" not in said


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


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("Name, Vorname;Ort\nA, B;C\nD, E;F\n", ["Name, Vorname", "Ort"]),
        ("Umsatz, netto;Umsatz, brutto;Ort\n1;2;x\n", ["Umsatz, netto", "Umsatz, brutto", "Ort"]),
        ("a,b,c;d\n1;x\n", ["a,b,c", "d"]),
        ('a,b,c;d\n"1;1";x\n\n2;y;\n', ["a,b,c", "d"]),
        ("a,b;c\n1,2\n", ["a", "b;c"]),
    ],
)
def test_the_delimiter_is_one_that_parts_the_next_lines_as_the_first(read: Read, text: str, names: list[str]) -> None:
    assert list(types_of(read(text.encode()))) == names


@pytest.mark.parametrize("header", [True, False])
def test_a_line_that_names_the_delimiter_is_no_row_but_counts(tmp_path: Path, read: Read, header: bool) -> None:
    read(b'"sep=;"\r\n' + b"a;b\r\n" * header + b"1;x,y\r\n", header=header)
    assert rows_of(tmp_path / "table") == [(1, "x,y")]
    read(b"sep=;\n" + b"a,b\n" * header + b"1,2\n", header=header, delimiter=",")
    assert rows_of(tmp_path / "table") == [(1, 2)]
    (tmp_path / "table").unlink()
    name = "a" if header else "column_1"
    data = b"sep=;\n" + b"a;b\n" * header + b"1;x\nz;y\n"
    assert f"Line {3 + header}, column '{name}': 'z'" in refused(
        tmp_path, read, MalformedDataError, data, header=header, types={name: "BIGINT"}
    )


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
    facts = read(b"a,b\n")
    assert (facts.rows, types_of(facts)) == (0, {"a": "VARCHAR", "b": "VARCHAR"})


def test_a_header_without_a_line_end_is_refused_behind_a_line_that_names_the_delimiter(
    tmp_path: Path, read: Read
) -> None:
    assert "one line without a line end" in refused(tmp_path, read, MalformedDataError, b"sep=;\na;b")
    assert read(b"sep=;\na;b\n").rows == 0


@pytest.mark.parametrize("data", [b"a,b1,23,4", b"flights.csv"])
@pytest.mark.parametrize("form", ["csv", "tsv"])
def test_a_file_without_a_line_end_is_refused_with_what_takes_line_ends_away(
    tmp_path: Path, read: Read, data: bytes, form: str
) -> None:
    said = refused(tmp_path, read, MalformedDataError, data, form)
    assert f"one line without a line end, so it has no rows: '{data[:10].decode()}" in said
    assert "use -T FILE or --data-binary @FILE" in said


def test_a_long_file_without_a_line_end_is_refused_with_what_takes_line_ends_away(tmp_path: Path, read: Read) -> None:
    said = refused(tmp_path, read, TooLargeError, b",".join([b"1"] * 3_000_000))
    assert "use -T FILE or --data-binary @FILE" in said


def test_a_row_without_a_line_end_is_one_where_there_is_no_header(tmp_path: Path, read: Read) -> None:
    read(b"1,x", header=False)
    assert rows_of(tmp_path / "table") == [(1, "x")]


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
    "title above an empty line": (b"North, South\n\na,b,c\nx,y,z\n", ["Line 3 has 3 values", "remove a title"]),
    "blanks": (b"a,b\n1,2\n\n  \n", ["Line 4 has 1 value,", "'  '", "Remove what is no row"]),
    "open quote": (b'a,b\n1,"x\n2,y\n', ["Line 2, column 'b'", "not closed"]),
    "behind a quote": (b'a,b\n1,"x"y\n', ["Line 2, column 'b'", "'1,\"x\"y'"]),
    "zero byte": (b"a,b\n1,x\0\n", ["Line 2, letter 4, after '1,x', is a zero byte"]),
    "utf-16 without mark": ("a,b\n1,2\n".encode("utf-16-le"), ["zero byte"]),
    "line ends": (b"a,b\r\n1,x\r\n2,y\n", ["Line 3 ends in LF", "CR LF"]),
    "control character": (b'a,"b\nc"\n1,2\n', ["column 2", "control character"]),
    "control character of Latin-1": ("a\x85,b\n1,2\n".encode(), ["column 1", "control character"]),
    "workbook or archive": (b"PK\x03\x04\x14\0\0", ["an Excel workbook or another ZIP archive", "CSV (UTF-8)"]),
    "old workbook": (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1\0", ["an old Excel workbook", "CSV (UTF-8)"]),
    "gzip": (b"\x1f\x8b\x08\0", ["gzip", "Content-Encoding: gzip"]),
    "zstd": (b"\x28\xb5\x2f\xfd\0", ["zstd", "Content-Encoding: zstd"]),
    "pdf": (b"%PDF-1.7\n\xe2", ["a PDF document"]),
    "parquet": (b"PAR1\x15\0", ["format=parquet"]),
    "page": (b"\xef\xbb\xbf \n<!DOCTYPE html>\n<html>", ["an HTML page"]),
    "page without doctype": (b"<HTML lang=en>\n", ["an HTML page"]),
    "title": (b"Sales report 2024\na,b\n1,2\n", ["Line 2 has 2 values", "1 column;", "remove a title"]),
    "title with a delimiter": (b"# Logger 7, North\na,b,c\n1,2,3\n", ["Line 2 has 3 values", "remove a title"]),
    "title above semicolons": (
        b"Umsatz 2024\na;b;c\n1;2;3\n",
        ["Line 1 has one value", "';' between", "remove a title"],
    ),
    "title in the first of the cells": (b"Umsatz;;\na;b;c\n1;2;3\n", ["lines below have 3", "remove a title"]),
    "no name for the first column": (
        b'"mpg";"cyl"\n"Mazda RX4";21;6\n"Datsun";22.8;4\n',
        ["Line 2 has 3 values", "put values that contain it in quotes", "R's write.table"],
    ),
    "decimal commas": (b"name,height\nBern,1,5\nChur,2,5\n", ["put values that contain it in quotes"]),
    "no name for the only column": (b"x\na,5\nb,6\n", ["remove a title", "R's write.table"]),
    "a title of two cells": (b"Report;2024\nname;city;job\nAnna;Bern;nurse\n", ["remove a title", "in quotes"]),
    "no name for the first of columns without values": (b'"m","c"\n"1",21,NA\n"2",NA,NA\n', ["R's write.table"]),
    "title of two lines": (
        b"Report 2024;\nBerlin branch;\nname;x\nA;3\nB;4\n",
        ["Line 1 has one value, where lines below have 2", "remove a title"],
    ),
    "first line empty": (b"\na,b\n", ["Line 1 is empty"]),
}


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("empty", [0, 1, 2, 20_000])
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ("b,2,3", " has 3 values, but the table has 2 columns; value 3, behind the last column, is '3': 'b,2,3'."),
        ("Total", " has 1 value, but the table has 2 columns; column 'x' has none: 'Total'."),
        ('"b\n\nc",2,3', " has 3 values, but"),
        ('b,"2', ", column 'x': a quote"),
    ],
)
def test_a_wrong_row_is_named_by_its_own_line_and_not_by_empty_ones_before_it(
    tmp_path: Path, read: Read, row: str, words: str, empty: int, end: str
) -> None:
    data = "\n".join(["name,x", "ü,1", *[""] * empty, row, ""]).replace("\n", end).encode()
    said = refused(tmp_path, read, MalformedDataError, data)
    assert said.startswith(f"Line {3 + empty}{words}"), said


def test_a_comma_in_a_late_text_of_one_column_is_no_name_of_a_row(tmp_path: Path, read: Read) -> None:
    said = refused(tmp_path, read, MalformedDataError, b"name\nSmith\nDoe, Jane\n")
    assert "Line 3 has 2 values" in said
    assert "put values that contain it in quotes" in said
    assert "write.table" not in said


def test_a_note_below_a_table_is_refused_with_what_to_do(tmp_path: Path, read: Read) -> None:
    for note in (b"Total\n", b"\nTotal", b"\nSource: Smith, Jones, and others\n", b"\n  \n"):
        said = refused(tmp_path, read, MalformedDataError, b"name,x\na,1\n" + note)
        assert said.endswith("Remove what is no row of the table, such as a note below it.")


def test_a_late_and_long_row_is_refused_with_its_line_and_all_its_values(tmp_path: Path, read: Read) -> None:
    data = b"name,x\n" + "äöü,1\n".encode() * 1_500_000 + b"\n\n" + b"b" * 20_000 + b",2,3\n" + b"c,3\n" * 9
    said = refused(tmp_path, read, MalformedDataError, data)
    assert said.startswith("Line 1500004 has 3 values, but the table has 2 columns; value 3")


@pytest.mark.parametrize("what", MALFORMED)
def test_a_malformed_csv_is_refused_with_the_place(tmp_path: Path, read: Read, what: str) -> None:
    data, words = MALFORMED[what]
    said = refused(tmp_path, read, MalformedDataError, data)
    assert [word for word in words if word not in said] == [], said


def test_what_looks_like_a_title_is_read_where_no_header_or_the_delimiter_is_told(tmp_path: Path, read: Read) -> None:
    read(b"Umsatz;;\na;b;c\n1;2;3\n", header=False)
    assert rows_of(tmp_path / "table")[0] == ("Umsatz", None, None)
    for told in ({"header": False}, {"delimiter": ","}):
        read(b"tags\na;b;c\n1;2;3\n", **told)
        assert rows_of(tmp_path / "table")[-2:] == [("a;b;c",), ("1;2;3",)]
    read(b"sep=,\ntags\na;b;c\n1;2;3\n")
    assert rows_of(tmp_path / "table") == [("a;b;c",), ("1;2;3",)]


def test_the_texts_of_one_column_on_the_page_that_look_like_a_table_are_refused_and_read_as_it_says(
    tmp_path: Path, read: Read
) -> None:
    page = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")
    found = re.search(r"Where texts of one column look so \(`(.*?)` above `(.*?)`, `(.*?)` and `(.*?)`\)", page)
    assert found
    data = "\n".join([*found.groups(), ""])
    assert "Line 1 has one value" in refused(tmp_path, read, MalformedDataError, data.encode())
    assert read(data.encode(), delimiter=",").rows == read(b"sep=,\n" + data.encode()).rows == 3


def test_texts_of_one_column_are_no_table_below_a_title(tmp_path: Path, read: Read) -> None:
    read(b"genres\nA|B|C\nD|E|F\n")
    assert rows_of(tmp_path / "table") == [("A|B|C",), ("D|E|F",)]


def test_the_first_of_several_columns_may_be_the_only_one_with_a_name(tmp_path: Path, read: Read) -> None:
    assert list(types_of(read(b"id\t\t\nA\tred\t1\nB\tblue\t2\n"))) == ["id", "column_2", "column_3"]


def test_what_stands_in_a_file_is_never_taken_for_a_message_of_duckdb(tmp_path: Path, read: Read) -> None:
    data = b"a,b\ngristmill-misfit:7 bad_alloc maximum_object_size\n"
    assert "Line 2 has 1 value," in refused(tmp_path, read, MalformedDataError, data)
    data = b'a,b\n1,2\n"x\nInvalid Input Error: gristmill-misfit:7\n",2,3\n'
    assert "Line 3 has 3 values" in refused(tmp_path, read, MalformedDataError, data)


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
     ("DOUBLE", "9007199254740993"), ("FLOAT", "16777217"), ("FLOAT", "16777217.0"), ("FLOAT", "1.6777217E7"),
     ("FLOAT", "-16777217.5"), ("FLOAT", "1e-50"), ("DOUBLE", "-1e-400")],
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


@pytest.mark.parametrize(
    ("kind", "written"),
    [("DATE", "2024-02-29"), ("TIMESTAMP", "2024-02-29T10:00:00"), ("TIMESTAMPTZ", "2024-02-29T10:00:00Z"),
     ("TIME", "10:00:00")],
)  # fmt: skip
def test_a_date_or_time_in_another_form_is_refused_with_the_one_that_is_read(
    tmp_path: Path, read: Read, kind: str, written: str
) -> None:
    said = refused(tmp_path, read, MalformedDataError, b"a,n\n1,29.08.2025 9 h\n", types={"n": kind})
    assert f"Write it as {written}, or give another type, or say which texts mean NULL." in said
    assert types_of(read(f"n\n{written}\n".encode()))["n"].startswith(kind[:9])


@pytest.mark.parametrize(
    ("value", "options", "part"),
    [("1,5", {}, "decimal=,"), ("1.234,5", {"decimal": ","}, "thousands separators are not read")],
)
def test_a_number_in_another_form_is_refused_with_what_to_do(
    tmp_path: Path, read: Read, value: str, options: dict[str, Any], part: str
) -> None:
    data = f"a;b\n1;{value}\n".encode()
    said = refused(tmp_path, read, MalformedDataError, data, delimiter=";", types={"b": "FLOAT"}, **options)
    assert f"'{value}' is no FLOAT" in said
    assert part in said


@pytest.mark.parametrize(("decimal", "value"), [(",", "1,5"), (".", "1,5"), (",", "1,234"), (".", "1.234")])
def test_a_decimal_mark_is_not_advised_where_it_is_given_or_the_type_has_none(
    tmp_path: Path, read: Read, decimal: str, value: str
) -> None:
    data = f"a;b\n1;{value}\n".encode()
    said = refused(tmp_path, read, MalformedDataError, data, decimal=decimal, types={"b": "BIGINT"})
    assert "decimal" not in said
    assert ("thousands" in said) == (value != "1,5")


@pytest.mark.parametrize(
    ("value", "decimal", "part"),
    [
        ("1.005", ".", "if it is a decimal point, DECIMAL(9,3) has room for all digits. Give another type, or"),
        ("-0.00550", ".", "Give another type (DECIMAL(9,4) has room for all digits), or"),
        ("12345678", ".", "(DECIMAL(10,2) has room for all digits)"),
        ("1,0055", ",", "(DECIMAL(9,4) has room for all digits)"),
        ("1.0055", ",", "Give another type, or"),
        ("9" * 38 + ".5", ".", "Give another type, or"),
    ],
)
def test_a_number_that_a_decimal_would_round_is_refused_with_the_decimal_that_does_not(
    tmp_path: Path, read: Read, value: str, decimal: str, part: str
) -> None:
    data = f"a;n\n1;{value}\n".encode()
    assert part in refused(tmp_path, read, MalformedDataError, data, types={"n": "DECIMAL(9,2)"}, decimal=decimal)
    if decimal == ".":
        data = f'{{"n":"{value}"}}\n'.encode()
        said = refused(tmp_path, read, MalformedDataError, data, "ndjson", types={"n": "DECIMAL(9,2)"})
        assert ("room" in said) == ("room" in part)


def test_a_number_with_a_plus_is_one_where_the_type_is_given(tmp_path: Path, read: Read) -> None:
    read(b"a,b,c\n+5,+16777216,+9007199254740992\n", types={"a": "INTEGER", "b": "FLOAT", "c": "DOUBLE"})
    assert rows_of(tmp_path / "table") == [(5, 2.0**24, 2.0**53)]


@pytest.mark.parametrize("text", ["0.1", "0.123456789", "1e11", "6.02e23", "1e-40", "0.0", "-0e5", "nan", "-inf"])
def test_a_number_is_the_nearest_float_where_that_is_given(tmp_path: Path, read: Read, text: str) -> None:
    read(f"a,b\n{text},{text}\n".encode(), types={"a": "FLOAT", "b": "DOUBLE"})
    ((short, double),) = rows_of(tmp_path / "table")
    assert repr(short) == repr(float(np.float32(text)))
    assert repr(double) == repr(float(text))


@pytest.mark.parametrize("text", ["2024-02-09", "2024/2/9", "2024-02-09T00:00", "2024-02-09 00:00:00.000"])
def test_a_date_may_be_given_for_days_written_in_other_ways_and_for_midnights(
    tmp_path: Path, read: Read, text: str
) -> None:
    read(f"a\n{text}\n".encode(), types={"a": "DATE"})
    assert rows_of(tmp_path / "table") == [(dt.date(2024, 2, 9),)]


def test_a_type_for_a_column_that_is_not_there_is_refused(tmp_path: Path, read: Read) -> None:
    assert "'b'" in refused(tmp_path, read, InvalidRequestError, b"a\n1\n", types={"b": "DATE"})
