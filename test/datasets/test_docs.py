"""What docs/datasets.md says of filters and values is so."""

import re
from pathlib import Path

import duckdb
import pytest

from gristmill.datasets import rows
from gristmill.datasets.cql import MOST_BYTES, MOST_LEVELS
from gristmill.datasets.filter_functions import FUNCTIONS
from gristmill.datasets.options import FORMATS, MEDIA_TYPES
from gristmill.datasets.queries import METRICS, Statement
from gristmill.datasets.row_formats import ROW_FORMATS

PAGE = (Path(__file__).parents[2] / "docs" / "datasets.md").read_text(encoding="utf-8")


def section(name: str) -> str:
    found = re.search(rf"^### {name}\n(.*?)^##", PAGE, re.MULTILINE | re.DOTALL)
    assert found, f"docs/datasets.md has no section {name}"
    return found[1]


def test_the_page_names_every_function_of_filters_and_no_other() -> None:
    table = {
        cells[1].strip(): cells[2]
        for cells in (row.split("|") for row in section("Filters").splitlines() if "|" in row)
    }
    named = {
        name
        for row in ("casts", "texts", "numbers", "parts of times")
        for name in re.findall(r"`(\w+)(?:\([^`]*)?`", table[row])
    }

    assert named == set(FUNCTIONS)


def test_the_page_names_every_metric_of_groups_and_no_other() -> None:
    listed = re.search(r"answers the quick questions: (.*?)\. It takes", PAGE, re.DOTALL)
    assert listed
    names = re.findall(r"`(\w+)(?:\([^`]*)?`", listed[1])

    assert sorted(names) == sorted(METRICS)


def test_the_page_names_every_format_of_rows_and_no_other() -> None:
    assert set(re.findall(r"`f=(\w+)`", PAGE)) == set(ROW_FORMATS)


def test_the_page_has_a_row_for_every_format_of_uploads_and_no_other() -> None:
    table = re.search(r"^\| Format \| Media type \|.*\n\|.*\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    named = {row.split("|")[1].strip().lower(): row.split("|")[2] for row in table[1].splitlines()}

    assert list(named) == list(FORMATS)
    for form, cell in named.items():
        assert MEDIA_TYPES[re.findall(r"`(.*?)`", cell)[0]] == form


def test_the_page_says_how_long_and_deep_a_filter_may_be() -> None:
    assert f"at most {MOST_BYTES:,} bytes and {MOST_LEVELS} levels" in section("Filters")


@pytest.mark.parametrize(
    ("sql", "in_json", "in_csv"),
    [
        ("9007199254740993", '"9007199254740993"', "9007199254740993"),
        ("1.10::DECIMAL(9,2)", '"1.10"', "1.10"),
        ("'nan'::DOUBLE", '"NaN"', "nan"),
        ("'-inf'::DOUBLE", '"-Infinity"', "-inf"),
        ("NULL::VARCHAR", "null", ""),
        ("''", '""', '""'),
        ("DATE '2024-02-29'", '"2024-02-29"', "2024-02-29"),
        ("TIME '10:00:00.25'", '"10:00:00.25"', "10:00:00.25"),
        ("TIMESTAMP '2024-02-29 10:00:00.5'", '"2024-02-29T10:00:00.5"', "2024-02-29 10:00:00.5"),
        ("TIMESTAMPTZ '2024-02-29 10:00:00+02'", '"2024-02-29T08:00:00Z"', "2024-02-29T08:00:00Z"),
        ("INTERVAL '1 month 2 days 3.5 seconds'", '"P1M2DT3.500000S"', "P1M2DT3.500000S"),
        ("MAP {'a': 1}", '[{"key":"a","value":1}]', '"[{""key"":""a"",""value"":1}]"'),
        ("{'a': [9007199254740993]}", '{"a":["9007199254740993"]}', '"{""a"":[""9007199254740993""]}"'),
    ],
)
def test_a_value_is_written_as_the_page_says(tmp_path: Path, sql: str, in_json: str, in_csv: str) -> None:
    with duckdb.connect() as connection:
        ((_, type_text, *_),) = connection.execute(f"DESCRIBE SELECT {sql}").fetchall()
        statement = Statement(f"SELECT {sql}", (), ("v",), (type_text,))
        found = rows.read(connection, statement, seconds=30).text.decode()
        rows.write(connection, statement, tmp_path / "v.csv", "csv", seconds=30)

    assert found == f'[{{"v":{in_json}}}]'
    assert (tmp_path / "v.csv").read_text() == f"v\n{in_csv}\n"
    if "{" not in in_json and in_json != '""':
        assert in_json in section("Values")
