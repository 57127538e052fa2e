"""Whether the entries of a backup are what ``copying`` writes: what has a right digest may still be made wrongly."""

import json
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import msgpack

from gristmill.backup.format import Entry
from gristmill.datasets.dataset import check_name
from gristmill.datasets.store import decode as decode_data_set
from gristmill.errors import DamagedBackupError, InvalidRequestError
from gristmill.job import Job, Status
from gristmill.records import CODES, unpack
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
# Of a job, or of a version of a data set.
_NAME = re.compile(r"[0-9A-Za-z_-]{1,128}")
_SHA256 = re.compile(rb"[0-9a-f]{64}")
_EVENT = re.compile(rb"[0-9A-Za-z_-]{1,128}\.[0-9]{1,15}")
# Beyond it, numbers are no longer exact in Lua.
_MOST = 2**53
_LATEST = 8000 * 365 * 86400 * 10**6  # years have four digits
_FOR_EVER = 2**62  # by the settings, what is kept may be kept longer than there are dates
# What decoding wrong things may raise.
_WRONG = (
    LookupError, TypeError, ValueError, AttributeError, OverflowError, OSError, RecursionError,
    msgpack.UnpackException, InvalidRequestError,
)  # fmt: skip
# What the engine's functions, and whoever reads a job, rely on in its record: counts, numbers that may be less than 0
# (times since another), numbers that are not always whole, and texts.
_COUNTS = frozenset({b"u", b"a", b"z", b"zb", b"zr", b"R", b"L", b"C", b"H", b"lg", b"l", b"K"})
_WHOLE = frozenset({b"c", b"m", b"b", b"e", b"y"})
_BROKEN = frozenset({b"g", b"qs"})
_TEXTS = frozenset(
    {b"p", b"o", b"s", b"q", b"x", b"j", b"k", b"h", b"f", b"w", b"i", b"I", b"r", b"n", b"d", b"t", b"rq", b"cb"}
)


def checked(entries: Iterable[Entry]) -> Iterator[Entry]:
    """The entries that are read. Kinds that are not known may be those of a later release. DamagedBackupError."""
    for kind, fields in entries:
        for name, expected in _FIELDS.get(kind, {}).items():
            if type(fields.get(name)) is not expected:  # "true" is a number in Python, and none in Lua
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
    _name(fields["job"].decode())
    job = decode_job(fields["job"].decode(), fields["record"], lambda _reference: ("", "", ""))
    record = msgpack.unpackb(fields["record"], raw=True)
    for name, value in record.items():
        _check_value(name, value)
    for time in {job.created, job.updated, job.started or 0, job.finished or 0}:
        _moment(time)
    if not _RETRY.fullmatch(fields["retry"]):
        raise ValueError("the time of its next try is none")
    if fields["retry"]:
        _moment(float(fields["retry"]))
    _process(record[b"p"])
    for name in (b"j", b"k"):
        if name in record:
            _name(record[name].decode())
    if job.status.is_final:
        _check_end(job, record)
    else:
        _check_waiting(job, record)
    if fields["log"] and job.log is None:
        raise ValueError("it has a log, and none")
    _check_parts(job, record, fields["blobs"])


def _check_value(name: bytes, value: Any) -> None:
    if name in _TEXTS:
        if type(value) is not bytes:
            raise ValueError(f"its {name.decode()!r} is no text")
    elif name in _COUNTS or name in _WHOLE:
        _number(value, 0 if name in _COUNTS else -_MOST)
    elif name in _BROKEN and (type(value) not in {int, float} or math.isnan(value)):
        raise ValueError(f"its {name.decode()!r} is no number")


def _check_end(job: Job, record: dict[bytes, Any]) -> None:
    if job.finished is None:
        raise ValueError("a job that has ended has no end")
    is_made_here = job.status is Status.SUCCESSFUL and not {b"k", b"km"} & record.keys()
    if is_made_here and not {b"a", b"b", b"h"} <= record.keys():
        raise ValueError("nobody has made its result")
    if job.made:
        _number(record[b"km"][0])
        _moment(job.made.started)
        _moment(job.made.finished)


def _check_waiting(job: Job, record: dict[bytes, Any]) -> None:
    if not record[b"q"].startswith(record[b"p"] + b"@") or record[b"q"].count(b"@") < 2:
        raise ValueError("its queue is none of its process")
    if b"K" in record or (b"l" in record and job.status is not Status.RUNNING):
        raise ValueError("it waits and has ended")
    if b"j" in record and b"x" not in record:
        raise ValueError("it has joined another job without the same work")
    if b"cb" in record and not _are_texts(json.loads(record[b"cb"])):
        raise ValueError("its subscriber is none")


