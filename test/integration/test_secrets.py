"""The whole system with the Secrets of an environment, without them, and while they change."""

import re
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until, why_missing
from support.secured import Files, Mount, SecuredServer, for_clients, redis_secret
from support.system import RunningSystem

from gristmill.samples import penguins
from gristmill.tokens import made_token

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(why_missing("redis")), reason=why_missing("redis")),
]


class System:
    """API and worker over a Redis; ``secret`` is what Redis has been started with, ``mount`` what the others see."""

    def __init__(self, folder: Path, secret: Files | None) -> None:
        self.mount = Mount(folder / "secrets" / "redis")
        self.tokens = Mount(folder / "secrets" / "tokens")
        self.show(secret)
        settings = {"SECRETS_FOLDER": str(self.mount.secrets_folder), "ENVIRONMENT": "test", "ANONYMOUS": "manage"}
        self.parts = RunningSystem(folder, settings=settings, make_server=lambda path: SecuredServer(path, secret))

    @property
    def server(self) -> SecuredServer:
        assert isinstance(self.parts.server, SecuredServer)
        return self.parts.server

    def show(self, secret: Files | None) -> None:
        """Let API and worker see these files."""
        self.mount.put(for_clients(secret or {}))

    def restart_redis(self, secret: Files | None) -> None:
        """Start Redis again, with these files."""
        self.server.stop()
        self.server.secret = secret
        self.server.start()

    def api(self, token: str = "") -> httpx.Client:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.parts.url, timeout=40, headers=headers)

    def log_of(self, name: str) -> str:
        return "\n".join(part.log for part in self.parts.parts if part.name == name)

    def doctor(self, **environment: str) -> tuple[int, str]:
        part = self.parts.run("doctor", **environment)
        return part.process.wait(60), part.log

    def denied(self) -> list[Any]:
        """What Redis did not let the system do since its start, for want of rights."""
        with self.server.client() as admin:
            return [entry for entry in admin.acl_log() if entry["reason"] != "auth"]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[Files | None], System]]:
    with ExitStack() as stack:

        def start_system(secret: Files | None) -> System:
            system = System(tmp_path / "system", secret)
            stack.enter_context(system.parts)
            return system

        yield start_system


def use_everything(api: httpx.Client) -> str:
    """Upload a data set, analyse it, watch the job, fetch and delete; returns the id of a job that stays."""
    upload = api.put("/datasets/birds?null=NA", content=penguins(), headers={"Content-Type": "text/csv"})
    assert upload.status_code in {200, 201}, upload.text
    rows = api.get("/datasets/birds/rows", params={"filter": "body_mass_g > 6000"})
    assert rows.status_code == 200, rows.text
    body = {"inputs": {"table": {"dataset": "birds"}}, "response": "document"}
    submitted = api.post("/processes/summary/execution", json=body, headers={"Prefer": "respond-async"})
    assert submitted.status_code == 201, submitted.text
    job = str(submitted.json()["jobID"])
    with api.stream("GET", f"/jobs/{job}/events") as events:
        assert "successful" in "".join(events.iter_text())
    assert api.get(f"/jobs/{job}/results").status_code == 200
    assert api.get("/jobs").json()["jobs"]
    large = api.post("/processes/echo/execution", json={"inputs": {"string": "x" * 3_000_000}, "response": "document"})
    assert large.status_code == 200, large.text
    assert api.delete("/datasets/birds").status_code in {200, 204}
    return job


@pytest.mark.parametrize("has_secret", [True, False], ids=["with the Secret", "without"])
def test_everything_works(start: Callable[[Files | None], System], redis_files: Files, has_secret: bool) -> None:
    system = start(redis_files if has_secret else None)
    with system.api() as api:
        use_everything(api)
    assert system.denied() == []
    assert "Traceback" not in system.parts.logs()
    code, said = system.doctor(GRISTMILL_ANONYMOUS="run")
    assert code == 0, said
    for subject in ("password", "TLS"):
        level = "ok" if has_secret else "warning"
        assert re.search(rf"^{level} +{subject} ", said, re.MULTILINE), said


