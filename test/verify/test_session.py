"""A request ends in its time, whatever the other side does, and says why there is no answer."""

import socket
import ssl
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress

import pytest
from support.acceptance import Certificate
from support.meddler import Asked, Meddler, Reply
from support.servers import free_port

from gristmill.verify import session as module
from gristmill.verify.answers import NoAnswerError
from gristmill.verify.clock import Clock, TimeUpError
from gristmill.verify.session import Heard, Session

Talk = Callable[[socket.socket, threading.Event], None]


@contextmanager
def server(talk: Talk) -> Iterator[str]:
    """URL of a server that reads a request, and then does as ``talk`` says."""
    over = threading.Event()

    def serve(connection: socket.socket) -> None:
        with closing(connection), suppress(OSError):
            connection.recv(65536)
            talk(connection, over)

    def accept() -> None:
        with suppress(OSError):
            while True:
                connection, _ = listener.accept()
                threading.Thread(target=serve, args=(connection,), daemon=True).start()

    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        over.set()
        listener.shutdown(socket.SHUT_RDWR)


@contextmanager
def asking(url: str, seconds: float = 60, **options: object) -> Iterator[Session]:
    with closing(Session(url, Clock(seconds), Heard(), **options)) as session:  # type: ignore[arg-type]
        yield session


def silent(connection: socket.socket, over: threading.Event) -> None:
    over.wait(60)


def trickling(start: bytes, piece: bytes) -> Talk:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(start)
        while not over.wait(0.05):
            connection.sendall(piece)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"


@pytest.mark.parametrize(
    "talk",
    [
        pytest.param(silent, id="silence"),
        pytest.param(trickling(OK, b"X-Slow: y\r\n"), id="headers without end"),
        pytest.param(trickling(OK + b"Content-Length: 100000\r\n\r\n", b"."), id="a body that trickles"),
        pytest.param(trickling(OK + b"Content-Type: text/event-stream\r\n\r\n", b": alive\n\n"), id="comments alone"),
    ],
)
def test_an_answer_that_does_not_come_is_given_up_in_time(talk: Talk) -> None:
    with server(talk) as url, asking(url) as session:
        start = time.monotonic()
        with pytest.raises(NoAnswerError, match="within 1 s") as given_up:
            session.get("/jobs", seconds=1)
        assert time.monotonic() - start < 5
        assert given_up.value.asked == "GET /jobs"
        with pytest.raises(NoAnswerError, match="not one event came"):
            session.events("/jobs/1/events", seconds=1)


def test_the_time_of_the_run_ends_a_request_too() -> None:
    with server(silent) as url, asking(url, seconds=4) as session, pytest.raises(TimeUpError):
        session.get("/jobs", seconds=30)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (b"", "disconnected"),
        (b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "illegal"),
        (OK + b"Content-Length: 10\r\n\r\nabc", "closed connection"),
        (OK + b"Content-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc", "incorrect header check"),
    ],
)
def test_what_is_no_whole_answer_is_told_with_the_reason(said: bytes, why: str) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(said)

    with server(talk) as url, asking(url) as session, pytest.raises(NoAnswerError, match=why):
        session.get("/")


def test_nobody_there_is_told() -> None:
    with asking(f"http://127.0.0.1:{free_port()}") as session, pytest.raises(NoAnswerError, match="refused"):
        session.get("/")


def test_a_name_that_is_not_known_is_told() -> None:
    with asking("http://verify.invalid") as session, pytest.raises(NoAnswerError, match=r"GET /: .*[Nn]ame"):
        session.get("/", seconds=30)


