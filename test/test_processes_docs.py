"""docs/processes.md: its examples run as they stand there, and it says all that the code offers."""

import inspect
import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.stored import stored

from gristmill import DataSet, Table
from gristmill.datasets.queries import METRICS
from gristmill.errors import ConfigurationError, InvalidInputsError
from gristmill.fetch import Fetcher
from gristmill.processes import Process, RunContext, load_registry
from gristmill.processes.authoring import process as decorator
from gristmill.processes.encoders import CSV, JSON, PARQUET, TEXT
from gristmill.processes.query_result import QueryResult
from gristmill.settings import Settings

REPOSITORY = Path(__file__).parents[1]
PAGE = (REPOSITORY / "docs" / "processes.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
BUILT_IN: dict[str, Any] = dict(load_registry(REPOSITORY / "docs"))  # where no process is
CONTEXT = RunContext(lambda *_: None, Path, Fetcher(Settings()))


@pytest.fixture
def offered(tmp_path: Path) -> dict[str, Process]:
    """The processes of the page, each in a file of its own."""
    for text in EXAMPLES:
        if "\n@process" in text:
            name = re.findall(r"^def (\w+)", text, re.MULTILINE)[-1]
            (tmp_path / f"{name}.py").write_text(text)
    return dict(load_registry(tmp_path))


def test_every_example_is_a_process(offered: dict[str, Process]) -> None:
    assert {"celsius", "frost_days", "mean_by", "straight_line", "area_under", "longest_word"} <= set(offered)


def test_the_first_example_is_described_as_the_page_says(offered: dict[str, Process]) -> None:
    shown = re.findall(r"^```json\n(\{.*?)^```", PAGE, re.MULTILINE | re.DOTALL)[0]

    assert offered["celsius"].describe() == json.loads(shown)
    assert offered["celsius"].run({"fahrenheit": 212}, CONTEXT)[0].data == b"100.0"


def test_the_example_of_several_outputs_gives_them(offered: dict[str, Process]) -> None:
    table = "a,b\n0,1\n1,3\n7,\n,9\n2,5\n"  # what is missing is no 0
    outputs = offered["straight_line"].run({"table": table, "x": "a", "y": "b"}, CONTEXT)

    assert [one.name for one in outputs] == ["slope", "offset", "residuals", "plot"]
    assert json.loads(outputs[0].data) == pytest.approx(2)
    assert outputs[3].media_type == "image/svg+xml"


@pytest.mark.parametrize("example", ["straight_line", "area_under"])
def test_the_examples_that_draw_take_any_name_of_a_column(offered: dict[str, Process], example: str) -> None:
    table = {r"low_$_\frac$": [0, 1, 2], "$_$": [1, 3, 5]}
    outputs = offered[example].run({"table": table, "x": r"low_$_\frac$", "y": "$_$"}, CONTEXT)

    assert outputs[-1].name == "plot"


def test_the_example_that_draws_on_demand_draws_where_it_is_wanted(offered: dict[str, Process]) -> None:
    def outputs(*wanted: str) -> list[str]:
        inputs = {"table": {"x": [0, 1, None, 2], "y": [0, 1, 9, 0]}, "x": "x", "y": "y"}
        found = offered["area_under"].run(inputs, replace(CONTEXT, outputs=wanted))
        assert json.loads(found[0].data) == 1.0
        return [one.name for one in found]

    assert outputs("area") == ["area"]
    assert outputs() == ["area", "plot"]


def test_the_example_that_asks_a_data_set_answers(offered: dict[str, Process]) -> None:
    (output,) = offered["mean_by"].run(
        {"table": {"x": [1, 2, 6], "g": ["a", "a", "b"]}, "column": "x", "by": "g"}, CONTEXT
    )

    assert json.loads(output.data)["rows"] == [["a", 1.5], ["b", 6.0]]
    (same,) = offered["mean_by"].run({"table": {"mean": [1, 2, 2]}, "column": "mean", "by": "mean"}, CONTEXT)
    assert json.loads(same.data)["rows"] == [[1, 1.0], [2, 2.0]]


def test_the_example_that_asks_a_data_set_shows_floats_as_rows_do(offered: dict[str, Process], tmp_path: Path) -> None:
    data, _ = stored(tmp_path, "SELECT unnest([0.1, 0.2, 0.2])::FLOAT AS f")

    table = offered["mean_by"].function(data, "f", "f")

    assert table.to_json()["rows"] == [[0.1, 0.1], [0.2, 0.2]]


WRONG = {"x": [2, 1, 3], "y": [1, 2, 3], "g": ["a", "a", "b"], "t": ["2024-01-01", "2024-01-02", "2024-01-03"]}


@pytest.mark.parametrize(
    ("example", "inputs", "fault"),
    [
        ("mean_by", {"column": "none", "by": "g"}, "/inputs/column must be one of ['x', 'y', 'g', 't']"),
        ("mean_by", {"column": "x", "by": "none"}, "/inputs/by must be one of ['x', 'y', 'g', 't']"),
        ("mean_by", {"column": "g", "by": "g"}, "/inputs/column must be one of ['x', 'y']"),
        ("mean_by", {"column": "t", "by": "g"}, "/inputs/column must be one of ['x', 'y']"),
        ("straight_line", {"x": "g", "y": "y"}, "/inputs/x must be a column of numbers"),
        ("straight_line", {"x": "x", "y": "none"}, "/inputs/y must be a column of numbers"),
        ("area_under", {"x": "y", "y": "g"}, "/inputs/y must be a column of numbers"),
        ("area_under", {"x": "t", "y": "y"}, "/inputs/x must be a column of numbers"),
        ("area_under", {"x": "none", "y": "y"}, "/inputs/x must be a column of numbers"),
        ("area_under", {"x": "x", "y": "y"}, "/inputs/x must not fall from one row to the next"),
    ],
)
def test_the_examples_name_the_input_that_is_wrong(
    offered: dict[str, Process], example: str, inputs: dict[str, str], fault: str
) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        offered[example].run({"table": WRONG} | inputs, CONTEXT)

    assert caught.value.detail == fault


def test_every_way_to_name_a_data_set_on_the_page_is_one(offered: dict[str, Process]) -> None:
    forms = re.search(r"or by reference:\n\n```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert forms
    for line in forms[1].splitlines():
        offered["mean_by"].check({"column": "x", "by": "g"} | json.loads(line))


def test_every_way_to_take_rows_that_the_page_names_gives_them() -> None:
    row = re.search(r"^\| `table\.query\(sql, values\)` \| (.*) \|$", PAGE, re.MULTILINE)
    assert row
    ways = re.findall(r"`\.(\w+)(?:\((\w*)\))?`", row[1])
    assert {name for name, _ in ways} == {name for name in vars(QueryResult) if not name.startswith("_")}
    table = DataSet.of({"x": [1]})
    for name, argument in ways:
        way = getattr(table.query(f"SELECT x FROM {table.sql} WHERE x = ?", [1]), name)
        assert len(way(*map(int, filter(None, [argument]))) if callable(way) else way) == 1


def test_every_form_of_a_table_on_the_page_is_one() -> None:
    forms = re.search(r"any of these forms:\n\n```json\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert forms
    for line in forms[1].splitlines():
        assert list(Table.from_json(json.loads(line))) == ["city", "height"]


def test_the_tests_of_the_page_pass(
    offered: dict[str, Process], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    folder = tmp_path / "here" / "processes"
    folder.mkdir(parents=True)
    (folder / "longest_word.py").write_text((tmp_path / "longest_word.py").read_text())
    monkeypatch.chdir(tmp_path / "here")
    ran = 0
    for text in EXAMPLES:
        if "\ndef test_" in text:
            names: dict[str, object] = {}
            exec(text, names)
            for name, test in names.items():
                if name.startswith("test_") and callable(test):
                    test(**({"tmp_path": tmp_path} if "tmp_path" in inspect.signature(test).parameters else {}))
                    ran += 1
    assert ran == 2


def test_the_page_and_the_description_of_groupby_name_every_metric_and_no_other() -> None:
    row = re.search(r"^\| `metrics` \| `count\(\)` \(the default\), and of a column (.*?): as in", PAGE, re.MULTILINE)
    described = re.search(
        r"of a column (.*?)\. A name", BUILT_IN["groupby"].describe()["inputs"]["metrics"]["description"]
    )
    assert row
    assert described
    for listed in (row[1].replace("`", ""), described[1]):
        names = [one.partition("(")[0] for one in re.split(r", (?![0-9])", listed)]
        assert sorted(names) == sorted([*METRICS, "p90"])


def test_the_page_lists_every_built_in_process_as_what_ships_and_no_other() -> None:
    table = re.search(r"^## What ships\n\n\| process \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", PAGE, re.MULTILINE)
    assert table
    assert sorted(re.findall(r"^\| `(\w+)` \|", table[1], re.MULTILINE)) == sorted(BUILT_IN)


@pytest.mark.parametrize("process_id", sorted(set(BUILT_IN) - {"echo"}))  # whose outputs are its inputs
def test_the_page_has_a_row_for_every_output_of_a_built_in_process_and_no_other(process_id: str) -> None:
    sections = re.split(r"^##+ ", PAGE, flags=re.MULTILINE)
    found = [text for text in sections if process_id in text.partition("\n")[0].split()]
    assert len(found) == 1, f"docs/processes.md needs one section `### {process_id}`, with a table of its outputs"
    (section,) = found
    tables = re.findall(
        rf"^\| output(?: of `{process_id}`)? \| \|\n\| --- \| --- \|\n((?:\|.*\n)+)", section, re.MULTILINE
    )
    names = [name for row in "".join(tables).splitlines() for name in re.findall(r"`(\w+)`", row.split("|")[1])]

    assert sorted(names) == sorted(BUILT_IN[process_id].describe()["outputs"])


def test_no_page_links_to_the_example_which_a_team_may_delete() -> None:
    pages = [*REPOSITORY.glob("*.md"), *(REPOSITORY / "docs").rglob("*.md")]
    assert [page.name for page in pages if "processes/outliers.py)" in page.read_text(encoding="utf-8")] == []


def test_the_message_of_a_broken_file_is_the_one_on_the_page(tmp_path: Path) -> None:
    shown = re.search(r"processes/report\.py:12: (.*)", PAGE)
    (tmp_path / "report.py").write_text("from gristmill import process\n@process\ndef report(start) -> int: ...\n")

    with pytest.raises(ConfigurationError) as caught:
        load_registry(tmp_path)

    assert shown
    assert caught.value.detail == f"{tmp_path}/report.py:3: {shown[1]}"


def test_the_page_names_every_argument_with_its_default_and_every_media_type() -> None:
    for name, parameter in inspect.signature(decorator).parameters.items():
        if parameter.kind is parameter.KEYWORD_ONLY:
            row = re.search(rf"^\| `{name}` \| (.*?) \|", PAGE, re.MULTILINE)
            assert row, f"docs/processes.md does not name {name}"
            assert name == "title" or row[1].strip("`") in {str(parameter.default), f'"{parameter.default}"'}
    assert all(one in PAGE for one in (JSON, TEXT, CSV, PARQUET))
