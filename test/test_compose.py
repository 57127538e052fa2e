"""docker-compose.yml: hardened, reachable from this computer alone, and with limits that fit together."""

import os
import re
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from support.manifests import ENVIRONMENTS, pods

from gristmill.processes import load_registry
from gristmill.settings import Settings
from gristmill.settings_table import rows

REPOSITORY = Path(__file__).parents[1]
COMPOSE: dict[str, Any] = yaml.safe_load((REPOSITORY / "docker-compose.yml").read_text(encoding="utf-8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
MB = 2**20
# Of the component itself: what it uses when nothing happens, generously.
OWN_MB = 256


def megabytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)([mg])b?", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit == "g" else 1)


def seconds(text: str) -> int:
    return int(text.removesuffix("s"))


def tmp_megabytes(service: str) -> int:
    (mount,) = SERVICES[service]["tmpfs"]
    return megabytes(re.fullmatch(r"/tmp:size=(\w+),mode=1777", mount)[1])  # type: ignore[index]


def settings_of(service: str) -> Settings:
    """The settings as the component will read them."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SERVICES[service]["environment"].items():
            patch.setenv(name, value)
        return Settings()


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_nothing_that_it_need_not_have(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert megabytes(service["mem_limit"]) > tmp_megabytes(name)
    assert 0 < service["pids_limit"] <= 4096
    assert not {"privileged", "cap_add", "network_mode", "pid", "ipc", "devices", "container_name"} & set(service)


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_has_a_health_check_and_waits_for_those_that_it_needs(name: str) -> None:
    service = SERVICES[name]
    check = service["healthcheck"]
    if name == "tests":
        assert check == {"disable": True}  # it runs and ends
    else:
        assert check["test"][0] == "CMD"
    conditions = service.get("depends_on", {})
    assert set(conditions) == {"redis": set(), "api": {"redis"}, "worker": {"redis"}, "tests": {"api", "worker"}}[name]
    assert all(condition == {"condition": "service_healthy"} for condition in conditions.values())


def test_only_the_api_has_a_port_and_on_this_computer_alone() -> None:
    assert [name for name, service in SERVICES.items() if "ports" in service] == ["api"]
    assert SERVICES["api"]["ports"] == ["127.0.0.1:${API_PORT:-8000}:8000"]
    assert settings_of("api").local_names_only


def test_images_have_a_tag_that_make_up_names_and_never_latest() -> None:
    assert {service["image"] for name, service in SERVICES.items() if name in {"api", "worker"}} == {
        "${APP_IMAGE:?run make up, which writes .env}"
    }
    assert SERVICES["tests"]["image"] == SERVICES["api"]["image"] + "-test"
    in_clusters = {pods(environment)["redis"].container["image"] for environment in ENVIRONMENTS}
    assert in_clusters == {SERVICES["redis"]["image"]} == {"redis:7-bookworm"}
    assert SERVICES["tests"]["profiles"] == ["tests"]


def test_redis_loses_nothing_evicts_nothing_and_has_room_to_rewrite_its_file() -> None:
    words = [str(word) for word in SERVICES["redis"]["command"]]
    options = dict(zip(words[::2], words[1::2], strict=True))
    assert options["--appendonly"] == "yes"
    assert options["--appendfsync"] == "always"
    assert options["--maxmemory-policy"] == "noeviction"
    assert options["--dir"] == "/data"
    assert SERVICES["redis"]["volumes"] == ["./data/redis:/data"]
    assert megabytes(options["--maxmemory"]) <= 0.7 * megabytes(SERVICES["redis"]["mem_limit"])
    assert "REDIS_UID" in SERVICES["redis"]["user"]


def test_every_setting_that_is_set_exists() -> None:
    known = {row.variable for row in rows()}
    for name in ("api", "worker"):
        assert set(SERVICES[name]["environment"]) <= known


def test_the_worker_has_memory_for_all_its_children_and_for_tmp() -> None:
    settings = settings_of("worker")
    largest = max(process.limits.memory_mb for process in load_registry(REPOSITORY / "processes").values())
    assert settings.children > 0
    needed = (OWN_MB + settings.children * largest + tmp_megabytes("worker")) * 1.15
    assert megabytes(SERVICES["worker"]["mem_limit"]) >= needed


def test_what_fills_tmp_is_bounded_below_its_size() -> None:
    worker, api = settings_of("worker"), settings_of("api")
    scratch = max(process.limits.disk_mb for process in load_registry(REPOSITORY / "processes").values())
    # The cache, the copy that is being made on top of it (up to twice what is stored), scratch folders.
    cache = (worker.dataset_cache_bytes + 2 * worker.dataset_stored_bytes) // MB
    assert cache + worker.children * scratch < tmp_megabytes("worker")
    upload = (api.dataset_read_bytes + api.dataset_stored_bytes + api.dataset_free_bytes) // MB
    assert cache + upload < tmp_megabytes("api")


def test_the_api_has_memory_for_queries_and_for_reading_uploads() -> None:
    api = settings_of("api")
    readings = api.dataset_readings * api.dataset_reading_memory_mb
    needed = OWN_MB + api.dataset_query_memory_mb + readings + tmp_megabytes("api")
    assert megabytes(SERVICES["api"]["mem_limit"]) >= needed


def test_a_stop_waits_longer_than_the_component_needs() -> None:
    api, worker = settings_of("api"), settings_of("worker")
    assert seconds(SERVICES["api"]["stop_grace_period"]) > api.drain_seconds + api.wait_seconds + 5
    assert seconds(SERVICES["worker"]["stop_grace_period"]) > worker.workers_grace_seconds + 5


@pytest.mark.slow
@pytest.mark.parametrize("command", [("docker", "compose"), ("docker-compose",)])
def test_both_generations_of_compose_read_the_file_and_say_what_is_missing(
    command: tuple[str, ...], tmp_path: Path
) -> None:
    version = [*command, "version"]
    if shutil.which(command[0]) is None or subprocess.run(version, capture_output=True, check=False).returncode:
        pytest.skip(f"{' '.join(command)} is not installed")
    shutil.copy(REPOSITORY / "docker-compose.yml", tmp_path)

    def config(**environment: str) -> subprocess.CompletedProcess[str]:
        own = {name: value for name, value in os.environ.items() if not name.startswith(("COMPOSE_", "REDIS_", "APP_"))}
        return subprocess.run(
            [*command, "config"], cwd=tmp_path, env=own | environment, capture_output=True, text=True, check=False
        )

    assert "run make up, which writes .env" in config().stderr
    complete = config(APP_IMAGE="a/b:1", REDIS_UID="1001", REDIS_GID="1001")
    assert complete.returncode == 0, complete.stderr
    read = yaml.safe_load(complete.stdout)
    assert read["services"]["redis"]["user"] == "1001:1001"
    assert not complete.stderr


def test_a_port_that_is_taken_is_named_with_the_way_to_another_before_anything_is_started(tmp_path: Path) -> None:
    (tmp_path / "tools").mkdir()
    shutil.copy(REPOSITORY / "tools" / "compose", tmp_path / "tools")
    shutil.copy(REPOSITORY / "docker-compose.yml", tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        own = {"APP_IMAGE": "gristmill/never-started:0", "PORT": str(port)}
        command = [str(tmp_path / "tools" / "compose"), "up"]
        done = subprocess.run(command, env=dict(os.environ) | own, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr == (
        f"tools/compose: port {port} of this computer is taken; make up PORT={port + 80} takes another one\n"
    )
