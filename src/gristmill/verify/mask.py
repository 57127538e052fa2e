"""Takes the token out of all that a server says: it may tell the request's headers, and reports are for everybody."""

import re

import httpx

_ESCAPED = "\"'/\\"
_HIDDEN = "***"


class Mask:
    """Hides a token in any case, also where it is escaped as in JSON. "" hides nothing."""

    def __init__(self, token: str) -> None:
        pattern = "".join(map(_one, token)) or r"(?!)"
        self._text = re.compile(pattern, re.IGNORECASE)
        self._bytes = re.compile(pattern.encode(), re.IGNORECASE)

    def text(self, text: str) -> str:
        """Text without the token."""
        return self._text.sub(_HIDDEN, text)

    def body(self, body: bytes) -> bytes:
        """A body without it."""
        return self._bytes.sub(_HIDDEN.encode(), body)

    def headers(self, response: httpx.Response) -> None:
        """Take it out of an answer's headers, before anybody looks at them."""
        fields = response.headers.multi_items()
        response.headers = httpx.Headers([(self.text(name), self.text(value)) for name, value in fields])


def _one(letter: str) -> str:
    backslash = r"\\?" if letter in _ESCAPED else ""
    return rf"(?:{backslash}{re.escape(letter)}|\\u{ord(letter):04x})"
