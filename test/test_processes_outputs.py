"""Outputs: read off return types, described, and written as bytes."""

import dataclasses
import datetime
import json
import math
from collections.abc import Callable, Collection
from typing import Annotated, Any, NamedTuple, NotRequired, TypedDict

import numpy as np
import pytest
from matplotlib.figure import Figure
from pydantic import BaseModel, Field, PlainSerializer

from gristmill.errors import ConfigurationError, Fault
from gristmill.processes import DataSet, MediaType, OnDemand, Output, ProducedOutput, Table
from gristmill.processes.outputs import Outputs, declare_outputs


class Model(BaseModel):
    """A model.

    Attributes:
        mean: The mean.
    """

    mean: float
    label: Annotated[str, Field(description="A label.", title="Label!")] = "x"


class Free(BaseModel):
    """A model whose field may have anything."""

    found: Any


class Dictionary(TypedDict):
    """A dictionary.

    Attributes:
        mean: The mean.
    """

    mean: float
    note: NotRequired[str]
    other: int | None


@dataclasses.dataclass
class Data:
    mean: float
    text: Annotated[str, MediaType("text/markdown")]
    picture: Annotated[bytes, MediaType("image/webp")]


@dataclasses.dataclass
class Peak:
    """A part of an output; nothing checks what stands in its fields."""

    index: int
    height: Annotated[float, Field(alias="h")]
    unit: str = dataclasses.field(init=False, default="")

    def __post_init__(self) -> None:
        """Count how often it has run."""
        self.unit += "m"


@dataclasses.dataclass(frozen=True, slots=True)
class Curve:
    points: list[float]
    peaks: tuple[Peak, ...] = ()
    own: Annotated[Any, PlainSerializer(lambda value: value.tolist())] = dataclasses.field(
        default_factory=lambda: np.zeros(1)
    )


@dataclasses.dataclass
class Loose:
    found: Any


class Named(NamedTuple):
    mean: float
    table: Annotated[Table, MediaType("text/csv")]


class Drawn(TypedDict):
    mean: float
    plot: Annotated[OnDemand[bytes], MediaType("image/webp")]
    map: NotRequired[OnDemand[Figure | None]]


def written(hint: Any, value: object) -> ProducedOutput:
    (only,) = declare_outputs(hint).encode(value)
    return only


def produced(outputs: Outputs, value: object, wanted: Collection[str] = ()) -> dict[str, tuple[str, bytes]]:
    return {one.name: (one.media_type, one.data) for one in outputs.encode(value, wanted)}


