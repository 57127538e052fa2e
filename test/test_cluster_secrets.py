"""The Secrets of an environment: what is printed, and a real Redis that takes it."""

import os
import pty
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import yaml
from support.lab import Lab
from support.secured import Files, Mount, SecuredServer, for_clients, printed, redis_secret, run_secret

from gristmill.settings import Settings
from gristmill.store import Protection, connect, protection_of
from gristmill.tokens import TokenFile

pytestmark = pytest.mark.slow

Start = Callable[..., SecuredServer]


def test_one_command_prints_both_secrets_as_kubectl_takes_them() -> None:
    done = run_secret("prod")
    assert done.returncode == 0, done.stderr
    objects = list(yaml.safe_load_all(done.stdout))
    assert [it["metadata"]["name"] for it in objects] == ["app-prod-secret-redis", "app-prod-secret-tokens"]
    for it, component in zip(objects, ("redis", "flask"), strict=True):
        assert list(it) == ["apiVersion", "kind", "metadata", "type", "data"]
        assert (it["apiVersion"], it["kind"], it["type"]) == ("v1", "Secret", "Opaque")
        assert it["metadata"]["labels"] == {
            "app.kubernetes.io/name": "gristmill",
            "app.kubernetes.io/instance": "app-prod",
            "app.kubernetes.io/component": component,
            "app.kubernetes.io/part-of": "gristmill",
            "app.kubernetes.io/managed-by": "kubectl",
        }
    assert set(objects[0]["data"]) == {
        *("username", "password", "ca.crt"),
        *("redis.conf", "tls.crt", "tls.key", "probe-password"),
    }
    assert set(objects[1]["data"]) == {"tokens"}


def test_another_run_makes_other_values() -> None:
    one, other = redis_secret(), redis_secret()
    assert one["username"] == other["username"]
    for name in set(one) - {"username"}:
        assert one[name] != other[name]


def test_the_server_gets_hashes_and_never_a_password(redis_files: Files) -> None:
    for name in ("password", "probe-password"):
        assert len(redis_files[name]) >= 40
        assert redis_files[name] not in redis_files["redis.conf"]


def test_tokens_are_told_on_standard_error_and_only_their_hashes_are_kept(tmp_path: Path) -> None:
    done = run_secret("test", "--tokens", "--token", "alice:run", "--token", "bob:manage")
    told = dict(re.findall(r"^Token of (\w+), told this once: (gm_\S+)$", done.stderr, re.MULTILINE))
    assert set(told) == {"alice", "bob"}
    files = printed(done.stdout)
    assert set(files) == {"app-test-secret-tokens"}
    path = tmp_path / "tokens"
    path.write_bytes(files["app-test-secret-tokens"]["tokens"])
    tokens = TokenFile(path)
    for name, role in (("alice", "run"), ("bob", "manage")):
        assert told[name] not in done.stdout
        assert told[name].encode() not in path.read_bytes()
        found = tokens.find(told[name])
        assert found is not None
        assert (found.name, found.role) == (name, role)


def test_without_being_asked_for_tokens_it_makes_one_for_managing() -> None:
    done = run_secret("test", "--tokens")
    assert re.fullmatch(rb"admin manage sha256:\w{64}\n", printed(done.stdout)["app-test-secret-tokens"]["tokens"])
    assert done.stderr.startswith("Token of admin, told this once: gm_")


def test_tokens_that_are_kept_go_on_beside_new_ones(tmp_path: Path) -> None:
    path = tmp_path / "tokens"
    path.write_text(f"# ours\nalice run sha256:{'0' * 64}")
    files = printed(run_secret("test", "--tokens", "--keep", str(path), "--token", "bob:read").stdout)
    lines = files["app-test-secret-tokens"]["tokens"].decode().splitlines()
    assert lines[:2] == path.read_text().splitlines()
    assert lines[2].startswith("bob read sha256:")
    assert (
        printed(run_secret("test", "--tokens", "--keep", str(path)).stdout)["app-test-secret-tokens"]["tokens"].decode()
        == f"{path.read_text()}\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("prod", "--token", "alice"), "NAME:ROLE"),
        (("prod", "--token", "alice:boss"), "the role 'boss'"),
        (("prod", "--token", "alice:run", "--token", "alice:read"), "'alice' is there twice"),
        (("prod", "--host", "*.example.org"), "neither the name of a host"),
    ],
)
def test_what_cannot_be_is_refused_and_nothing_is_printed(arguments: tuple[str, ...], told: str) -> None:
    done = run_secret(*arguments)
    assert (done.returncode, done.stdout) == (1, "")
    assert told in done.stderr
    assert "gm_" not in done.stderr


@pytest.mark.parametrize("option", [("--token", "alice:run"), ("--keep", "/dev/null")])
def test_tokens_are_not_left_out_in_silence(option: tuple[str, str]) -> None:
    done = run_secret("prod", "--redis", *option)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--redis makes no tokens" in done.stderr


def test_both_secrets_may_be_named() -> None:
    done = run_secret("prod", "--redis", "--tokens", "--token", "alice:run")
    assert set(printed(done.stdout)) == {"app-prod-secret-redis", "app-prod-secret-tokens"}


