"""Asks the API as one caller: every request is answered whole within its time, or is an error that says why.

A request runs in a thread of its own, which is given up when its time is over: neither a name server nor a body that
trickles can hold the run, and Ctrl-C is heard at once. Nothing is sent a second time but what was refused with 429.
"""

import codecs
import json
import queue
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import httpx

from gristmill import __version__
from gristmill.verify.answers import Answer, NoAnswerError, shown
from gristmill.verify.clock import Clock, TimeUpError
from gristmill.verify.mask import Mask

REQUEST_SECONDS = 20.0
CONNECT_SECONDS = 10.0
# Above every other time: it ends the threads that were given up.
SILENT_SECONDS = 90.0
SETTLE_SECONDS = 5.0
LARGEST_BODY = 64 * 2**20
# Each event takes many times its text, and a job's take some kilobytes.
LARGEST_STREAM = 4 * 2**20
# A rate limit that asks for a longer pause fails the check.
LONGEST_RETRY_SECONDS = 10
_CHANGING = {"POST", "PUT"}

T = TypeVar("T")
Content = bytes | Iterator[bytes] | None
_UNTOLD = {"content-type"}
_LINE_END = re.compile(r"\r\n|\n|\r(?!\Z)")  # CR at the end of what has come may be half of CR LF
# None is asked for; these some proxies send all the same. Others make gigabytes of a few bytes at once.
_CODINGS = {"", "identity", "gzip", "deflate"}


@dataclass(frozen=True, slots=True)
class Event:
    """A Server-Sent Event. at: when it came, in seconds of the monotonic clock."""

    at: float
    id: str
    name: str
    data: str


@dataclass(slots=True)
class Heard:
    """What all sessions of a run have noticed beside the checks."""

    answers: int = 0
    unnamed: list[str] = field(default_factory=list)
    releases: dict[str, str] = field(default_factory=dict)
    traces: list[str] = field(default_factory=list)
    slowed: int = 0

    def hear(self, answer: Answer) -> None:
        """Take notice of an answer: of headers that each must have, of its release, of a stack trace in it."""
        self.answers += 1
        missing = [name for name in ("X-Request-Id", "Gristmill-Version") if not answer.header(name)]
        if missing:
            self.unnamed.append(f"{answer.asked} was answered with {answer.status} without {' and '.join(missing)}")
        if release := answer.header("Gristmill-Version"):
            self.releases.setdefault(release, answer.asked)
        if b"Traceback (most recent call last)" in answer.body:
            self.traces.append(answer.asked)


