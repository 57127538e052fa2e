"""Inputs by reference through the real API and worker: fetched by the run, from allowed networks only."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx
import pytest
from support.system import RunningSystem

from gristmill.samples import penguins


@pytest.fixture
def table_url(tmp_path: Path) -> Iterator[str]:
    """A CSV file on a web server of the loopback address."""
    (tmp_path / "penguins.csv").write_text(penguins(), encoding="utf-8")

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            if self.path != "/elsewhere":
                return super().do_GET()
            self.send_response(302)
            self.send_header("Location", "http://127.0.0.2/penguins.csv")
            self.end_headers()
            return None

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(tmp_path)))
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}/penguins.csv"
    server.shutdown()
    server.server_close()


def summary_of(system: RunningSystem, url: str) -> httpx.Response:
    body = {"inputs": {"table": {"href": url, "type": "text/csv"}}, "response": "document"}
    return httpx.post(f"{system.url}/processes/summary/execution", json=body, timeout=60)


def test_a_table_is_fetched_by_the_run_from_an_allowed_network(running_system: RunningSystem, table_url: str) -> None:
    assert "FETCH_ALLOW" in running_system.settings

    answer = summary_of(running_system, table_url)
    missing = summary_of(running_system, table_url + "x")

    assert answer.status_code == 200, answer.text
    assert answer.json()["rows"] == 344
    assert missing.status_code == 400
    assert "status 404" in missing.json()["detail"]


@pytest.mark.slow
def test_a_private_address_is_refused_at_submission_and_behind_a_redirect_by_the_run(
    tmp_path: Path, table_url: str
) -> None:
    with RunningSystem(tmp_path / "system", settings={"FETCH_ALLOW": "127.0.0.1/32"}) as system:
        at_once = summary_of(system, "http://127.0.0.2/penguins.csv")
        by_the_run = summary_of(system, table_url.replace("penguins.csv", "elsewhere"))

    for answer in (at_once, by_the_run):
        assert answer.status_code == 400
        assert answer.json()["type"] == "urn:gristmill:problem:invalid-inputs"
        assert "not on the public internet" in answer.json()["detail"]
    assert [fault["pointer"] for fault in at_once.json()["errors"]] == ["/inputs/table/href"]
    assert "errors" not in by_the_run.json()
