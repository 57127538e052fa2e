"""Inputs: read off signatures, described, and read from requests with every fault."""

import base64
import contextlib
import datetime
import enum
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, get_type_hints

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, Field, JsonValue

from gristmill.errors import ConfigurationError, Fault, FetchError, InvalidInputsError
from gristmill.fetch import Fetched
from gristmill.processes import BoundingBox, DataSet, MediaType, Progress, Table
from gristmill.processes.docstring import parse_docstring
from gristmill.processes.inputs import Inputs
from gristmill.processes.signature import declare_inputs


class Level(enum.Enum):
    LOW = "low"
    HIGH = "high"


class Model(BaseModel):
    size: int
    names: list[str] = []


def inputs_of(function: Callable[..., Any]) -> Inputs:
    return declare_inputs(function, get_type_hints(function, include_extras=True), parse_docstring(function.__doc__))


def one(hint: Any) -> Inputs:
    """The inputs of a function with one parameter ``x``."""

    def function(x: Any) -> None: ...

    return declare_inputs(function, {"x": hint}, parse_docstring(""))


def read(hint: Any, raw: object, fetch: Callable[[str], Fetched] | None = None) -> Any:
    return one(hint).read({"x": raw}, fetch)["x"]


def faults(hint: Any, raw: object) -> dict[str, str]:
    with pytest.raises(InvalidInputsError) as caught:
        read(hint, raw)
    return {fault.pointer: fault.detail for fault in caught.value.faults}


def fetched(content: bytes, media_type: str = "", charset: str = "") -> Callable[[str], Fetched]:
    return lambda url: Fetched(url, media_type, charset, content)


def test_a_signature_is_described() -> None:
    def function(
        word: str,
        bins: Annotated[int, Field(ge=1, le=9, title="Bins!", description="How many.")] = 3,
        level: Level = Level.LOW,
        day: datetime.date | None = None,
        *,
        progress: Progress,
        scratch: Path,
    ) -> None:
        """Title.

        Args:
            word: A word.
            day: The day.
        """

    declared = inputs_of(function)

    assert {given.name: given.describe() for given in declared.all} == {
        "word": {
            "title": "Word",
            "description": "A word.",
            "schema": {"type": "string"},
            "minOccurs": 1,
            "maxOccurs": 1,
        },
        "bins": {
            "title": "Bins!",
            "description": "How many.",
            "schema": {"type": "integer", "minimum": 1, "maximum": 9, "default": 3},
            "minOccurs": 0,
            "maxOccurs": 1,
        },
        "level": {
            "title": "Level",
            "schema": {"type": "string", "enum": ["low", "high"], "default": "low"},
            "minOccurs": 0,
            "maxOccurs": 1,
        },
        "day": {
            "title": "Day",
            "description": "The day.",
            "schema": {"type": "string", "format": "date", "nullable": True},
            "minOccurs": 0,
            "maxOccurs": 1,
        },
    }
    assert (declared.progress, declared.scratch) == ("progress", "scratch")


@pytest.mark.parametrize(
    ("hint", "raw", "value"),
    [
        (int, 3, 3),
        (float, 3, 3.0),
        (bool, True, True),
        (str, "x", "x"),
        (datetime.date, "2024-02-29", datetime.date(2024, 2, 29)),
        (datetime.datetime, "2024-02-29T01:02:03Z", datetime.datetime(2024, 2, 29, 1, 2, 3, tzinfo=datetime.UTC)),
        (Literal["a", 3], 3, 3),
        (Level, "high", Level.HIGH),
        (list[int], [1, 2], [1, 2]),
        (tuple[int, str], [1, "a"], (1, "a")),
        (set[int], [1, 2], {1, 2}),
        (set[str] | list[int], [1, 1], [1, 1]),
        (dict[str, int], {"a": 1}, {"a": 1}),
        (int | None, None, None),
        (int | str, "1", "1"),
        (bytes, base64.b64encode(b"\xfb\xff").decode(), b"\xfb\xff"),
        (bytes, "-_8=", b"\xfb\xff"),
        (list[bytes], ["AAE="], [b"\x00\x01"]),
        (Model, {"size": 2}, Model(size=2)),
        (JsonValue, [1], [1]),
        (BoundingBox, {"bbox": [1, 2, 3, 4]}, BoundingBox(bbox=[1, 2, 3, 4])),
    ],
)
def test_a_value_becomes_what_the_hint_says(hint: Any, raw: object, value: object) -> None:
    assert read(hint, raw) == value
    assert read(hint, {"value": raw}) == value