class Session:
    """One caller of the API at ``url``. token: who it is, "" for a stranger. suffix: told after each request.

    mask: hides more than the own token, for a stranger beside somebody.
    """

    def __init__(
        self,
        url: str,
        clock: Clock,
        heard: Heard,
        *,
        token: str = "",
        tls: ssl.SSLContext | None = None,
        suffix: str = "",
        mask: Mask | None = None,
    ) -> None:
        self._url, self._clock, self._heard = url, clock, heard
        self._token, self._tls, self._suffix = token, tls, suffix
        self._mask = mask or Mask(token)
        self._client, self._is_under_way = self._new_client(), False
        self._changing: list[threading.Thread] = []

    def get(self, path: str, **options: Any) -> Answer:
        """``ask("GET", ...)``."""
        return self.ask("GET", path, **options)

    def post(self, path: str, **options: Any) -> Answer:
        """``ask("POST", ...)``."""
        return self.ask("POST", path, **options)

    def delete(self, path: str, **options: Any) -> Answer:
        """``ask("DELETE", ...)``."""
        return self.ask("DELETE", path, **options)

    def ask(
        self,
        method: str,
        path: str,
        *,
        headers: Mapping[str, str] | None = None,
        params: Mapping[str, str] | None = None,
        body: object = None,
        content: Content = None,
        about: str = "",
        seconds: float = 0,
    ) -> Answer:
        """Send a request and return its whole answer, whatever the status.

        body: sent as JSON; content: sent as it is. about: words for what cannot be seen in the request's first line.
        seconds: 0 for the usual time.
        Raises NoAnswerError, TimeUpError.
        """
        given = dict(headers or {})
        if body is not None:
            content = json.dumps(body).encode()
            given.setdefault("Content-Type", "application/json")
        asked = self._in_words(method, path, params, given, about)

        def work(client: httpx.Client) -> Answer:
            start = time.monotonic()
            request = client.build_request(method, self._url + path, params=params, content=content, headers=given)
            response = client.send(request, stream=True)
            try:
                received = _whole(response, asked)
            finally:
                response.close()
            return self._heard_from(response, asked, received, start)

        while True:
            answer = self._in_time(work, seconds or REQUEST_SECONDS, asked, changes=method in _CHANGING)
            self._heard.hear(answer)
            again = answer.header("Retry-After")
            is_short = again.isdecimal() and len(again) < 4 and int(again) <= LONGEST_RETRY_SECONDS
            patient = answer.status == 429 and is_short
            if not patient or isinstance(content, Iterator):
                return answer
            self._heard.slowed += 1
            self._clock.pause(max(1, int(again)))

    def events(
        self, path: str, *, headers: Mapping[str, str] | None = None, seconds: float
    ) -> tuple[Answer, list[Event]]:
        """Read a stream of events to its end; the answer's body is empty where there is a stream.

        Raises NoAnswerError where it does not end, with what it told until then; TimeUpError.
        """
        given = {"Accept": "text/event-stream"} | dict(headers or {})
        asked = self._in_words("GET", path, None, dict(headers or {}), "")
        events: list[Event] = []

        def work(client: httpx.Client) -> Answer:
            start = time.monotonic()
            with client.stream("GET", self._url + path, headers=given) as response:
                received = b""
                if response.headers.get("Content-Type", "").startswith("text/event-stream"):
                    _read_events(map(self._mask.text, _lines(response, asked)), events)
                else:
                    received = _whole(response, asked)
            return self._heard_from(response, asked, received, start)

        try:
            answer = self._in_time(work, seconds, asked)
        except NoAnswerError as error:
            last = f"the last: {shown(events[-1].data)}" if events else "not one event came"
            raise NoAnswerError(asked, f"{error.why}; {len(events)} events came, {last}") from error
        self._heard.hear(answer)
        return answer, events

    def renew(self) -> None:
        """Begin again with new connections; what is still under way is left to itself."""
        self.close()
        self._client, self._is_under_way = self._new_client(), False

    def settle(self) -> None:
        """Wait, within limits, for what was left to itself and may still make something, as when the run was stopped.

        Before that is over, what it makes cannot be removed.
        """
        for thread in self._changing:
            thread.join(max(0.0, min(SETTLE_SECONDS, self._clock.left() / 2)))

    def close(self) -> None:
        """Close the connections; a request that is still under way closes its own when it ends."""
        if not self._is_under_way:
            self._client.close()

    def _in_time(self, work: Callable[[httpx.Client], T], seconds: float, asked: str, *, changes: bool = False) -> T:
        left = self._clock.left()
        if left <= 0:
            raise TimeUpError(asked)
        box: queue.SimpleQueue[tuple[T | None, Exception | None]] = queue.SimpleQueue()
        client = self._client

        def run() -> None:
            try:
                box.put((work(client), None))
            except Exception as error:  # noqa: BLE001  it is raised where the result is waited for
                box.put((None, error))
            if client is not self._client:
                client.close()

        self._is_under_way = True
        thread = threading.Thread(target=run, daemon=True, name="verify-request")
        self._changing = [one for one in self._changing if one.is_alive()] + ([thread] if changes else [])
        thread.start()
        try:
            answer, error = box.get(timeout=min(seconds, left))
        except queue.Empty:
            self.renew()
            if left < seconds:
                raise TimeUpError(asked) from None
            raise NoAnswerError(asked, f"no whole answer within {seconds:.0f} s") from None
        self._is_under_way = False
        if isinstance(error, httpx.HTTPError | httpx.InvalidURL | httpx.StreamError):
            raise NoAnswerError(asked, _why(error, self._mask.text(str(error)))) from error
        if error is not None:
            raise error
        return answer  # type: ignore[return-value]  # without an error there is an answer

    def _heard_from(self, response: httpx.Response, asked: str, body: bytes, start: float) -> Answer:
        seconds = time.monotonic() - start
        return Answer(asked, response.status_code, response.headers, self._mask.body(body), seconds)

    def _new_client(self) -> httpx.Client:
        headers = {"User-Agent": f"gristmill-verify/{__version__}", "Accept-Encoding": "identity"}
        if self._token:
            headers["Authorization"] = f"Bearer {self._token}"
        return httpx.Client(
            headers=headers,
            verify=self._tls or True,
            timeout=httpx.Timeout(SILENT_SECONDS, connect=CONNECT_SECONDS),
            event_hooks={"response": [self._mask.headers]},
            trust_env=False,  # a netrc file would turn the stranger into somebody
        )

    def _in_words(
        self, method: str, path: str, params: Mapping[str, str] | None, headers: Mapping[str, str], about: str
    ) -> str:
        query = "&".join(f"{name}={value}" for name, value in (params or {}).items())
        told = [about] if about else []
        told += [f"{name}: {shown(value)}" for name, value in headers.items() if name.lower() not in _UNTOLD]
        line = f"{method} {path}{'?' if query else ''}{query}"
        return " ".join(filter(None, [line, f"({', '.join(told)})" if told else "", self._suffix]))


