"""The doctor names what would break a promise, and what to do about it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from support import RedisServer

from gristmill.doctor import Finding, about_server, about_settings, examine
from gristmill.settings import Settings

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


def test_misspelt_variables_and_an_open_deployment_are_named() -> None:
    findings = list(about_settings(Settings(environment="prod", anonymous="manage"), {"GRISTMILL_PROT": "1"}))
    assert any("GRISTMILL_PROT" in finding.detail for finding in findings)
    assert any(finding.level == "error" and "GRISTMILL_ANONYMOUS" in finding.detail for finding in findings)


def test_a_real_server_without_workers_is_examined(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    findings = list(examine(make_settings(own_server.url), {}))
    assert _worst(findings, "server").level == "ok"
    assert _worst(findings, "workers").level == "warning"
    assert _worst(findings, "processes").level == "ok"


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
    assert _worst(list(about_settings(Settings(host=host, anonymous="manage"), {})), "settings").level == level


def test_an_open_api_that_answers_to_local_names_alone_is_no_warning() -> None:
    settings = Settings(host="0.0.0.0", anonymous="manage", local_names_only=True)
    assert _worst(list(about_settings(settings, {})), "settings").level == "ok"
