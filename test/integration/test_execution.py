"""Execution over real HTTP: what only a real server and real clients show."""

import json
import socket
from urllib.parse import urlsplit

import httpx
import pytest
from support import wait_until
from support.system import RunningSystem

BODY = {"inputs": {"string": "hello"}, "response": "document"}
JSON = {"Content-Type": "application/json"}


@pytest.fixture
def url(running_system: RunningSystem) -> str:
    return f"{running_system.url}/processes/echo/execution"


def test_a_job_goes_on_when_the_client_that_waits_for_it_goes_away(running_system, url):
    address = urlsplit(url)
    body = json.dumps({"inputs": {"string": "gone", "pause": 2}}).encode()
    lines = [
        f"POST {address.path} HTTP/1.1",
        "Host: 127.0.0.1",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
    ]
    newest = f"{running_system.url}/jobs?limit=1"
    before = httpx.get(newest).json()["jobs"]
    with socket.create_connection((address.hostname, address.port)) as client:
        client.sendall("\r\n".join([*lines, "", ""]).encode() + body)
        job = wait_until(lambda: [one for one in httpx.get(newest).json()["jobs"] if one not in before])[0]
    here = f"{running_system.url}/jobs/{job['jobID']}"
    wait_until(lambda: httpx.get(here).json()["status"] == "successful", 60)


def test_a_body_in_chunks_of_unknown_length_is_read(url):
    pieces = iter([b'{"inputs": {"str', b'ing": "hello"}, ', b'"response": "document"}'])
    response = httpx.post(url, content=pieces, headers=JSON, timeout=60)
    assert response.json() == {"string": "hello"}


def test_a_body_in_chunks_that_grows_above_the_limit_is_413(url):
    pieces = (b" " * 2**20 for _ in range(9))
    assert httpx.post(url, content=pieces, headers=JSON, timeout=60).status_code == 413


def test_one_connection_serves_requests_after_a_refused_one(url):
    with httpx.Client(timeout=60) as client:
        assert client.post(url, content=b'{"inputs"', headers=JSON).status_code == 400
        assert client.post(url, content=b"x", headers={"Content-Type": "text/plain"}).status_code == 415
        assert client.post(url, json=BODY).json() == {"string": "hello"}
