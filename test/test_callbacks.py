"""Call-backs to real receivers on 127.0.0.1."""

import base64
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks.webhooks import Webhook
from support import wait_until
from support.by_hand import WorkerByHand

from gristmill import callbacks
from gristmill.callbacks import CallBacks, pause_seconds, secret_text, signature
from gristmill.job import NewJob, Offer, new_id
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect

OFFER = Offer("p", "i", "v")


@dataclass
class Receiver:
    """What a receiver has got, and the statuses that it answers with, one after the other, the last for ever."""

    url: str
    statuses: list[int]
    got: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)
    hold: threading.Event = field(default_factory=threading.Event)


@contextmanager
def receiving(*statuses: int, location: str = "", held: bool = False) -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            receiver.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
            receiver.hold.wait(20)
            self.send_response(receiver.statuses.pop(0) if len(receiver.statuses) > 1 else receiver.statuses[0])
            if location:
                self.send_header("Location", location)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        receiver = Receiver(f"http://127.0.0.1:{server.server_port}", list(statuses) or [200])
        if not held:
            receiver.hold.set()
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield receiver
        receiver.hold.set()
        server.shutdown()
        thread.join()


class Engine:
    """Jobs of a process ``p``, a worker moved by hand, and the sender under test."""

    def __init__(self, settings: Settings) -> None:
        self.jobs = Jobs(connect(settings), settings)
        self.worker = WorkerByHand(self.jobs, [OFFER])
        self.call_backs = CallBacks(self.jobs, settings)

    def submit(self, request: str = "", owner: str = "alice", **subscriber: str) -> str:
        job = NewJob(
            new_id(), "p", owner, b"{}", interface="i", process_version="v", request=request, subscriber=subscriber
        )
        return self.jobs.submit(job).job.id

    def pending(self) -> int:
        return int(self.jobs.client.zcard(f"{self.jobs.prefix}:cb"))

    def make_due(self) -> None:
        key = f"{self.jobs.prefix}:cb"
        for event in self.jobs.client.zrange(key, 0, -1):
            self.jobs.client.zadd(key, {event: 0}, xx=True)

    def send(self) -> None:
        """Send what is due and wait for the answers."""
        self.call_backs.send_due()
        self.call_backs.close()


@pytest.fixture
def make_engine(redis_url: str, make_settings: Callable[..., Settings]) -> Iterator[Callable[..., Engine]]:
    made: list[Engine] = []

    def make(**changes: object) -> Engine:
        made.append(Engine(make_settings(redis_url, **{"call_back_allow": "127.0.0.0/8"} | changes)))
        return made[-1]

    yield make
    for engine in made:
        engine.call_backs.close()
        engine.jobs.close()


@pytest.fixture
def engine(make_engine: Callable[..., Engine]) -> Engine:
    return make_engine()


def test_the_signature_is_that_of_the_published_library():
    secret, body = bytes(range(32)), '{"é": 1}'
    now = datetime.now(UTC)
    ours = signature(secret, "msg_1", int(now.timestamp()), body.encode())
    assert ours == Webhook(secret_text(secret)).sign("msg_1", now, body)