@pytest.mark.parametrize(
    ("hint", "raw"),
    [
        (int, "3"),
        (int, 1.5),
        (int, True),
        (float, "1"),
        (str, 1),
        (bool, 1),
        (datetime.date, "yesterday"),
        (Level, "middle"),
        (Literal["a"], "b"),
        (bytes, "not base64!"),
        (list[int], 1),
        (int, None),
        (BoundingBox, {"bbox": [1, 2, 3]}),
        (BoundingBox, {"bbox": [1, 2, 3, 4, 5]}),
    ],
)
def test_a_value_of_another_type_is_a_fault(hint: Any, raw: object) -> None:
    assert all(pointer.startswith("/inputs/x") for pointer in faults(hint, raw))


def test_every_fault_is_told_at_once_with_its_pointer() -> None:
    def function(a: int, b: Model, c: Annotated[float, Field(gt=0)] = 1, d: str = "") -> None: ...

    with pytest.raises(InvalidInputsError) as caught:
        inputs_of(function).read({"b": {"size": "x", "names": ["y", 3]}, "c": -1, "e/~": 0}, None)

    assert {fault.pointer: fault.detail for fault in caught.value.faults} == {
        "/inputs/a": "is required",
        "/inputs/b/size": 'should be a valid integer, not "x"',
        "/inputs/b/names/1": "should be a valid string, not 3",
        "/inputs/c": "should be greater than 0, not -1",
        "/inputs/e~1~0": "is not an input of this process; its inputs are: a, b, c, d",
    }


class Tagged(BaseModel):
    kind: Literal["tagged"] = "tagged"
    tags: set[str]


class Listed(BaseModel):
    kind: Literal["listed"]
    tags: list[str]


@pytest.mark.parametrize(
    ("hint", "raw", "pointers"),
    [
        (set[str], ["a", "b", "a", "a"], ["/2", "/3"]),
        (frozenset[float], [1, 1.0], ["/1"]),
        (set[tuple[int, int]], [[1, 2], [2, 1], [1, 2]], ["/2"]),
        (set[int | bool], [1, True], []),
        (set[str] | None, ["a", "a"], ["/1"]),
        (list[set[int]], [[1, 2], [1, 1]], ["/1/1"]),
        (tuple[set[int], int], [[1, 1], 1], ["/0/1"]),
        (dict[str, set[int]], {"a/b": [1, 1]}, ["/a~1b/1"]),
        (dict[str, Tagged], {"a": {"tags": ["x", "x"]}}, ["/a/tags/1"]),
        (Tagged | Listed, {"kind": "tagged", "tags": ["x", "x"]}, ["/tags/1"]),
        (Tagged | Listed, {"kind": "listed", "tags": ["x", "x"]}, []),
        (set[str] | list[int], ["a", "a"], ["/1"]),
        (set[int], [1] * 300, [*(f"/{place}" for place in range(1, 101)), ""]),
        (Annotated[list[int], Field(json_schema_extra={"uniqueItems": True})], [1, 1], ["/1"]),
    ],
)
def test_an_item_that_is_there_already_is_a_fault_where_the_description_says_unique(
    hint: Any, raw: object, pointers: list[str]
) -> None:
    if not pointers:
        read(hint, raw)
        return
    found = faults(hint, raw)
    assert list(found) == ["/inputs/x" + pointer for pointer in pointers]
    assert next(iter(found.values())).startswith("repeats item 0; each item may be there once")


@pytest.mark.parametrize(("number", "listed"), [(100, 100), (150, 101), (20_000, 1)])
def test_a_flood_of_faults_is_counted_and_not_listed(number: int, listed: int) -> None:
    assert len(faults(list[int], ["x"] * number)) == listed


