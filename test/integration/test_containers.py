"""The development environment on a real Docker Engine, as somebody who is neither root nor the first user starts it."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import docker, free_port, wait_until

from gristmill.samples import penguins

REPOSITORY = Path(__file__).parents[2]
# Whom root stands for here: a user whom the computer does not know, and who may only talk to the engine.
SOMEBODY = 23456
JSON = {"Prefer": "respond-async"}

pytestmark = pytest.mark.slow


@dataclass(frozen=True)
class Environment:
    """A folder with docker-compose.yml that nobody else uses, and how to start it there."""

    folder: Path
    project: str
    port: int
    uid: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run tools/compose as its user."""
        own = {
            "APP_IMAGE": docker.IMAGE,
            "PORT": str(self.port),
            "COMPOSE_PROJECT_NAME": self.project,
            "HOME": str(self.folder),
        }
        done = subprocess.run(
            [str(self.folder / "tools" / "compose"), *arguments],
            env=dict(os.environ) | own,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
            **self._somebody(),
        )
        assert not check or done.returncode == 0, done.stdout[-4000:] + done.stderr[-8000:]
        return done

    def _somebody(self) -> dict[str, Any]:
        if self.uid == os.getuid():
            return {}
        group = Path("/var/run/docker.sock").stat().st_gid
        return {"user": self.uid, "group": self.uid, "extra_groups": [group]}

    def containers(self, service: str) -> list[str]:
        """Ids of a service's containers that run."""
        labels = (f"com.docker.compose.project={self.project}", f"com.docker.compose.service={service}")
        filters = [part for label in labels for part in ("--filter", f"label={label}")]
        return docker.docker("ps", "--quiet", *filters).stdout.split()


@pytest.fixture(scope="module")
def environment() -> Iterator[Environment]:
    if reason := docker.why_no_compose():
        pytest.skip(reason)
    docker.built()
    with docker.alone("compose"):  # of several test processes, one starts it at a time
        yield from _started()


def _started() -> Iterator[Environment]:
    folder = Path(tempfile.mkdtemp(prefix="gristmill-compose-"))
    uid = os.getuid() or SOMEBODY
    (folder / "tools").mkdir()
    shutil.copy(REPOSITORY / "tools" / "compose", folder / "tools")
    shutil.copy(REPOSITORY / "docker-compose.yml", folder)
    (folder / ".env").write_text("KEPT=yes\n")
    if uid != os.getuid():
        for path in (folder, *folder.rglob("*")):
            os.chown(path, uid, uid)
    made = Environment(folder, f"gristmill-test-{uuid.uuid4().hex[:8]}", free_port(), uid)
    try:
        made.compose("up")
        yield made
    finally:
        made.compose("down", "--volumes", check=False)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def api(environment: Environment) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=environment.url, timeout=60) as client:
        yield client


def submit(api: httpx.Client, pause: int) -> str:
    body = {"inputs": {"string": "x", "pause": pause}}
    return str(api.post("/processes/echo/execution", json=body, headers=JSON).json()["jobID"])


def status_of(api: httpx.Client, job: str) -> str:
    return str(api.get(f"/jobs/{job}").json()["status"])


def log_of(container: str) -> str:
    return docker.docker("logs", container).stderr


def upload(api: httpx.Client, name: str) -> str:
    answer = api.put(f"/datasets/{name}", content=penguins().encode(), headers={"Content-Type": "text/csv"})
    assert answer.status_code in {200, 201}, answer.text
    return str(answer.json()["version"])


def test_everything_is_well_hardened_and_run_by_numbers(environment: Environment) -> None:
    users = {"redis": environment.uid, "api": 10001, "worker": 10001}
    for service, uid in users.items():
        (container,) = environment.containers(service)
        about = docker.inspected(container)
        assert about["State"]["Health"]["Status"] == "healthy"
        assert about["HostConfig"]["ReadonlyRootfs"] is True
        assert about["HostConfig"]["Memory"] > 0
        status = docker.docker("exec", container, "cat", "/proc/1/status").stdout
        fields = dict(line.split(":\t", 1) for line in status.splitlines() if ":\t" in line)
        assert set(fields["Uid"].split()) == {str(uid)}
        assert int(fields["CapBnd"], 16) == int(fields["CapEff"], 16) == 0
        assert fields["NoNewPrivs"] == "1"


