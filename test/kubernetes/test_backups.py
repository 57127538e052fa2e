"""The CronJob of the backups, and the arguments of Redis that make a backup worth having."""

import re

import pytest
from support.manifests import ENVIRONMENTS, argument, manifest, pods

every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


@every_environment
def test_backups_never_overlap_and_end_and_leave_little_behind(environment: str) -> None:
    spec = manifest(environment, "cronjob-backup")["spec"]
    job = spec["jobTemplate"]["spec"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert spec["startingDeadlineSeconds"] > 0
    assert spec["timeZone"] == "Etc/UTC"
    assert {spec["successfulJobsHistoryLimit"], spec["failedJobsHistoryLimit"]} <= {1, 2, 3}
    assert job["activeDeadlineSeconds"] > 0
    assert 0 <= job["backoffLimit"] <= 3
    assert job["ttlSecondsAfterFinished"] > 0
    assert job["template"]["spec"]["restartPolicy"] == "Never"


@every_environment
def test_a_backup_goes_to_a_claim_of_its_own(environment: str) -> None:
    backup, redis = pods(environment)["backup"], pods(environment)["redis"]
    claims = [
        one["persistentVolumeClaim"]["claimName"]
        for pod in (backup, redis)
        for one in pod.spec["volumes"]
        if "persistentVolumeClaim" in one
    ]
    assert claims == [f"app-{environment}-pvc-backup", f"app-{environment}-pvc-redis"]
    mounted = {mount["mountPath"] for mount in backup.container["volumeMounts"]}
    assert backup.container["args"][:2] == ["backup", "/backup"]
    assert "/backup" in mounted


def test_production_is_backed_up_every_day() -> None:
    assert re.fullmatch(r"\d+ \d+ \* \* \*", manifest("prod", "cronjob-backup")["spec"]["schedule"])


@every_environment
def test_redis_acknowledges_what_is_on_disk_and_drops_nothing(environment: str) -> None:
    redis = pods(environment)["redis"]
    args = redis.container["args"]
    assert argument(args, "--appendonly") == "yes"
    assert argument(args, "--appendfsync") == "always"
    assert argument(args, "--maxmemory-policy") == "noeviction"
    assert argument(args, "--dir") in {mount["mountPath"] for mount in redis.container["volumeMounts"]}
    assert redis.container["command"] == ["redis-server"]


@every_environment
def test_what_the_secret_says_of_redis_comes_last_and_wins(environment: str) -> None:
    redis = pods(environment)["redis"]
    folder = next(one["mountPath"] for one in redis.container["volumeMounts"] if one["name"] == "secret")
    assert redis.container["args"][-2:] == ["--include", f"{folder}/*.conf"]
    assert "--port" not in redis.container["args"]


@every_environment
def test_redis_gets_the_keys_of_a_server_and_no_password_of_its_clients(environment: str) -> None:
    (secret,) = (one["secret"] for one in pods(environment)["redis"].spec["volumes"] if "secret" in one)
    assert secret["secretName"] == f"app-{environment}-secret-redis"
    assert {item["key"] for item in secret["items"]} == {"redis.conf", "tls.crt", "tls.key", "probe-password"}


@every_environment
def test_no_password_stands_on_a_command_line(environment: str) -> None:
    assert not re.search(r"--pass|--requirepass|redis-cli[^\n]* -a ", str(pods(environment)["redis"].spec))
