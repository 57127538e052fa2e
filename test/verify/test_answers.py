"""An answer that is not right says what was asked, what came and what would be right, whatever came."""

import json
from functools import partial
from typing import Any

import httpx
import pytest

from gristmill.verify.answers import LONGEST_TOLD, PROBLEM, Answer, MismatchError, shown


def answer(body: bytes | Any = b"", status: int = 200, **headers: str) -> Answer:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = httpx.Headers({name.replace("_", "-"): value for name, value in headers.items()})
    return Answer("GET /x", status, given, content, 0.1)


def _refusal(call: Any) -> MismatchError:
    with pytest.raises(MismatchError) as refused:
        call()
    return refused.value


def test_a_wrong_status_tells_the_problems_detail() -> None:
    told = _refusal(lambda: answer({"detail": "Redis is away."}, 503, Content_Type=PROBLEM).expect(200, 201))
    assert (told.asked, told.came) == ("GET /x", f"503 {PROBLEM}: Redis is away.")
    assert told.right == "200 or 201"


def test_a_redirect_tells_where_it_leads() -> None:
    told = _refusal(lambda: answer(status=301, Location="https://data.example.org/").expect(200))
    assert told.came == "301 to https://data.example.org/"


def test_a_page_of_somebody_else_is_told_by_its_beginning() -> None:
    told = _refusal(answer(b"<html>\n <h1>nginx</h1>" + b"." * 5000, Content_Type="text/html; charset=utf-8").json)
    assert told.came.startswith("200 text/html: <html> <h1>nginx</h1>...")
    assert len(told.came) < LONGEST_TOLD + 10
    assert told.right == "a body of JSON"


@pytest.mark.parametrize("body", [b"\xff\xfe", b"[" * 100_000, b"", b"{", b"\x00"])
def test_no_body_is_too_odd_to_be_told(body: bytes) -> None:
    odd = answer(body)
    assert odd.told.isprintable()
    assert _refusal(odd.json).right == "a body of JSON"


def test_a_member_is_found_by_its_path_and_kind() -> None:
    assert answer({"a": [{"b": 1}]}).at("a", 0, "b", kind=int) == 1


@pytest.mark.parametrize(
    ("body", "path", "kind", "right"),
    [
        ({"a": {}}, ("a", "b"), str, "a member a/b"),
        ([], ("a",), str, "a member a"),
        ({"a": []}, ("a", 0), str, "a member a/0"),
        ({"a": 1}, ("a",), str, "a is a text"),
        ({"a": True}, ("a",), int, "a is a whole number"),
        (None, (), dict, "the body is an object"),
        ("text", ("a",), str, "a member a"),
    ],
)
def test_a_member_that_is_missing_or_of_another_kind_is_told_with_what_there_is(body, path, kind, right) -> None:
    assert _refusal(lambda: answer(body).at(*path, kind=kind)).right == right


def test_problem_details_must_be_whole_and_of_their_media_type() -> None:
    whole = {"type": "urn:x:not-found", "title": "Not found", "status": 404, "detail": "No."}
    answer(whole, 404, Content_Type=PROBLEM).problem(404, type_="not-found")
    for body, media_type in (
        (whole, "application/json"),
        (whole | {"status": 400}, PROBLEM),
        (whole | {"detail": ""}, PROBLEM),
        ([], PROBLEM),
        ({"title": "Not found"}, PROBLEM),
    ):
        wrong = answer(body, 404, Content_Type=media_type)
        assert "problem details" in _refusal(partial(wrong.problem, 404)).right
    other = _refusal(lambda: answer(whole, 404, Content_Type=PROBLEM).problem(404, type_="no-such-job"))
    assert other.came == "404, type urn:x:not-found"


def test_a_header_must_be_there_and_of_a_value() -> None:
    answer(ETag='"1"').must_have("ETag").must_have("etag", '"1"')
    assert _refusal(lambda: answer().must_have("ETag")).came == "200, ETag: (none)"
    assert _refusal(lambda: answer(ETag='"2"').must_have("ETag", '"1"')).right == 'ETag: "1"'


def test_text_of_strangers_is_shown_on_one_line_and_without_control_characters() -> None:
    assert shown("a\x1b[31m\n\n  b\x00c") == "a [31m b c"
