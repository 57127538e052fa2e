"""What holds for every pod: images, the restricted Pod Security, where it may write, settings that exist."""

import re
import tomllib
from typing import Any

import pytest
import typer
from support.manifests import ENVIRONMENTS, FOLDER, Pods, manifests, pods, quantity

from gristmill.cli import app as command_line
from gristmill.settings_table import unknown_variables

EVERY = [one for environment in ENVIRONMENTS for one in pods(environment).values()]
OURS = [one for one in EVERY if one.component != "redis"]
CLIENT_KEYS = {"username", "password", "ca.crt"}
every_pod = pytest.mark.parametrize("pod", EVERY, ids=lambda pod: f"{pod.environment}-{pod.component}")
our_pods = pytest.mark.parametrize("pod", OURS, ids=lambda pod: f"{pod.environment}-{pod.component}")


def mounts(pod: Pods) -> dict[str, tuple[str, dict[str, Any]]]:
    """Kind and source of every volume, by the path that it is mounted at."""
    volumes = {one["name"]: one for one in pod.spec["volumes"]}
    assert set(volumes) == {one["name"] for one in pod.container["volumeMounts"]}
    found = {}
    for mount in pod.container["volumeMounts"]:
        ((kind, source),) = ((key, value) for key, value in volumes[mount["name"]].items() if key != "name")
        assert mount.get("readOnly", False) == (kind == "secret")
        found[mount["mountPath"]] = (kind, source)
    return found


def test_each_component_has_its_pods() -> None:
    for environment in ENVIRONMENTS:
        assert set(pods(environment)) == {"flask", "worker", "redis", "backup", "debug"}


@every_pod
def test_an_image_has_a_version_that_is_never_latest(pod: Pods) -> None:
    repository, _, tag = pod.container["image"].rpartition(":")
    assert repository
    assert re.fullmatch(r"\d+(\.\d+)*(-[a-z]+)?", tag)
    assert pod.container["imagePullPolicy"] == "IfNotPresent"


@our_pods
def test_our_image_is_of_a_version_that_there_has_been(pod: Pods) -> None:
    project = tomllib.loads((FOLDER.parent / "pyproject.toml").read_text("utf-8"))["project"]
    tag = pod.container["image"].rpartition(":")[2]
    assert re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*)){2,}", tag)
    numbers = [tuple(map(int, version.split("."))) for version in (tag, project["version"])]
    assert numbers[0] <= numbers[1]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_release_restarts_redis(environment: str) -> None:
    images = {component: one.container["image"] for component, one in pods(environment).items()}
    assert images.pop("redis") not in images.values()
    assert len(set(images.values())) == 1


@every_pod
def test_a_pod_runs_as_a_user_without_any_right(pod: Pods) -> None:
    assert (
        pod.spec["securityContext"].items()
        >= {
            "runAsNonRoot": True,
            "runAsUser": 10001,
            "runAsGroup": 10001,
            "fsGroup": 10001,
            "seccompProfile": {"type": "RuntimeDefault"},
        }.items()
    )
    assert pod.container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }


@every_pod
def test_a_pod_has_nothing_of_the_node_or_the_cluster(pod: Pods) -> None:
    assert not [key for key in pod.spec if key.startswith("host")]
    assert not [port for port in pod.container.get("ports", []) if "hostPort" in port]
    assert {kind for kind, _ in mounts(pod).values()} <= {"emptyDir", "persistentVolumeClaim", "secret"}
    assert pod.spec["automountServiceAccountToken"] is False
    assert pod.spec["enableServiceLinks"] is False
    assert "initContainers" not in pod.spec


@every_pod
def test_what_can_be_written_to_has_a_size_and_is_no_memory(pod: Pods) -> None:
    for kind, source in mounts(pod).values():
        if kind == "emptyDir":
            assert set(source) == {"sizeLimit"}
            assert quantity(source["sizeLimit"]) < pod.limit("ephemeral-storage")


