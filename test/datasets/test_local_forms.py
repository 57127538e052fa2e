import re
from datetime import date, datetime
from typing import Any

import duckdb
import pytest

from gristmill.datasets.columns import Column
from gristmill.datasets.local_forms import has_another_order, is_local_date, local_form, local_number

COMMA = "upload the file with decimal=, in the query (then the delimiter is another one)"
SEPARATORS = "thousands separators are not read: take them out of the file, or ask"
_EXPRESSION = re.compile(r"TRY_CAST\(.*?AS DOUBLE\)|try_strptime\(.*?['\]]\)(?:::DATE)?")
# The ends of a column, parts of what is said of it, and what each expression gives that is advised: for all ends.
SAID: list[tuple[tuple[Any, Any], list[str], list[tuple[Any, Any]]]] = [
    (("-0,5", "x"), ["'-0,5'", COMMA], [(-0.5, None)]),
    (("", "6,4"), ["'6,4': if that is a number", COMMA], [(None, 6.4)]),
    (("1,234", "2,5"), ["'2,5'", COMMA], [(1.234, 2.5)]),
    (("0,234", "1,234"), ["'0,234'", COMMA], [(0.234, 1.234)]),
    (
        ("1,234", "2,500"),
        ["'1,234'", f"if the comma parts thousands, {SEPARATORS}", f"if it is a decimal comma, {COMMA}"],
        [(1234, 2500), (1.234, 2.5)],
    ),
    (("1,234", "1,234.5"), ["'1,234.5'", SEPARATORS], [(1234, 1234.5)]),
    (("-1,234,567", "k.A."), ["'-1,234,567'", SEPARATORS], [(-1234567, None)]),
    (("1.000,0", "2,5"), ["'1.000,0'", SEPARATORS], [(1000, 2.5)]),
    (("1.234,50", "k.A."), ["'1.234,50'", SEPARATORS], [(1234.5, None)]),
    (("2,5", "3.000"), ["'3.000'", "if the dot parts thousands", SEPARATORS, "(null=)"], [(2.5, 3000)]),
    (("-1.234.567", None), ["'-1.234.567'", SEPARATORS], [(-1234567, None)]),
    (("10%", "80%"), ["'10%': '%' and thousands separators are not read: take"], [(10, 80)]),
    (("-5.5 %", "5%"), ["'-5.5 %': '%' and"], [(-5.5, 5)]),
    (("5,5\u00a0%", "€5"), ["without '%' and thousands separators"], [(5.5, None)]),
    (
        ("$1,200", "$950"),
        ["'$1,200'", "if the comma parts thousands, '$' and thousands", "if it is a decimal comma"],
        [(1200, 950), (1.2, 950)],
    ),
    (("$1,200,300.5", "-$5"), ["'$1,200,300.5': '$' and thousands separators"], [(1200300.5, -5)]),
    (("1.200,50 €", "9,50 €"), ["'1.200,50 €': '€' and thousands separators"], [(1200.5, 9.5)]),
    (("£1.234", "£950"), ["if it is a decimal point, '£' and"], [(1234, 950), (1.234, 950)]),
    (("$5", "€6"), ["'$5': '$' and"], [(5, None)]),
    (("1'200", "950.5"), ["\"1'200\": if that is a number, thousands separators"], [(1200, 950.5)]),
    (("1\u2019234\u2019567.5", "x"), ["thousands separators"], [(1234567.5, None)]),
    (("1 200", "950"), ["'1 200': if that is a number, thousands separators"], [(1200, 950)]),
    (("1\u00a0200,5", "9,5"), [f"if that is a number, {COMMA}"], [(1200.5, 9.5)]),
    (("-1\u202f234\u202f567,5 €", "x"), [f"if that is a number, {COMMA}", "without '€' and"], [(-1234567.5, None)]),
    (("1 200", "1 %"), ["'1 200': '%' and thousands separators"], [(1200, 1)]),
    (("01.05.2024", "n/a"), ["'01.05.2024'", "read as 2024-12-31"], [(date(2024, 5, 1), None)]),
    (("01.15.2024", "x"), ["'01.15.2024'"], [(date(2024, 1, 15), None)]),
    (("01/02/2024", "12/30/2024"), ["'01/02/2024'"], [(date(2024, 1, 2), date(2024, 12, 30))]),
    (("01-02-2024", "31-12-2024"), ["'01-02-2024'"], [(date(2024, 2, 1), date(2024, 12, 31))]),
    (
        ("01/02/2024", "unknown"),
        ["where the day stands first", "where the month does"],
        [(date(2024, 2, 1), None), (date(2024, 1, 2), None)],
    ),
    (("31.12.2024 10:00", "unbekannt"), ["'31.12.2024 10:00'"], [(datetime(2024, 12, 31, 10), None)]),  # noqa: DTZ001
    (
        ("1/15/2024 1:05 PM", "9/1/2024 10:00:05"),
        [],
        [(datetime(2024, 1, 15, 13, 5), datetime(2024, 9, 1, 10, 0, 5))],  # noqa: DTZ001
    ),
    (("31.12.2024 10 Uhr", ""), ["'31.12.2024 10 Uhr'", "write them so in the file"], []),
]  # fmt: skip