def test_a_running_system_goes_over_to_a_secret_to_another_and_back_without_a_restart_of_its_own(
    start: Callable[[Files | None], System], redis_files: Files
) -> None:
    system, other = start(None), redis_secret()
    secrets = [files[name].decode() for files in (redis_files, other) for name in ("password", "probe-password")]
    jobs = []
    with system.api() as api:
        jobs.append(use_everything(api))
        for secret, reason in (
            (redis_files, "cuts the connection at the first word"),
            (other, "is not certified by"),
            (None, "does not answer in TLS|does not let in"),
        ):
            system.restart_redis(secret)
            # Redis has it, and the others do not yet.
            refused = wait_until(lambda: next(filter(lambda it: it.status_code == 503, [api.get("/jobs")]), None), 20)
            assert refused.headers["Retry-After"]
            assert not any(word in refused.text for word in (str(system.mount.folder), "127.0.0.1", "password"))
            wait_until(lambda: "reason" in api.get("/readyz").json(), 20)
            assert api.get("/readyz").status_code == 200  # a pod that was ready goes on to answer, with 503
            for name in ("api", "worker"):
                wait_until(lambda it=name, why=reason: re.search(why, system.log_of(it)), 20, f"{name} says: {reason}")
            system.show(secret)
            wait_until(lambda: api.get("/jobs").status_code == 200, 20, "the API is back")
            jobs.append(use_everything(api))
            assert system.denied() == []
        assert {api.get(f"/jobs/{job}").json()["status"] for job in jobs} == {"successful"}
        wait_until(lambda: "reason" not in api.get("/readyz").json(), 20)
    for name in ("api", "worker"):
        assert "Traceback" not in system.log_of(name)
    assert all(part.process.poll() is None for part in system.parts.parts)
    assert not any(secret in system.parts.logs() for secret in secrets)


def test_a_wrong_password_is_told_by_all_and_mended_without_a_restart(
    start: Callable[[Files | None], System], redis_files: Files
) -> None:
    system = start(redis_files)
    canary = "c4n4ry-s3cret"
    system.mount.put(for_clients(redis_files) | {"password": canary.encode()})
    with system.server.client() as admin:
        admin.client_kill_filter(_type="normal", skipme=True)
        admin.client_kill_filter(_type="pubsub")
    file = str(system.mount.folder / "password")
    with system.api() as api:
        wait_until(lambda: api.get("/jobs").status_code == 503, 20)
        wait_until(lambda: "reason" in api.get("/readyz").json(), 20)
        assert "does not let this system in" in api.get("/readyz").json()["reason"]
        for name in ("api", "worker"):
            wait_until(lambda name=name: file in system.log_of(name), 20, f"the {name} says it")
        code, said = system.doctor()
        assert code == 1
        assert file in said
        # A worker and an API that start now say it too, and go on when it is mended.
        late = [system.parts.run("worker"), system.parts.run("api", GRISTMILL_PORT="0")]
        for part in late:
            wait_until(lambda part=part: file in part.log, 40, f"{part.name} says it")
        system.show(redis_files)
        wait_until(lambda: api.get("/jobs").status_code == 200, 20)
        use_everything(api)
        wait_until(lambda: "worker is ready" in late[0].log, 40)
        assert late[1].process.poll() is None
    assert canary not in system.parts.logs()
    assert "Traceback" not in system.parts.logs()


@pytest.mark.parametrize("command", ["api", "worker", "doctor"])
def test_a_start_with_a_file_that_is_of_no_use_is_refused_with_its_name(
    start: Callable[[Files | None], System], redis_files: Files, command: str
) -> None:
    system = start(redis_files)
    system.mount.put(for_clients(redis_files) | {"password": b""})
    part = system.parts.run(command, GRISTMILL_PORT="0")
    assert part.process.wait(60) == 1
    assert f"{system.mount.folder / 'password'} is empty: fill it, or delete it." in part.log
    assert "Traceback" not in part.log
    system.parts.parts.remove(part)


def test_tokens_that_come_while_the_api_runs_are_asked_for_within_seconds(
    start: Callable[[Files | None], System],
) -> None:
    system = start(None)
    text, line = made_token("ann", "manage")
    with system.api() as stranger, system.api(text) as ann:
        assert stranger.post("/processes/echo/execution", json={"inputs": {"string": "x"}}).status_code == 200
        assert ann.get("/jobs").status_code == 401
        before = stranger.get("/api").json()
        system.tokens.put({"tokens": line.encode()})
        wait_until(lambda: ann.get("/jobs").status_code == 200, 10)
        assert "security" in stranger.get("/api").json()
        assert "security" not in before
        another, second = made_token("bob", "read")
        system.tokens.put({"tokens": (line + second).encode()})
        with system.api(another) as bob:
            wait_until(lambda: bob.get("/jobs").status_code == 200, 10)
        system.tokens.put({})
        assert ann.get("/jobs").status_code == 200