@pytest.mark.parametrize(
    ("hint", "raw"),
    [(list[int], ["x"] * 50_000), (dict[str, list[int]], {"a": [["x"] * 10] * 5000}), (bytes, "?" * 1_000_000)],
)
def test_what_is_large_is_checked_by_the_run_and_not_ahead_of_it(hint: Any, raw: object) -> None:
    assert one(hint).read({"x": raw}, None) == {"x": None}
    with pytest.raises(InvalidInputsError):
        one(hint).read({"x": raw}, fetched(b""))


def test_json_that_is_nested_too_deep_is_a_fault() -> None:
    deep = b"[" * 400 + b"]" * 400

    for hint in (JsonValue, list[JsonValue], int):
        with pytest.raises(InvalidInputsError):
            read(hint, {"href": "http://example.org/"}, fetched(deep, "application/json"))


def test_a_value_is_shown_once() -> None:
    assert faults(Table, "a,b") == {"/inputs/x": "is one line without a line end, so it has no rows: 'a,b'"}
    assert faults(Table, "flights")["/inputs/x"].endswith(', not "flights"')


def test_letters_of_all_languages_are_shown_as_they_were_given_and_half_a_pair_as_its_escape() -> None:
    assert faults(int, "gültig\n") == {"/inputs/x": 'should be a valid integer, not "gültig\\n"'}
    assert faults(list[str], "日本")["/inputs/x"].endswith(', not "日本"')
    named = faults(dict[str, DataSet], {"dataset": "ab", "title": "ü\ud800"})["/inputs/x"]
    assert named.endswith(r'expected: {"ab": {"dataset": "ab", "title": "ü\ud800"}}')


def test_a_missing_property_is_pointed_at() -> None:
    assert faults(Model, {}) == {"/inputs/x/size": "is required"}


def test_the_parts_of_a_union_make_one_fault() -> None:
    assert faults(int | bool, "a") == {
        "/inputs/x": 'should be a valid integer, not "a"; or should be a valid boolean, not "a"'
    }


def test_where_any_object_is_taken_a_value_that_does_not_fit_is_the_object_itself() -> None:
    anything = dict[str, JsonValue]

    assert read(anything, {"value": "text"}) == {"value": "text"}
    assert read(anything, {"value": {"a": 1}}) == {"a": 1}
    assert read(anything, {"value": {"a": 1}, "other": 2}) == {"value": {"a": 1}, "other": 2}
    assert read(anything, {"href": "not a web address"}) == {"href": "not a web address"}
    assert read(anything, {"href": "http://example.org", "mine": 1}) == {"href": "http://example.org", "mine": 1}


def test_a_reference_is_checked_in_form_and_fetched_only_by_the_run() -> None:
    assert read(str, {"href": "http://127.0.0.1/x"}) is None
    assert read(str, {"href": "https://example.org/x", "type": "text/plain"}, fetched(b"there")) == "there"
    assert faults(str, {"href": "ftp://example.org/"}).keys() == {"/inputs/x/href"}
    assert faults(str, {"href": 3}) == {"/inputs/x/href": "must be a URL, as a string"}
    assert faults(str, {"href": "http://example.org", "body": ""}).keys() == {"/inputs/x/body"}


@pytest.mark.parametrize(
    ("hint", "content", "media_type", "value"),
    [
        (str, "Ä".encode("latin-1"), "text/plain", "Ä"),
        (str, b'{"a": 1}', "application/json", '{"a": 1}'),
        (int, b"3", "application/json", 3),
        (dict[str, int], b'{"a": 1}', "application/octet-stream", {"a": 1}),
        (str | int, b"3", "text/plain", "3"),
        (str | int, b"3", "application/json", 3),
        (bytes, b"\x00\xff", "image/png", b"\x00\xff"),
    ],
)
def test_what_a_reference_gives_is_read_by_type(hint: Any, content: bytes, media_type: str, value: object) -> None:
    fetch = fetched(content, media_type, "latin-1" if media_type == "text/plain" else "")

    assert read(hint, {"href": "http://example.org/"}, fetch) == value


