"""Redis as compose and the cluster have it, on a disk that takes a second for each flush, killed while jobs come in."""

import threading
import time
from pathlib import Path

import httpx
import pytest
from support import RedisServer, slow_disk, wait_until, why_missing
from support.slow_disk import SlowDisk
from support.system import RunningSystem

FLUSH_SECONDS = 1
CLIENTS = 8
KILLS = 3


class Submitter(threading.Thread):
    """Submits one job after the other. acknowledged: their ids. refused: the status of every other answer."""

    def __init__(self, url: str, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.url = url
        self.stop_asked = stop
        self.acknowledged: list[str] = []
        self.refused: list[int] = []

    def run(self) -> None:
        body = {"inputs": {"string": self.name}, "response": "document"}
        with httpx.Client(base_url=self.url, timeout=60) as client:
            while not self.stop_asked.is_set():
                answer = client.post("/processes/echo/execution", json=body, headers={"Prefer": "respond-async"})
                if answer.status_code == 201:
                    self.acknowledged.append(answer.json()["jobID"])
                else:
                    self.refused.append(answer.status_code)


@pytest.mark.slow
@pytest.mark.skipif(bool(slow_disk.why_missing()), reason=slow_disk.why_missing())
@pytest.mark.skipif(bool(why_missing("redis")), reason=why_missing("redis"))
def test_what_was_acknowledged_outlives_a_kill_of_redis_on_a_slow_disk(tmp_path: Path) -> None:
    disk = SlowDisk(tmp_path, FLUSH_SECONDS)

    def make_server(folder: Path) -> RedisServer:
        return RedisServer("redis", folder, {"appendfsync": "always"}, disk.environment)

    stop = threading.Event()
    with RunningSystem(tmp_path, make_server=make_server) as system:
        submitters = [Submitter(system.url, stop) for _ in range(CLIENTS)]
        disk.slow_down()
        assert _seconds_of_a_write(system.server) >= FLUSH_SECONDS
        for submitter in submitters:
            submitter.start()
        acknowledged = [submitter.acknowledged for submitter in submitters]
        for _ in range(KILLS):
            enough = sum(map(len, acknowledged)) + CLIENTS
            wait_until(lambda most=enough: sum(map(len, acknowledged)) >= most, 60, "jobs are acknowledged")
            system.server.kill()
            system.server.start()
        stop.set()
        for submitter in submitters:
            submitter.join(60)
        disk.recover()
        with httpx.Client(base_url=system.url, timeout=60) as client:
            for job in [job for jobs in acknowledged for job in jobs]:
                wait_until(lambda it=job: _status(client, it) == "successful", 60, f"job {job} succeeds", every=0.2)
    assert {status for submitter in submitters for status in submitter.refused} <= {503}


def _seconds_of_a_write(server: RedisServer) -> float:
    with server.client() as client:
        began = time.monotonic()
        client.set("slow", 1, ex=60)
        return time.monotonic() - began


def _status(client: httpx.Client, job: str) -> str:
    return str(client.get(f"/jobs/{job}").raise_for_status().json()["status"])
