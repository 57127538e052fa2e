"""The filters of the job list."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from werkzeug.datastructures import MultiDict

from gristmill.api.job_query import next_query, read_filter, read_interval, read_limit
from gristmill.errors import InvalidRequestError
from gristmill.job import Status


def microseconds(*parts: int) -> int:
    return int(datetime(*parts, tzinfo=UTC).timestamp()) * 1_000_000


def test_lists_may_be_repeated_or_separated_by_commas():
    query = MultiDict(
        [("status", "failed,successful"), ("status", "running"), ("processID", "a, b"), ("processID", "a")]
    )
    wanted = read_filter(query, "")
    assert wanted.statuses == (Status.FAILED, Status.SUCCESSFUL, Status.RUNNING)
    assert wanted.processes == ("a", "b")


def test_every_wrong_parameter_is_named():
    query = MultiDict({"status": "done", "datetime": "soon", "minDuration": "-1", "maxDuration": "long"})
    with pytest.raises(InvalidRequestError) as refused:
        read_filter(query, "")
    assert [fault.pointer for fault in refused.value.faults] == ["datetime", "status", "minDuration", "maxDuration"]


@pytest.mark.parametrize(("types", "any_match"), [("process", True), ("process,other", True), ("other", False)])
def test_only_jobs_of_type_process_are_here(types, any_match):
    assert (read_filter(MultiDict({"type": types}), "") is not None) is any_match


@pytest.mark.parametrize(
    ("text", "first", "last"),
    [
        ("2026-11-23T10:00:00Z", microseconds(2026, 11, 23, 10), microseconds(2026, 11, 23, 10, 0, 1) - 1),
        ("2026-11-23T10:00:00.5Z", microseconds(2026, 11, 23, 10) + 500_000, microseconds(2026, 11, 23, 10) + 599_999),
        ("2026-11-23T11:00:00+01:00/..", microseconds(2026, 11, 23, 10), None),
        ("../2026-11-23T10:00:00z", None, microseconds(2026, 11, 23, 10, 0, 1) - 1),
        ("/2026-11-23", None, microseconds(2026, 11, 24) - 1),
        ("2026-11-23/2026-11-24", microseconds(2026, 11, 23), microseconds(2026, 11, 25) - 1),
        ("2016-12-31T23:59:60Z/..", microseconds(2017, 1, 1), None),
        ("../..", None, None),
    ],
)
def test_an_interval_is_read_as_rfc_3339_says(text, first, last):
    assert read_interval(text) == (first, last)


@pytest.mark.parametrize(
    "text", ["x", "2026-13-01", "2026-11-23T10:00:00", "2026-11-23T25:00:00Z", "a/b/c", "0000-01-01"]
)
def test_what_is_no_interval_is_refused(text):
    with pytest.raises(InvalidRequestError):
        read_filter(MultiDict({"datetime": text}), "")


@given(st.text(max_size=40))
def test_any_text_is_an_interval_or_refused(text):
    try:
        read_filter(MultiDict({"datetime": text, "minDuration": text, "status": text}), "")
    except InvalidRequestError:
        return


def test_a_plus_that_came_as_a_space_is_a_plus():
    wanted = read_filter(MultiDict({"datetime": "2026-11-23T11:00:00 01:00/.."}), "")
    assert wanted.created_from == microseconds(2026, 11, 23, 10)


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "x", "1.5", "", "9" * 30, "0000010009999"])
def test_a_limit_out_of_range_is_refused(limit):
    with pytest.raises(InvalidRequestError):
        read_limit(MultiDict({"limit": limit}))


def test_the_next_page_asks_for_the_same():
    query = MultiDict([("status", "failed"), ("status", "running"), ("limit", "2"), ("cursor", "old"), ("other", "x")])
    assert next_query(query, "new") == [("status", "failed"), ("status", "running"), ("limit", "2"), ("cursor", "new")]
