"""Filters that are refused, and what their errors advise."""

import pytest
from support.filters import refusal, rows_of

from gristmill.datasets.columns import Column as StoredColumn
from gristmill.datasets.filters import condition
from gristmill.datasets.queries import METRICS
from gristmill.errors import InvalidFilterError


def test_terms_that_double_at_each_level_are_refused_quickly() -> None:
    text = "i"
    for _ in range(40):
        text = f"integer({text} between 0 and 1)"
    assert "repeats" in refusal(f"{text} = 1")


@pytest.mark.parametrize(
    "name",
    [
        "read_csv",
        "read_text",
        "getenv",
        "current_setting",
        "query",
        "nextval",
        "pragma_version",
        "sql_auto_complete",
        "glob",
        "random",
        "repeat",
        "range",
        "list_transform",
        "regexp_matches",
        "json_execute_serialized_sql",
    ],
)
def test_a_function_that_is_not_listed_is_refused(name: str) -> None:
    assert "no function" in refusal(f"{name}('x') = 'y'")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("i = 'x'", ["column 'i' (integer)", "text", "a number"]),
        ("s > 5", ["column 's' (text)", '. Compare it as a number: number("s") > 5 (other texts become NULL).']),
        ("5.50 > s", ['. Compare it as a number: number("s") < 5.50 (']),
        ("s > i + 1", ['number("s") > ... (']),
        ("s > 0", ['number("s") > 0 (']),
        ("s between 1 and 2", ['. Compare it as a number: number("s") >= 1 (']),
        ("trim(s) < 5", ["Compare it as a number: number(...) < 5 ("]),
        ("s = i", ['single quotes, or as a number: number("s") = "i" (other texts become NULL).']),
        ("s = DATE('2024-02-01')", ["single quotes, or as a date: date(\"s\") = DATE('2024-02-01') ("]),
        ("TIMESTAMP('2024-02-01T10:00:00Z') >= s", ["timestamp(\"s\") <= TIMESTAMP('2024-02-01T10:00:00') ("]),
        ("s >= day", ['or as a date: date("s") >= "day" (']),
        ("s = t", ['or as a timestamp: timestamp("s") = "t" (']),
        ("year(day) > '2023'", ["an expression (integer)", "'2023' (text). Compare it with a number, without quotes."]),
        ("year(day) IN ('2023')", ["Compare it with a number, without quotes."]),
        ("length(s) BETWEEN '1' AND '2'", ["Compare it with a number, without quotes."]),
        ("'40' < x * 2", ["Compare it with a number, without quotes."]),
        ("is_nan(x) = 'true'", ["Compare it with TRUE or FALSE."]),
        ("date(s) > '2024-01-01'", ["Compare it with DATE('2024-12-31')."]),
        ("lower(s) = 5", ["Compare it with a text in single quotes, or as a number: number(...) = 5 ("]),
        ("TRUE = year(day)", ["Compare it with a number."]),
        ("year(day) = 2024 AND year(s) = 2024", ['is none; as a date it is date("s") (other texts become NULL).']),
        ("hour(s) = 1", ['is none; as a timestamp it is timestamp("s") (other texts become NULL).']),
        ("s * 2 > 3", ['is none; as a number it is number("s") (other texts become NULL).']),
        ("day LIKE '2024-02%'", ['as a text it is text("day"), and year("day"), month("day") are parts of it.']),
        ("i LIKE '3%'", ['is none; as a text it is text("i").']),
        ("list LIKE '3%'", ["column 'list' (nested) is none."]),
        ("lower(5) = 'a'", ["'5' (integer) is none."]),
        ("day > '2020-01-01'", ["column 'day' (date)", "DATE('2024-12-31')"]),
        ("list = 1", ["column 'list' (nested)", "IS NULL"]),
        ("selct = 1", ["no column 'selct'", "Near: 'select'", "single quotes"]),
        ("JFK = 1", ["no column 'JFK'", "There are: ", "single quotes"]),
        ("i = null", ["IS NULL"]),
        ("i", ["column 'i' (integer)", "condition"]),
        ("b > true", ["no order"]),
        ("i = 1 ) and b", ["character 7"]),
        ("i = ", ["where it ends"]),
        ("s = 'x", ["character 5", "never closed"]),
        ("i = 1e9999999999999999999", ["character 5", "too large"]),
        ("day = date('2020-13-01')", ["'2020-13-01' is not a date"]),
        ("id = 'x'", ["no uuid"]),
        ("", ["empty"]),
        ("s = '" + "x" * 9000 + "'", ["8,000"]),
        ("and = 1", ["character 1"]),
        ("abs(i, 2) = 1", ["1 argument"]),
        ("between(i, 1) and b", ["between"]),
        ("lower(i) = 'x'", ["lower takes text", "column 'i' (integer)"]),
        ("s_intersects(s, s)", ["no function"]),
        ("s_intersects(s, POINT(1 2))", ["character 25", "no geometries"]),
        ("foo(i) = 1", ["no function 'foo' here. Near: 'floor'."]),
        ("'s' = 'Adelie'", ["'s' in single quotes is a text", 'double quotes or none: "s".']),
        ("'Adelie' = 's'", ["'s' in single quotes is a text"]),
        ("'i' > 3", ["'i' in single quotes is a text"]),
        ("'i' BETWEEN 1 AND 3", ["'i' in single quotes is a text"]),
        ("'s' IN ('a', 'b')", ["'s' in single quotes is a text"]),
        ("'s' LIKE 'A%'", ["'s' in single quotes is a text"]),
        ("'s' IS NULL", ["'s' in single quotes is a text"]),
        ("casei('s') = casei('X')", ["'s' in single quotes is a text"]),
        ("'s' IN ('a', lower('X'))", ["'s' in single quotes is a text"]),
        ("s = ('a', 'b')", ["A list stands behind IN alone"]),
        ("1 < i < 5", ["BETWEEN 1 AND 5"]),
        ("i >= 20 <= 30", ["column 'i' (integer)", "BETWEEN 1 AND 5"]),
        ("s IN 'a'", ["character 6", "IN ('a', 'b')"]),
        ('i IN "j"', ["the values of IN stand in round brackets"]),
        ("i = 1 AND i NOT IN 3", ["character 20", "the values of IN stand in round brackets"]),
        ("coalesce(i, 0) = 0", ["no function 'coalesce' here. A missing value is found by IS NULL"]),
        ("LEFT(s, 1) = 'a'", ["no function 'left' here. How a text begins is told by starts_with("]),
        ("lenght(s) = 1", ["Near: 'length'."]),
        ("power(x, 2) > 3", ["no function 'power' here. A power is written x ^ 2."]),
        ("sqrt(x) > 3", ["x ^ 0.5."]),
        ("x ** 2 > 3", ["character 4", ": a power is written x ^ 2."]),
        ("mod(i, 2) = 1", ["A remainder is written x % 2."]),
        ("i mod 2 = 1", ["character 3", ": a remainder is written x % 2."]),
        ("avg(x) > 3", ["aggregate?metrics=mean(x)."]),
        ("count() > 3", ["aggregate?metrics=count()."]),
        ("isnull(x)", ["x IS NULL."]),
        ("notnull(x)", ["x IS NOT NULL."]),
        ("day > today()", ["no function 'today' here. A filter does not know what day it is", "DATE('2024-12-31')"]),
        ("day > CURRENT_DATE", ["no column 'CURRENT_DATE'", "A filter does not know what day it is"]),
        ("strptime(s, '%d.%m.%Y') > day", ["a job of the process sql: try_strptime(x, '%d.%m.%Y')"]),
        ("i::text = '1'", ["no column 'i::text'", "text(x)"]),
        ("i = 1 -- i", ["no comments"]),
        ("zzz(i) = 1", ["no function 'zzz' here. There are: 'abs', 'accenti', ", "'year'."]),
    ],
)
def test_a_refusal_says_what_is_wrong(text: str, parts: list[str]) -> None:
    detail = refusal(text)
    assert [part for part in parts if part not in detail] == [], detail


