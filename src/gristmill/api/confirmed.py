"""Answers 304 before Flask is asked, where it is known what an URL's bytes are called: under a version's URL, for ever.

What is known was learnt from full answers, which follow from the parts of the key alone. Everything else goes the
ordinary way: who is not let in, has something else or nothing, or asks for what was not asked for lately.
"""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from flask import Flask, Response, current_app, request

from gristmill.api import access, envelope, metrics, proxies
from gristmill.api.services import Services
from gristmill.errors import GristmillError

MOST = 10_000
LONGEST_KEY = 1000  # letters: all keys together take some megabytes at most
_EXTENSION = "gristmill.confirmed"
_KEPT = ("ETag", "Cache-Control", "Vary")

Key = tuple[str, ...]
Headers = tuple[tuple[str, str], ...]


class Confirmed:
    """What the newest answers under version URLs were called. Safe for use by many threads."""

    def __init__(self, app: Flask, serving: Services) -> None:
        settings = self._settings = serving.settings
        self._app = app
        self._tokens = serving.tokens
        self._release = serving.release
        self._public_url = settings.public_url.rstrip("/")
        self._refuses_names = proxies.refuses_names(settings)
        self._is_used = not (settings.cors_origins or settings.rate_per_second)
        self._known: OrderedDict[Key, tuple[str, Headers]] = OrderedDict()
        self._lock = threading.Lock()

    def remember(self, environ: Mapping[str, Any], route: str, headers: Headers) -> None:
        """Note what was answered to a request for what never changes."""
        key = self._key(environ)
        if self._is_used and sum(map(len, key)) <= LONGEST_KEY:
            with self._lock:
                self._known[key] = (route, headers)
                self._known.move_to_end(key)
                while len(self._known) > MOST:
                    self._known.popitem(last=False)

    def headers(self, environ: Mapping[str, Any]) -> list[tuple[str, str]] | None:
        """The headers of 304 where that is the answer; None where Flask is to answer."""
        tags, method = environ.get("HTTP_IF_NONE_MATCH"), environ["REQUEST_METHOD"]
        if not tags or not self._known or method not in {"GET", "HEAD"} or "HTTP_IF_MATCH" in environ:
            return None
        began = time.perf_counter()
        try:
            known = self._known.get(self._key(environ))
            if known is None or known[1][0][1] not in tags or not self._may_read(environ):
                return None
        except GristmillError:  # Flask answers with it
            return None
        given = environ.get("HTTP_X_REQUEST_ID", "")
        number = given if envelope.is_sane_id(given) else secrets.token_hex(8)
        route, headers = known
        metrics.count_unseen(self._app, method, route, 304, time.perf_counter() - began)
        return [*headers, ("X-Request-Id", number), ("Gristmill-Version", self._release)]

    def _key(self, environ: Mapping[str, Any]) -> Key:
        return (
            self._public_url or proxies.asked_url(environ, self._settings),
            environ["PATH_INFO"],
            environ.get("QUERY_STRING", ""),
            environ.get("HTTP_ACCEPT", ""),
            environ.get("HTTP_ACCEPT_ENCODING", ""),
            "private" if self._tokens.enabled else "",
        )

    def _may_read(self, environ: Mapping[str, Any]) -> bool:
        if self._refuses_names and "HTTP_HOST" in environ:
            proxies.check_local_name(environ["HTTP_HOST"])
        return access.may(access.read_caller(self._settings, self._tokens, environ), "read")


def install(app: Flask, serving: Services) -> Confirmed:
    """Let an application remember what it has answered."""
    made: Confirmed = app.extensions.setdefault(_EXTENSION, Confirmed(app, serving))
    return made


def remember(response: Response) -> None:
    """Note what is answered to the current request, which is for what never changes."""
    made: Confirmed = current_app.extensions[_EXTENSION]
    route = request.url_rule.rule if request.url_rule else "none"
    made.remember(request.environ, route, tuple((name, response.headers[name]) for name in _KEPT))
