"""Merge patches of descriptions: against RFC 7396 as it stands, and what is refused."""

import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.datasets.descriptions import COLUMN_TEXTS, TEXTS, Description, changes_of, description_of
from gristmill.errors import InvalidRequestError

COLUMNS = ("x", "d x", "u", "Länge (m)")
VALUES = st.none() | st.text(st.characters(codec="utf-8"), max_size=5)
PATCHES = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(TEXTS, VALUES)
    | {
        "columns": st.none()
        | st.dictionaries(
            st.sampled_from(COLUMNS),
            st.none() | st.fixed_dictionaries({}, optional=dict.fromkeys(COLUMN_TEXTS, VALUES)),
        )
    },
)


def merge_patch(target: Any, patch: Any) -> Any:
    """The algorithm of RFC 7396, section 2."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge_patch(merged.get(name), value)
    return merged


def as_json(description: Description, table: dict[str, str]) -> dict[str, Any]:
    """What is said, as the patches see it."""
    columns: dict[str, Any] = {}
    for name, text in description.columns.items():
        marks = {"d ": "description", "u ": "unit"}
        columns[name] = {word: getattr(text, word) for mark, word in marks.items() if mark + name in table}
    said: dict[str, Any] = {name: getattr(description, name) for name in TEXTS if name in table}
    return said | ({"columns": columns} if columns else {})


def without_empty(document: dict[str, Any]) -> dict[str, Any]:
    """An object in which nothing is said is as good as none."""
    columns = {name: its for name, its in document.get("columns", {}).items() if its}
    rest = {name: value for name, value in document.items() if name != "columns"}
    return rest | ({"columns": columns} if columns else {})


@given(st.lists(PATCHES, max_size=5))
def test_patches_do_what_the_standard_says(patches: list[dict[str, Any]]) -> None:
    table: dict[str, str] = {}
    document: dict[str, Any] = {}
    for patch in patches:
        changes = changes_of(patch, COLUMNS)
        if changes.drop_columns:
            table = {key: text for key, text in table.items() if key[1:2] != " "}
        table = {key: text for key, text in table.items() if key not in changes.drop} | changes.set
        document = merge_patch(document, patch)
    assert as_json(description_of(table.items()), table) == without_empty(document)


@pytest.mark.parametrize(
    ("patch", "pointer"),
    [
        ({"tile": "x"}, "/tile"),
        ({"title": 3}, "/title"),
        ({"title": "x" * 201}, "/title"),
        ({"title": "\ud800"}, "/title"),
        ({"columns": []}, "/columns"),
        ({"columns": {"y": {}}}, "/columns/y"),
        ({"columns": {"x": "metres"}}, "/columns/x"),
        ({"columns": {"x": {"units": "m"}}}, "/columns/x/units"),
        ({"columns": {"a/b~": {"unit": 1}}}, "/columns/a~1b~0/unit"),
    ],
)
def test_what_cannot_be_said_is_refused_with_its_place(patch: object, pointer: str) -> None:
    with pytest.raises(InvalidRequestError) as error:
        changes_of(patch, [*COLUMNS, "a/b~"])
    assert [fault.pointer for fault in error.value.faults] == [pointer]
    assert pointer in error.value.detail


def test_all_that_is_wrong_is_told_with_what_may_be_meant() -> None:
    with pytest.raises(InvalidRequestError) as error:
        changes_of({"tittle": "x", "columns": {"distanse": {"unit": "m"}}}, ["distance"])
    assert ["title" in error.value.faults[0].detail, "distance" in error.value.faults[1].detail] == [True, True]


def test_thousands_of_mistyped_names_cost_little_and_the_first_hundred_are_told() -> None:
    columns = [f"{'concentration ' * 18}{number:04}" for number in range(2000)]
    wrong = [f"{'concentration ' * 18}{number:04}?" for number in range(20_000)]
    started = time.process_time()
    with pytest.raises(InvalidRequestError) as error:
        changes_of({"tile": "x", "columns": {name: {} for name in wrong}}, columns)
    assert time.process_time() - started < 1
    assert "did you mean 'title'?" in error.value.faults[0].detail
    assert len(error.value.faults) == 101
    assert error.value.faults[-1].detail == "has 19,901 more faults"


@pytest.mark.parametrize("patch", [None, [], "x", 1])
def test_a_patch_is_an_object(patch: object) -> None:
    with pytest.raises(InvalidRequestError, match="7396"):
        changes_of(patch, COLUMNS)


def test_what_was_said_of_a_column_that_is_no_more_can_be_taken_back() -> None:
    assert changes_of({"columns": {"gone": None}}, COLUMNS).drop == ["d gone", "u gone"]


@pytest.mark.parametrize(
    ("patch", "end"), [({"titel": "x"}, "did you mean 'title'?"), ({"title": 1}, "/title must be a text or null.")]
)
def test_a_refusal_is_a_sentence_with_one_end(patch: dict[str, Any], end: str) -> None:
    with pytest.raises(InvalidRequestError) as refused:
        changes_of(patch, COLUMNS)
    assert refused.value.detail.endswith(end)
