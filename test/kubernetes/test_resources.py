"""Memory, CPUs and disk: that what the settings allow fits into the limits, and all requests into a small cluster."""

import pytest
from support.manifests import ENVIRONMENTS, FOLDER, Pods, argument, manifest, pods, quantity, redis_bytes

from gristmill.bridge import BODIES_AT_ONCE
from gristmill.datasets.cache import MAKINGS_AT_ONCE
from gristmill.datasets.reading import COPY_GROWTH
from gristmill.errors import ConfigurationError
from gristmill.limits import MIB
from gristmill.processes import load_registry
from gristmill.watch import LONGEST_LOG_BYTES
from gristmill.worker import check_memory

# Measured, and rounded up: supervisor and template of a worker, 198 MiB; what a child has of its own, 75 MiB; an idle
# API with the template that reads uploads, 232 MiB.
WORKER_BYTES = 224 * MIB
WARM_CHILD_BYTES = 100 * MIB
API_BYTES = 256 * MIB
SHM_BYTES = 64 * MIB  # /dev/shm, which every container has and every process may write to
LOGS_BYTES = 64 * MIB  # the kubelet keeps five files of 10 MiB
# What a job writes between two looks at its folder
SLACK_BYTES = 256 * MIB
FIRST_TWO = ("cpu", "memory")
RESOURCES = {*FIRST_TWO, "ephemeral-storage"}
every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def tmp_bytes(pod: Pods) -> float:
    """The size of the writable folder of a pod."""
    return next(quantity(one["emptyDir"]["sizeLimit"]) for one in pod.spec["volumes"] if "emptyDir" in one)


@every_environment
def test_every_container_has_requests_and_limits_of_all_that_runs_out(environment: str) -> None:
    for pod in pods(environment).values():
        for kind in ("requests", "limits"):
            assert set(pod.container["resources"][kind]) == RESOURCES
        assert all(pod.request(name) <= pod.limit(name) for name in RESOURCES)


def test_production_has_two_of_each_that_can_have_two() -> None:
    found = pods("prod")
    assert found["flask"].count >= 2
    assert found["worker"].count >= 2


def test_both_environments_fit_into_a_small_cluster_while_everything_is_updated() -> None:
    everything = [one for environment in ENVIRONMENTS for one in pods(environment).values()]
    assert sum(one.most * one.request("cpu") for one in everything) <= 1.2 + 1e-9
    assert sum(one.most * one.request("memory") for one in everything) <= 3 * 2**30


@every_environment
def test_the_docs_say_what_an_environment_asks_for(environment: str) -> None:
    running = [one for one in pods(environment).values() if one.component in {"flask", "worker", "redis"}]
    cells = [environment]
    for most in (False, True):
        for of in (Pods.request, Pods.limit):
            cpus, memory = (
                sum((one.most if most else one.count) * of(one, what) for one in running) for what in FIRST_TWO
            )
            cells.append(f"{cpus:g} CPUs, {memory / MIB:.0f} MiB")
    assert f"| {' | '.join(cells)} |\n" in (FOLDER.parent / "docs" / "deploy.md").read_text("utf-8")


@every_environment
def test_the_memory_of_a_worker_holds_all_children_at_their_limit(environment: str) -> None:
    worker = pods(environment)["worker"]
    children = worker.settings.children
    assert children > 0
    largest = max(load_registry(FOLDER.parent / "processes").values(), key=lambda one: one.limits.memory_mb)
    own = WORKER_BYTES + children * WARM_CHILD_BYTES + SHM_BYTES
    child_bytes = largest.limits.memory_mb * MIB
    check_memory(int(worker.limit("memory")), own, children, child_bytes, largest.id)
    with pytest.raises(ConfigurationError):
        check_memory(int(worker.limit("memory")), own, children + 1, child_bytes, largest.id)


@every_environment
def test_a_worker_has_a_cpu_for_each_child(environment: str) -> None:
    worker = pods(environment)["worker"]
    assert worker.limit("cpu") >= worker.settings.children