def test_a_text_beside_a_date_is_not_told_to_be_a_columns_name() -> None:
    assert "date(" not in refusal("'q' > DATE('2024-01-01')")


@pytest.mark.parametrize(
    ("end", "text", "part"),
    [
        ("1.234,5", "v > 2", "thousands separators are not read"),
        ("1.234", "v > 2", "if it is a decimal point, say which other texts mean NULL"),
        ("2,5", "v > 2", "decimal=,"),
        ("10%", "v > 8", "with '8' (integer); it has '10%': '%' and thousands separators are not read"),
        ("10%", "v = 8", "Compare it with a text in single quotes; it has '10%'"),
        ("10%", "v > '8'", "Column 'v' is text, whose order is alphabetical; it has '10%'"),
        ("$1,200", "v BETWEEN '$900' AND '$2,000'", "alphabetical; it has '$1,200'"),
        ("1'200", "'950.5' < v", "alphabetical"),
        ("1.224,5", "v > '1000'", "alphabetical"),
        ("1,5", "v > '1000'", "alphabetical"),
        ("1,234", "v > '1,000'", "alphabetical"),
        ("1.234.567", "v > '2000000'", "alphabetical"),
        ("1\u202f200", "v > '1000'", "alphabetical"),
        ("1,5", "abs(v) > 2", "is none; it has '1,5'"),
        ("01.05.2024", "year(v) = 2024", "is none; it has '01.05.2024': dates are read as 2024-12-31"),
        ("01.05.2024", "v = DATE('2024-05-01')", "dates are read as 2024-12-31"),
        ("01.05.2024", "v >= '02.05.2024'", "Column 'v' is text, whose order is alphabetical; it has '01.05.2024'"),
        ("01.05.2024", "'2.5.2024' > v", "alphabetical"),
        ("01.05.2024", "v > '2024'", "alphabetical"),
        ("01.05.2024", "v < '2024-06-01'", "alphabetical"),
        ("01.05.2024", "v < '2024-06-01T00:00:00Z'", "alphabetical"),
        ("1/2/2024 10:00 AM", "v BETWEEN '2/2/2024 10:00 AM' AND '9/2/2024 1:00 PM'", "alphabetical"),
        ("01.05.2024", "v BETWEEN '01.05.2024' AND '31.05.2024'", "alphabetical"),
    ],
)
def test_a_column_of_numbers_or_dates_in_the_form_of_a_country_is_told_as_one(end: str, text: str, part: str) -> None:
    with pytest.raises(InvalidFilterError) as caught:
        condition(text, [StoredColumn("v", "VARCHAR", 0, end, "x")])

    assert part in caught.value.detail
    assert '("v") ' not in caught.value.detail  # number() and date() would give other values, or none