@pytest.mark.parametrize(
    ("hint", "value", "text"),
    [
        (int, 3, "3"),
        (float, 2, "2.0"),
        (bool, True, "true"),
        (datetime.date, datetime.date(2024, 2, 29), '"2024-02-29"'),
        (list[int], [1, 2], "[1,2]"),
        (dict[str, float], {"a": 1.5}, '{"a":1.5}'),
        (Annotated[Model, Output("fit")], Model(mean=1), '{"mean":1.0,"label":"x"}'),
        (list[Model], [Model(mean=1)], '[{"mean":1.0,"label":"x"}]'),
        (float, math.nan, '"NaN"'),
        (list[float], [math.inf, -math.inf], '["Infinity","-Infinity"]'),
        (Annotated[Model, Output("fit")], Model(mean=math.nan), '{"mean":"NaN","label":"x"}'),
        (float, np.float32(0.1), "0.1"),
        (list[float], [np.float32(0.1), np.longdouble("0.5")], "[0.1,0.5]"),
        (Any, {"a": np.array([[0.1], [np.nan]], "f4")}, '{"a":[[0.1],["NaN"]]}'),
        (np.ndarray, np.array([0.1, 2], "f4"), "[0.1,2.0]"),
        (dict[Any, int], {(1, np.int64(2)): 3}, '{"1,2":3}'),
        (int, np.int64(7), "7"),
        (bool, np.bool_(True), "true"),
        (list[float], np.array([1.0, math.nan]), '[1.0,"NaN"]'),
        (dict[str, Any], {"a": np.array([[1, 2]]), "b": [np.float64(1.5)]}, '{"a":[[1,2]],"b":[1.5]}'),
        (np.ndarray, np.array([[1, 2], [3, 4]]), "[[1,2],[3,4]]"),
        (np.ndarray, np.array([math.nan, 1]), '["NaN",1.0]'),
        (dict, {"a": math.nan, "b": {"c": math.inf}}, '{"a":"NaN","b":{"c":"Infinity"}}'),
        (list, [math.nan, [-math.inf]], '["NaN",["-Infinity"]]'),
        (list[dict], [{"a": math.nan, "b": np.float32("inf")}], '[{"a":"NaN","b":"Infinity"}]'),
        (dict[str, Any], {"a": np.array([math.nan]), "b": np.float64("nan")}, '{"a":["NaN"],"b":"NaN"}'),
        (dict[str, object], {"a": [math.inf]}, '{"a":["Infinity"]}'),
        (Annotated[Free, Output("fit")], Free(found=[math.nan]), '{"found":["NaN"]}'),
        (list[Free], [Free(found={"a": math.inf})], '[{"found":{"a":"Infinity"}}]'),
        (list[Free], [Free(found=[np.int64(1), {np.int8(2): np.array([0.1], "f4")}])], '[{"found":[1,{"2":[0.1]}]}]'),
        (Annotated[Free, Output("fit")], Free(found=np.float32(0.1)), '{"found":0.1}'),
        (list[Peak], [Peak(np.int64(1), np.float32(0.1))], '[{"index":1,"height":0.1,"unit":"m"}]'),
        (dict[str, Curve], {"a": Curve(np.array([0.1], "f4"))}, '{"a":{"points":[0.1],"peaks":[],"own":[0.0]}}'),
        (
            list[Curve | Peak],
            [Curve([], [Peak(np.int8(3), 4)])],
            '[{"points":[],"peaks":[{"index":3,"height":4,"unit":"m"}],"own":[0.0]}]',
        ),
        (dict, {"a": Loose(Peak(np.int64(1), None))}, '{"a":{"found":{"index":1,"height":null,"unit":"m"}}}'),
        (Any, Loose({"a": np.array([math.nan])}), '{"found":{"a":["NaN"]}}'),
        (bytes | None, None, None),
    ],
)
def test_a_returned_value_is_written_as_json(hint: Any, value: object, text: str | None) -> None:
    outputs = declare_outputs(hint).encode(value)

    assert [one.data.decode() for one in outputs] == ([] if text is None else [text])
    assert all(one.media_type == "application/json" for one in outputs)


def test_a_value_within_itself_fails_by_the_name_of_its_output() -> None:
    endless: list[Any] = []
    endless.append(endless)
    around = Loose(None)
    around.found = around

    with pytest.raises(TypeError, match="output 'result' is nested too deep, or in itself"):
        declare_outputs(list[Any]).encode(endless)
    for value in (Loose(endless), around):
        with pytest.raises(TypeError, match="output 'result' cannot be written as JSON: Circular reference"):
            declare_outputs(list[Loose]).encode([value])


def test_what_was_returned_is_left_as_it_was() -> None:
    peak = Peak(np.int64(1), 2)

    declare_outputs(list[Peak]).encode([peak])

    assert type(peak.index) is np.int64


def test_missing_values_of_pandas_are_null() -> None:
    pandas = pytest.importorskip("pandas")
    (output,) = declare_outputs(dict[str, Any]).encode({"a": [pandas.NA, pandas.NaT]})
    with pytest.raises(TypeError, match=r"output 'result'\['a'\]\['found'\] cannot be written as JSON"):
        declare_outputs(dict[str, Loose]).encode({"a": Loose(pandas.NaT)})  # which Pydantic takes for a time

    assert output.data == b'{"a":[null,null]}'


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (
            np.array(["2024-01-01", "2024-01-01T00:00:00.5", "NaT"], "M8[ns]"),
            '["{day}T00:00:00","{day}T00:00:00.500000",null]',
        ),
        (np.array([["2024-01-01T00:00:00.123456780"], ["NaT"]], "M8[ns]"), '[["{day}T00:00:00.12345678"],[null]]'),
        (np.array(["2024-01-01"], "M8[D]"), '["{day}"]'),
        (np.array(["12024-01-01"], "M8[s]"), '["1{day}T00:00:00"]'),
        (np.ma.array(["2024-01-01", "NaT"], "M8[ns]", mask=[True, False]), "[null,null]"),
        (np.array([2 * 10**9, None], "m8[ns]"), '["PT2S",null]'),
        (np.array([1], "m8[ns]"), '["P0M0DT0.000000001S"]'),
        (np.array([14], "m8[M]"), '["P14M0DT0.000000S"]'),
    ],
)
def test_times_of_numpy_are_text_whatever_their_unit(values: Any, text: str) -> None:
    text = text.replace("{day}", "2024-01-01")

    assert written(np.ndarray, values).data.decode() == text
    assert written(dict, {"a": values}).data.decode() == f'{{"a":{text}}}'
    assert written(list[Free], [Free(found=values)]).data.decode() == f'[{{"found":{text}}}]'


