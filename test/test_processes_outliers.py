"""The example of a team's own process, where the team has left it in the folder."""

import csv
import io

import pytest
from support.runs import REGISTRY, outputs_of

from gristmill.errors import InvalidInputsError
from gristmill.samples import penguins

pytestmark = pytest.mark.skipif("outliers" not in REGISTRY, reason="processes/outliers.py is not offered here")


def test_the_example_finds_unusual_rows_of_a_real_table() -> None:
    result = outputs_of("outliers", table=penguins(), column="flipper_length_mm", by="species")
    rows = list(csv.DictReader(io.StringIO(result["rows"].decode())))

    assert [(one["group"], one["rows"], one["outliers"]) for one in result["fences"]] == [
        ("Adelie", 151, 2),
        ("Chinstrap", 68, 0),
        ("Gentoo", 123, 0),
    ]
    assert [(one["species"], one["flipper_length_mm"]) for one in rows] == [("Adelie", "172"), ("Adelie", "210")]
    assert result["plot"].startswith(b"\x89PNG")


def test_the_example_draws_names_that_are_no_formulas() -> None:
    table = {r"low_$_\frac$": [1, 2, 9], "kind": ["$_$", "$_$", "b"]}

    assert outputs_of("outliers", table=table, column=r"low_$_\frac$", by="kind")["plot"].startswith(b"\x89PNG")


@pytest.mark.parametrize(("wrong", "pointer"), [({"column": "species"}, "column"), ({"by": "year"}, "by")])
def test_the_example_names_the_input_that_is_wrong(wrong: dict[str, str], pointer: str) -> None:
    with pytest.raises(InvalidInputsError) as caught:
        outputs_of("outliers", **{"table": penguins(), "column": "year", "by": "species"} | wrong)

    assert ("decimal=," in caught.value.detail) == (pointer == "column")
    assert caught.value.faults[0].pointer == f"/inputs/{pointer}"