def test_a_table_is_fetched_as_csv() -> None:
    table = read(Table, {"href": "http://example.org/t"}, fetched(b"a;b\n1;2\n".replace(b";", b","), "text/csv"))

    assert table == Table.from_columns({"a": [1], "b": [2]})


def test_a_fetch_that_fails_is_a_fault_of_the_input() -> None:
    def fail(url: str) -> Fetched:
        raise FetchError(f"{url} answered with status 404")

    with pytest.raises(InvalidInputsError) as caught:
        read(str, {"href": "http://example.org/"}, fail)

    assert caught.value.faults == (Fault("/inputs/x/href", "http://example.org/ answered with status 404"),)


def test_what_was_fetched_is_validated_too() -> None:
    with pytest.raises(InvalidInputsError, match="/inputs/x/href"):
        read(int, {"href": "http://example.org/"}, fetched(b"no number"))


def test_a_qualified_value_may_be_in_base64() -> None:
    text = base64.b64encode(b"a,b\n1,2\n").decode()

    assert read(str, {"value": text, "encoding": "base64"}) == "a,b\n1,2\n"
    assert read(Table, {"value": text, "encoding": "base64", "mediaType": "text/csv"})["b"].tolist() == [2]
    assert read(bytes, {"value": "AAE=", "encoding": "base64"}) == b"\x00\x01"
    assert faults(str, {"value": "!", "encoding": "base64"}) == {"/inputs/x/value": "is not base64"}
    assert faults(str, {"value": "a", "encoding": "rot13"}).keys() == {"/inputs/x/encoding"}


def test_a_media_type_that_is_none_of_a_table_is_named_where_its_text_is_no_csv() -> None:
    wrong = {"value": "iVBORw0KGgo=", "mediaType": "image/png"}

    for raw in (wrong, wrong | {"encoding": "base64"}):
        assert "read as CSV: image/png is no media type of a table" in faults(Table, raw)["/inputs/x/value"]
    assert "media type" not in faults(Table, wrong | {"mediaType": "text/csv"})["/inputs/x/value"]
    assert read(Table, {"value": "a\n1\n", "mediaType": "text/plain"})["a"].tolist() == [1]


@pytest.mark.parametrize("hint", [str, Table])
def test_the_charset_of_the_given_media_type_goes_before_the_fetched_one(hint: Any) -> None:
    content, media_type = "a,b\nÄ,€\n".encode("cp1252"), 'text/csv; charset="windows-1252"'
    text = "a,b\nÄ,€\n"
    value = text if hint is str else Table.from_csv(text)

    assert read(hint, {"href": "http://a.org", "type": media_type}, fetched(content, "text/csv", "utf-8")) == value
    encoded = base64.b64encode(content).decode()
    assert read(hint, {"value": encoded, "encoding": "base64", "mediaType": media_type}) == value
    assert read(hint, {"value": text, "mediaType": media_type}) == value  # JSON has its characters already


def test_a_charset_that_there_is_not_is_a_fault_of_the_input() -> None:
    given = {"value": "YQ==", "encoding": "base64", "mediaType": "text/plain; charset=none-such"}

    assert faults(str, given) == {"/inputs/x/value": "cannot be read: unknown encoding: none-such"}


def test_a_format_may_stand_in_a_member_of_its_own() -> None:
    assert read(bytes, {"value": "AAE=", "format": {"encoding": "base64"}}) == b"\x00\x01"
    assert read(str, {"href": "http://example.org/", "format": {"mediaType": "text/plain"}}, fetched(b"x")) == "x"
    assert read(dict[str, JsonValue], {"value": {"a": 1}, "format": {}}) == {"value": {"a": 1}, "format": {}}


def test_a_declared_media_type_is_demanded() -> None:
    picture = Annotated[bytes, MediaType("image/png")]

    assert one(picture).all[0].schema["contentMediaType"] == "image/png"
    assert read(picture, {"value": "AAE=", "mediaType": "image/png"}) == b"\x00\x01"
    assert faults(picture, {"value": "AAE=", "mediaType": "image/gif"}) == {"/inputs/x/mediaType": "must be image/png"}
    assert faults(picture, {"type": "wrong/type"}).keys() == {"/inputs/x"}