def test_times_in_nanoseconds_are_what_was_declared() -> None:
    times = np.array(["2024-01-01T00:00:00.5", "2024-01-03"], "M8[ns]")

    assert written(datetime.timedelta, times[1] - times[0]).data == b'"P1DT23H59M59.5S"'
    assert written(list[datetime.datetime], times).data == b'["2024-01-01T00:00:00.500000","2024-01-03T00:00:00"]'
    with pytest.raises(TypeError, match=r"output 'result'\[0\] does not match its declared type"):
        written(list[int], times)


@pytest.mark.parametrize(
    ("hint", "value", "media_type", "start"),
    [
        (str, 'Ä "b', "text/plain; charset=utf-8", 'Ä "b'.encode()),
        (bytes, b"\x00\x01", "application/octet-stream", b"\x00\x01"),
        (Annotated[bytes, MediaType("application/pdf")], b"%PDF", "application/pdf", b"%PDF"),
        (Annotated[str, MediaType("text/html")], "<p>Ä", "text/html", "<p>Ä".encode()),
        (str, 'a"Ä', "text/plain; charset=utf-8", 'a"Ä'.encode()),
        (str | None, "x", "text/plain; charset=utf-8", b"x"),
        (Figure, Figure(), "image/png", b"\x89PNG"),
        (Annotated[Figure, MediaType("image/svg+xml")], Figure(), "image/svg+xml", b"<?xml"),
        (Annotated[Figure, MediaType("application/pdf")], Figure(), "application/pdf", b"%PDF"),
        (Annotated[Table, MediaType("text/csv")], Table.from_columns({"a": [1]}), "text/csv", b"a\r\n1\r\n"),
        (Table, Table.from_columns({"a": [1]}), "application/json", b'{"columns":[{"name":"a","type":"integer"}]'),
    ],
)
def test_a_returned_file_has_its_media_type(hint: Any, value: object, media_type: str, start: bytes) -> None:
    output = written(hint, value)

    assert output.media_type == media_type
    assert output.data.startswith(start)


def test_the_only_output_is_called_result_or_as_the_annotation_says() -> None:
    assert written(float, 1.0).name == "result"
    assert written(Annotated[float, Output("mean")], 1.0).name == "mean"


@pytest.mark.parametrize("hint", [Model, Dictionary, Data, Named])
def test_the_fields_of_a_structure_are_outputs(hint: Any) -> None:
    fields = dataclasses.fields(hint) if dataclasses.is_dataclass(hint) else ()
    expected = [one.name for one in fields] or list(getattr(hint, "model_fields", hint.__annotations__))

    assert [one.name for one in declare_outputs(hint).all] == expected


def test_outputs_are_described_from_annotations_and_docstring() -> None:
    described = {one.name: one.describe() for one in declare_outputs(Model).all}

    assert described == {
        "mean": {"title": "Mean", "description": "The mean.", "schema": {"type": "number"}},
        "label": {"title": "Label!", "description": "A label.", "schema": {"type": "string"}},
    }
    assert declare_outputs(Dictionary).all[0].description == "The mean."


def test_each_field_is_written_in_its_own_media_type() -> None:
    assert produced(declare_outputs(Data), Data(1, "# T", b"RIFF")) == {
        "mean": ("application/json", b"1.0"),
        "text": ("text/markdown", b"# T"),
        "picture": ("image/webp", b"RIFF"),
    }
    named = produced(declare_outputs(Named), Named(2, Table.from_columns({"a": [1]})))
    assert named == {"mean": ("application/json", b"2.0"), "table": ("text/csv", b"a\r\n1\r\n")}


def test_an_optional_output_that_is_not_there_is_left_out() -> None:
    outputs = declare_outputs(Dictionary)

    assert produced(outputs, {"mean": 1.0, "other": None}).keys() == {"mean"}
    assert produced(outputs, {"mean": 1.0, "other": 2, "note": "n"}).keys() == {"mean", "note", "other"}


