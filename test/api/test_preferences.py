"""Prefer and Priority."""

import pytest

from gristmill.api.preferences import NONE, Preferences, read_prefer, read_urgency


@pytest.mark.parametrize(
    ("header", "read"),
    [
        ("", NONE),
        ("respond-async", Preferences(respond_async=True)),
        ("Respond-Async", Preferences(respond_async=True)),
        ("respond-async, wait=10", Preferences(respond_async=True, wait=10)),
        ('wait="10"', Preferences(wait=10)),
        ("wait = 5; x=y , return=minimal", Preferences(wait=5)),
        ("respond-async;foo=bar", Preferences(respond_async=True)),
    ],
)
def test_preferences_are_read_as_rfc_7240_writes_them(header: str, read: Preferences):
    assert read_prefer(header) == read


@pytest.mark.parametrize(
    "header", ["respond-sync", "wait=soon", "wait=-1", "wait", "handling=lenient", ",,;=", "wait=²"]
)
def test_preferences_that_are_unknown_or_malformed_are_ignored(header: str):
    assert read_prefer(header) == NONE


def test_the_first_of_two_equal_preferences_counts():
    assert read_prefer("wait=1, wait=2") == Preferences(wait=1)


@pytest.mark.parametrize(
    ("header", "urgency"),
    [
        ("", 3),
        ("u=0", 0),
        ("u=1, i", 1),
        ("i, u=2", 2),
        ("u=3", 3),
        ("u=7", 3),
        ("u=9", 3),
        ("u=-1", 3),
        ("x", 3),
        ("u=1.5", 3),
    ],
)
def test_urgency_is_read_as_rfc_9218_writes_it_and_never_less_than_ordinary(header: str, urgency: int):
    assert read_urgency(header) == urgency
