"""The real API told to stop while clients watch, wait, and ask."""

import http.client
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support import RedisServer, free_port, wait_until
from support.system import RunningSystem

DRAIN_SECONDS = 4


@pytest.mark.slow
def test_watchers_waiters_and_everybody_else_are_answered_through_a_drain(tmp_path: Path) -> None:
    system = RunningSystem(tmp_path, settings={"DRAIN_SECONDS": str(DRAIN_SECONDS)})
    with ExitStack() as stack:
        system.server = stack.enter_context(RedisServer("valkey", tmp_path / "redis"))
        stack.callback(system.stop)
        port = free_port()
        part = system.run("api", GRISTMILL_PORT=str(port))
        client = stack.enter_context(httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60))
        wait_until(lambda: readiness(client) == 200, 60, "the API is ready")
        answer = client.post(
            "/processes/echo/execution", json={"inputs": {"string": "x"}}, headers={"Prefer": "respond-async"}
        )
        job = f"/jobs/{answer.json()['jobID']}"
        over = threading.Event()

        def ask() -> int:
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            count = 0
            while not over.is_set():
                connection.request("GET", job)
                response = connection.getresponse()
                response.read()
                assert response.status == 200
                count += 1
            connection.close()
            return count

        with ThreadPoolExecutor(8) as pool:
            asking = [pool.submit(ask) for _ in range(4)]
            waiting = pool.submit(client.get, job, headers={"Prefer": "wait=25"})
            watching = pool.submit(client.get, f"{job}/events")
            time.sleep(1)
            assert not waiting.done()
            assert not watching.done()
            started = time.monotonic()
            part.process.terminate()
            assert waiting.result(DRAIN_SECONDS).json()["status"] == "accepted"
            assert watching.result(DRAIN_SECONDS).text.endswith("retry: 2000\n\n")
            assert time.monotonic() - started < DRAIN_SECONDS
            assert readiness(client) == 503
            assert client.get("/healthz").status_code == 200
            over.set()
            assert all(result.result(30) > 0 for result in asking)
        assert part.process.wait(30) == 0
        assert "Traceback" not in part.log


def readiness(client: httpx.Client) -> int:
    """The status of /readyz; 0 when nobody answers."""
    try:
        return client.get("/readyz").status_code
    except httpx.TransportError:
        return 0