@every_environment
def test_the_disk_of_a_worker_holds_the_scratch_of_all_children_and_the_cache(environment: str) -> None:
    worker = pods(environment)["worker"]
    settings, children = worker.settings, worker.settings.children
    largest = max(one.limits.disk_mb for one in load_registry(FOLDER.parent / "processes").values()) * MIB
    scratch = children * (largest + SLACK_BYTES + LONGEST_LOG_BYTES)
    being_made = children * (settings.dataset_stored_bytes + settings.dataset_cache_bytes)
    assert scratch + settings.dataset_cache_bytes + being_made <= tmp_bytes(worker)


@every_environment
def test_the_memory_of_the_api_holds_all_that_it_does_at_a_time(environment: str) -> None:
    flask = pods(environment)["flask"]
    settings = flask.settings
    queries = (1 + MAKINGS_AT_ONCE) * settings.dataset_query_memory_mb * MIB
    readings = settings.dataset_readings * settings.dataset_reading_memory_mb * MIB
    assert settings.dataset_readings > 0
    assert (API_BYTES + queries + readings + SHM_BYTES) * 1.15 <= flask.limit("memory")


@every_environment
def test_the_disk_of_the_api_holds_uploads_on_their_way_bodies_and_the_cache(environment: str) -> None:
    flask = pods(environment)["flask"]
    settings = flask.settings
    assert settings.dataset_uploads_bytes >= settings.dataset_read_bytes
    # While a file is read there are beside it: its copy in UTF-8, and the Parquet file, which may become as large
    one_file = max(settings.dataset_stored_bytes, COPY_GROWTH * settings.dataset_read_bytes)
    uploads = settings.dataset_uploads_bytes + settings.dataset_readings * 2 * one_file
    being_made = MAKINGS_AT_ONCE * (settings.dataset_stored_bytes + settings.dataset_cache_bytes)
    bodies = BODIES_AT_ONCE * settings.body_bytes
    assert uploads + settings.dataset_cache_bytes + being_made + bodies <= tmp_bytes(flask)


@every_environment
def test_the_disk_limit_of_a_pod_leaves_room_for_its_logs(environment: str) -> None:
    for pod in pods(environment).values():
        folder = tmp_bytes(pod) if pod.component != "redis" else 0
        assert pod.limit("ephemeral-storage") >= folder + LOGS_BYTES


@every_environment
def test_redis_keeps_its_data_in_seventy_percent_of_its_memory(environment: str) -> None:
    redis = pods(environment)["redis"]
    most = redis_bytes(argument(redis.container["args"], "--maxmemory"))
    assert most <= 0.7 * redis.limit("memory")


@every_environment
def test_the_disk_of_redis_holds_four_times_its_data(environment: str) -> None:
    most = redis_bytes(argument(pods(environment)["redis"].container["args"], "--maxmemory"))
    claim = manifest(environment, "pvc-redis")["spec"]
    assert quantity(claim["resources"]["requests"]["storage"]) >= 4 * most
    assert claim["accessModes"] == ["ReadWriteOnce"]
    assert "storageClassName" not in claim


@every_environment
def test_the_disk_of_the_backups_holds_those_that_are_kept_and_the_next(environment: str) -> None:
    most = redis_bytes(argument(pods(environment)["redis"].container["args"], "--maxmemory"))
    kept = int(argument(pods(environment)["backup"].container["args"], "--keep"))
    claim = manifest(environment, "pvc-backup")["spec"]
    assert quantity(claim["resources"]["requests"]["storage"]) >= (kept + 1) * most


@every_environment
def test_a_version_of_a_data_set_fits_into_what_redis_has_for_them(environment: str) -> None:
    settings = pods(environment)["flask"].settings
    most = redis_bytes(argument(pods(environment)["redis"].container["args"], "--maxmemory"))
    assert settings.dataset_stored_bytes <= most * settings.dataset_memory_percent // 100
