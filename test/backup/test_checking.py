"""What no backup holds is refused, entry by entry; what a backup of an odd system holds is not."""

from collections.abc import Mapping
from typing import Any

import msgpack
import pytest
from support.backups import entries

from gristmill.backup.checking import checked
from gristmill.backup.format import Entry
from gristmill.errors import DamagedBackupError

from .test_old_formats import FIXTURES, NAMES

ENTRIES = list(entries((FIXTURES / "format-1.backup").read_bytes()))
GONE = ...  # the field is left out
FAR = 2**62

# kind, and what of its first entry is another
FIELDS: list[tuple[str, Mapping[str, Any]]] = [
    ("begin", {"begun": True}),
    ("pause", {"process": b"[/red]"}),
    ("facts", {"facts": b"\xff"}),
    ("version", {"chunks": True}),
    ("version", {"bytes": -1, "chunks": 0}),
    ("version", {"sha256": b"none"}),
    ("version", {"version": b"a b"}),
    ("job", {"job": b""}),
    ("job", {"job": b"[/red]"}),
    ("job", {"retry": b"1e+99"}),
    ("waiting 0", {"log": b"what no record tells of"}),
    ("hold", {"until": True}),
    ("hold", {"until": 2**63}),
    ("idempotency-key", {"ends": True}),
    ("idempotency-key", {"ends": 2**63}),
    ("idempotency-key", {"value": b"short"}),
    ("equal-work", {"ends": FAR}),
    ("equal-work", {"value": b"\xff"}),
    ("call-back", {"due": True}),
    ("call-back", {"call_back": b"a.1\n"}),
    ("call-back", {"call_back": b"a.none"}),
]
# kind, or the name of a job, and what of its record is another
RECORDS: list[tuple[str, Mapping[str, Any]]] = [
    ("waiting 0", {"c": FAR}),
    ("waiting 0", {"c": True}),
    ("waiting 0", {"q": b"echo"}),
    ("waiting 0", {"q": b"another@face@1"}),
    ("waiting 0", {"p": b"[/red]"}),
    ("waiting 0", {"y": b"urgent"}),
    ("waiting 0", {"zb": -(2**62)}),
    ("waiting 0", {"qs": b"soon"}),
    ("waiting 0", {"qs": float("nan")}),
    ("waiting 0", {"cb": b"no JSON"}),
    ("waiting 0", {"cb": b'{"successUri": 5}'}),
    ("waiting 0", {"rq": b"[]"}),
    ("waiting 0", {"rq": b"\xff"}),
    ("waiting 0", {"rq": b'{"outputs": {"result": 5}}'}),
    ("waiting 0", {"K": 1}),
    ("waiting 0", {"l": 1}),
    ("waiting 0", {"g": b"half"}),
    ("waiting 0", {"t": 5}),
    ("waiting 0", {"I": b"name,1,-5"}),
    ("keyed", {"i": [1]}),
    ("keyed", {"i": b"no JSON"}),
    ("joined", {"x": GONE}),
    ("keyed", {"e": FAR}),
    ("keyed", {"b": GONE}),
    ("keyed", {"h": GONE}),
    ("keyed", {"r": msgpack.packb([[5, 0, b"1"]])}),
    ("keyed", {"r": msgpack.packb([["result", 5, b"1"]])}),
    ("keyed", {"r": msgpack.packb([["result", 0, "1"]])}),
    ("keyed", {"r": msgpack.packb([["result", 0, "long", "blob"]])}),
    ("original", {"zr": b"many"}),
    ("original", {"B": {b"a": 1}}),
    ("copy", {"km": [1, b"a.1", b"f", b"then", 2]}),
    ("copy", {"k": b"[/red]"}),
    ("data-set", {"c": b"then"}),
    ("data-set", {"u": True}),
    ("data-set", {"u": FAR}),
    ("call-back", {"tries": GONE}),
    ("call-back", {"url": 5}),
    ("call-back", {"status": b"?"}),
    ("call-back", {"created": FAR}),
]