def _check_parts(job: Job, record: dict[bytes, Any], blobs: bytes) -> None:
    """Inputs, outputs, what was asked for, and where their bytes are."""
    names = record.get(b"B", [])
    if type(names) is not list or len(names) > _MOST_BLOBS or not all(type(blob) is bytes for blob in names):
        raise ValueError("its blobs have no names, or too many")
    if not _BLOBS.fullmatch(blobs) or blobs.count(b";") > _MOST_BLOBS:
        raise ValueError("its blobs are not written as they should be")
    if not re.fullmatch(_BLOB, record.get(b"I", b"i,0,0")):
        raise ValueError("its inputs are not written as they should be")
    if b"i" in record:
        json.loads(record[b"i"])
    for output in job.outputs:
        _number(output.size)
        if not _are_texts({output.name: output.media_type, output.blob: ""}):
            raise TypeError("an output has no name")
        if type(output.data) is not (type(None) if output.blob else bytes):
            raise TypeError("an output has no bytes")
    asked = json.loads(job.request).get("outputs") if job.request else None
    if asked and not all(isinstance(how, dict) for how in asked.values()):
        raise TypeError("it is not said what it was asked for")


def _number(value: object, least: int = 0, end: int = _MOST) -> None:
    if type(value) is not int or not least <= value < end:
        raise ValueError(f"{value!r} is no number that there may be")


def _moment(microseconds: float) -> None:
    if not 0 <= microseconds < _LATEST:
        raise ValueError(f"{microseconds!r} is at no time that there may be")


def _name(text: str) -> None:
    if not _NAME.fullmatch(text):
        raise ValueError(f"{text[:100]!r} is no name")


def _process(name: bytes) -> None:
    if not name.decode().isidentifier():
        raise ValueError(f"{name[:100]!r} is no name of a process")


def _are_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for text in (*value, *value.values()))


def _check_data_set(fields: dict[str, Any]) -> None:
    texts = fields["texts"]
    if not all(isinstance(text, bytes) for text in (*texts, *texts.values())):
        raise ValueError("what is said about it is no text")
    data_set = decode_data_set(check_name(fields["name"].decode()), fields["record"], texts.items())
    if not data_set.editions:
        raise ValueError("it has no version")
    for time in (data_set.created, data_set.revision, *(edition.since for edition in data_set.editions)):
        _number(time)
        _moment(time)
    for edition in data_set.editions:
        _name(edition.version)
        for number in (edition.rows, edition.stored_bytes, edition.read_bytes):
            _number(number)
    if len({edition.version for edition in data_set.editions}) < len(data_set.editions):
        raise ValueError("it has a version twice")


def _check_begin(fields: dict[str, Any]) -> None:
    _moment(fields["begun"])
    if not fields["backup"]:
        raise ValueError("it has no name")


def _check_pause(fields: dict[str, Any]) -> None:
    if fields["process"] != b"*":
        _process(fields["process"])


def _check_facts(fields: dict[str, Any]) -> None:
    fields["facts"].decode()


def _check_version(fields: dict[str, Any]) -> None:
    _name(fields["version"].decode())
    fields["blob"].decode()
    _number(fields["bytes"])
    if not 0 <= fields["chunks"] <= fields["bytes"]:
        raise ValueError("it has more parts than bytes")
    if not _SHA256.fullmatch(fields["sha256"]):
        raise ValueError("its SHA-256 is none")


def _check_hold(fields: dict[str, Any]) -> None:
    _number(fields["until"], -_FOR_EVER, _FOR_EVER)


def _check_key(fields: dict[str, Any]) -> None:
    _number(fields["ends"], -1, _FOR_EVER)
    _name(fields["value"][8:].decode())  # after the body's digest


def _check_equal_work(fields: dict[str, Any]) -> None:
    _number(fields["ends"], -1, _FOR_EVER)
    _name(fields["value"].decode())


def _check_call_back(fields: dict[str, Any]) -> None:
    record = unpack(fields["record"])
    if not _are_texts({name: record[name] for name in ("url", "owner", "job", "status")}):
        raise TypeError("it is not said of what, or to whom")
    if record["status"] not in CODES.values():
        raise ValueError("its state is none")
    _moment(record["created"])
    for number in (fields["due"], record["created"], record["tries"]):
        _number(number)
    if not _EVENT.fullmatch(fields["call_back"]):
        raise ValueError("its name has no revision")


_CHECKS: Mapping[str, Callable[[dict[str, Any]], None]] = {
    "begin": _check_begin,
    "pause": _check_pause,
    "facts": _check_facts,
    "data-set": _check_data_set,
    "version": _check_version,
    "job": _check_job,
    "hold": _check_hold,
    "idempotency-key": _check_key,
    "equal-work": _check_equal_work,
    "call-back": _check_call_back,
}