@pytest.mark.parametrize(
    ("hint", "value", "message"),
    [
        (float, "x", r"output 'result' does not match its declared type: .*valid number.*'x' \(str\)"),
        (list[int], [1, "x"], r"output 'result'\[1\] does not match"),
        (dict, {frozenset([np.int64(1), np.int64(2)]): 3}, "output 'result' cannot be written as JSON: unhashable"),
        (dict[str, Any], {"good": "x", "bad": "\udc80"}, r"output 'result'\['bad'\] cannot be written as JSON"),
        (dict[str, Any], {"a": object()}, r"output 'result'\['a'\] cannot be written as JSON"),
        (dict, {"a": [1, {"b": np.array([1]), "c": object()}]}, r"output 'result'\['a'\]\[1\]\['c'\] cannot be"),
        (dict, {"a": Loose([b"\xff", Free(found=object())])}, r"'result'\['a'\]\['found'\]\[1\]\['found'\] cannot be"),
        (list[Peak], [Peak(1, 2), Loose(1)], r"output 'result'\[1\] does not match.* not Loose"),
        (bytes, "text", r"is 'text' \(str\), where the process declares bytes"),
        (Annotated[str, MediaType("text/plain")], b"x", "declares text"),
        (Figure, b"x", "declares Figure"),
        (Table, {"a": [1]}, "declares Table"),
        (Model, {"mean": 1}, "where it declares Model"),
        (Dictionary, Model(mean=1), "where it declares Dictionary"),
        (Dictionary, {"other": 1}, "no value for its output 'mean'"),
        (Dictionary, {"mean": 1.0, "other": 1, "extra": 2}, "returned extra, which Dictionary does not declare"),
        (float, None, "does not match its declared type"),
    ],
)
def test_a_value_that_was_not_declared_is_a_clear_error(hint: Any, value: object, message: str) -> None:
    with pytest.raises(TypeError, match=message):
        declare_outputs(hint).encode(value)


class Empty(BaseModel):
    """Nothing."""