@pytest.mark.parametrize("text", ["v = '01.05.2024'", "v IN ('01.05.2024')", "v > 'a'"])
def test_texts_that_are_dates_are_compared_as_texts_where_their_order_does_not_matter(text: str) -> None:
    condition(text, [StoredColumn("v", "VARCHAR", 0, "01.05.2024", "x")])
    condition("v > '1.2.10'", [StoredColumn("v", "VARCHAR", 0, "1.2.9", "1.3.1")])


@pytest.mark.parametrize(
    ("end", "text"),
    [
        ("10%", "v = '8%'"),
        ("10%", "v IN ('8%')"),
        ("10%", "v > 'a'"),
        ("10%", "v > '2024-01-01'"),
        ("00001", "v > '5'"),
        ("1.224", "v > '1000'"),
        ("552 100 554", "v BETWEEN '500 000 000' AND '600 000 000'"),
        ("192.168.100.200", "v >= '10.1.0.0' AND v < '10.2'"),
        ("1,2,3", "v >= '2' AND v < '3'"),
        ("46.9480,7.4474", "v >= '47' AND v < '48'"),
        ("01.05.2024", "v >= '2nd avenue'"),
    ],
)
def test_texts_that_are_numbers_are_compared_as_texts_where_their_order_does_not_matter(end: str, text: str) -> None:
    condition(text, [StoredColumn("v", "VARCHAR", 0, end, "x")])


