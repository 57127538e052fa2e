"""What is said of a filter that the parser does not understand."""

import pytest

from gristmill.datasets.cql import parse
from gristmill.errors import InvalidFilterError


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("i == 1", "equal is written ="), ("i === 1", "equal is written ="), ("i => 1", "written >="),
        ("i =< 1", "written <="), ("i ≥ 1", "written >="), ("i > 1 && i < 3", "written AND"),
        ("i = 1 || i = 2", "OR"), ("! i = 1", "NOT"), ("i not = 1", "written <>"), ("i = 1;", "without a semicolon"),
        ("`i` = 1", "double quotes"), ("[i] = 1", "double quotes"), ("t = \u2018a\u2019", "straight single quotes"),
        ("t = 'O'Hare'", "is doubled"), ("t ILIKE 'a%'", "casei("), ("t contains 'a'", "LIKE '%...%'"),
        ("t ~ 'a'", "LIKE '%...%'"), ("d > DATE '2024-12-31'", "DATE('2024-12-31')"), ("x = 3,5", "a point"),
        ("x BETWEEN 1, 2", "BETWEEN has AND"),
        ("i > 1 AND < 3", "whole comparison"), ("i > 1 or = 3", "whole comparison"), ("i IS 3", "NULL or NOT NULL"),
        ("t not null", "IS NOT NULL"), ("t not ilike 'a%'", "casei("), ("t not 'AA'", "written <>"),
        ("t not 3", "written <>"), ("x = 3 AND and y = 2", "whole comparison"),
        ("t like 'a' or like 'b'", "whole comparison"),
        ("t = 'a' or in ('b')", "whole comparison"), ("t = 'a' and is null", "whole comparison"),
        ("t in ['AA','DL']", "round brackets"), ("x between [3,4]", "BETWEEN 1 AND 5"), ("x &gt; 3", "HTML"),
        ("x > 3 and  \n < 4", "whole comparison"),
        ("CAST(x AS VARCHAR) = '1'", "text(x)"), ("a = 1 and cast(\"x\" as int) = 1", "integer(x)"),
        ('"x"::text = \'1\'', "text(x)"), ("x = 1 -- c", "no comments"), ("-- c\nx = 1", "no comments"),
        ("t = 'a' --", "no comments"), ("x = 1 /* c */", "no comments"), ("x = 1 ORDER BY x", "condition alone"),
        ("order by x", "condition alone"), ("x = 1 limit 5", "condition alone"), ("SELECT * FROM t", "condition alone"),
        ("SELECT x = 1", "condition alone"), (" where x = 1", "condition alone"),
        ("x = 1 GROUP BY t", "condition alone"),
    ],
)  # fmt: skip
def test_what_other_languages_write_is_told_as_it_is_written_here(text: str, said: str) -> None:
    with pytest.raises(InvalidFilterError) as raised:
        parse(text)

    assert said in raised.value.detail


@pytest.mark.parametrize(
    "text",
    [
        "Age group = '18-24'",
        "i = 1 AND age GROUP > 3",
        "Age group of 5 = 1",
        "i = 1 AND Size °C > 3",
        "i > 3 and in stock > 2",
    ],
)
def test_a_name_of_several_words_without_quotes_is_told_in_them(text: str) -> None:
    with pytest.raises(InvalidFilterError, match=r'double quotes: "(Age group|Age group of 5|Size °C|In stock)"'):
        parse(text, ["i", "Age", "group", "Age group", "Age group of 5", "Size °C", "In stock"])


def test_a_name_that_stands_elsewhere_is_not_told() -> None:
    with pytest.raises(InvalidFilterError, match=r"at character 20, near '> 3'\.$"):
        parse('"Age group" = i +  > 3', ["Age group", "i"])


@pytest.mark.parametrize(
    ("text", "said"),
    [("x = 1 limit 5", "condition alone"), ("x = 1 'a'", r"near \"'a'\"\.$"), ("x > 3 5", "a comma or an operator"),
     ("x = 1 y", r"near 'y'\.$"), ("x IN 3", "round brackets")],
)  # fmt: skip
def test_columns_called_as_sorts_of_words_or_keywords_change_no_other_hint(text: str, said: str) -> None:
    with pytest.raises(InvalidFilterError, match=said):
        parse(text, ["x", "name", "number", "text", "function", "In", "limit"])


def test_a_keyword_that_is_compared_behind_and_is_told_as_a_column() -> None:
    with pytest.raises(InvalidFilterError, match="a column of this name stands in double quotes"):
        parse("x = 1 AND in = 3", ["x", "In"])
    with pytest.raises(InvalidFilterError, match="whole comparison"):
        parse("x = 1 OR in (3)", ["x", "In"])


@pytest.mark.parametrize(("text", "character"), [("i = 1 and", 10), ("i IN (1, 2", 11), ("i i = 1", 3), ("i = 1 )", 7)])
def test_where_nobody_can_tell_what_is_meant_the_place_alone_is_named(text: str, character: int) -> None:
    with pytest.raises(InvalidFilterError, match=rf"at character {character}, [^:]*\.$"):
        parse(text)


@pytest.mark.parametrize("text", ["1 - -1 = i", "1 --1 = i", "where = 1", "select = 1", "select - 1 = 0 AND i = 1"])
def test_what_only_looks_like_sql_is_parsed(text: str) -> None:
    parse(text)
