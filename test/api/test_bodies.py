"""Reading JSON bodies strictly."""

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.api.bodies import canonical, parse_json, pointer
from gristmill.errors import InvalidRequestError

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(values)
def test_every_json_value_is_read_as_it_was_written(value):
    assert parse_json(json.dumps(value).encode(), 64) == value
    assert parse_json(json.dumps(value, ensure_ascii=False).encode(), 64) == value


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_an_invalid_request(body):
    with suppress(InvalidRequestError):
        parse_json(body, 64)


def test_an_empty_body_is_called_empty():
    with pytest.raises(InvalidRequestError, match="empty"):
        parse_json(b"", 64)


def test_broken_json_is_refused_with_line_and_column():
    with pytest.raises(InvalidRequestError, match="line 2, column 7"):
        parse_json(b'{"a": 1,\n "b": }', 64)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xff",
        b"\xef\xbb\xbf{}",
        b"NaN",
        b"[Infinity]",
        b"[-Infinity]",
        b'{"a": 1, "a": 2}',
        b'"\\ud800"',
        b'{"\\uDC00": 1}',
        b"[1,]",
        b"'a'",
        b"9" * 5000,
        b"[1e999]",
        b"-1E+0309",
        b"9" * 400 + b".5",
    ],
)
def test_what_is_not_plain_json_is_refused(body):
    with pytest.raises(InvalidRequestError):
        parse_json(body, 64)


def test_a_surrogate_pair_is_one_character():
    assert parse_json(b'"\\ud83d\\ude00"', 64) == "\N{GRINNING FACE}"


@pytest.mark.parametrize("body", ["1e308", "123456e100", "1E-999", "9" * 308 + ".5"])
def test_every_number_that_a_float_can_hold_is_read(body):
    assert parse_json(body.encode(), 64) == float(body)


def nested(depth: int) -> bytes:
    return b"[" * depth + b"]" * depth


def test_nesting_up_to_the_limit_is_read():
    assert parse_json(nested(8), 8) == [[[[[[[[]]]]]]]]


@pytest.mark.parametrize("body", [nested(9), b'{"a":' * 9 + b"1" + b"}" * 9, nested(200_000), b"[" * 1_000_000])
def test_nesting_beyond_the_limit_is_refused(body):
    with pytest.raises(InvalidRequestError):
        parse_json(body, 8)


def test_brackets_in_text_and_side_by_side_are_no_nesting():
    assert parse_json(json.dumps([["[[[[[[[["], [], [], {}, [], []]).encode(), 3)


def test_the_canonical_text_of_equal_values_is_equal():
    assert canonical({"b": [1, "é"], "a": {}}, 1) == canonical(json.loads('{"a": {}, "b": [1, "\\u00e9"]}'), 1)
    assert canonical({"a": 1}, 1) != canonical({"a": "1"}, 1)


@pytest.mark.parametrize(("levels", "is_equal"), [(0, False), (1, False), (2, True), (3, True)])
def test_the_order_of_names_counts_below_the_sorted_levels(levels, is_equal):
    texts = [canonical({"t": names}, levels) for names in ({"a": 1, "b": 2}, {"b": 2, "a": 1})]
    assert (texts[0] == texts[1]) is is_equal


def test_a_pointer_escapes_what_rfc_6901_says():
    assert pointer(["inputs", "a/b", "c~d", 0]) == "/inputs/a~1b/c~0d/0"


def test_an_integer_of_too_many_digits_is_refused_in_words_of_the_api():
    with pytest.raises(InvalidRequestError, match="an integer has more than 4,300 digits"):
        parse_json(b"1" * 5000, 64)