@pytest.mark.parametrize("name", METRICS)
def test_a_metric_in_a_filter_is_told_where_metrics_are(name: str) -> None:
    assert f"aggregate?metrics={name}(" in refusal(f"{name}(x) > 3")


def test_functions_of_texts_are_nested_and_repeated_within_bounds() -> None:
    many = "trim(casei(" * 7 + "s" + "))" * 7
    assert rows_of(f"trim({many}) = 'é'", {"s": "É"}) == [0]
    assert "weigh 64 together, and may weigh 60" in refusal(f"trim(trim({many})) = 'e'")
    sixty = " OR ".join([f"(s LIKE '%{n}%')" for n in range(10, 70)])
    assert rows_of(f"({sixty}) AND (casei('A') = 'a')", {"s": "a69"}) == [0]
    assert "weigh 61" in refusal(f"({sixty}) OR contains(s, 'a')")


def test_a_dozen_columns_can_be_searched_without_regard_to_case() -> None:
    assert rows_of(" OR ".join(["casei(s) LIKE casei('%Bird%')"] * 12), {"s": "A BIRD"}) == [0]


@pytest.mark.parametrize(
    ("weight", "text"),
    [
        (70, " OR ".join([f"accenti(s) = '{n}'" for n in range(7)])),
        (61, " OR ".join([f"DATE(s) = DATE('2024-05-{n % 30 + 1:02}')" for n in range(61)])),
        (66, " OR ".join([f"length(accenti(s)) < {n}" for n in range(6)])),
        (
            160,
            "text(" * 3 + "accenti(s)" + " BETWEEN 'a' AND 'b')" * 3 + " BETWEEN 'a' AND 'b'",
        ),
        (64, "s IN (" + ", ".join(["casei(s)"] * 16) + ")"),
    ],
)
def test_a_filter_that_goes_through_texts_too_often_is_refused(weight: int, text: str) -> None:
    assert f"weigh {weight} together" in refusal(text)


@pytest.mark.parametrize(
    ("copied", "text"),
    [
        (0, "t LIKE '%a%' AND length(t) > 3 AND t IN ('a', 'b') AND text(t) = 'a' AND t LIKE '_b%'"),
        (0, "casei(s) = 'a' AND casei('A') = 'a'"),
        (1000, "casei(t) = 'a'"),
        (2000, "upper(trim(t)) = 'a'"),
        (3000, "casei(t) LIKE casei('%a%') OR accenti(t) LIKE '%b%'"),
        (2000, "casei(t) BETWEEN 'a' AND 'b'"),
        (1000, "casei(t) IN ('a', 'b', 'c')"),
        (2000, r"t LIKE '%\_a%b%'"),
    ],
)
def test_a_filter_makes_no_more_new_texts_of_long_ones_than_there_is_memory_for(copied: int, text: str) -> None:
    columns = [StoredColumn("t", "VARCHAR", 0, "a", "b", 1000), StoredColumn("s", "VARCHAR", 0, "a", "b")]
    condition(text, columns, copied)
    if copied:
        with pytest.raises(InvalidFilterError, match=f"make up to {copied:,} bytes of new texts of 2,048") as caught:
            condition(text, columns, copied - 1)
        assert "regexp_matches" in caught.value.detail
