"""How rows are sent: the format and content coding that a client takes, their ETag, and how long they may be kept."""

import hashlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import zstandard
from flask import Response, request
from werkzeug.datastructures import MultiDict

from gristmill.api import links, negotiation
from gristmill.api.services import services
from gristmill.datasets.mapping import WRITTEN_FORM
from gristmill.datasets.row_formats import FILE_FORMS, ROW_FORMATS
from gristmill.errors import Fault, InvalidRequestError

Coding = Literal["", "zstd", "gzip"]

# Shorter bodies fit into one packet as they are.
LEAST_CODED_BYTES = 1024
_CODINGS: tuple[Coding, ...] = ("zstd", "gzip")
# Of levels that take less than half a millisecond for a page of 100 rows.
_CODERS: Mapping[str, Callable[[bytes], bytes]] = {
    "zstd": lambda body: zstandard.ZstdCompressor(level=3).compress(body),
    "gzip": lambda body: zlib.compress(body, 1, wbits=zlib.MAX_WBITS | 16),
}


@dataclass(frozen=True)
class Representation:
    """What is sent for a query of a version of a data set.

    resource: ``rows`` or ``aggregate``. query: its parameters, without those that change nothing. is_fixed: whether the
    URL names the version, so that it will always answer the same.
    """

    name: str
    version: str
    is_fixed: bool
    resource: str
    query: tuple[tuple[str, str], ...]
    format: str
    coding: Coding

    @classmethod
    def wanted(
        cls, name: str, version: str, resource: str, query: MultiDict[str, str], defaults: Mapping[str, str]
    ) -> "Representation":
        """The one that the request asks for. Raises InvalidRequestError for an unknown ``f``."""
        form = _format(query, tuple(ROW_FORMATS) if resource == "rows" else ("json",))
        kept = tuple(sorted((key, text) for key, text in query.items() if key != "f" and text != defaults.get(key, "")))
        is_packed = form in FILE_FORMS and FILE_FORMS[form].is_packed
        return cls(name, version, bool(version), resource, kept, form, "" if is_packed else _coding())

    def of(self, version: str) -> "Representation":
        """The same of the version that the newest has turned out to be."""
        return replace(self, version=version)

    @property
    def media_type(self) -> str:
        """The media type of the format."""
        return ROW_FORMATS[self.format].media_type

    @cached_property
    def etag(self) -> str:
        """Names the very bytes: equal ones have the same, others another one. Of groups, the last digits may differ."""
        query = [self.resource, self.query, self.format, self.coding]
        told = [WRITTEN_FORM, links.base_url(), self.name, self.version, *query]
        return hashlib.sha256(negotiation.json_bytes(told)).hexdigest()[:32]

    @property
    def is_weak(self) -> bool:
        """Whether the ETag stands for equal answers, not for equal bytes: DuckDB adds doubles in any order."""
        return self.resource == "aggregate"

    @property
    def is_held(self) -> bool:
        """Whether the client says that it has this one, or any that there is."""
        return "HTTP_IF_NONE_MATCH" in request.environ and request.if_none_match.contains_weak(self.etag)

    @property
    def is_known_to_be_held(self) -> bool:
        """Whether the client names it, and so has got it from here: it needs not be looked for."""
        environ = request.environ
        if not self.is_fixed or "HTTP_IF_MATCH" in environ:
            return False
        return f'"{self.etag}"' in environ.get("HTTP_IF_NONE_MATCH", "")

    def not_modified(self) -> Response:
        """304, with the headers that 200 would have."""
        return self.kept(Response(status=304))

    def sent(self, body: bytes, headers: Mapping[str, str]) -> Response:
        """200 with this body, in the content coding where that pays."""
        coded = {}
        if self.coding and len(body) >= LEAST_CODED_BYTES:
            coded["Content-Encoding"] = self.coding
            body = _CODERS[self.coding](body)
        return self.kept(negotiation.Prepared(body, 200, self.media_type, {**headers, **coded}))

    def kept(self, response: Response) -> Response:
        """Say what clients may keep: what is asked of a version for ever, of the newest until they ask again."""
        headers = response.headers
        headers["ETag"] = f'W/"{self.etag}"' if self.is_weak else f'"{self.etag}"'
        private = "private, " if services().tokens.enabled else ""
        headers["Cache-Control"] = f"{private}max-age=31536000, immutable" if self.is_fixed else f"{private}no-cache"
        headers.add("Vary", "Accept, Accept-Encoding")
        return response


def _format(query: MultiDict[str, str], formats: tuple[str, ...]) -> str:
    """By ``f``, else what the Accept header likes best; as everywhere here, that never refuses."""
    if "f" in query:
        if query["f"] not in formats:
            known = f"must be one of {', '.join(formats)}"
            raise InvalidRequestError(f"The parameter f {known}.", faults=[Fault("f", known)])
        return query["f"]
    accept = request.environ.get("HTTP_ACCEPT", "*/*")
    if accept == "*/*" or len(formats) == 1:
        return formats[0]
    best = request.accept_mimetypes.best_match([ROW_FORMATS[one].media_type for one in formats])
    return next((one for one in formats if ROW_FORMATS[one].media_type == best), formats[0])


def _coding() -> Coding:
    """The content coding that the client likes best; "" for none."""
    if "HTTP_ACCEPT_ENCODING" not in request.environ:
        return ""
    accepted = request.accept_encodings
    best = max(_CODINGS, key=accepted.quality)  # zstd where both are as welcome
    return best if accepted.quality(best) > 0 and accepted.quality(best) >= _identity_quality() else ""


def _identity_quality() -> float:
    """How welcome an uncoded body is where the client says so itself."""
    named = [quality for value, quality in request.accept_encodings if value.lower() == "identity"]
    return named[0] if named else 0.0
