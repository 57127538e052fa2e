"""The processes of statistics as users meet them: described, checked and run as jobs are."""

import csv
import io
import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import duckdb
import pytest

from gristmill.datasets.descriptions import ColumnText
from gristmill.errors import InvalidInputsError
from gristmill.fetch import Fetcher
from gristmill.processes import RunContext, load_registry
from gristmill.processes.references import Reference
from gristmill.processes.workspace import OpenVersion
from gristmill.settings import Settings

REGISTRY = load_registry(Path(__file__).parents[1] / "processes")
CONTEXT = RunContext(lambda *_: None, Path, Fetcher(Settings()))
TABLE = {
    "g": ["a", "b", "a", "b", "c", "a"],
    "x": [1.0, 2.0, 3.0, 4.5, 5.0, "NaN"],
    "y": [2.0, 3.9, 6.1, 8.0, 9.9, 1.0],
}
INPUTS: dict[str, dict[str, Any]] = {
    "groupby": {"by": ["g"], "metrics": "mean(x), count()"},
    "regression": {"y": "y", "x": ["x"]},
    "correlation": {"columns": ["x", "y"]},
}


@pytest.mark.parametrize("name", INPUTS)
def test_outputs_are_a_table_numbers_and_a_picture_in_two_forms(name: str) -> None:
    inputs = {"table": TABLE} | INPUTS[name]
    REGISTRY[name].check(inputs)

    outputs = {one.name: one for one in REGISTRY[name].run(inputs, CONTEXT)}

    assert {one.name: one.media_type.partition(";")[0] for one in outputs.values()} == {
        "table": "text/csv", name: "application/json", "plot": "image/png", "plot_svg": "image/svg+xml",
    }  # fmt: skip
    assert len(list(csv.reader(io.StringIO(outputs["table"].data.decode())))) > 1
    assert json.loads(outputs[name].data)["rows"] == 6
    described: Any = REGISTRY[name].describe()["outputs"]
    assert list(described) == list(outputs)


WAYS = "SELECT * FROM (VALUES ('a', 1.5, 2), ('b', 2.5, 4), ('a', 3, 7)) t(g, x, y)"


def opener(folder: Path, statement: str = WAYS) -> Any:
    """Opens a version from a database file, whose column y is in km."""

    def open_version(_: Reference, attach: Any, _kept: OpenVersion | None) -> OpenVersion:
        file = folder / "version.db"
        if not file.exists():
            with duckdb.connect(str(file)) as made:
                made.execute(f"CREATE TABLE data AS {statement}")
        with duckdb.connect(str(file), read_only=True) as opened:
            ((rows,),) = opened.execute("SELECT count(*) FROM data").fetchall()
        return OpenVersion(attach(file, "data"), rows, ExitStack(), {"y": ColumnText("Way.", "km")})

    return open_version


@pytest.mark.parametrize(
    ("name", "label"), [("groupby", "sum(y) (km)"), ("regression", "y (km)"), ("correlation", "y")]
)
def test_stored_versions_are_asked_where_they_lie_and_lend_their_units(name: str, label: str, tmp_path: Path) -> None:
    context = RunContext(lambda *_: None, Path, Fetcher(Settings()), opener(tmp_path))
    inputs = {"table": {"dataset": "ways", "version": "ab" * 32}} | INPUTS[name]
    inputs |= {"metrics": "sum(y)"} if name == "groupby" else {}

    outputs = {one.name: one.data for one in REGISTRY[name].run(inputs, context)}

    assert json.loads(outputs[name])["rows"] == 3
    assert f">{label}<" in outputs["plot_svg"].decode()


@pytest.mark.parametrize(
    ("name", "inputs"),
    [
        ("summary", {}),
        ("histogram", {"column": "x"}),
        ("scatter", {"x": "x", "y": "y"}),
        ("groupby", {"by": ["g"], "metrics": "sum(x), mean(x), min(x), max(x), median(x), stddev(x), p90(x)"}),
        ("regression", {"y": "y", "x": ["x"]}),
        ("regression", {"y": "x", "x": ["y"]}),
        ("correlation", {"method": "pearson"}),
        ("correlation", {"method": "spearman"}),
        *(("timeseries", {"time": "t", "values": ["x"], "aggregate": one}) for one in ("mean", "minimum", "median")),
    ],
)
def test_floats_are_the_numbers_that_rows_show(name: str, inputs: dict[str, Any], tmp_path: Path) -> None:
    given = []
    for type_text in ("FLOAT", "DOUBLE"):
        rows = "(1, 0.1, 2), (1, 0.2, 4.3), (2, 0.3, 6), (2, 0.7, 9), (2, 0.5, 7.1)"
        statement = f"SELECT g, x::{type_text} AS x, y, DATE '2024-01-01' AS t FROM (VALUES {rows}) r(g, x, y)"
        (folder := tmp_path / type_text).mkdir()
        context = RunContext(lambda *_: None, Path, Fetcher(Settings()), opener(folder, statement))
        inputs["table"] = {"dataset": "ways", "version": "ab" * 32}
        outputs = REGISTRY[name].run(inputs, context)
        given.append({one.name: one.data for one in outputs if not one.media_type.startswith("image/")})

    assert given[0] == given[1]


@pytest.mark.parametrize("name", INPUTS)
def test_equal_inputs_give_equal_outputs(name: str) -> None:
    inputs = {"table": TABLE} | INPUTS[name]

    first, second = (REGISTRY[name].run(inputs, CONTEXT) for _ in range(2))

    assert [one.data for one in first] == [one.data for one in second]
    assert REGISTRY[name].limits.deterministic


@pytest.mark.parametrize(
    ("name", "wrong", "pointer"),
    [
        ("groupby", {"by": []}, "/inputs/by"),
        ("groupby", {"shown": 0}, "/inputs/shown"),
        ("regression", {"x": []}, "/inputs/x"),
        ("regression", {"intercept": 1}, "/inputs/intercept"),
        ("correlation", {"columns": ["x"]}, "/inputs/columns"),
        ("correlation", {"method": "kendall"}, "/inputs/method"),
    ],
)
def test_what_a_description_rules_out_is_refused_before_the_run(name: str, wrong: dict[str, Any], pointer: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        REGISTRY[name].check({"table": TABLE} | INPUTS[name] | wrong)

    assert [fault.pointer for fault in caught.value.faults] == [pointer]
