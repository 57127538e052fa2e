"""A thousand event streams on one API process."""

import http.client
import re
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support import RedisServer, free_port, wait_until
from support.system import Part, RunningSystem

WATCHERS = 1000
JOBS = 100


def submit(client: httpx.Client) -> str:
    request = {"inputs": {"string": "x"}}
    answer = client.post("/processes/echo/execution", json=request, headers={"Prefer": "respond-async"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["jobID"])


def rate(port: int, path: str) -> float:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    started = time.monotonic()
    for _ in range(100):
        connection.request("GET", path)
        response = connection.getresponse()
        response.read()
        assert response.status == 200
    connection.close()
    return 100 / (time.monotonic() - started)


def memory_mb(part: Part) -> float:
    pid = part.process.pid
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    rollups = [Path(f"/proc/{process}/smaps_rollup").read_text() for process in [str(pid), *children]]
    return sum(int(re.search(r"Pss:\s+(\d+)", text)[1]) for text in rollups) / 1024  # type: ignore[index]


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_thousand_watchers_cost_one_subscription_little_memory_and_no_rate(tmp_path: Path) -> None:
    system = RunningSystem(tmp_path)
    with ExitStack() as stack:
        system.server = stack.enter_context(RedisServer("valkey", tmp_path / "redis"))
        stack.callback(system.stop)
        ports = free_port(), free_port()
        alone, among = ports
        parts = [system.run("api", GRISTMILL_PORT=str(port)) for port in ports]
        clients = [stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30)) for port in ports]
        for client in clients:
            wait_until(lambda client=client: is_ready(client), 60, system.logs)
        jobs = [submit(clients[0]) for _ in range(JOBS)]
        path = f"/jobs/{jobs[0]}"
        for port in ports:
            rate(port, path)
        before = memory_mb(parts[1])
        watchers = []
        for number in range(WATCHERS):
            watcher = http.client.HTTPConnection("127.0.0.1", among, timeout=30)
            stack.callback(watcher.close)
            watcher.request("GET", f"/jobs/{jobs[number % JOBS]}/events")
            watchers.append(watcher)
        streams = [watcher.getresponse() for watcher in watchers]
        for stream in streams:
            while not stream.readline().startswith(b"data:"):
                assert stream.status == 200
        rates = [(rate(alone, path), rate(among, path)) for _ in range(10)]
        with system.server.client() as redis:
            subscribers = [client for client in redis.client_list() if int(client["sub"])]
        assert len(subscribers) == 1
        assert memory_mb(parts[1]) - before < 120
        # The best of each: what else the machine does can only slow them.
        assert max(rate for _, rate in rates) > 0.7 * max(rate for rate, _ in rates)
        clients[0].delete(path)
        for stream in streams[::JOBS]:
            assert any(b'"dismissed"' in line for line in iter(stream.readline, b""))


def is_ready(client: httpx.Client) -> bool:
    try:
        return client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False
