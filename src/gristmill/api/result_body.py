"""The bytes of a result, made piece by piece with their size known before: nothing here is read from a request."""

import base64
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from gristmill.api.negotiation import json_bytes
from gristmill.api.status import job_url
from gristmill.job import Job, Output
from gristmill.jobs import Jobs

_JSON = "application/json"
_TEXTS = frozenset({"application/xml", "application/yaml", "application/sql", "image/svg+xml"})


@dataclass(frozen=True, slots=True)
class Choice:
    """What of a result is wanted, and how. ``referred``: the names of the outputs that are wanted as links."""

    outputs: tuple[Output, ...]
    referred: frozenset[str]
    as_document: bool

    @property
    def values(self) -> tuple[Output, ...]:
        """The outputs that are wanted by value."""
        return tuple(output for output in self.outputs if output.name not in self.referred)


def chosen(job: Job) -> Choice:
    """What the execute request asked for; an output that the job does not have is left out."""
    asked = json.loads(job.request) if job.request else {}
    named = asked.get("outputs") or {output.name: {} for output in job.outputs}
    there = {output.name: output for output in job.outputs}
    return Choice(
        tuple(there[name] for name in named if name in there),
        frozenset(name for name, how in named.items() if how.get("transmissionMode") == "reference"),
        asked.get("response") == "document",
    )


@dataclass(frozen=True, slots=True)
class Body:
    """Bytes in pieces, made when they are asked for, and how many they are."""

    pieces: Iterator[bytes]
    size: int


class Parts:
    """A body under construction."""

    def __init__(self, jobs: Jobs) -> None:
        self._jobs = jobs
        self._parts: list[Iterable[bytes]] = []
        self._size = 0

    def text(self, data: bytes) -> None:
        """Add these bytes."""
        self._parts.append((data,))
        self._size += len(data)

    def output(self, output: Output) -> None:
        """Add an output's bytes."""
        self._parts.append(self._jobs.output_chunks(output))
        self._size += output.size

    def base64(self, output: Output) -> None:
        """Add an output's bytes as Base64."""
        self._parts.append(_base64(self._jobs.output_chunks(output)))
        self._size += 4 * -(-output.size // 3)

    def body(self) -> Body:
        """What was added. It can be sent once."""
        return Body((piece for part in self._parts for piece in part), self._size)


def document(jobs: Jobs, job: Job, choice: Choice, base: str) -> Body:
    """The outputs as the standard's results.yaml has them: one JSON object.

    JSON stands as itself; but an object as ``{"value": ...}``, since the standard reads any other object as a link
    or a qualified value. Plain text is a string; other text and bytes are qualified values.
    """
    parts = Parts(jobs)
    parts.text(b"{")
    for number, output in enumerate(choice.outputs):
        parts.text((b"," if number else b"") + json_bytes(output.name) + b":")
        if output.name in choice.referred:
            href = job_url(base, job.id, "results", output.name)
            parts.text(json_bytes({"href": href, "type": output.media_type, "title": output.name}))
        else:
            _value(jobs, parts, output)
    parts.text(b"}")
    return parts.body()


def _value(jobs: Jobs, parts: Parts, output: Output) -> None:
    kind = output.media_type.partition(";")[0].strip().lower()
    if kind == _JSON or kind.endswith("+json"):
        start = next(iter(jobs.output_chunks(output)), b"")[:64].lstrip()[:1]
        if kind == _JSON and start != b"{":
            parts.output(output)
            return
        parts.text(b'{"value":')
        parts.output(output)
        parts.text(b"}" if kind == _JSON else b"," + json_bytes({"mediaType": output.media_type})[1:])
    elif (text := _text(jobs, output, kind)) is not None:
        parts.text(json_bytes(text if kind == "text/plain" else {"value": text, "mediaType": output.media_type}))
    else:
        parts.text(b'{"value":"')
        parts.base64(output)
        parts.text(b'",' + json_bytes({"encoding": "base64", "mediaType": output.media_type})[1:])


def _text(jobs: Jobs, output: Output, kind: str) -> str | None:
    """An output's text; None when it is none."""
    if not (kind.startswith("text/") or kind in _TEXTS):
        return None
    try:
        return b"".join(jobs.output_chunks(output)).decode("utf-8")
    except UnicodeDecodeError:
        return None


def _base64(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """Base64 without line breaks, a chunk at a time."""
    rest = b""
    for chunk in chunks:
        data = rest + chunk
        whole = len(data) - len(data) % 3
        rest = data[whole:]
        yield base64.b64encode(data[:whole])
    if rest:
        yield base64.b64encode(rest)