def _whole(response: httpx.Response, asked: str) -> bytes:
    return b"".join(_pieces(response, asked, LARGEST_BODY))


def _pieces(response: httpx.Response, asked: str, most: int) -> Iterator[bytes]:
    """The body as it comes, of at most so many bytes."""
    if (coding := response.headers.get("Content-Encoding", "").lower()) not in _CODINGS:
        raise NoAnswerError(asked, f"its answer is compressed ({shown(coding)}), which was not asked for")
    size = 0
    for piece in response.iter_bytes():
        size += len(piece)
        if size > most:
            raise NoAnswerError(asked, f"its answer is longer than {most // 2**20} MB")
        yield piece


def _lines(response: httpx.Response, asked: str) -> Iterator[str]:
    """The lines of a stream of events as they come."""
    decoder = codecs.getincrementaldecoder("utf-8")("replace")
    rest = ""
    for piece in _pieces(response, asked, LARGEST_STREAM):
        text = decoder.decode(piece)
        rest += text
        if not text.isprintable():  # there may be an end of a line in it
            *lines, rest = _LINE_END.split(rest)
            yield from lines


def _read_events(lines: Iterator[str], events: list[Event]) -> None:
    """Append each event of a stream's lines to ``events`` as it comes."""
    fields: dict[str, str] = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            fields[name] = f"{fields[name]}\n{value}" if name == "data" and "data" in fields else value
            continue
        if "data" in fields:
            events.append(Event(time.monotonic(), fields.get("id", ""), fields.get("event", ""), fields["data"]))
        fields = {}


def _why(error: Exception, said: str) -> str:
    """What kept an answer from coming, and what to do about it where that is known. said: the error's own words."""
    said = shown(said) or type(error).__name__
    if "Hostname mismatch" in said or "IP address mismatch" in said:
        return f"{said}. The certificate is for another name: use a URL with a name that it is for"
    if "CERTIFICATE_VERIFY_FAILED" in said:
        return f"{said}. Name the authority that signed its certificate: --ca FILE"
    if isinstance(error, httpx.ConnectTimeout):
        return f"no connection within {CONNECT_SECONDS:.0f} s"
    return said