@our_pods
def test_ours_write_to_tmp(pod: Pods) -> None:
    writable = {path for path, (kind, _) in mounts(pod).items() if kind != "secret"}
    assert writable == {"/tmp"} | ({"/backup"} if pod.component == "backup" else set())


@every_pod
def test_secrets_are_optional_files_that_the_group_may_read(pod: Pods) -> None:
    secrets = [source for kind, source in mounts(pod).values() if kind == "secret"]
    assert secrets
    for source in secrets:
        assert source["optional"] is True
        assert source["defaultMode"] == 0o440
    assert "secretKeyRef" not in str(pod.spec)
    assert "envFrom" not in pod.container


@our_pods
def test_ours_get_the_keys_of_a_client_and_only_those_who_check_tokens_the_tokens(pod: Pods) -> None:
    folder = pod.variables["GRISTMILL_SECRETS_FOLDER"]
    found = {path: source for path, (kind, source) in mounts(pod).items() if kind == "secret"}
    redis = found.pop(f"{folder}/redis")
    assert redis["secretName"] == f"app-{pod.environment}-secret-redis"
    assert {item["key"] for item in redis["items"]} == CLIENT_KEYS
    assert all(item["key"] == item["path"] for item in redis["items"])
    has_tokens = pod.component in {"flask", "debug"}
    assert set(found) == ({f"{folder}/tokens"} if has_tokens else set())
    assert [source["secretName"] for source in found.values()] == [f"app-{pod.environment}-secret-tokens"] * has_tokens


@our_pods
def test_settings_exist_and_have_usable_values(pod: Pods) -> None:
    assert not unknown_variables(pod.variables)
    settings = pod.settings
    assert settings.environment == pod.environment
    assert settings.redis_url == f"redis://app-{pod.environment}-service-redis:6379/0"
    assert settings.anonymous == "run" or pod.component not in {"flask", "debug"}
    assert settings.cors_origins == ()
    assert settings.token_file is None
    assert settings.api_processes == 1


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_settings_that_several_components_share_are_equal(environment: str) -> None:
    seen: dict[str, str] = {}
    for one in pods(environment).values():
        if one.component != "redis":
            for name, value in one.variables.items():
                assert seen.setdefault(name, value) == value, name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_redis_is_asked_at_the_port_of_its_service(environment: str) -> None:
    services = {made["metadata"]["name"]: made["spec"] for made in manifests(environment) if made["kind"] == "Service"}
    found = re.match(r"redis://([^:]+):(\d+)", pods(environment)["flask"].variables["REDIS_URL"])
    assert found
    assert services[found[1]]["ports"][0]["port"] == int(found[2])


@our_pods
def test_what_a_container_runs_is_a_command_of_ours(pod: Pods) -> None:
    if pod.component == "debug":
        assert pod.container["command"] == ["sleep", str(pod.spec["activeDeadlineSeconds"])]
        return
    assert "command" not in pod.container
    parses(pod.container["args"])


def parses(words: list[str]) -> None:
    """Let the command line read the words of a command, without running it. Raises click's errors."""
    group: Any = typer.main.get_command(command_line)
    with group.make_context("gristmill", list(words)) as context:
        name, command, rest = group.resolve_command(context, [*context._protected_args, *context.args])
        command.make_context(name, rest, parent=context)


def test_a_command_that_is_none_is_refused() -> None:
    with pytest.raises(Exception, match="No such option"):
        parses(["worker", "--chek"])


@our_pods
def test_the_registrys_secret_is_named(pod: Pods) -> None:
    assert pod.spec["imagePullSecrets"] == [{"name": f"app-{pod.environment}-secret-registry"}]


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_debug_pod_ends_by_itself_and_is_never_started_again(environment: str) -> None:
    spec = pods(environment)["debug"].spec
    assert spec["restartPolicy"] == "Never"
    assert 0 < spec["activeDeadlineSeconds"] <= 8 * 3600
