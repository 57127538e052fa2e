"""Documents that depend on nothing but the release, the settings and the base URL: rendered once, with their ETag."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from gristmill.api.negotiation import json_bytes

MOST = 128


@dataclass(frozen=True, slots=True)
class Document:
    """A document's bytes and their ETag without quotes."""

    body: bytes
    etag: str


class Rendered:
    """A bounded store of documents; the Host header is part of the base URL, so there can be many."""

    def __init__(self) -> None:
        self._documents: OrderedDict[tuple[str, ...], Document] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: tuple[str, ...], make: Callable[[], object]) -> Document:
        """The document of this key; ``make`` returns its JSON value when it is not there yet."""
        document = self._documents.get(key)
        if document is None:
            body = json_bytes(make())
            document = Document(body, sha256(body).hexdigest()[:20])
            with self._lock:
                self._documents[key] = document
                while len(self._documents) > MOST:
                    self._documents.popitem(last=False)
        return document
