"""Releases side by side: the API and the workers are replaced under load, and back, and nothing is lost or doubled."""

import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from support import free_port, wait_until
from support.system import REPOSITORY, Part, RunningSystem

from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect

PREVIOUS = "0.0.1"
NAPS = '''
import os
import time

from gristmill import process


@process(title="Nap")
def nap(seconds: float = 0.2) -> int:
    """Sleep, and leave a mark for each run."""
    time.sleep(seconds)
    return os.getpid()
'''


@pytest.fixture(scope="module")
def previous_wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel of an earlier release, unpacked. The first release stands in for both: only its version differs."""
    folder = tmp_path_factory.mktemp("previous")
    source = folder / "source"
    source.mkdir()
    for name in ("src", "README.md", "LICENSE"):
        (source / name).symlink_to(REPOSITORY / name)
    text = (REPOSITORY / "pyproject.toml").read_text()
    lines = [f'version = "{PREVIOUS}"' if line.startswith("version = ") else line for line in text.splitlines()]
    (source / "pyproject.toml").write_text("\n".join(lines))
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", str(folder)]
    subprocess.run([*command, str(source)], check=True, stdin=subprocess.DEVNULL, timeout=120)
    unpacked = folder / "site"
    subprocess.run([sys.executable, "-m", "zipfile", "-e", str(next(folder.glob("*.whl"))), str(unpacked)], check=True)
    return unpacked


@pytest.fixture
def system(tmp_path: Path) -> Iterator[RunningSystem]:
    processes = tmp_path / "processes"
    processes.mkdir()
    (processes / "nap.py").write_text(NAPS)
    settings = {
        "PROCESSES": str(processes),
        "DRAIN_SECONDS": "2",
        "WORKERS_GRACE_SECONDS": "1",
        "QUEUED_JOBS_PER_OWNER": "100000",
    }
    with RunningSystem(tmp_path, settings=settings) as running:
        yield running


class Balancer:
    """What a Service does: sends new requests to an API process that is not going away."""

    def __init__(self, url: str) -> None:
        self.url = url


class Client(threading.Thread):
    """One keep-alive client without retries: it submits naps of 0 to 2 s, some of which it waits for."""

    def __init__(self, number: int, balancer: Balancer, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.number = number
        self.balancer = balancer
        self.stop_asked = stop
        self.accepted: list[str] = []
        self.failures: list[str] = []

    def run(self) -> None:
        round_ = 0
        client, url = httpx.Client(timeout=40), ""
        while not self.stop_asked.is_set():
            if url != self.balancer.url:
                url = self.balancer.url
                client.close()
                client = httpx.Client(base_url=url, timeout=40)
            round_ += 1
            waits = round_ % 4 == 0
            headers = {"Prefer": "wait=10" if waits else "respond-async"}
            body = {"inputs": {"seconds": 2.0 if round_ % 10 == self.number else 0.02}, "response": "document"}
            try:
                answer = client.post("/processes/nap/execution", json=body, headers=headers)
            except httpx.HTTPError as error:
                self.failures.append(repr(error))
                continue
            if answer.status_code not in {200, 201}:
                self.failures.append(f"{answer.status_code} {answer.text}")
            elif answer.status_code == 201:
                self.accepted.append(answer.headers["Location"].rpartition("/")[2])
            time.sleep(0.05)
        client.close()


def _api(system: RunningSystem, site: Path | None) -> tuple[Part, str]:
    port = free_port()
    part = system.run("api", GRISTMILL_PORT=str(port), **_path(site))
    url = f"http://127.0.0.1:{port}"
    wait_until(lambda: _ready(url), 60, "the new API is ready", every=0.1)
    return part, url


def _ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz", timeout=5).status_code == 200
    except httpx.TransportError:
        return False


def _path(site: Path | None) -> dict[str, str]:
    return {} if site is None else {"PYTHONPATH": str(site)}


@pytest.mark.slow
def test_releases_replace_each_other_under_load_and_nothing_is_lost_or_doubled(
    system: RunningSystem, previous_wheel: Path
) -> None:
    settings = Settings(redis_url=system.server.url)
    jobs = Jobs(connect(settings), settings)
    worker, api = system.parts[0], system.parts[1]
    balancer = Balancer(system.url)
    stop = threading.Event()
    clients = [Client(number, balancer, stop) for number in range(4)]
    for client in clients:
        client.start()
    for site in (previous_wheel, None):  # rolled back to the previous release, and on again
        following = system.run("worker", **_path(site))
        release = PREVIOUS if site else jobs.release
        wait_until(lambda wanted=release: wanted in {one.release for one in jobs.workers()}, 60, "the new worker lives")
        time.sleep(1)
        assert worker.stop() == 0, worker.log
        worker = following
        next_api, balancer.url = _api(system, site)
        assert httpx.get(f"{balancer.url}/version").json()["release"] == release
        time.sleep(1)
        assert api.stop() == 0, api.log
        api = next_api
        count = sum(len(client.accepted) for client in clients)
        wait_until(lambda more=count + 20: sum(len(client.accepted) for client in clients) > more, 60)
    stop.set()
    for client in clients:
        client.join(60)
    assert [failure for client in clients for failure in client.failures] == []
    accepted = [id_ for client in clients for id_ in client.accepted]
    assert len(set(accepted)) == len(accepted) > 100
    wait_until(lambda: not any(one.ready or one.running for one in jobs.queues()), 90, "all jobs have ended", every=0.2)
    found = [jobs.get(id_) for id_ in accepted]
    assert {job.status.value for job in found} == {"successful"}
    assert {job.run_release for job in found} == {PREVIOUS, jobs.release}
    assert {(job.losses, job.crashes) for job in found} == {(0, 0)}
