"""The server as its clients meet it: real processes, real sockets."""

import asyncio
import contextlib
import http.client
import itertools
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until

from gristmill.errors import ConfigurationError
from gristmill.lifeline import tied
from gristmill.request_body import Incoming
from gristmill.server import serve
from gristmill.settings import Settings

TESTS = Path(__file__).parent
HEADERS = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


class Served:
    """The toy application behind the real server, in processes of its own."""

    def __init__(self, log: Path, settings: dict[str, Any], constants: dict[str, float], *words: str) -> None:
        self._log = log
        values = {"port": 0, "wait_seconds": 30, "body_bytes": 2**20, "log_format": "json"} | settings
        command = [sys.executable, "-m", "support.toy_api", json.dumps(values), json.dumps(constants), *words]
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                tied(command),
                stdin=subprocess.DEVNULL,
                stderr=output,
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join([str(TESTS), *filter(None, [os.environ.get("PYTHONPATH")])])},
                start_new_session=True,
            )

    @property
    def log(self) -> str:
        return self._log.read_text()

    @property
    def port(self) -> int:
        match = wait_until(lambda: re.search(r"http://127.0.0.1:(\d+)", self.log) or self._check(), what=self.log)
        return int(match[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _check(self) -> None:
        assert self.process.poll() is None, f"the server has ended: {self.log}"

    def get(self, path: str) -> httpx.Response:
        return httpx.get(self.url + path, timeout=30)

    def at_work(self) -> int:
        """How many requests are in /slow and /wait; told by /healthz, which always has a thread."""
        return int(self.get("/healthz").headers["X-At-Work"])

    def connect(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=30)

    def send(self, number: signal.Signals = signal.SIGTERM) -> None:
        self.process.send_signal(number)

    def children(self) -> list[int]:
        path = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def stop(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    numbers = itertools.count()
    with ExitStack() as stack:

        def start(*words: str, constants: dict[str, float] | None = None, **settings: Any) -> Served:
            served = Served(tmp_path / f"log-{next(numbers)}", settings, constants or {}, *words)
            stack.callback(served.stop)
            return served

        yield start


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server for the tests that leave it as it is."""
    served = Served(tmp_path_factory.mktemp("server") / "log", {}, {})
    yield served
    served.stop()


def answer_within(served: Served, seconds: float) -> httpx.Response | None:
    """What GET / answers, or None when it takes longer."""
    try:
        return httpx.get(served.url, timeout=seconds)
    except httpx.ReadTimeout:
        return None


def answered_after_a_stop(served: Served, path: str) -> httpx.Response:
    """What a request gets that is in its view when the server is told to stop."""
    url = served.url
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(httpx.get, url + path, timeout=30)
        wait_until(lambda: served.at_work() == 1)
        served.send()
        return answer.result(10)


def is_busy(answer: httpx.Response) -> httpx.Response | None:
    return answer if answer.status_code == 503 else None


def read_all(client: socket.socket) -> bytes:
    """What the server sends until it closes the connection."""
    data = b""
    while piece := client.recv(65536):
        data += piece
    return data


def read_until(client: socket.socket, end: bytes) -> bytes:
    """What the server sends up to ``end``."""
    data = b""
    while end not in data:
        piece = client.recv(65536)
        assert piece, data
        data += piece
    return data


def is_gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


# Stopping


@pytest.mark.slow
def test_clients_that_keep_connections_see_no_failure_through_a_drain(start: Callable[..., Served]) -> None:
    drain_seconds = 4
    served = start(drain_seconds=drain_seconds)
    port = served.port
    told = threading.Event()
    answers: list[tuple[bool, bool]] = []

    def client() -> float:
        """Ask until the port is closed; returns when that was, or when a request failed."""
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
        while True:
            was_told = told.is_set()
            try:
                connection.request("GET", "/")
                response = connection.getresponse()
                response.read()
            except (OSError, http.client.HTTPException):
                return time.monotonic()
            assert response.status == 200
            answers.append((was_told, response.getheader("Connection") == "close"))

    with ThreadPoolExecutor(20) as pool:
        clients = [pool.submit(client) for _ in range(20)]
        time.sleep(1)
        started = time.monotonic()
        served.send()
        wait_until(lambda: served.get("/readyz").status_code == 503, 3)
        told.set()
        while time.monotonic() < started + drain_seconds - 1:
            assert served.get("/healthz").status_code == 200
            assert served.get("/readyz").status_code == 503
        ends = [result.result(30) for result in clients]
    assert min(ends) > started + drain_seconds
    assert served.process.wait(30) == 0
    assert "cut off" not in served.log
    after = [closes for was_told, closes in answers if was_told]
    assert len(answers) - len(after) > 20
    assert len(after) > 20
    assert all(after)


def test_event_streams_end_with_retry_when_the_drain_begins(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=20)
    with httpx.stream("GET", served.url + "/events", timeout=30) as response:
        lines = response.iter_lines()
        assert next(lines) == "data: hello"
        started = time.monotonic()
        served.send()
        rest = list(lines)
    assert rest[-2] == "retry: 2000"
    assert time.monotonic() - started < 5


def test_an_event_stream_that_begins_during_the_drain_ends_with_retry(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=20)
    url = served.url
    served.send()
    wait_until(lambda: served.get("/readyz").status_code == 503)
    assert httpx.get(url + "/events").text.endswith("retry: 2000\n\n")


def test_long_waits_are_answered_when_the_drain_begins(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=20)
    assert answered_after_a_stop(served, "/wait?seconds=30").text == "early"


def test_requests_in_flight_are_finished_before_the_exit(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=0)
    assert answered_after_a_stop(served, "/slow?seconds=2").text == "done"
    assert served.process.wait(10) == 0


@pytest.mark.slow
def test_a_large_response_that_ends_late_in_the_drain_is_sent_whole(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=0)
    assert len(answered_after_a_stop(served, "/slow?seconds=2&bytes=50000000").content) == 50_000_000
    assert served.process.wait(10) == 0


@pytest.mark.slow
def test_requests_that_do_not_end_are_cut_off_in_time(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=0, wait_seconds=0.1, constants={"server.FINISH_SECONDS": 1})
    with pytest.raises(httpx.TransportError):
        answered_after_a_stop(served, "/slow?seconds=60")
    assert served.process.wait(10) == 1
    assert "cut off" in served.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_at_once(start: Callable[..., Served], number: signal.Signals) -> None:
    served = start(drain_seconds=60)
    url = served.url
    served.send(number)
    wait_until(lambda: httpx.get(url + "/readyz").status_code == 503)
    started = time.monotonic()
    served.send(number)
    assert served.process.wait(10) == 1
    assert time.monotonic() - started < 3


@pytest.mark.parametrize("processes", [1, 2])
def test_ctrl_c_stops_without_noise(start: Callable[..., Served], processes: int) -> None:
    served = start(api_processes=processes)
    served.get("/")
    os.killpg(served.process.pid, signal.SIGINT)
    assert served.process.wait(10) == 0
    assert "Traceback" not in served.log
    assert "panic" not in served.log


def test_a_signal_to_the_whole_group_still_drains(start: Callable[..., Served]) -> None:
    served = start(drain_seconds=2)
    url = served.url
    os.killpg(served.process.pid, signal.SIGTERM)
    wait_until(lambda: httpx.get(url + "/readyz").status_code == 503)
    assert httpx.get(url + "/healthz").status_code == 200
    assert served.process.wait(10) == 0


# Broken responses


@pytest.mark.parametrize("path", ["/fail", "/fail?size=3000000", "/fail?size=3000000&length"])
def test_a_stream_that_fails_midway_is_an_error_for_the_client(served: Served, path: str) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        served.get(path)
    assert "the query broke" in served.log
    assert served.get("/").status_code == 200


def test_a_short_body_of_known_length_that_fails_is_a_500(served: Served) -> None:
    response = served.get("/fail?length")
    assert response.status_code == 500
    assert response.json()["type"] == "urn:gristmill:problem:internal"
    assert "the query broke" not in response.text


def test_a_stream_that_does_not_fail_is_whole(served: Served) -> None:
    assert len(served.get("/big?mb=5").content) == 5 * 2**20


# Waiting requests


@linux
@pytest.mark.slow
def test_a_thousand_watchers_leave_the_others_their_rate_and_the_memory(start: Callable[..., Served]) -> None:
    alone, among = start(waiting_requests=1100), start(waiting_requests=1100)

    def rate(served: Served) -> float:
        connection = http.client.HTTPConnection("127.0.0.1", served.port, timeout=30)
        started = time.monotonic()
        for _ in range(50):
            connection.request("GET", "/")
            connection.getresponse().read()
        connection.close()
        return 50 / (time.monotonic() - started)

    def memory() -> float:
        rollup = Path(f"/proc/{among.children()[0]}/smaps_rollup").read_text()
        return int(re.search(r"Pss:\s+(\d+)", rollup)[1]) / 1024  # type: ignore[index]

    rate(alone)
    rate(among)
    before = memory()
    with ExitStack() as stack:
        watchers = [stack.enter_context(among.connect()) for _ in range(1000)]
        for watcher in watchers:
            watcher.sendall(b"GET /events HTTP/1.1\r\nHost: x\r\n\r\n")
        for watcher in watchers:
            read_until(watcher, b"data: hello\n\n")
        rates = [(rate(alone), rate(among)) for _ in range(60)]
        assert memory() - before < 120
        now = among.get("/").json()
        assert now["streams"] == 1000
        assert now["threads"] < 50
    # The best of each: what else the machine does can only slow them.
    assert max(rate for _, rate in rates) > 0.7 * max(rate for rate, _ in rates)


def test_a_watcher_that_leaves_frees_its_place(served: Served) -> None:
    before = len(served.log)
    with served.connect() as client:
        client.sendall(b"GET /events?keep_alive=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: served.get("/").json()["streams"] == 1)
    wait_until(lambda: served.get("/").json()["streams"] == 0, 10)
    assert "Traceback" not in served.log[before:]


def test_a_stream_that_sleeps_is_kept_alive(served: Served) -> None:
    with httpx.stream("GET", served.url + "/events?keep_alive=0.1", timeout=30) as response:
        lines = response.iter_lines()
        assert [next(lines) for _ in range(5)] == ["data: hello", "", ": keep-alive", "", ": keep-alive"]


def test_health_is_answered_within_100_ms_with_every_place_taken(start: Callable[..., Served]) -> None:
    served = start(waiting_requests=4, constants={"server.OTHER_THREADS": 4})
    with ExitStack() as stack:
        for _ in range(12):
            client = stack.enter_context(served.connect())
            client.sendall(b"GET /slow?seconds=20 HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: served.at_work() == 8)
        with pytest.raises(httpx.ReadTimeout):
            httpx.get(served.url + "/", timeout=0.5)
        durations = []
        with httpx.Client(base_url=served.url) as client:
            for _ in range(10):
                started = time.monotonic()
                assert client.get("/healthz").status_code == 200
                durations.append(time.monotonic() - started)
    assert min(durations) < 0.1


def test_more_requests_than_can_wait_for_a_thread_are_refused(start: Callable[..., Served]) -> None:
    served = start(waiting_requests=1, constants={"server.OTHER_THREADS": 1})
    with ExitStack() as stack:
        for _ in range(10):
            client = stack.enter_context(served.connect())
            client.sendall(b"GET /slow?seconds=60 HTTP/1.1\r\nHost: x\r\n\r\n")
        response = wait_until(lambda: answer_within(served, 0.5))
    assert response.status_code == 503
    assert response.headers["Retry-After"] == "2"
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.json()["type"] == "urn:gristmill:problem:busy"


def test_blocked_views_do_not_hold_up_others(start: Callable[..., Served]) -> None:
    served = start()
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(served.connect())
            client.sendall(b"GET /wait HTTP/1.1\r\nHost: x\r\n\r\n")
        wait_until(lambda: served.get("/").json()["threads"] > 50)
        started = time.monotonic()
        served.get("/")
        assert time.monotonic() - started < 1


# Slow and hostile clients


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: x\r\n", HEADERS])
def test_a_silent_connection_is_closed(start: Callable[..., Served], beginning: bytes) -> None:
    served = start(idle_seconds=1)
    with served.connect() as client:
        started = time.monotonic()
        client.sendall(beginning)
        read_all(client)
    assert 0.5 < time.monotonic() - started < 10


def test_headers_that_trickle_in_are_cut_off(start: Callable[..., Served]) -> None:
    served = start(idle_seconds=1)
    with served.connect() as client:
        started = time.monotonic()
        client.sendall(b"GET / HTTP/1.1\r\n")
        with contextlib.suppress(ConnectionError):
            while time.monotonic() < started + 10:
                client.sendall(b"X-A: b\r\n")
                time.sleep(0.1)
    assert time.monotonic() - started < 8


def test_huge_headers_are_refused(served: Served) -> None:
    response = httpx.get(served.url, headers={"X-Big": "x" * 200_000}, timeout=30)
    assert response.status_code == 431


@pytest.mark.parametrize("letter", [b"<", b">", b'"', b" "])
def test_a_url_with_a_letter_that_none_may_have_is_400_without_a_body(served: Served, letter: bytes) -> None:
    with served.connect() as client:
        client.sendall(b"GET /?filter=a" + letter + b"1 HTTP/1.1\r\nHost: x\r\n\r\n")
        head, _, body = read_all(client).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert body == b""
    assert b"x-request-id" not in head.lower()


def test_a_body_that_never_comes_is_given_up(start: Callable[..., Served]) -> None:
    served = start(constants={"request_body.BODY_SECONDS": 1})
    with served.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer
    assert b"urn:gristmill:problem:body-too-slow" in answer


def test_bodies_that_never_come_hold_no_thread(start: Callable[..., Served]) -> None:
    served = start(waiting_requests=1, constants={"server.OTHER_THREADS": 1})
    with ExitStack() as stack:
        for _ in range(50):
            client = stack.enter_context(served.connect())
            client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nx")
        assert served.get("/").status_code == 200


def test_a_body_above_the_limit_is_refused_unread(served: Served) -> None:
    with served.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000000\r\n\r\nx")
        answer = read_until(client, b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 413")
    assert b"connection: close" in answer


def test_large_bodies_above_the_number_that_the_disk_holds_are_refused_until_one_is_done(
    start: Callable[..., Served],
) -> None:
    served = start(body_bytes=8 * 2**20, constants={"bridge.BODIES_AT_ONCE": 1})
    large, small = bytes(2 * 2**20), bytes(2**20)

    def post(body: bytes) -> httpx.Response:
        return httpx.post(served.url + "/length", content=body, timeout=30)

    def refused_beside_an_unfinished_one() -> tuple[socket.socket, httpx.Response] | None:
        client = served.connect()
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + large)
        answer = post(large)
        if answer.status_code == 503:
            return client, answer
        client.close()  # this one was the first to have the place
        return None

    client, refused = wait_until(refused_beside_an_unfinished_one)
    assert refused.headers["Retry-After"] == "5"
    assert post(small).status_code == 200
    client.close()
    assert wait_until(lambda: post(large).status_code != 503)


@pytest.mark.parametrize("chunked", [False, True])
def test_a_client_that_sends_too_much_sees_why(served: Served, chunked: bool) -> None:
    body = bytes(20 * 2**20)
    response = httpx.post(served.url + "/length", content=iter([body]) if chunked else body, timeout=30)
    assert response.status_code == 413


@pytest.mark.parametrize(
    "request_",
    [
        b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nzz\r\n",
        b"Transfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"Content-Length: -3\r\n\r\nabc",
    ],
)
def test_a_malformed_body_is_refused(served: Served, request_: bytes) -> None:
    with served.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\n" + request_)
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 400")


def test_a_body_that_is_given_up_holds_its_connection_no_longer() -> None:
    class Connection:
        async def receive(self) -> dict[str, Any]:
            return {"type": "http.disconnect"}

        def watch(self) -> None: ...

    connection, loop = Connection(), asyncio.new_event_loop()
    incoming = Incoming({"CONTENT_LENGTH": "8"}, connection.receive, loop)
    incoming.at_end = connection.watch
    held = weakref.ref(connection)
    del connection

    assert held() is not None
    incoming.let_go()
    loop.close()

    assert held() is None


def test_streamed_bodies_that_never_come_leave_threads_to_others(start: Callable[..., Served]) -> None:
    served = start(waiting_requests=15, constants={"server.OTHER_THREADS": 1})
    with ExitStack() as stack:
        for _ in range(20):
            client = stack.enter_context(served.connect())
            client.sendall(b"PUT /streamed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nfour")
        assert served.get("/").status_code == 200
        refused = wait_until(lambda: is_busy(httpx.put(served.url + "/streamed/a", content=b"more", timeout=30)))
        assert refused.headers["Retry-After"] == "5"
        assert "2 uploads are under way" in refused.json()["detail"]
    assert wait_until(lambda: httpx.put(served.url + "/streamed/a", content=b"more", timeout=30).status_code == 200)


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
def test_a_body_that_breaks_off_never_reaches_the_application(start: Callable[..., Served], framing: bytes) -> None:
    served = start(access_log=True)
    with served.connect() as client:
        client.sendall(b"POST /length HTTP/1.1\r\nHost: x\r\n" + framing)
        time.sleep(0.2)
    wait_until(lambda: '"Request"' in served.log)
    assert '"status": 400' in served.log


def test_a_body_that_the_disk_does_not_take_is_507_and_the_next_is_answered(start: Callable[..., Served]) -> None:
    served = start("small-files", body_bytes=8 * 2**20)
    refused = httpx.post(served.url + "/length", content=bytes(4 * 2**20), timeout=30)
    assert refused.status_code == 507
    assert "File too large in its temporary folder" in refused.json()["detail"]
    assert httpx.post(served.url + "/length", content=bytes(2**20), timeout=30).status_code != 507


@pytest.mark.parametrize("chunked", [False, True])
def test_a_body_within_the_limit_arrives(start: Callable[..., Served], chunked: bool) -> None:
    served = start(body_bytes=4 * 2**20)
    body = bytes(2**20)
    response = httpx.post(served.url + "/length", content=iter([body]) if chunked else body, timeout=30)
    assert response.text == str(2**20)


# Bodies that the view reads while they come in


@pytest.mark.parametrize("chunked", [False, True])
def test_a_streamed_body_arrives_whole_and_is_never_held(start: Callable[..., Served], chunked: bool) -> None:
    served = start(body_bytes=1000)
    size = 200 * 2**20
    before = httpx.put(served.url + "/streamed/a", content=b"x").json()["peak_kib"]
    pieces = (bytes(2**20) for _ in range(200))
    headers = {} if chunked else {"Content-Length": str(size)}
    told = httpx.put(served.url + "/streamed/a", content=pieces, headers=headers, timeout=60).json()
    assert told["size"] == size
    assert told["peak_kib"] - before < 50 * 1024


def test_a_streamed_body_reaches_the_view_before_it_ends(served: Served) -> None:
    with served.connect() as client:
        client.sendall(b"PUT /streamed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nfour")
        wait_until(lambda: served.get("/").json()["downloads"] == 1)
        client.sendall(b"more")
        assert b'"size":8' in read_until(client, b"}")


@pytest.mark.parametrize("name", ["refused", "half"])
def test_a_client_whose_streamed_body_is_not_read_sees_why_and_is_disconnected(served: Served, name: str) -> None:
    response = httpx.put(served.url + f"/streamed/{name}", content=bytes(20 * 2**20), timeout=30)
    assert response.status_code == 200
    assert response.headers["Connection"] == "close"


def test_a_streamed_body_that_stalls_is_given_up(start: Callable[..., Served]) -> None:
    served = start(constants={"request_body.BODY_SECONDS": 1})
    with served.connect() as client:
        client.sendall(b"PUT /streamed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 8\r\n\r\nfour")
        answer = read_all(client)
    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


@pytest.mark.parametrize(
    "framing", [b"Content-Length: 9\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n"]
)
def test_a_streamed_body_that_breaks_off_ends_the_view_with_an_error(
    start: Callable[..., Served], framing: bytes
) -> None:
    served = start(access_log=True)
    with served.connect() as client:
        client.sendall(b"PUT /streamed/a HTTP/1.1\r\nHost: x\r\n" + framing)
        wait_until(lambda: served.get("/").json()["downloads"] == 1)
    wait_until(lambda: '"path": "/streamed/a"' in served.log)
    assert '"status": 400' in served.log


def test_a_connection_goes_on_after_a_streamed_body(served: Served) -> None:
    with served.connect() as client:
        for _ in range(3):
            client.sendall(b"PUT /streamed/a HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour")
            assert b'"size":4' in read_until(client, b"}")


def test_more_connections_than_allowed_wait_for_silent_ones_to_go(start: Callable[..., Served]) -> None:
    served = start(connections=8, idle_seconds=2)
    with ExitStack() as stack:
        for _ in range(8):
            stack.enter_context(served.connect())
        started = time.monotonic()
        assert served.get("/").status_code == 200
    assert time.monotonic() - started > 0.5


def test_few_open_files_mean_few_connections_and_a_warning(start: Callable[..., Served]) -> None:
    served = start("few-files", connections=4096)
    assert served.get("/").status_code == 200
    assert '"connections": 350' in served.log


@pytest.mark.slow
@linux
def test_a_client_that_takes_nothing_holds_no_thread_no_memory_and_is_cut_off(start: Callable[..., Served]) -> None:
    served = start(constants={"bridge.SEND_SECONDS": 2})
    served.get("/")

    def resident() -> int:
        status = Path(f"/proc/{served.children()[0]}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]

    before = resident()
    with served.connect() as client:
        client.sendall(b"GET /big?mb=500 HTTP/1.1\r\nHost: x\r\n\r\n")
        time.sleep(1.5)
        assert resident() - before < 100
        time.sleep(2)
        with contextlib.suppress(ConnectionError):
            assert len(read_all(client)) < 500 * 2**20
    assert served.get("/").json()["threads"] < 10


@pytest.mark.slow
def test_a_client_that_takes_little_again_and_again_gets_everything(start: Callable[..., Served]) -> None:
    size, rate = 16 * 2**20, 500_000
    with start(constants={"bridge.SEND_SECONDS": 2}).connect() as client:
        client.sendall(b"GET /file?mb=16 HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        head, _, body = read_until(client, b"\r\n\r\n").partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        taken, began = len(body), time.monotonic()
        while time.monotonic() < began + 6:
            taken += len(client.recv(rate // 10))
            time.sleep(max(0.0, began + taken / rate - time.monotonic()))
        assert taken + len(read_all(client)) == size


@linux
def test_clients_that_take_nothing_hold_little_memory_each(start: Callable[..., Served]) -> None:
    served = start()
    served.get("/file?mb=16")
    (process,) = served.children()

    def resident_mb() -> int:
        status = Path(f"/proc/{process}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024  # type: ignore[index]

    before = resident_mb()
    with ExitStack() as stack:
        for _ in range(200):
            client = stack.enter_context(served.connect())
            client.sendall(b"GET /file?mb=64 HTTP/1.1\r\nHost: x\r\n\r\n")
            read_until(client, b"\r\n\r\n")
        time.sleep(2)  # to take more, if it would
        assert resident_mb() - before < 200


def test_a_client_that_leaves_in_the_middle_of_a_download_ends_it(served: Served) -> None:
    before = len(served.log)
    with httpx.stream("GET", served.url + "/big?mb=1000000", timeout=30) as response:
        pieces = response.iter_bytes()
        next(pieces)
        assert served.get("/").json()["downloads"] == 1
    wait_until(lambda: served.get("/").json()["downloads"] == 0)
    assert "Traceback" not in served.log[before:]


@pytest.mark.parametrize(
    "request_text",
    [
        b"GET /long HTTP/1.1\r\nHost: x\r\n\r\n",
        b"PUT /streamed/long HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour",
        b"PUT /streamed/first HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nfour",
    ],
)
def test_a_view_is_told_when_its_client_leaves(served: Served, request_text: bytes) -> None:
    before = len(served.log)
    with contextlib.ExitStack() as stack:
        for _ in range(2):
            client = stack.enter_context(served.connect())
            client.sendall(request_text)
        wait_until(lambda: served.at_work() == 2)
        time.sleep(0.5)
        assert served.at_work() == 2
    wait_until(lambda: served.at_work() == 0)
    assert "Traceback" not in served.log[before:]


# Processes


@linux
def test_a_crashed_process_is_replaced(start: Callable[..., Served]) -> None:
    served = start()
    pid = served.get("/").json()["pid"]
    with pytest.raises(httpx.TransportError):
        served.get("/crash")
    assert served.get("/").json()["pid"] != pid
    assert "another takes its place" in served.log


@linux
def test_a_process_that_leaves_is_replaced_before_its_last_request_ends_and_is_no_crash(
    start: Callable[..., Served],
) -> None:
    served = start(drain_seconds=0)
    url, leaving = served.url, set()
    with ThreadPoolExecutor(6) as pool:
        for _ in range(6):  # more than may crash
            pid = served.get("/").json()["pid"]
            pool.submit(httpx.get, url + "/slow?seconds=60", timeout=90)
            wait_until(lambda: served.at_work() == 1)
            os.kill(pid, signal.SIGTERM)
            leaving.add(pid)
            wait_until(lambda: (answer := answer_within(served, 1)) and answer.json()["pid"] not in leaving, 5)
        assert leaving < set(served.children())
        served.send()
        wait_until(lambda: set(served.children()) == leaving)  # else both signals may come as one
        served.send()
        assert served.process.wait(10) == 1
    assert "another takes its place" not in served.log


SILENCE = {"server.BEAT_SECONDS": 0.1, "prefork.BEAT_SECONDS": 0.1, "prefork.SILENT_SECONDS": 1}


def test_a_process_that_falls_silent_is_replaced(start: Callable[..., Served]) -> None:
    served = start(constants=SILENCE)
    pid = served.get("/").json()["pid"]
    os.kill(pid, signal.SIGSTOP)
    wait_until(lambda: is_gone(pid))
    assert served.get("/").json()["pid"] != pid
    assert "does not answer; it is killed" in served.log


@pytest.mark.slow
def test_a_server_that_was_stopped_whole_goes_on_with_its_processes(start: Callable[..., Served]) -> None:
    served = start(constants=SILENCE)
    pid = served.get("/").json()["pid"]
    os.killpg(served.process.pid, signal.SIGSTOP)
    time.sleep(2)  # longer than a silence may last
    os.killpg(served.process.pid, signal.SIGCONT)
    wait_until(lambda: served.get("/").status_code == 200)
    time.sleep(1.5)  # as long as a silence that began now
    assert served.get("/").json()["pid"] == pid


def test_processes_that_crash_again_and_again_end_the_server(start: Callable[..., Served]) -> None:
    served = start()
    url = served.url
    while served.process.poll() is None:
        with contextlib.suppress(httpx.TransportError):
            httpx.get(url + "/crash", timeout=5)
    assert served.process.returncode == 1
    assert "giving up" in served.log


@linux
@pytest.mark.parametrize("processes", [1, 3])
def test_nothing_is_left_when_the_main_process_is_killed(start: Callable[..., Served], processes: int) -> None:
    served = start(api_processes=processes)
    served.get("/")
    children = served.children()
    assert len(children) == processes
    served.send(signal.SIGKILL)
    wait_until(lambda: all(is_gone(pid) for pid in children), 10)


def test_several_processes_share_the_requests(start: Callable[..., Served]) -> None:
    served = start(api_processes=2)
    pids = set()
    for _ in range(200):
        pids.add(served.get("/").json()["pid"])
        if len(pids) == 2:
            break
    assert len(pids) == 2


def test_a_taken_port_is_said_before_anything_starts(start: Callable[..., Served], tmp_path: Path) -> None:
    served = start()
    with pytest.raises(ConfigurationError, match=rf"port {served.port}: Address already in use.*GRISTMILL_PORT"):
        serve(Settings(port=served.port), lambda _draining: pytest.fail("the application was made"))


def test_an_address_of_another_computer_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="GRISTMILL_HOST"):
        serve(Settings(host="192.0.2.1", port=0), lambda _draining: pytest.fail("the application was made"))


def test_a_name_that_is_no_address_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"GRISTMILL_HOST=no-such-host\.invalid"):
        serve(Settings(host="no-such-host.invalid", port=0), lambda _draining: pytest.fail("was made"))


def test_an_application_that_refuses_to_start_refuses_the_start(start: Callable[..., Served]) -> None:
    served = start("refuse", api_processes=2)
    assert served.process.wait(30) == 2
    assert served.log.strip() == "refused: processes/broken.py, line 3: no colon."


# What requests and responses look like


def test_the_server_does_not_tell_its_version(served: Served) -> None:
    assert served.get("/").headers["Server"] == "granian"


def test_a_request_is_logged_when_asked_for(start: Callable[..., Served]) -> None:
    served = start(access_log=True)
    served.get("/")
    line = json.loads(wait_until(lambda: [line for line in served.log.splitlines() if '"Request"' in line])[0])
    assert (line["method"], line["path"], line["status"]) == ("GET", "/", 200)
    assert 0 < line["milliseconds"] < 5000


def test_requests_are_not_logged_by_default(start: Callable[..., Served]) -> None:
    served = start()
    served.get("/")
    served.send()
    served.process.wait(10)
    assert '"Request"' not in served.log


def test_a_head_request_has_the_length_and_no_body(served: Served) -> None:
    response = httpx.head(served.url + "/healthz")
    assert response.headers["Content-Length"] == "2"
    assert response.content == b""


def test_requests_may_be_sent_before_the_answer_to_the_last(served: Served) -> None:
    with served.connect() as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n" * 2 + b"GET /healthz HTTP/1.0\r\n\r\n")
        assert read_all(client).count(b"200 OK") == 3
