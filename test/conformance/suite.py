"""How the published test suite of OGC API - Processes 1.0 reads a process and builds its requests.

Written after reading the suite (ets-ogcapi-processes10, versions 1.0 to 1.4); it follows what the suite does, also
where that is odd: it is here to tell whether we would pass. docs/conformance.md says which of its tests contradict
the standard.
"""

import base64
import re
import uuid
from dataclasses import dataclass, field
from email.parser import BytesHeaderParser
from typing import Any, NamedTuple

import httpx

TEST_STRING = "teststring"
ODD_BOX = {"crs": "urn:ogc:def:crs:EPSG:6.6:4326", "bbox": [345345345] * 4}
REAL_BOX = {"bbox": [51.9, 7, 52, 7.1], "crs": "http://www.opengis.net/def/crs/OGC/1.3/CRS84"}
ARRAYS: dict[str, list[object]] = {"integer": [1, 2, 3], "string": ["test1", "test2", "test3"]}
TIFF = b"II*\x00\x08\x00\x00\x00\x00\x00\x00\x00\x00\x00"
ACCEPT_JSON = {"Accept": "application/json"}

Json = dict[str, Any]


class Kind(NamedTuple):
    """One of the types that a value may have."""

    type: str
    is_binary: bool = False
    media_type: str = ""


@dataclass
class Input:
    """What the suite remembers of an input."""

    name: str
    kinds: list[Kind] = field(default_factory=list)
    format: str = ""
    is_box: bool = False

    def has(self, kind: str) -> bool:
        return any(known.type == kind for known in self.kinds)

    @property
    def is_binary(self) -> bool:
        return any(known.is_binary for known in self.kinds)

    @property
    def media_types(self) -> list[str]:
        return [known.media_type for known in self.kinds if known.media_type]

    @property
    def item_type(self) -> str:
        return next(known.type for known in self.kinds if known.type != "array")


def read_input(name: str, schema: Json) -> Input:
    """Read an input as the suite does: its own type, or those of the members of its oneOf."""
    found = Input(name)
    if "type" in schema:
        found.format = schema.get("format", "") if schema["type"] == "string" else ""
        _add_types(found, schema)
    elif "oneOf" in schema:
        for member in schema["oneOf"]:
            if "type" in member:
                _add_types(found, member)
    else:
        found.is_box = _is_box(schema)
    return found


def _add_types(found: Input, schema: Json) -> None:
    kind = schema["type"]
    if kind == "array" and "type" in schema.get("items", {}):
        found.kinds.append(Kind(schema["items"]["type"]))
    if kind == "string":
        is_binary = schema.get("format") == "byte" or schema.get("contentEncoding") == "binary"
        found.kinds.append(Kind(kind, is_binary, schema.get("contentMediaType", "")))
    else:
        found.kinds.append(Kind(kind))
    found.is_box = found.is_box or (kind == "object" and "bbox" in schema.get("properties", {}))


def _is_box(schema: Json) -> bool:
    """An allOf with a box; the suite fails altogether on a member without ``format`` before it."""
    return any(member["format"] == "ogc-bbox" for member in schema.get("allOf", []))


@dataclass
class Echo:
    """The echo process as the suite sees it, and the execute requests it makes of it."""

    description: Json

    def __post_init__(self) -> None:
        self.inputs = [read_input(name, given["schema"]) for name, given in self.description["inputs"].items()]
        outputs = {name: given["schema"] for name, given in self.description["outputs"].items()}
        self.outputs = list(outputs)
        self.arrays = [name for name, schema in outputs.items() if schema.get("type") == "array"]
        self.boxes = [name for name, schema in outputs.items() if "type" not in schema and _is_box(schema)]

    def first(self, what: str) -> Input:
        """Return the first input of a kind; the suite would skip the test without one."""
        kinds = {"binary": lambda given: given.is_binary, "box": lambda given: given.is_box}
        fits = kinds.get(what, lambda given: given.has(what))
        return next(given for given in self.inputs if fits(given))

    def request(self, special: Json | None = None, outputs: list[str] | None = None, response: str = "") -> Json:
        """An execute request with a value for every input that the suite has one for; ``special`` ones instead."""
        values: Json = {}
        for given in self.inputs:
            if given.name in (special or {}):
                values[given.name] = (special or {})[given.name]
            else:
                values |= standard_value(given)
        asked = self.outputs if outputs is None else outputs
        request: Json = {"inputs": values, "outputs": {name: {"transmissionMode": "value"} for name in asked}}
        return request | ({"response": response} if response else {})

    def with_object(self) -> Json:
        return self.request({self.first("object").name: {"value": TEST_STRING}})

    def with_array(self) -> Json:
        given = self.first("array")
        return self.request({given.name: ARRAYS.get(given.item_type, [])}, outputs=self.arrays[:1])

    def with_box(self) -> Json:
        return self.request({self.first("box").name: REAL_BOX}, outputs=self.boxes)

    def with_binary(self) -> Json:
        given = self.first("binary")
        value = {"value": base64.b64encode(TIFF).decode(), "format": _format(given) | {"encoding": "base64"}}
        return self.request({given.name: value})

    def with_reference(self, href: str) -> Json:
        given = self.first("binary")
        return self.request({given.name: {"href": href, "format": _format(given)}})

    def with_wrong_input(self) -> Json:
        wrong = {given.name: {"type": f"wrong/type_{uuid.uuid4()}"} for given in self.inputs if given.media_types}
        assert wrong, "the suite would skip this test: no input has a contentMediaType"
        return self.request(wrong)

    def one_output(self, response: str = "raw") -> Json:
        return self.request(outputs=[self.inputs[0].name], response=response)

    def with_pause(self) -> Json:
        assert "pause" in self.description["inputs"], "the suite would skip this test: no input is named pause"
        request = self.one_output()
        return request | {"inputs": standard_value(self.inputs[0]) | {"pause": 5}}


def standard_value(given: Input) -> Json:
    """The value that the suite sends for an input, by name; empty for one that it leaves out."""
    values: Json = {}
    for known in given.kinds:
        if known.type == "string":
            if not given.format and not known.media_type:
                values[given.name] = TEST_STRING
        elif given.is_box:
            values[given.name] = ODD_BOX
        elif known.type == "object":
            values[given.name] = {"value": TEST_STRING}
    return values


def _format(given: Input) -> Json:
    pictures = [kind for kind in given.media_types if "tiff" in kind]
    return {"mediaType": pictures[-1]} if pictures else {}


def post(client: httpx.Client, request: Json, *, asynchronous: bool = False) -> httpx.Response:
    """Execute echo with the suite's headers."""
    headers = ACCEPT_JSON | {"Content-Type": "application/json; charset=UTF-8"}
    if asynchronous:
        headers["Prefer"] = "respond-async"
    return client.post("/processes/echo/execution", json=request, headers=headers)


def text_parts(body: bytes) -> list[str]:
    """The text parts of a multipart body, read as the suite does: the first line that starts with -- is the boundary.

    Parts that are not text are left out: the suite's parser gives no content for them.
    """
    boundary = re.search(rb"^(--\S+)\s*$", body, re.MULTILINE)
    assert boundary, f"no boundary in {body[:200]!r}"
    found = []
    for part in body[boundary.start() :].split(boundary[1])[1:]:
        if part.startswith(b"--"):
            break
        head, _, content = part.lstrip(b"\r\n").partition(b"\r\n\r\n")
        if BytesHeaderParser().parsebytes(head).get_content_maintype() == "text":
            found.append(content.removesuffix(b"\r\n").decode())
    return found
