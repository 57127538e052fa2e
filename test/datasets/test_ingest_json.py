"""JSON and NDJSON: what is in a file is in the table, exactly; or an error names the place."""

import datetime as dt
import json
import math
from pathlib import Path
from typing import Any

import pytest
from support.tables import Read, refused, rows_of, types_of

from gristmill.datasets import sample
from gristmill.errors import MalformedDataError


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


BROKEN_JSON = {
    ("ndjson", b""): ["empty"],
    ("ndjson", b'{"a":1}\n\n{"a":\n'): ["Line 3, column 6", "'{\"a\":'"],
    ("ndjson", b'{"a":1}\n5\n'): ["Line 2", "no object", "'5'"],
    ("ndjson", b'{"a":1}\nnull\n'): ["Line 2", "no object"],
    ("ndjson", b'{"a":1}\n{"a":1,"a":2}\n'): ["Line 2", "stands twice"],
    ("ndjson", b'[{"a":1}]'): ["Line 1", "application/json"],
    ("ndjson", b'{"a":1}\n\n{"b":1,"A":2}\n'): ["Line 3: the keys 'a' and 'A'"],
    ("ndjson", b'{"a":1}\n{"":null}'): ["Line 2: the object has a key without letters"],
    ("json", b'[{"a":1},{"A":2}]'): ["Object 2: the keys 'a' and 'A'"],
    ("ndjson", b"{}\n{}\n"): ["no columns"],
    ("json", b'{"a":1}'): ["one array of objects."],
    ("json", b'{"a":1}\n{"a":2}\n'): ["NDJSON"],
    ("json", b'{"a":[{"b":1}]}\r\n{"a":[]}\n'): ["NDJSON"],
    ("json", b'{"n":"[{","m":{"x":[{}]},\n"data": [\n{"a":[{}]},{}],"more":[{"a":1}]}'): [
        "under 'data' or 'more': send"
    ],
    ("json", b'{"a\\"":{"0":1,"1":2},"b":{"0":3,"1":4}}'): ['orient="records"'],
    ("json", b'{"columns":["a"],"index":[0],"data":[[1]]}'): ['orient="records"'],
    ("json", b'{"data":[{"a":1},\n{"a":2}]}'): ["The rows stand under 'data': send that array."],
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
    ("value", "kind"),
    [
        ('[9007199254740993,1.5]', "VARCHAR"),
        ('[{"a":-9007199254740993,"b":"9007199254740993"},{"a":1.5}]', "VARCHAR"),
        ('[{"id":9007199254740993,"x":1.5}]', "STRUCT(id BIGINT, x DOUBLE)[]"),
        ('[{"9007199254740993":"9007199254740993","x":[12345678901234567e3,0.12345678901234567]}]',
         'STRUCT("9007199254740993" VARCHAR, x DOUBLE[])[]'),
    ],
)  # fmt: skip
def test_no_whole_number_within_a_nested_value_is_rounded(tmp_path: Path, read: Read, value: str, kind: str) -> None:
    facts = read(f'{{"v":[]}}\n{{"v":{value}}}\n'.encode(), "ndjson")
    assert types_of(facts) == {"v": kind}
    found = rows_of(tmp_path / "table")[1][0]
    assert found == (value if kind == "VARCHAR" else json.loads(value))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ('[-5] [7]', "BIGINT[]"),
        ('{"HUGEINT":-1} {"HUGEINT":1152921504606846977}', "STRUCT(HUGEINT BIGINT)"),
        ('[-9223372036854775808] [9223372036854775807]', "BIGINT[]"),
        ('[7,1152921504606846977] [-5] [9223372036854775809]', "VARCHAR"),
        ('{"id":1,"hash":-1} {"id":2,"hash":13835058055282163713}', "VARCHAR"),
    ],
)  # fmt: skip
def test_whole_numbers_of_both_signs_within_nested_values_stay_whole(
    tmp_path: Path, read: Read, values: str, kind: str
) -> None:
    facts = read("".join(f'{{"v":{value}}}\n' for value in values.split()).encode(), "ndjson")
    assert types_of(facts) == {"v": kind}
    found = [row[0] for row in rows_of(tmp_path / "table")]
    assert found == (values.split() if kind == "VARCHAR" else list(map(json.loads, values.split())))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (['"Infinity"'], "VARCHAR"),
        (['"NaN"', "null", '"NaN"'], "VARCHAR"),
        (['"NaN"', "1.5", '"-Infinity"'], "DOUBLE"),
        (['"NaN"', "1"], "DOUBLE"),
        (['"NaN"', '"x"'], "VARCHAR"),
        ([*['"NaN"'] * 30_000, "1"], "DOUBLE"),
    ],
)
def test_the_names_of_what_is_not_finite_are_numbers_among_numbers_alone(
    read: Read, values: list[str], kind: str
) -> None:
    facts = read("".join(f'{{"v":{value}}}\n' for value in values).encode(), "ndjson")
    assert types_of(facts) == {"v": kind}


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        ('[1e400]', "VARCHAR"),
        ('{"x":-1E+0400,"y":"Infinity"}', "VARCHAR"),
        (f'[1{"0" * 250}e99]', "VARCHAR"),
        ('{"Infinity":[1e300,1e-400]}', "STRUCT(Infinity DOUBLE[])"),
    ],
)  # fmt: skip
def test_no_number_within_a_nested_value_becomes_infinite(tmp_path: Path, read: Read, value: str, kind: str) -> None:
    facts = read(b"{}\n" * 30_000 + f'{{"v":{value}}}\n'.encode(), "ndjson")
    assert types_of(facts) == {"v": kind}
    found = rows_of(tmp_path / "table")[30_000][0]
    assert found == (value if kind == "VARCHAR" else json.loads(value))


@pytest.mark.parametrize(
    ("levels", "item", "kind"),
    [
        (16, "1", "BIGINT" + "[]" * 16),
        (17, "1", "VARCHAR"),
        (16, '"x"', "VARCHAR" + "[]" * 16),
        (17, '"x"', "VARCHAR"),
        (90, "1", "VARCHAR"),
        (200, '"x"', "VARCHAR"),
    ],
)
def test_values_of_json_of_many_levels_are_text(tmp_path: Path, read: Read, levels: int, item: str, kind: str) -> None:
    deep = "[" * levels + item + "]" * levels
    many = '{"c":"y"},' * 30
    facts = read(f'{{"a":{deep},"b":[{{"c":"[{{"}},{many}{{"c":"x"}}]}}\n'.encode(), "ndjson")
    assert types_of(facts) == {"a": kind, "b": "STRUCT(c VARCHAR)[]"}
    assert kind != "VARCHAR" or rows_of(tmp_path / "table")[0][0] == deep