@pytest.mark.parametrize(
    ("hint", "message"),
    [
        (Annotated[Figure, MediaType("image/gif")], "it can be image/png, image/svg"),
        (Annotated[int, MediaType("text/csv")], "needs bytes, str, a table or a figure"),
        (type("Thing", (), {}), "use a number, str"),
        (Empty, "has no fields"),
        (DataSet, "output 'result': a DataSet cannot be written; declare `-> Table`, and `return table.table"),
        (dict[str, DataSet], "output 'result': a DataSet cannot be written"),
    ],
)
def test_a_return_type_that_cannot_be_written_says_what_would_be_right(hint: Any, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        declare_outputs(hint)


def test_a_picture_of_the_same_figure_is_the_same_bytes() -> None:
    def drawn() -> bytes:
        figure = Figure()
        figure.add_subplot().plot([1, 2], label="x")
        return written(Annotated[Figure, MediaType("image/svg+xml")], figure).data

    assert drawn() == drawn()


@pytest.mark.parametrize(
    ("wish", "fault"),
    [
        ({"mean": {}}, None),
        ({"mean": {"transmissionMode": "reference", "format": {"mediaType": "application/json"}}}, None),
        ({"table": {"format": {"mediaType": "text/CSV; charset=utf-8"}}}, None),
        ({"meen": {}}, Fault("/outputs/meen", "is not an output of this process; its outputs are: mean, table")),
        ({"mean": 3}, Fault("/outputs/mean", 'must be an object, such as {"transmissionMode": "value"}')),
        ({"mean": {"transmissionMode": "x"}}, Fault("/outputs/mean/transmissionMode", "must be value or reference")),
        (
            {"table": {"format": {"mediaType": "image/png"}}},
            Fault("/outputs/table/format/mediaType", "must be text/csv, the only one this output has"),
        ),
        (
            {"table": {"format": 1}},
            Fault("/outputs/table/format", 'must be an object, such as {"mediaType": "image/png"}'),
        ),
    ],
)
def test_requested_outputs_are_checked(wish: dict[str, object], fault: Fault | None) -> None:
    assert declare_outputs(Named).check(wish) == ([fault] if fault else [])


def test_frames_and_arrow_tables_become_tables() -> None:
    columns = {"a": [1.0, None], "b": ["x", "y"]}
    rows = [[1.0, "x"], [None, "y"]]
    makers: dict[str, Any] = {}
    if pandas := _optional("pandas"):
        makers["pandas"] = (pandas.DataFrame, pandas.DataFrame(columns))
    if polars := _optional("polars"):
        makers["polars"] = (polars.DataFrame, polars.DataFrame(columns))
    if arrow := _optional("pyarrow"):
        makers["pyarrow"] = (arrow.Table, arrow.table(columns))
    if not makers:
        pytest.skip("none of pandas, polars and pyarrow is installed")

    for hint, frame in makers.values():
        assert json.loads(written(hint, frame).data)["rows"] == rows
        assert written(Annotated[hint, MediaType("text/csv")], frame).data == b"a,b\r\n1.0,x\r\n,y\r\n"
        if arrow:
            parquet = written(Annotated[hint, MediaType("application/vnd.apache.parquet")], frame).data
            assert Table.from_bytes(parquet, "application/vnd.apache.parquet").column("b").cells() == ["x", "y"]


@pytest.mark.parametrize("media_type", ["application/json", "text/csv", "application/vnd.apache.parquet"])
def test_a_table_that_cannot_be_written_fails_by_the_name_of_its_output(media_type: str) -> None:
    pandas = pytest.importorskip("pandas")
    outputs = declare_outputs(Annotated[pandas.DataFrame, MediaType(media_type), Output("fit")])
    with pytest.raises(TypeError, match=r"output 'fit': .*column '?b\b"):
        outputs.encode(pandas.DataFrame({"b": [1, "x"]}))


def test_a_data_frame_keeps_what_json_can_hold_of_it() -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame(
        {"t": pandas.to_datetime(["2024-01-01T00:00+01:00", None]), "c": pandas.Categorical(["x", None]), "n": [1, 2]}
    )

    table = json.loads(written(type(frame), frame.set_index("n")).data)

    assert [one["type"] for one in table["columns"]] == ["integer", "datetime", "string"]
    assert table["rows"] == [[1, "2023-12-31T23:00:00.000000Z", "x"], [2, None, None]]
    with pytest.raises(TypeError, match="two columns 'a'"):
        written(type(frame), pandas.DataFrame([[1, 2]], columns=["a", "a"]))


def _optional(name: str) -> Any:
    try:
        return __import__(name)
    except ImportError:
        return None


def _never() -> bytes:
    raise AssertionError("it was not wanted")


def test_what_is_made_on_demand_is_made_where_it_is_wanted() -> None:
    outputs = declare_outputs(Drawn)
    assert produced(outputs, {"mean": 1, "plot": _never, "map": _never}, ["mean"]) == {
        "mean": ("application/json", b"1.0")
    }
    only_plot = produced(outputs, {"mean": 1, "plot": lambda: b"RIFF", "map": _never}, ["plot"])
    assert only_plot == {"mean": ("application/json", b"1.0"), "plot": ("image/webp", b"RIFF")}
    everything = produced(outputs, {"mean": 1, "plot": lambda: b"RIFF", "map": lambda: Figure(figsize=(1, 1))})
    assert everything["map"][1].startswith(b"\x89PNG")
    assert produced(outputs, {"mean": 1, "plot": lambda: b"", "map": lambda: None}).keys() == {"mean", "plot"}
    assert produced(outputs, {"mean": 1, "plot": lambda: b""}).keys() == {"mean", "plot"}
    assert outputs.left_out(["plot"]) == {"map"}
    assert outputs.left_out([]) == set()


def test_an_only_output_can_be_made_on_demand() -> None:
    assert written(Annotated[OnDemand[bytes], MediaType("image/webp")], lambda: b"RIFF").data == b"RIFF"


def test_what_is_made_on_demand_is_described_as_what_it_makes() -> None:
    plain, later = declare_outputs(Annotated[bytes, MediaType("image/webp")]), declare_outputs(Drawn)
    assert {one.name: one.schema for one in later.all}["plot"] == plain.all[0].schema


def test_a_value_instead_of_its_function_is_refused_by_name() -> None:
    with pytest.raises(TypeError, match=r"output 'plot' is b'RIFF' \(bytes\), where .* declares a function"):
        declare_outputs(Drawn).encode({"mean": 1, "plot": b"RIFF"})
    with pytest.raises(TypeError, match=r"output 'plot' is 'x' \(str\), where the process declares bytes"):
        declare_outputs(Drawn).encode({"mean": 1, "plot": lambda: "x"})


def test_a_function_that_takes_arguments_is_no_output() -> None:
    with pytest.raises(ConfigurationError, match="output 'result': a function that makes it on demand takes no arg"):
        declare_outputs(Callable[[int], bytes])