def changed(them: Mapping[Any, Any], change: Mapping[Any, Any]) -> dict[Any, Any]:
    return {name: value for name, value in (dict(them) | dict(change)).items() if value is not GONE}


def first(kind: str) -> Entry:
    """The first entry of a kind, or a job by its name."""
    if kind in NAMES:
        return next(it for it in ENTRIES if it[0] == "job" and it[1]["job"] == NAMES[kind].encode())
    return next(it for it in ENTRIES if it[0] == kind)


def refused(kind: str, fields: dict[str, Any]) -> bool:
    try:
        assert list(checked([(kind, fields)])) == [(kind, fields)]
    except DamagedBackupError as error:
        return error.detail.startswith(f"The backup is damaged: an entry of the kind {kind!r} is none (")
    return False


def test_what_a_backup_holds_is_let_through() -> None:
    assert list(checked(ENTRIES)) == ENTRIES


def test_what_a_later_release_may_add_is_let_through() -> None:
    assert not refused("something new", {"whatever": 1})
    kind, fields = first("job")
    assert not refused(kind, fields | {"new": 1})
    assert not refused(kind, fields | {"record": with_record(fields, {"new": [1]})})


@pytest.mark.parametrize("wrong", [pytest.param(it, id=f"{it[0]} {it[1]}") for it in FIELDS])
def test_a_field_that_none_can_have_is_refused(wrong: tuple[str, Mapping[str, Any]]) -> None:
    kind, fields = first(wrong[0])
    assert refused(kind, changed(fields, wrong[1]))


@pytest.mark.parametrize("wrong", [pytest.param(it, id=f"{it[0]} {it[1]}") for it in RECORDS])
def test_a_record_that_nobody_can_have_written_is_refused(wrong: tuple[str, Mapping[str, Any]]) -> None:
    kind, fields = first(wrong[0])
    assert refused(kind, fields | {"record": with_record(fields, wrong[1])})


@pytest.mark.parametrize("wrong", [{"c": FAR}, {"d": GONE}, {"r": -1}, {"s": True}, {"i": b"a b"}])
def test_a_version_that_no_data_set_can_have_is_refused(wrong: dict[str, Any]) -> None:
    kind, fields = first("data-set")
    editions = msgpack.unpackb(fields["record"], raw=True)[b"V"]
    its = {name.encode(): value for name, value in wrong.items()}
    bad = with_record(fields, {"V": [changed(editions[0], its), *editions[1:]]})
    assert refused(kind, fields | {"record": bad})


@pytest.mark.parametrize(
    "odd",
    [
        {"qs": 10**18},  # a queue whose jobs may wait "for ever"
        {"qs": 1e30},
        {"g": 12.5},
        {"t": b"\xff"},
        {"o": b"\xff|:@ x"},
        {"y": 0},
        {"p": "größe".encode(), "q": "größe@face@1".encode()},
        {"q": b"limited@face@"},
        {"cb": b"{}"},
        {"m": 1},
    ],
)
def test_a_record_that_is_odd_and_legal_is_let_through(odd: dict[str, Any]) -> None:
    kind, fields = first("waiting 0")
    assert not refused(kind, fields | {"record": with_record(fields, odd)})


def test_a_copied_result_of_before_its_maker_was_remembered_is_let_through() -> None:
    kind, fields = first("copy")
    assert not refused(kind, fields | {"record": with_record(fields, {"km": GONE})})


def test_a_mark_without_an_end_is_let_through() -> None:
    kind, fields = first("idempotency-key")
    assert not refused(kind, fields | {"ends": -1})


def test_what_is_kept_longer_than_there_are_dates_is_let_through() -> None:
    kind, fields = first("hold")
    assert not refused(kind, fields | {"until": 2**60})
    kind, fields = first("equal-work")
    assert not refused(kind, fields | {"ends": 2**60})


def with_record(fields: Mapping[str, Any], change: Mapping[str, Any]) -> bytes:
    """The record of an entry, with some fields changed."""
    record = msgpack.unpackb(fields["record"], raw=True)
    its = {name.encode(): value for name, value in change.items()}
    packed: bytes = msgpack.packb(changed(record, its), use_bin_type=False)
    return packed
