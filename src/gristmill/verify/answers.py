"""What a deployment answered, and how a check says that it is not right."""

import json
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Self

import httpx

LONGEST_TOLD = 300
PROBLEM = "application/problem+json"


class MismatchError(Exception):
    """An answer is not right. asked: the request; came: what was answered; right: what would have been right."""

    def __init__(self, asked: str, came: str, right: str) -> None:
        super().__init__(f"{asked}: {came}; right: {right}")
        self.asked, self.came, self.right = asked, came, right


class NoAnswerError(Exception):
    """No whole answer came."""

    def __init__(self, asked: str, why: str) -> None:
        super().__init__(f"{asked}: {why}")
        self.asked, self.why = asked, why


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer as it came, and ``asked``, the request in words. seconds: from the request to the last byte."""

    asked: str
    status: int
    headers: httpx.Headers
    body: bytes
    seconds: float

    @property
    def media_type(self) -> str:
        """The media type without parameters, in lower case."""
        return self.header("Content-Type").partition(";")[0].strip().lower()

    @property
    def told(self) -> str:
        """The answer in a line: its status, its media type and what it says."""
        said = self.body.decode("utf-8", "replace")
        with suppress(ValueError, KeyError, TypeError, RecursionError):
            said = str(json.loads(self.body.decode())["detail"])
        words = [str(self.status), self.media_type, f"to {self.header('Location')}" if 300 <= self.status < 400 else ""]
        return shown(f"{' '.join(filter(None, words))}{': ' if said else ''}{said}")

    def header(self, name: str) -> str:
        """A header's value, or ""."""
        return str(self.headers.get(name, ""))

    def expect(self, *statuses: int) -> Self:
        """Go on if the status is one of these. MismatchError."""
        return self.must(self.status in statuses, " or ".join(map(str, statuses)))

    def must(self, condition: bool, right: str, came: str = "") -> Self:
        """Go on if the condition holds; ``came`` is the whole answer, unless said. MismatchError."""
        if not condition:
            raise MismatchError(self.asked, shown(came) if came else self.told, right)
        return self

    def must_have(self, name: str, *wanted: str) -> Self:
        """Go on if a header has one of these values, or any value when none is named. MismatchError."""
        value = self.header(name)
        right = f"{name}: {' or '.join(wanted)}" if wanted else f"a header {name}"
        return self.must(value in wanted if wanted else bool(value), right, self.with_header(name))

    def with_header(self, name: str) -> str:
        """The status, and what the header says."""
        return f"{self.status}, {name}: {self.header(name) or '(none)'}"

    def json(self) -> Any:
        """The body as JSON. MismatchError."""
        try:
            return json.loads(self.body.decode())
        except (ValueError, RecursionError):
            raise MismatchError(self.asked, self.told, "a body of JSON") from None

    def at(self, *path: str | int, kind: type | tuple[type, ...] = object) -> Any:
        """What stands in the JSON body at this path, and is of this kind. MismatchError names how far it went."""
        value = self.json()
        for number, step in enumerate(path):
            try:
                value = value[step]
            except (KeyError, IndexError, TypeError):
                where = "/".join(map(str, path[: number + 1]))
                came = f"{self.status}, without {where}: {brief(value)}"
                raise MismatchError(self.asked, shown(came), f"a member {where}") from None
        if not isinstance(value, kind) or (isinstance(value, bool) and kind in {int, float}):
            where = "/".join(map(str, path)) or "the body"
            kinds = kind if isinstance(kind, tuple) else (kind,)
            right = f"{where} is {' or '.join(_KINDS.get(one, one.__name__) for one in kinds)}"
            raise MismatchError(self.asked, f"{self.status}, {brief(value)}", right)
        return value

    def problem(self, *statuses: int, type_: str = "") -> Self:
        """Go on if the answer is problem details of one of these statuses, and of this type. MismatchError."""
        self.expect(*statuses)
        right = f"problem details ({PROBLEM}) with type, title, status {self.status} and detail"
        self.must(self.media_type == PROBLEM, right)
        document = self.json()
        whole = isinstance(document, dict) and all(
            isinstance(document.get(member), str) and document[member] for member in ("type", "title", "detail")
        )
        self.must(whole and document.get("status") == self.status, right, f"{self.status}, {brief(document)}")
        if type_:
            self.must(document["type"].endswith(type_), f"type ...{type_}", f"{self.status}, type {document['type']}")
        return self


_KINDS = {str: "a text", int: "a whole number", float: "a number", dict: "an object", list: "an array"}


def brief(value: object) -> str:
    """A JSON value on one line, cut where it is long."""
    try:
        text = json.dumps(value, ensure_ascii=False)
    except (ValueError, TypeError, RecursionError):
        text = repr(value)
    return shown(text)


def shown(text: str) -> str:
    """Text of anybody's as it can stand on a terminal and in XML: on one line, printable, and not too long."""
    clean = " ".join("".join(one if one.isprintable() else " " for one in text[: LONGEST_TOLD * 4]).split())
    return clean if len(clean) <= LONGEST_TOLD else f"{clean[:LONGEST_TOLD]}..."
