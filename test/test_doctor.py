"""The doctor names what would break a promise, and what to do about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import RedisServer
from support.secured import Files, Mount, SecuredServer, for_clients

from gristmill.doctor import Finding, about_callers, about_server, about_settings, about_tokens, examine
from gristmill.settings import Settings
from gristmill.tokens import made_token

GOOD: dict[str, Any] = {
    "server": "redis",
    "version": "7.2.4",
    "append_only": True,
    "appendfsync": "always",
    "used_memory": 2**20,
    "maxmemory": 2**30,
    "maxmemory_policy": "noeviction",
}


def _worst(findings: list[Finding], subject: str) -> Finding:
    order = ("error", "warning", "ok")
    return min((one for one in findings if one.subject == subject), key=lambda one: order.index(one.level))


def test_a_server_that_is_set_up_well_has_nothing_wrong() -> None:
    assert {finding.level for finding in about_server(GOOD, "prod")} == {"ok"}


@pytest.mark.parametrize(
    ("change", "subject", "word"),
    [
        ({"append_only": False}, "durability", "appendonly yes"),
        ({"maxmemory_policy": "allkeys-lru"}, "memory", "noeviction"),
    ],
)
def test_what_would_lose_jobs_is_an_error_in_prod_and_a_warning_on_a_laptop(
    change: dict[str, Any], subject: str, word: str
) -> None:
    prod, dev = (_worst(list(about_server(GOOD | change, name)), subject) for name in ("prod", "dev"))
    assert (prod.level, dev.level) == ("error", "warning")
    assert word in prod.detail


@pytest.mark.parametrize(("server", "version"), [("redis", "6.2.14"), ("valkey", "7.2.5")])
def test_a_server_that_is_too_old_is_an_error(server: str, version: str) -> None:
    finding = _worst(list(about_server(GOOD | {"server": server, "version": version}, "dev")), "server")
    assert finding.level == "error"
    assert version in finding.detail


def test_flushing_every_second_is_told_with_what_it_can_lose() -> None:
    finding = _worst(list(about_server(GOOD | {"appendfsync": "everysec"}, "prod")), "durability")
    assert finding.level == "warning"
    assert "two seconds" in finding.detail


def test_memory_without_a_limit_or_nearly_full_is_a_warning() -> None:
    for change in ({"maxmemory": 0}, {"used_memory": 2**30 - 1}):
        assert _worst(list(about_server(GOOD | change, "prod")), "memory").level == "warning"


def test_misspelt_variables_are_named() -> None:
    findings = list(about_settings(Settings(), {"GRISTMILL_PROT": "1"}))
    assert any("GRISTMILL_PROT" in finding.detail for finding in findings)


@pytest.mark.parametrize(
    ("environ", "word"),
    [({"GRISTMILL_ANONYMOUS": "manage"}, "GRISTMILL_ANONYMOUS=manage"), ({}, "GRISTMILL_ANONYMOUS is not set here")],
)
def test_an_open_deployment_is_an_error_that_says_where_that_comes_from(environ: dict[str, str], word: str) -> None:
    finding = _worst(list(about_callers(Settings(environment="prod", anonymous="manage"), environ)), "callers")
    assert finding.level == "error"
    assert word in finding.detail


def test_a_workers_container_does_not_tell_what_callers_of_the_api_may_do() -> None:
    found = list(examine(Settings(environment="test"), {}, component="worker"))
    assert _worst(found, "callers").level == "ok"
    assert "tokens" not in {finding.subject for finding in found}
    assert not any("Anybody" in finding.detail for finding in found)
    assert "Anybody" in _worst(list(examine(Settings(environment="test"), {}, component="api")), "callers").detail


def test_a_server_that_is_nearly_full_may_be_full_of_data_sets() -> None:
    finding = _worst(list(about_server(GOOD | {"used_memory": 2**30 - 1}, "prod")), "memory")
    assert "finished jobs or data sets" in finding.detail


def test_a_real_server_without_workers_is_examined(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    findings = list(examine(make_settings(own_server.url), {}))
    assert _worst(findings, "server").level == "ok"
    assert _worst(findings, "workers").level == "warning"
    assert _worst(findings, "processes").level == "ok"


@pytest.mark.parametrize(("environment", "level"), [("dev", "ok"), ("test", "warning"), ("prod", "error")])
def test_what_is_missing_of_password_tls_and_tokens_is_told_with_the_command_that_makes_it(
    start_secured: Callable[..., SecuredServer], make_settings: Callable[..., Settings], environment: str, level: str
) -> None:
    found = list(examine(make_settings(start_secured(None).url, environment=environment), {}))
    for subject in ("password", "TLS", "tokens"):
        finding = _worst(found, subject)
        assert finding.level == level
        assert (f"gristmill secret {environment} | kubectl apply -f -" in finding.detail) is (environment != "dev")


def test_password_tls_and_tokens_that_are_on_are_told(
    start_secured: Callable[..., SecuredServer],
    make_settings: Callable[..., Settings],
    mount: Mount,
    redis_files: Files,
) -> None:
    mount.put(for_clients(redis_files))
    Mount(mount.secrets_folder / "tokens").put({"tokens": made_token("ann", "manage")[1].encode()})
    settings = make_settings(
        start_secured(redis_files).url, secrets_folder=mount.secrets_folder, environment="prod", anonymous="run"
    )
    found = list(examine(settings, {}))
    assert {_worst(found, subject).level for subject in ("password", "TLS", "tokens", "server", "durability")} == {"ok"}


def test_a_refused_password_is_an_error_that_names_its_file_and_not_what_it_holds(
    start_secured: Callable[..., SecuredServer],
    make_settings: Callable[..., Settings],
    mount: Mount,
    redis_files: Files,
) -> None:
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})
    found = list(examine(make_settings(start_secured(redis_files).url, secrets_folder=mount.secrets_folder), {}))
    assert _worst(found, "server").level == "error"
    assert str(mount.folder / "password") in _worst(found, "server").detail
    assert "wr0ng-one" not in repr(found)


def test_broken_tokens_are_an_error_and_a_folder_that_is_none_is_a_warning(tmp_path: Path) -> None:
    Mount(tmp_path / "tokens").put({"tokens": b"nonsense"})
    assert _worst(list(about_tokens(Settings(secrets_folder=tmp_path))), "tokens").level == "error"
    missing = list(about_settings(Settings(secrets_folder=tmp_path / "nowhere"), {}))
    assert _worst(missing, "settings").level == "warning"


def test_a_server_that_keeps_its_configuration_to_itself_is_examined(
    start_secured: Callable[..., SecuredServer],
    make_settings: Callable[..., Settings],
    mount: Mount,
    redis_files: Files,
) -> None:
    server = start_secured(redis_files)
    with server.client() as admin:
        admin.execute_command("ACL", "SETUSER", "gristmill", "-config")
    mount.put(for_clients(redis_files))
    found = list(examine(make_settings(server.url, secrets_folder=mount.secrets_folder), {}))
    assert "does not tell its configuration" in _worst(found, "server").detail
    assert _worst(found, "workers").level == "warning"


def test_a_server_that_does_not_answer_is_an_error(make_settings: Callable[..., Settings]) -> None:
    assert _worst(list(examine(make_settings("redis://127.0.0.1:1/0"), {})), "server").level == "error"


def test_a_broken_process_file_is_an_error_that_names_it(
    redis_url: str, make_settings: Callable[..., Settings], tmp_path: Path
) -> None:
    folder = tmp_path / "processes"
    folder.mkdir()
    (folder / "broken.py").write_text("def broken(:\n")
    finding = _worst(list(examine(make_settings(redis_url, processes_folder=folder), {})), "processes")
    assert finding.level == "error"
    assert "broken.py" in finding.detail


@pytest.mark.parametrize(
    ("host", "level"), [("0.0.0.0", "warning"), ("127.0.0.1", "ok"), ("localhost", "ok"), ("::1", "ok")]
)
def test_an_open_api_that_others_reach_is_a_warning_also_in_dev(host: str, level: str) -> None:
    assert _worst(list(about_callers(Settings(host=host, anonymous="manage"), {})), "callers").level == level


def test_an_open_api_that_answers_to_local_names_alone_is_no_warning() -> None:
    settings = Settings(host="0.0.0.0", anonymous="manage", local_names_only=True)
    assert _worst(list(about_callers(settings, {})), "callers").level == "ok"