def test_only_the_api_is_published_and_on_the_loopback_address(environment: Environment) -> None:
    ports = {
        service: docker.docker("port", environment.containers(service)[0]).stdout
        for service in ("redis", "api", "worker")
    }
    assert ports == {"redis": "", "api": f"8000/tcp -> 127.0.0.1:{environment.port}\n", "worker": ""}


def test_the_data_belong_to_whoever_started_it_and_other_lines_of_env_stay(environment: Environment) -> None:
    files = list((environment.folder / "data" / "redis").rglob("*"))
    assert any(path.name.endswith(".aof") for path in files)
    assert {path.stat().st_uid for path in files} == {environment.uid}
    lines = (environment.folder / ".env").read_text().splitlines()
    assert {"KEPT=yes", f"REDIS_UID={environment.uid}", f"APP_IMAGE={docker.IMAGE}"} <= set(lines)


def test_the_integration_suite_passes_against_it(environment: Environment) -> None:
    suite = REPOSITORY / "test" / "integration" / "test_composed.py"
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "no:xdist", str(suite)],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
        | {"TEST_URL": environment.url},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:]
    assert " skipped" not in done.stdout.splitlines()[-1]


def test_jobs_of_a_killed_worker_run_on_the_others(environment: Environment, api: httpx.Client) -> None:
    environment.compose("up", "--scale", "worker=3")
    workers = environment.containers("worker")
    assert len(workers) == 3
    # Well is a worker whose loop goes on; its children come a moment later.
    wait_until(lambda: all("worker is ready" in log_of(worker) for worker in workers), 60, "all have children", 0.5)
    jobs = [submit(api, 10) for _ in range(6)]
    wait_until(lambda: all(status_of(api, job) == "running" for job in jobs), 60, "every child of the three has a job")
    docker.docker("kill", "--signal", "KILL", workers[0])
    wait_until(lambda: all(status_of(api, job) == "successful" for job in jobs), 60, "all six jobs are done")
    environment.compose("up")
    assert len(environment.containers("worker")) == 1


def test_what_was_acknowledged_outlives_the_kill_of_redis(environment: Environment, api: httpx.Client) -> None:
    (redis,) = environment.containers("redis")
    job = submit(api, 6)
    version = upload(api, "before-the-kill")
    docker.docker("kill", "--signal", "KILL", redis)
    assert api.get("/healthz").status_code == 200
    assert api.get("/jobs").status_code == 503
    docker.docker("start", redis)
    wait_until(lambda: api.get("/jobs").status_code == 200, 30, "Redis is back")
    assert api.get("/datasets/before-the-kill").json()["versions"][0]["version"] == version
    wait_until(lambda: status_of(api, job) == "successful", 60, "the job of before is done")


def test_down_keeps_the_data_and_up_finds_them(environment: Environment, api: httpx.Client) -> None:
    version = upload(api, "before-the-stop")
    said = environment.compose("down").stdout
    assert "stay in data/redis/" in said
    assert not any(environment.containers(service) for service in ("redis", "api", "worker"))
    again = environment.compose("up").stdout
    assert environment.url in again
    assert api.get("/datasets/before-the-stop").json()["versions"][0]["version"] == version


def test_a_worker_hands_its_job_back_when_it_is_told_to_stop(environment: Environment, api: httpx.Client) -> None:
    (worker,) = environment.containers("worker")
    job = submit(api, 25)
    wait_until(lambda: status_of(api, job) == "running", 60)
    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(docker.docker, "stop", "--time", "20", worker)
        wait_until(lambda: status_of(api, job) == "accepted", 30, "the job is handed back")
        stopping.result()
    assert docker.inspected(worker)["State"]["ExitCode"] == 0
    docker.docker("start", worker)
    wait_until(lambda: status_of(api, job) == "running", 60, "the job runs again")
    attempts = json.loads(api.delete(f"/jobs/{job}").text)
    assert attempts["status"] == "dismissed"


def test_data_of_somebody_else_are_refused_by_name(environment: Environment) -> None:
    if os.getuid():
        pytest.skip("only root can give a folder to somebody else")
    folder = environment.folder / "data" / "redis"
    os.chown(folder, SOMEBODY + 1, SOMEBODY + 1)
    try:
        refused = environment.compose("up", check=False)
    finally:
        os.chown(folder, SOMEBODY, SOMEBODY)
    assert refused.returncode == 1
    assert f"data/redis belongs to user {SOMEBODY + 1}, and you are {SOMEBODY}" in refused.stderr
