"""Whether the entries of a backup are what ``copying`` writes: what has a right digest may still be made wrongly."""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

import msgpack

from gristmill.backup.format import Entry
from gristmill.datasets.dataset import check_name
from gristmill.datasets.store import decode as decode_data_set
from gristmill.errors import DamagedBackupError, InvalidRequestError
from gristmill.records import decode as decode_job

_BYTES = {"blob": bytes, "number": int, "data": bytes}
_MARK = {"name": bytes, "value": bytes, "ends": int, "there": int}
_FIELDS: Mapping[str, Mapping[str, type]] = {
    "begin": {"backup": str, "release": str, "environment": str, "begun": int},
    "pause": {"process": bytes},
    "secret": {"owner": bytes, "secret": bytes},
    "facts": {"reference": bytes, "facts": bytes},
    "data-set-bytes": _BYTES,
    "version": {
        "version": bytes, "blob": bytes, "chunks": int, "bytes": int, "sha256": bytes, "facts": bytes, "reading": bytes,
    },
    "data-set": {"name": bytes, "record": bytes, "texts": dict},
    "job-bytes": _BYTES,
    "log": {"job": bytes, "log": bytes},
    "job": {"job": bytes, "record": bytes, "log": bytes, "retry": bytes, "blobs": bytes},
    "hold": {"version": bytes, "job": bytes, "until": int},
    "idempotency-key": _MARK,
    "equal-work": _MARK,
    "call-back": {"call_back": bytes, "due": int, "record": bytes},
}  # fmt: skip
_MOST_BLOBS = 10_000
_BLOB = rb"[^,;]+,[0-9]{1,9},[0-9]{1,15}"
_BLOBS = re.compile(rb"(?:%b(?:;%b)*)?" % (_BLOB, _BLOB))
_RETRY = re.compile(rb"(?:[0-9]{1,18}(?:\.[0-9]{1,9})?(?:e\+[0-9]{1,2})?)?")
# What decoding wrong things may raise.
_WRONG = (
    LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError, msgpack.UnpackException,
    InvalidRequestError,
)  # fmt: skip
# What the engine's functions rely on in a job's record: numbers, and texts.
_NUMBERS = (b"c", b"m", b"u", b"b", b"e", b"a", b"z", b"zb", b"R", b"L", b"C", b"H", b"lg")
_TEXTS = (b"p", b"o", b"s", b"q", b"x", b"j", b"k", b"h", b"f", b"w", b"I")


def checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries that are read. Kinds that are not known may be those of a later release. DamagedBackupError."""
    for kind, fields in entries:
        for name, expected in _FIELDS.get(kind, {}).items():
            if not isinstance(fields.get(name), expected):
                raise _damaged(kind, f"its {name!r} is not there, or is no {expected.__name__}")
        if its_check := _CHECKS.get(kind):
            try:
                its_check(fields)
            except _WRONG as error:
                raise _damaged(kind, f"{type(error).__name__}: {error}") from error
        yield kind, fields


def _damaged(kind: str, why: str) -> DamagedBackupError:
    return DamagedBackupError(f"The backup is damaged: an entry of the kind {kind!r} is none ({why}).")


def _check_job(fields: dict[str, Any]) -> None:
    job = decode_job(fields["job"].decode(), fields["record"], lambda _reference: ("", "", ""))
    record = msgpack.unpackb(fields["record"], raw=True)
    if job.status.is_final and job.finished is None:
        raise ValueError("a job that has ended has no end")
    for names, kind in ((_NUMBERS, int), (_TEXTS, bytes)):
        for name in names:
            if not isinstance(record.get(name, kind()), kind):
                raise TypeError(f"its {name.decode()!r} is no {kind.__name__}")
    if not job.status.is_final and b"q" not in record:
        raise ValueError("a job that has not ended has no queue")
    blobs = record.get(b"B", [])
    if len(blobs) > _MOST_BLOBS or not all(isinstance(blob, bytes) for blob in blobs):
        raise ValueError("its blobs have no names, or too many")
    if not _BLOBS.fullmatch(fields["blobs"]) or fields["blobs"].count(b";") > _MOST_BLOBS:
        raise ValueError("its blobs are not written as they should be")
    if not _RETRY.fullmatch(fields["retry"]):
        raise ValueError("the time of its next try is none")


def _check_data_set(fields: dict[str, Any]) -> None:
    texts = fields["texts"]
    if not all(isinstance(text, bytes) for text in (*texts, *texts.values())):
        raise ValueError("what is said about it is no text")
    data_set = decode_data_set(check_name(fields["name"].decode()), fields["record"], texts.items())
    if not data_set.editions:
        raise ValueError("it has no version")
    for edition in data_set.editions:
        if not all(isinstance(number, int) for number in (edition.since, edition.rows, edition.stored_bytes)):
            raise ValueError("a version's numbers are none")
    if len({edition.version for edition in data_set.editions}) < len(data_set.editions):
        raise ValueError("it has a version twice")


def _check_begin(fields: dict[str, Any]) -> None:
    datetime.fromtimestamp(fields["begun"] / 1e6, UTC)
    if not fields["backup"]:
        raise ValueError("it has no name")


def _check_pause(fields: dict[str, Any]) -> None:
    fields["process"].decode()


def _check_version(fields: dict[str, Any]) -> None:
    if not 0 <= fields["chunks"] <= fields["bytes"] + 1:
        raise ValueError("it has more parts than bytes")


def _check_call_back(fields: dict[str, Any]) -> None:
    msgpack.unpackb(fields["record"], raw=True)[b"job"].decode()
    if not re.search(rb"[0-9]+$", fields["call_back"]):
        raise ValueError("its name has no revision")


_CHECKS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "begin": _check_begin,
    "pause": _check_pause,
    "data-set": _check_data_set,
    "version": _check_version,
    "job": _check_job,
    "call-back": _check_call_back,
}
