"""A thousand idle event streams on one API process."""

import re
import resource
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support import wait_until
from support.system import RunningSystem

from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect

WATCHERS = 1000
MORE_MEMORY_MB = 120


def api_memory_mb(system: RunningSystem) -> float:
    """Resident memory of the API's processes together."""
    first = next(part.process.pid for part in system.parts if part.name == "api")
    pids, total = [first], 0.0
    while pids:
        pid = pids.pop()
        total += int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
        for task in Path(f"/proc/{pid}/task").iterdir():
            pids += map(int, (task / "children").read_text().split())
    return total


def opened(system: RunningSystem, job_id: str) -> socket.socket:
    """A stream that has told its first event."""
    host, port = system.url.removeprefix("http://").split(":")
    stream = socket.create_connection((host, int(port)), timeout=60)
    stream.sendall(f"GET /jobs/{job_id}/events HTTP/1.1\r\nHost: {host}\r\n\r\n".encode())
    heard = b""
    while b'"accepted"' not in heard:
        received = stream.recv(65536)
        assert received, heard
        heard += received
    return stream


@pytest.fixture
def many_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = WATCHERS + 1000
    if hard != resource.RLIM_INFINITY and hard < wanted:
        pytest.skip(f"at most {hard} open files are allowed here")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, wanted), hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="reads memory from /proc")
def test_one_process_holds_a_thousand_idle_streams_on_one_subscription(tmp_path, many_files):
    with ExitStack() as stack:
        system = stack.enter_context(RunningSystem(tmp_path, "redis", {"RATE_PER_SECOND": "0"}))
        jobs = Jobs(connect(Settings(redis_url=system.server.url)), Settings(redis_url=system.server.url))
        stack.callback(jobs.close)
        client = stack.enter_context(httpx.Client(base_url=system.url, timeout=30))
        jobs.pause("echo")

        def submit(_: int) -> str:
            body = {"inputs": {"string": "x"}}
            return client.post("/processes/echo/execution", json=body, headers={"Prefer": "respond-async"}).json()[
                "jobID"
            ]

        ids = [submit(number) for number in range(WATCHERS)]
        before = api_memory_mb(system)
        with ThreadPoolExecutor(16) as pool:
            streams = list(pool.map(lambda job_id: stack.enter_context(opened(system, job_id)), ids))
        wait_until(lambda: [one for one in jobs.client.client_list() if int(one["sub"]) == WATCHERS])
        subscribed = [one for one in jobs.client.client_list() if int(one["sub"]) >= WATCHERS]
        more = api_memory_mb(system) - before

        began = time.monotonic()
        assert client.get("/healthz").status_code == 200
        answered = time.monotonic() - began
        last = streams[-1]
        began = time.monotonic()
        jobs.dismiss(ids[-1])
        heard = b""
        while b'"dismissed"' not in heard:
            heard += last.recv(65536)
        told = time.monotonic() - began
        print(f"{WATCHERS} streams: {more:.0f} MB more, /healthz in {answered:.3f} s, an event in {told:.3f} s")
        assert len(subscribed) == 1
        assert more <= MORE_MEMORY_MB
        assert answered < 1
        assert told < 5