@pytest.mark.parametrize(("ends", "parts", "values"), SAID)
def test_an_end_in_the_form_of_a_country_is_named_with_sql_that_reads_it(
    ends: tuple[Any, Any], parts: list[str], values: list[tuple[Any, Any]]
) -> None:
    said = local_form(Column('x "y', "VARCHAR", 0, *ends))
    advised = _EXPRESSION.findall(said)

    assert [part for part in parts if part not in said] == [], said
    assert len(advised) == len(values), said
    rows = 'SELECT unnest(?::VARCHAR[]) AS "x ""y"'
    with duckdb.connect() as connection:
        for expression, expected in zip(advised, values, strict=True):
            found = connection.execute(f"SELECT {expression} FROM ({rows})", [list(ends)]).fetchall()
            assert tuple(value for (value,) in found) == expected


@pytest.mark.parametrize(
    ("kind", "ends"),
    [("VARCHAR", ("1.234x", "a, b")), ("VARCHAR", (None, None)), ("BIGINT", (1, 2)), ("VARCHAR", ("0.125", "1.5")),
     ("VARCHAR", ("10.12.1", "2024-12-31")), ("VARCHAR", ("1.2.10", "1.2.9")), ("VARCHAR", ("", "1/5/24 10:00")),
     ("DECIMAL(9,3)", ("1.234", "2.345")), ("VARCHAR", ("100 00", "12 34")), ("VARCHAR", ("1.2.10%", "5 5%")),
     ("VARCHAR", ("00001", "x%")), ("VARCHAR", ("O'200", "1 200'300"))],
)  # fmt: skip
def test_other_ends_say_nothing(kind: str, ends: tuple[Any, Any]) -> None:
    assert local_form(Column("x", kind, 0, *ends)) == ""


def test_a_date_of_a_country_has_a_year_of_four_digits_and_may_have_a_time() -> None:
    texts = ["31.12.2024", "1/5/2024 9 h", "1.2.10", "2024-12-31", "1.5/2024"]
    assert list(map(is_local_date, texts)) == [True, True, False, False, False]


def test_of_one_text_only_a_number_is_named() -> None:
    assert COMMA in local_number("1,5", "x", decimals=True)
    assert "replace(" in local_number("1.234,5", "x", decimals=True)
    assert local_number("01.05.2024", "x", decimals=True) == local_number("abc", "x", decimals=True) == ""


def test_where_a_decimal_comma_is_no_way_only_separators_are_named() -> None:
    assert local_number("1,5", "x", decimals=False) == ""
    for text in ("1.234", "1,234"):
        said = local_number(text, "x", decimals=False)
        assert SEPARATORS in said
        assert "decimal" not in said


def test_where_a_decimal_comma_is_given_signs_are_named_all_the_same() -> None:
    said = local_number("1,5 %", "x", decimals=False)
    assert "'%' and thousands separators are not read" in said
    assert "decimal" not in said
    assert """replace(replace(replace("x", ' ', ''), '%', ''), ',', '.')""" in said


def test_another_order_is_that_of_dates_among_dates_and_of_numbers_among_numbers() -> None:
    dates, shares = Column("x", "VARCHAR", 0, "01.05.2024", "x"), Column("x", "VARCHAR", 0, "10%", "x")
    assert [has_another_order(dates, text) for text in ("02.05.2024", "5", "a")] == [True, True, False]
    assert [has_another_order(shares, text) for text in ("8", "8%", "1.200,5", "a")] == [
        True, True, True, False,
    ]  # fmt: skip