def test_text_that_is_no_unicode_is_a_fault() -> None:
    assert faults(str, "\ud800") == {"/inputs/x": "has text that is not valid Unicode"}
    assert faults(Table, {"a": ["\ud800"]}).keys() == {"/inputs/x"}


def test_a_table_s_fault_is_pointed_at() -> None:
    assert faults(Table, {"columns": ["a", "b"], "rows": [[1, 2], [3]]}) == {
        "/inputs/x/rows/1": "has 1 values, where there are 2 columns"
    }
    assert faults(Table, [{"a/b": 1}, {"a/b": [1]}]).keys() == {"/inputs/x/1/a~1b"}
    assert faults(Table, {"href": "ftp://example.org"}).keys() == {"/inputs/x/href"}


class Loop(BaseModel):
    inner: "Loop | None" = None


class WithTable(BaseModel):
    table: Table


@dataclass
class WithDataSet:
    table: DataSet | None


def no_hint(x) -> None: ...  # type: ignore[no-untyped-def]
def variable(*x: int) -> None: ...
def keywords(**x: int) -> None: ...
def by_position(x: int, /) -> None: ...
def a_path(x: Path) -> None: ...
def a_function(x: Callable[[], int]) -> None: ...
def a_loop(x: Loop) -> None: ...
def a_complex(x: complex) -> None: ...
def wrong_default(x: int = "three") -> None: ...  # type: ignore[assignment]
def none_default(x: int = None) -> None: ...  # type: ignore[assignment]  # noqa: RUF013
def data_sets_in_a_list(x: list[DataSet]) -> None: ...
def tables_by_name(x: dict[str, Table]) -> None: ...
def a_data_set_or_text(x: DataSet | str) -> None: ...
def a_model_with_a_table(x: WithTable) -> None: ...
def a_dataclass_with_a_data_set(x: list[WithDataSet] | None = None) -> None: ...
def out_of_range(x: Annotated[int, Field(ge=1)] = 0) -> None: ...


@pytest.mark.parametrize(
    ("function", "right"),
    [
        (no_hint, "has no type hint; write one, such as `x: float`"),
        (variable, "without *"),
        (keywords, "without *"),
        (by_position, "without *"),
        (a_path, "name it `scratch`"),
        (a_function, "use int, float, str"),
        (a_loop, "refers to itself"),
        (a_complex, "complex numbers"),
        (wrong_default, "default 'three' does not fit"),
        (none_default, "write `| None`"),
        (data_sets_in_a_list, "write `x: dict[str, DataSet]` for any number of them, or a parameter for each"),
        (tables_by_name, "write `x: dict[str, DataSet]`"),
        (a_data_set_or_text, "a parameter for each"),
        (a_model_with_a_table, "a parameter for each"),
        (a_dataclass_with_a_data_set, "a parameter for each"),
        (out_of_range, "greater than or equal to 1"),
    ],
)
def test_a_parameter_that_cannot_be_an_input_is_named_with_what_would_be_right(
    function: Callable[..., Any], right: str
) -> None:
    with pytest.raises(ConfigurationError) as caught:
        inputs_of(function)

    assert "parameter 'x'" in caught.value.detail
    assert right in caught.value.detail


@pytest.mark.slow
@given(st.dictionaries(st.text(), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists)))
def test_any_json_object_passes_an_object_input_unchanged(value: dict[str, Any]) -> None:
    if value.keys() <= {"value", "mediaType", "encoding", "schema"} and isinstance(value.get("value"), dict):
        return
    assert read(dict[str, JsonValue], value) == value


@given(
    st.dictionaries(
        st.sampled_from(["href", "value", "type", "mediaType", "encoding"]), st.integers() | st.text() | st.none()
    )
)
def test_odd_links_and_qualified_values_are_faults_and_nothing_worse(value: dict[str, Any]) -> None:
    for hint in (str, bytes, int, Table, BoundingBox, dict[str, JsonValue]):
        with contextlib.suppress(InvalidInputsError):
            one(hint).read({"x": value}, None)