def test_an_answer_that_never_ends_is_given_up_by_its_size(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LARGEST_BODY", 2**20)
    talk = trickling(OK + b"\r\n", b"." * 2**18)
    with server(talk) as url, asking(url) as session, pytest.raises(NoAnswerError, match="longer than 1 MB"):
        session.get("/")


def test_the_session_goes_on_after_a_request_that_was_given_up() -> None:
    def ask(asked: Asked) -> Reply:
        if asked.path == "/slow":
            broken.ended.wait(30)
        return Reply(200, body=b"{}")

    with Meddler(ask=ask) as broken, asking(broken.url) as session:
        with pytest.raises(NoAnswerError):
            session.get("/slow", seconds=0.5)
        assert session.get("/").status == 200


def test_a_certificate_of_an_unknown_authority_is_told_with_the_option_that_trusts_it(certificate: Certificate) -> None:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.cert, certificate.key)
    with Meddler(ask=lambda asked: Reply(200), tls=tls) as encrypted:
        with asking(encrypted.url) as session, pytest.raises(NoAnswerError, match="--ca FILE"):
            session.get("/")
        with asking(encrypted.url, tls=ssl.create_default_context(cafile=certificate.cert)) as session:
            assert session.get("/").status == 200


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_certificate_for_another_name_is_told_without_advice_to_trust_its_authority(host: str, tmp_path) -> None:
    certificate = Certificate.make(tmp_path, "DNS:mill.example.org")
    if certificate is None:
        pytest.skip("openssl is not installed")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.cert, certificate.key)
    trusting = ssl.create_default_context(cafile=certificate.cert)
    with Meddler(ask=lambda asked: Reply(200), tls=tls) as encrypted:
        url = encrypted.url.replace("127.0.0.1", host)
        with asking(url, tls=trusting) as session, pytest.raises(NoAnswerError, match="is for another name") as refused:
            session.get("/")
    assert "--ca" not in refused.value.why


