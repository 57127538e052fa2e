import pytest

from gristmill.datasets.number_signs import is_number, signs_of, sql_without, without


@pytest.mark.parametrize(
    "text", ["5", "-5.5", "1.234,5", "5%", "5 %", "-5\u202f%", "$5", "-$5", "$-5", "€ 5", "5 €", "1 200", "1'200'300.5"]
)
def test_digits_with_signs_are_a_number(text: str) -> None:
    assert is_number(text)


@pytest.mark.parametrize(
    "text", ["", "%", "$", "5 5", "1 20", "1 200'300", "0 123", "%5", "5  %", "5%%", "1 200 EUR", "a"]
)
def test_other_texts_are_none(text: str) -> None:
    assert not is_number(text)
    assert without(text, "% ") == text


def test_signs_are_those_of_numbers_and_one_unit() -> None:
    assert signs_of(["1 200 €", "$5", "a'b"]) == " €"
    assert without("1 200 €", " €") == "1200"
    assert sql_without('"x"', "'\u00a0€") == """replace(replace(replace("x", '''', ''), chr(160), ''), '€', '')"""
