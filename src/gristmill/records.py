"""How jobs are packed in Redis: pure conversions between the records of ``jobs.lua`` and the job model."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import msgpack

from gristmill.job import End, Job, Made, Offer, Output, Status, Waiting

CHUNK_BYTES = 2**20
INLINE_BYTES = 1024

CODES = {
    Status.ACCEPTED: "A",
    Status.RUNNING: "R",
    Status.SUCCESSFUL: "S",
    Status.FAILED: "F",
    Status.DISMISSED: "D",
}
_STATUSES = {code.encode(): status for status, code in CODES.items()}
_ENDS = {end.value: end for end in End}
_JSON = "application/json"


def pack(value: Any) -> bytes:
    """Pack for Lua's cmsgpack."""
    packed: bytes = msgpack.packb(value, use_bin_type=False)
    return packed


def unpack(packed: bytes) -> Any:
    """Unpack what Lua's cmsgpack or ``pack`` has packed; texts that are no UTF-8 keep their bytes as surrogates."""
    return msgpack.unpackb(packed, raw=False, unicode_errors="surrogateescape", strict_map_key=False)


def pack_outputs(outputs: Sequence[Output]) -> bytes:
    """Pack outputs as ``[name, media type or 0 for JSON, bytes]`` or ``[name, media type, size, blob]``."""
    rows: list[list[Any]] = []
    for output in outputs:
        media_type = 0 if output.media_type == _JSON else output.media_type
        rows.append(
            [output.name, media_type, output.size, output.blob]
            if output.data is None
            else [output.name, media_type, output.data]
        )
    packed: bytes = msgpack.packb(rows, use_bin_type=True)
    return packed


def unpack_outputs(packed: bytes) -> tuple[Output, ...]:
    """Unpack what ``pack_outputs`` has packed."""
    outputs = []
    for name, media_type, *rest in msgpack.unpackb(packed, raw=False):
        if len(rest) == 1:
            outputs.append(Output(name, media_type or _JSON, rest[0], "", len(rest[0])))
        else:
            outputs.append(Output(name, media_type or _JSON, None, rest[1], rest[0]))
    return tuple(outputs)


def chunk_count(size: int) -> int:
    """How many chunks hold so many bytes."""
    return max(1, -(-size // CHUNK_BYTES))


def blob_text(output: Output) -> str:
    """The blob of an output as the function library expects it."""
    return f"{output.blob},{chunk_count(output.size)},{output.size}"


def facts_text(release: str, process_version: str, interface: str) -> str:
    """What is stored once for all jobs that a release accepts, or runs, of one version of a process."""
    return f"{release}|{process_version}|{interface}"


def release_key(release: str) -> str:
    """A text that sorts as releases do: by Semantic Versioning 2.0.0, pre-releases before their release.

    A digit ahead of each number says how long it is. Only digits decide where that is possible, because the server
    may compare texts by the rules of a language, in which punctuation counts little.
    """
    version, _, _ = release.partition("+")
    core, _, pre = version.partition("-")
    numbers = [part if part.isdecimal() else "0" for part in [*core.split("."), "0", "0"][:3]]
    return "".join(map(_sortable, numbers)) + (
        "0" + ".".join(_sortable(part) if part.isdecimal() else part for part in pre.split(".")) if pre else "1"
    )


def _sortable(number: str) -> str:
    digits = number.lstrip("0") or "0"
    return f"{min(len(digits), 9)}{digits}"


def offers_text(offers: Sequence[Offer], references: dict[Offer, str]) -> str:
    """A worker's offers as the function library searches them."""
    return "," + "".join(
        f"{offer.process}@{offer.interface}#{offer.concurrent}!{references[offer]}," for offer in offers
    )


def offers_of(text: str) -> Iterator[Offer]:
    """The offers of a text that ``offers_text`` has made, without the processes' versions."""
    for entry in text.strip(",").split(","):
        if entry:
            name, _, rest = entry.partition("#")
            process, _, interface = name.partition("@")
            yield Offer(process, interface, "", int(rest.partition("!")[0]))


def decode(
    job_id: str, packed: bytes, facts_of: Callable[[str], tuple[str, str, str]], waiting: Waiting | None = None
) -> Job:
    """The job of a record; facts_of gives the release, process version and interface of a reference to facts."""
    record = msgpack.unpackb(packed, raw=True)
    get = record.get
    release, process_version, interface = facts_of(record[b"f"].decode())
    attempts = get(b"a", 0)
    run_release = run_version = child = ""
    if attempts:
        run_release, run_version = facts_of(record[b"w"].decode())[:2] if b"w" in record else (release, process_version)
        child = get(b"h", b"").decode()
    status = _STATUSES[record[b"s"]]
    created, started, finished = record[b"c"], get(b"b"), get(b"e")
    if finished is not None:  # then both are counted from the creation
        finished += created
        started = None if started is None else started + created
    return Job(
        id=job_id,
        process=record[b"p"].decode(),
        owner=record[b"o"].decode("utf-8", "surrogateescape"),
        status=status,
        created=created,
        updated=finished or get(b"m") or created,
        revision=record[b"u"],
        started=started,
        finished=finished,
        progress=100 if status is Status.SUCCESSFUL else get(b"g", 0),
        message=_text(get(b"t")),
        attempts=attempts,
        priority=get(b"y", 3),
        interface=interface,
        process_version=process_version,
        release=release,
        run_release=run_release,
        run_process_version=run_version,
        worker=child.rpartition(".")[0],
        token=f"{attempts}.{child}" if child else "",
        end=_ENDS[record[b"n"].decode()] if b"n" in record else None,
        detail=_text(get(b"d")),
        same_as=_text(get(b"k")),
        made=_made(record[b"km"], facts_of) if b"km" in record else None,
        retries=get(b"R", 0),
        losses=get(b"L", 0),
        crashes=get(b"C", 0),
        hand_backs=get(b"H", 0),
        request=_text(get(b"rq")),
        outputs=unpack_outputs(record[b"r"]) if b"r" in record else (),
        inputs=inputs_of(get(b"i", b""), get(b"I", b"").decode()),
        log=Output("log", "text/plain", None, "", record[b"lg"]) if b"lg" in record else None,
        waiting=waiting,
    )


def _made(packed: list[Any], facts_of: Callable[[str], tuple[str, str, str]]) -> Made:
    attempts, child, facts, started, finished = packed
    release, process_version, _ = facts_of(facts.decode())
    child = child.decode()
    return Made(f"{attempts}.{child}", child.rpartition(".")[0], release, process_version, started, finished)


def _text(value: bytes | None) -> str:
    return value.decode("utf-8", "surrogateescape") if value else ""


def inputs_of(inline: bytes, blob: str) -> Output:
    """The inputs of a job, from the two fields of its record that may hold them."""
    if blob:
        name, _, size = blob.split(",")
        return Output("inputs", _JSON, None, name, int(size))
    return Output("inputs", _JSON, inline, "", len(inline))