def test_the_signature_is_that_of_the_specifications_example():
    secret = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = signature(secret, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_success_is_told_with_the_result_and_a_valid_signature(engine):
    with receiving() as receiver:
        engine.submit(successUri=f"{receiver.url}/done?x=1")
        engine.worker.succeed(("n", "application/json", b"3"), ("t", "text/plain", b"hello"))
        engine.send()
    [(path, headers, body)] = receiver.got
    assert path == "/done?x=1"
    assert headers["content-type"] == "application/json"
    Webhook(secret_text(engine.jobs.signing_secret("alice"))).verify(body, headers)
    assert json.loads(body) == {"n": 3, "t": "hello"}
    assert engine.pending() == 0


def test_a_start_and_a_failure_are_told_with_the_status(make_engine):
    engine = make_engine(public_url="https://example.org/g")
    with receiving() as receiver:
        job_id = engine.submit(inProgressUri=f"{receiver.url}/begun", failedUri=f"{receiver.url}/failed")
        engine.worker.fail(detail="no such column")
        engine.send()
    told = {path: json.loads(body) for path, _, body in receiver.got}
    assert told["/failed"]["status"] == "failed"
    assert told["/failed"]["problem"]["detail"] == "no such column"
    assert told["/failed"]["links"][0]["href"] == f"https://example.org/g/jobs/{job_id}"
    assert told["/begun"]["jobID"] == job_id


def test_a_result_by_reference_is_told_as_a_link(make_engine):
    engine = make_engine(public_url="https://example.org/g")
    with receiving() as receiver:
        request = json.dumps({"outputs": {"n": {"transmissionMode": "reference"}}})
        job_id = engine.submit(request, successUri=receiver.url)
        engine.worker.succeed(("n", "application/json", b"3"))
        engine.send()
    assert json.loads(receiver.got[0][2])["n"]["href"] == f"https://example.org/g/jobs/{job_id}/results/n"


def test_a_failed_call_is_repeated_with_the_same_id_until_it_is_received(engine):
    with receiving(500, 503, 200) as receiver:
        engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        for _ in range(5):
            engine.send()
            engine.make_due()
    assert len(receiver.got) == 3
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 1
    secret = secret_text(engine.jobs.signing_secret("alice"))
    for _, headers, body in receiver.got:
        Webhook(secret).verify(body, headers)


def test_a_failed_call_waits_before_it_is_repeated(engine):
    with receiving(500) as receiver:
        engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        engine.send()
        engine.send()
        assert len(receiver.got) == 1
        [(_, due)] = engine.jobs.client.zrange(f"{engine.jobs.prefix}:cb", 0, -1, withscores=True)
        assert 3 < due / 1_000_000 - time.time() < 7


def test_the_pauses_grow_to_three_hours():
    pauses = [pause_seconds(tries) for tries in range(1, 30)]
    assert 4 < pauses[0] < 6
    assert pauses[1] > 2 * pauses[0]
    assert max(pauses) < 4 * 3600


def test_after_a_day_a_call_is_given_up(engine, monkeypatch):
    with receiving(500) as receiver:
        engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        monkeypatch.setattr(callbacks, "GIVE_UP_SECONDS", 0)
        engine.send()
        assert len(receiver.got) == 1
    assert engine.pending() == 0


def test_a_receiver_that_is_gone_is_not_called_again(engine):
    with receiving(410) as receiver:
        engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        engine.send()
        assert len(receiver.got) == 1
    assert engine.pending() == 0


def test_a_redirect_is_not_followed(engine):
    with receiving() as other, receiving(302, location=other.url) as receiver:
        engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        engine.send()
        assert len(receiver.got) == 1
        assert not other.got
    assert engine.pending() == 1


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_a_private_address_is_refused_unless_allowed(make_engine, host):
    engine = make_engine(call_back_allow="10.0.0.0/8")
    with receiving() as receiver:
        engine.submit(successUri=receiver.url.replace("127.0.0.1", host))
        engine.worker.succeed()
        engine.send()
        assert not receiver.got
    assert engine.pending() == 0


def test_a_receiver_that_is_away_is_called_again(engine):
    with receiving() as receiver:
        pass
    engine.submit(successUri=receiver.url)
    engine.worker.succeed()
    engine.send()
    assert engine.pending() == 1


def test_the_call_backs_of_a_deleted_job_are_dropped(engine):
    with receiving() as receiver:
        job_id = engine.submit(successUri=receiver.url)
        engine.worker.succeed()
        engine.jobs.delete(job_id)
        engine.send()
        assert not receiver.got
    assert engine.pending() == 0


def test_owners_have_secrets_of_their_own_that_stay(engine):
    assert engine.jobs.signing_secret("alice") == engine.jobs.signing_secret("alice")
    assert engine.jobs.signing_secret("alice") != engine.jobs.signing_secret("bob")


def test_slow_receivers_hold_up_no_more_than_the_places_for_them(engine):
    with receiving(held=True) as slow:
        for _ in range(10):
            engine.submit(successUri=slow.url)
            engine.worker.succeed()
        assert engine.call_backs.send_due() == callbacks.AT_ONCE
        wait_until(lambda: len(slow.got) == callbacks.AT_ONCE)
        assert engine.call_backs.send_due() == 0
        slow.hold.set()
        engine.call_backs.close()
        assert engine.call_backs.send_due() == callbacks.AT_ONCE
        engine.call_backs.close()


def test_two_processes_send_a_call_once(make_engine):
    engine = make_engine()
    with receiving() as receiver:
        other = CallBacks(
            engine.jobs, Settings(redis_url="redis://unused", call_back_allow="127.0.0.0/8", key_prefix="{x}")
        )
        for _ in range(8):
            engine.submit(successUri=receiver.url)
            engine.worker.succeed()
        for _ in range(4):
            engine.call_backs.send_due()
            other.send_due()
            engine.call_backs.close()
            other.close()
    assert len(receiver.got) == 8
    assert len({headers["webhook-id"] for _, headers, _ in receiver.got}) == 8
