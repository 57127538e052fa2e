"""The class "callback" on the running system: the subscriber hears of start and end, in the standard's documents."""

import queue
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import httpx
import pytest
from standardwebhooks.webhooks import Webhook

from conformance.jobs import ASYNCHRONOUS, execute
from conformance.ogc import assert_valid

SECONDS = 60


class Receiver(ThreadingHTTPServer):
    """Keeps what it is told, as path, headers and body."""

    def __init__(self) -> None:
        told: queue.Queue[tuple[str, dict[str, str], bytes]] = queue.Queue()

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                told.put((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(204)
                self.end_headers()

        super().__init__(("127.0.0.1", 0), Handler)
        self.told = told
        self.url = f"http://127.0.0.1:{self.server_address[1]}"

    def subscriber(self) -> dict[str, str]:
        return {f"{what}Uri": f"{self.url}/{what}" for what in ("inProgress", "success", "failed")}

    def next(self) -> tuple[str, dict[str, str], bytes]:
        return self.told.get(timeout=SECONDS)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


def verified(api: httpx.Client, headers: dict[str, str], body: bytes) -> Any:
    """The document, once the signature is found right with the caller's secret."""
    secret = api.get("/webhook-secret").json()["secret"]
    return Webhook(secret).verify(body, headers)


def test_a_subscriber_hears_of_start_and_success(api: httpx.Client, receiver: Receiver) -> None:
    execute(api, ASYNCHRONOUS, subscriber=receiver.subscriber())

    heard = {path: verified(api, headers, body) for path, headers, body in (receiver.next(), receiver.next())}

    assert heard.keys() == {"/inProgress", "/success"}
    assert_valid(heard["/inProgress"], "statusInfo.yaml")
    assert_valid(heard["/success"], "results.yaml")
    assert heard["/success"]["string"] == "teststring"


def test_a_subscriber_hears_of_a_failure(api: httpx.Client, receiver: Receiver) -> None:
    inputs = {"table": {"href": f"{api.base_url}/no-table"}}
    request = {"inputs": inputs, "subscriber": {"successUri": receiver.url, "failedUri": f"{receiver.url}/failed"}}
    assert api.post("/processes/summary/execution", json=request, headers=ASYNCHRONOUS).status_code == 201

    path, headers, body = receiver.next()

    status = verified(api, headers, body)
    assert path == "/failed"
    assert_valid(status, "statusInfo.yaml")
    assert status["status"] == "failed"
