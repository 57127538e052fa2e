from typing import Any

import pytest

from gristmill.datasets.columns import Column
from gristmill.datasets.local_forms import local_form, local_number

COMMA = "upload the file with decimal=, in the query"
SEPARATORS = """sql: replace(replace("x ""y", '.', ''), ',', '.')::DOUBLE"""
SAID = [
    (("-0,5", "x"), ["'-0,5'", COMMA]),
    (("", "6,4"), ["'6,4'", COMMA]),
    (("1.000,0", "2,5"), ["'1.000,0'", SEPARATORS]),
    (("2,5", "3.000"), ["'3.000'", SEPARATORS]),
    (("-1.234.567", None), ["'-1.234.567'", SEPARATORS]),
    (("01.05.2024", "n/a"), ["'01.05.2024'", "read as 2024-12-31", "'%d.%m.%Y')"]),
    (("", "1/5/24 10:00"), ["'1/5/24 10:00'", "'%d/%m/%y')"]),
]


@pytest.mark.parametrize(("ends", "parts"), SAID)
def test_an_end_in_the_form_of_a_country_is_named_with_what_to_do(ends: tuple[Any, Any], parts: list[str]) -> None:
    said = local_form(Column('x "y', "VARCHAR", 0, *ends))
    assert [part for part in parts if part not in said] == [], said


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("VARCHAR", ("1.234x", "a, b")), ("VARCHAR", (None, None)), ("BIGINT", (1, 2)), ("VARCHAR", ("0.125", "1.5")),
     ("VARCHAR", ("10.12.1", "2024-12-31")), ("DECIMAL(9,3)", ("1.234", "2.345"))],
)  # fmt: skip
def test_other_ends_say_nothing(kind: str, ends: tuple[Any, Any]) -> None:
    assert local_form(Column("x", kind, 0, *ends)) == ""


def test_of_one_text_only_a_number_is_named() -> None:
    assert COMMA in local_number("1,5", "x")
    assert "replace(" in local_number("1.234,5", "x")
    assert local_number("01.05.2024", "x") == local_number("abc", "x") == ""