def test_a_terminal_gets_the_secrets_only_on_request() -> None:
    def onto_terminal(*options: str) -> tuple[int, str]:
        ours, theirs = pty.openpty()
        command = [sys.executable, "-m", "gristmill", "secret", "test", "--tokens", *options]
        done = subprocess.run(command, stdout=theirs, stderr=theirs, stdin=subprocess.DEVNULL, timeout=60, check=False)
        os.close(theirs)
        with os.fdopen(ours, "rb", buffering=0) as terminal:
            return done.returncode, terminal.read(65536).decode()

    code, seen = onto_terminal()
    assert code == 1
    assert "gristmill secret test | kubectl apply -f -" in seen
    assert "kind: Secret" not in seen
    code, seen = onto_terminal("--show")
    assert code == 0
    assert "kind: Secret" in seen


def test_the_certificate_names_the_service_also_from_other_namespaces(redis_files: Files, tmp_path: Path) -> None:
    def alternatives(files: Files) -> str:
        command = ["openssl", "x509", "-noout", "-ext", "subjectAltName"]
        return subprocess.run(command, input=files["tls.crt"], capture_output=True, check=True).stdout.decode()

    own = alternatives(redis_files)
    assert all(name in own for name in ("DNS:app-test-service-redis", "DNS:localhost", "IP Address:127.0.0.1"))
    assert ".svc" not in own
    assert "*" not in own
    more = alternatives(redis_secret("--namespace", "lab", "--host", "redis.example.org"))
    for name in ("lab", "lab.svc", "lab.svc.cluster.local"):
        assert f"DNS:app-test-service-redis.{name}" in more
    assert "DNS:redis.example.org" in more


def test_without_tls_there_are_users_and_no_certificates() -> None:
    files = redis_secret("--no-tls")
    assert set(files) == {"username", "password", "redis.conf", "probe-password"}
    assert b"tls" not in files["redis.conf"]


# A Redis that takes it


@pytest.fixture
def server(start_secured: Start, redis_files: Files) -> SecuredServer:
    return start_secured(redis_files)


@pytest.fixture
def settings(
    server: SecuredServer, mount: Mount, redis_files: Files, make_settings: Callable[..., Settings]
) -> Settings:
    mount.put(for_clients(redis_files))
    return make_settings(server.url, secrets_folder=mount.secrets_folder)


def test_a_server_with_the_secret_lets_in_nobody_else(server: SecuredServer, settings: Settings) -> None:
    with redis.Redis(port=server.port) as plain, pytest.raises(redis.ConnectionError):
        plain.ping()
    stranger = redis.Redis(port=server.port, ssl=True, ssl_cert_reqs="none")
    with stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    with connect(settings) as client:
        assert protection_of(client) == Protection(has_password=True, is_private=True)


def test_what_was_written_is_there_after_a_kill_and_a_start(server: SecuredServer, settings: Settings) -> None:
    lab = Lab(settings)
    jobs = [lab.submit() for _ in range(20)]
    done = lab.claim(lab.worker())
    lab.finish(done)
    before = lab.stored()
    server.kill()
    server.start()
    assert lab.stored() == before
    assert lab.status(done).status.is_final
    assert {lab.status(job).id for job in jobs} == {job.id for job in jobs}
    lab.check()


def test_a_server_that_had_no_secret_keeps_its_data_when_it_gets_one_and_loses_it(
    start_secured: Start, mount: Mount, redis_files: Files, make_settings: Callable[..., Settings]
) -> None:
    server = start_secured(None)
    lab = Lab(make_settings(server.url, secrets_folder=mount.secrets_folder))
    jobs = []
    for files in (redis_files, None):
        jobs.append(lab.submit())
        before = lab.stored()
        server.stop()
        server.secret = files
        server.start()
        mount.put(for_clients(files or {}))
        assert lab.stored() == before
        lab.check()
    assert [lab.status(job).id for job in jobs] == [job.id for job in jobs]


@pytest.mark.parametrize(
    "command",
    [
        "CONFIG SET dir /tmp", "CONFIG REWRITE", "ACL LIST", "ACL SETUSER x on", "SHUTDOWN NOSAVE", "FLUSHALL",
        "FLUSHDB", "REPLICAOF 127.0.0.1 1", "MODULE LIST", "MONITOR", "KEYS *", "CLIENT LIST", "SAVE",
        "BGREWRITEAOF", "MIGRATE 127.0.0.1 1 k 0 1", "RESTORE k 0 x", "SLOWLOG GET", "SWAPDB 0 1",
    ],
)  # fmt: skip
def test_the_user_may_not_touch_the_server_itself(settings: Settings, command: str) -> None:
    with connect(settings) as client, pytest.raises(redis.exceptions.NoPermissionError):
        client.execute_command(*command.split())


@pytest.mark.parametrize(
    "command", ["GET k", "INFO", "SCAN 0", "CONFIG GET *", "SUBSCRIBE c", "EVAL x 0", "CLIENT LIST"]
)
def test_the_probes_user_may_ping_and_nothing_else(server: SecuredServer, redis_files: Files, command: str) -> None:
    login = {"username": "probe", "password": redis_files["probe-password"].decode()}
    with redis.Redis(port=server.port, ssl=True, ssl_cert_reqs="none", **login) as probe:
        assert probe.ping()
        with pytest.raises(redis.exceptions.NoPermissionError):
            probe.execute_command(*command.split())