def test_a_stranger_sends_no_token_and_nothing_from_a_netrc_file(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "netrc").write_text("default login ada password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    sent: list[Asked] = []

    def ask(asked: Asked) -> Reply:
        sent.append(asked)
        return Reply(200)

    with (
        Meddler(ask=ask) as listening,
        asking(listening.url) as stranger,
        asking(listening.url, token="gm_token") as known,
    ):
        stranger.get("/")
        known.get("/")
    assert [asked.headers.get("Authorization") for asked in sent] == [None, "Bearer gm_token"]


def test_no_answer_is_asked_for_twice_but_one_that_says_429() -> None:
    statuses = iter([503, 429, 200])

    def ask(asked: Asked) -> Reply:
        reply = Reply(next(statuses))
        reply.set("Retry-After", "1")
        return reply

    heard = Heard()
    with Meddler(ask=ask) as slow, closing(Session(slow.url, Clock(60), heard)) as session:
        assert session.get("/").status == 503
        assert session.get("/").status == 200
    assert heard.slowed == 1


def test_what_may_still_make_something_is_waited_for_before_it_is_cleaned_away() -> None:
    done: list[str] = []
    may_go_on = threading.Event()

    def ask(asked: Asked) -> Reply:
        may_go_on.wait(30)
        done.append(asked.method)
        return Reply(201)

    with Meddler(ask=ask) as slow, asking(slow.url) as session:
        with pytest.raises(NoAnswerError):
            session.ask("PUT", "/datasets/late", content=b"x", seconds=0.1)
        assert done == []
        threading.Timer(0.3, may_go_on.set).start()
        session.settle()
        assert done == ["PUT"]


@pytest.mark.parametrize("pause", ["3600", "soon", "", "9" * 5000])
def test_a_429_that_names_no_short_pause_is_an_answer_like_others(pause: str) -> None:
    def ask(asked: Asked) -> Reply:
        reply = Reply(429)
        reply.set("Retry-After", pause)
        return reply

    with Meddler(ask=ask) as slow, asking(slow.url) as session:
        assert session.get("/").status == 429


@pytest.mark.parametrize("coding", ["zstd", "br", "gzip, gzip"])
def test_an_answer_in_a_coding_that_may_grow_without_bounds_is_given_up(coding: str) -> None:
    def ask(asked: Asked) -> Reply:
        reply = Reply(200, body=b"anything")
        reply.set("Content-Encoding", coding)
        return reply

    with Meddler(ask=ask) as odd, asking(odd.url) as session, pytest.raises(NoAnswerError, match="not asked for"):
        session.get("/")


def test_an_answer_that_tells_the_token_is_heard_without_it() -> None:
    token = "gm_told_by_the_server"

    def ask(asked: Asked) -> Reply:
        reply = Reply(500, body=b"." * 285 + asked.headers["Authorization"].encode())
        reply.set("Gristmill-Version", asked.headers["Authorization"])
        return reply

    with Meddler(ask=ask) as telling, asking(telling.url, token=token) as session:
        answer = session.get("/")
    assert "gm_t" not in answer.told
    assert answer.header("Gristmill-Version") == "Bearer ***"


TELLING: dict[str, Callable[[bytes], bytes]] = {
    "a coding": lambda said: OK + b"Content-Encoding: " + said + b"\r\n\r\n",
    "no header line": lambda said: OK + said.replace(b" ", b"_") + b"\r\n\r\n",
    "an event": lambda said: (
        OK + b"Content-Type: text/event-stream\r\nContent-Length: 999\r\n\r\ndata: " + said + b"\n\n"
    ),
}


@pytest.mark.parametrize("kind", TELLING)
def test_what_is_no_whole_answer_is_told_without_the_token(kind: str) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(TELLING[kind](b"Bearer gm_told_by_the_server"))

    with (
        server(talk) as url,
        asking(url, token="gm_told_by_the_server") as session,
        pytest.raises(NoAnswerError) as refused,
    ):
        session.events("/jobs/1/events", seconds=20)
    assert "***" in refused.value.why
    assert "gm_told" not in refused.value.why


def test_events_are_heard_without_the_token() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        event = b"id: GM_TOKEN_1\nevent: gm_token_1\ndata: gm_to\\u006ben_1\n\n"
        for piece in (OK + b"Content-Type: text/event-stream\r\n\r\n", event[:7], event[7:]):
            connection.sendall(piece)
            over.wait(0.05)

    with server(talk) as url, asking(url, token="gm_token_1") as session:
        _, events = session.events("/jobs/1/events", seconds=20)
    assert [(event.id, event.name, event.data) for event in events] == [("***", "***", "***")]


def test_events_are_read_as_they_come_with_what_several_lines_say() -> None:
    stream = b": hello\n\nid: 1\nevent: status\ndata: {\ndata: }\n\nretry: 5\n\nid:2\r\ndata:last\r\n\r\n"

    def ask(asked: Asked) -> Reply:
        reply = Reply(200, body=stream)
        reply.set("Content-Type", "text/event-stream; charset=utf-8")
        return reply

    with Meddler(ask=ask, streams=False) as told, asking(told.url) as session:
        answer, events = session.events("/jobs/1/events", seconds=20)
    assert [(event.id, event.name, event.data) for event in events] == [("1", "status", "{\n}"), ("2", "", "last")]
    assert answer.body == b""


def test_the_ends_of_a_stream_s_lines_may_come_in_pieces() -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(OK + b"Content-Type: text/event-stream\r\n\r\n")
        for piece in (b"id: 1\rdata: \xc3", b"\xa9\r", b"\n\r", b"\n", b"data: la", b"st\n\n"):
            connection.sendall(piece)
            over.wait(0.05)

    with server(talk) as url, asking(url) as session:
        _, events = session.events("/jobs/1/events", seconds=20)
    assert [(event.id, event.data) for event in events] == [("1", "é"), ("", "last")]


@pytest.mark.slow
@pytest.mark.parametrize("piece", [pytest.param(b"data:\n\n", id="events"), pytest.param(b"data: ", id="one line")])
def test_a_stream_of_events_that_never_ends_takes_little_memory(piece: bytes) -> None:
    def talk(connection: socket.socket, over: threading.Event) -> None:
        connection.sendall(OK + b"Content-Type: text/event-stream\r\n\r\n")
        with suppress(OSError):
            while not over.is_set():
                connection.sendall(piece * 10_000)

    with server(talk) as url, asking(url) as session, pytest.raises(NoAnswerError, match="longer than 4 MB"):
        session.events("/jobs/1/events", seconds=60)


def test_a_request_is_told_with_its_headers_and_never_with_its_token() -> None:
    with Meddler(ask=lambda asked: Reply(200)) as told, asking(told.url, token="gm_secret", suffix="by ada") as session:
        answer = session.get("/jobs", params={"limit": "1"}, headers={"Prefer": "wait=1"}, about="a test")
    assert answer.asked == "GET /jobs?limit=1 (a test, Prefer: wait=1) by ada"
