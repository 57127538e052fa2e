"""How pods come, go and are watched: rollouts, probes, times of grace, evictions; and the Services before them."""

import shlex
import threading
from types import SimpleNamespace
from typing import Any

import pytest
from support.manifests import ENVIRONMENTS, Manifest, manifest, manifests, pods

from gristmill.flask_api import create_app
from gristmill.heartbeats import STALE_SECONDS
from gristmill.server import CLOSE_SECONDS, FINISH_SECONDS
from gristmill.settings import Settings
from gristmill.worker import LEAVE_SECONDS

every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)
MARGIN_SECONDS = 5
PROBES = ("startupProbe", "livenessProbe", "readinessProbe")


def probes(environment: str, component: str) -> dict[str, Manifest]:
    """The probes of a component's container."""
    container = pods(environment)[component].container
    return {name: container[name] for name in PROBES if name in container}


def get_routes() -> set[str]:
    """The paths that the API answers GET at."""
    services: Any = SimpleNamespace(settings=Settings(), draining=threading.Event(), release="0", tokens=None)
    rules = create_app(services).url_map.iter_rules()
    return {rule.rule for rule in rules if "GET" in (rule.methods or set())}


@every_environment
@pytest.mark.parametrize("component", ["flask", "worker"])
def test_a_rollout_starts_a_new_pod_before_an_old_one_goes(environment: str, component: str) -> None:
    spec = manifest(environment, f"deployment-{component}")["spec"]
    assert spec["strategy"] == {"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}
    assert spec["minReadySeconds"] > 0
    assert spec["revisionHistoryLimit"] >= 2
    startup = probes(environment, component)["startupProbe"]
    starting = startup["periodSeconds"] * startup["failureThreshold"]
    assert spec["progressDeadlineSeconds"] > starting + spec["minReadySeconds"]


@every_environment
@pytest.mark.parametrize("component", ["flask", "worker"])
def test_pods_are_spread_over_nodes_where_there_are_several(environment: str, component: str) -> None:
    (spread,) = pods(environment)[component].spec["topologySpreadConstraints"]
    assert spread["topologyKey"] == "kubernetes.io/hostname"
    assert spread["whenUnsatisfiable"] == "ScheduleAnyway"


@every_environment
def test_redis_is_one_pod_whose_old_one_goes_first(environment: str) -> None:
    spec = manifest(environment, "deployment-redis")["spec"]
    assert spec["replicas"] == 1
    assert spec["strategy"] == {"type": "Recreate"}
    startup = probes(environment, "redis")["startupProbe"]
    assert spec["progressDeadlineSeconds"] > startup["periodSeconds"] * startup["failureThreshold"] >= 600


@every_environment
def test_every_probe_of_the_api_asks_a_route_that_there_is_at_the_named_port(environment: str) -> None:
    found = probes(environment, "flask")
    assert {name: probe["httpGet"]["path"] for name, probe in found.items()} == {
        "startupProbe": "/healthz",
        "livenessProbe": "/healthz",
        "readinessProbe": "/readyz",
    }
    assert {probe["httpGet"]["path"] for probe in found.values()} <= get_routes()
    assert {probe["httpGet"]["port"] for probe in found.values()} == {"http"}


@every_environment
def test_every_probe_says_its_times(environment: str) -> None:
    for component in ("flask", "worker", "redis"):
        for probe in probes(environment, component).values():
            assert {"periodSeconds", "timeoutSeconds", "failureThreshold"} <= set(probe)


@every_environment
def test_the_named_port_of_the_api_is_the_one_that_it_listens_at(environment: str) -> None:
    flask = pods(environment)["flask"]
    assert flask.container["ports"] == [{"name": "http", "containerPort": flask.settings.port}]


@every_environment
def test_only_the_api_and_redis_have_ports(environment: str) -> None:
    assert {component for component, one in pods(environment).items() if "ports" in one.container} == {"flask", "redis"}


@every_environment
def test_the_api_has_time_to_drain_and_to_answer_the_longest_request(environment: str) -> None:
    flask = pods(environment)["flask"]
    settings = flask.settings
    assert settings.drain_seconds == 8
    needed = settings.drain_seconds + CLOSE_SECONDS + settings.wait_seconds + 2 * FINISH_SECONDS
    assert needed + MARGIN_SECONDS <= flask.spec["terminationGracePeriodSeconds"]
    assert "lifecycle" not in flask.container


@every_environment
def test_a_worker_has_time_to_let_its_jobs_end(environment: str) -> None:
    worker = pods(environment)["worker"]
    assert "GRISTMILL_WORKERS_GRACE_SECONDS" in worker.variables
    needed = worker.settings.workers_grace_seconds + LEAVE_SECONDS
    assert needed + MARGIN_SECONDS <= worker.spec["terminationGracePeriodSeconds"]


@every_environment
def test_the_api_is_not_started_again_while_it_replaces_a_process_that_stands_still(environment: str) -> None:
    liveness = probes(environment, "flask")["livenessProbe"]
    assert liveness["periodSeconds"] * liveness["failureThreshold"] > 30 + MARGIN_SECONDS


@every_environment
def test_a_worker_is_watched_by_the_heartbeat_of_its_loop(environment: str) -> None:
    found = probes(environment, "worker")
    assert set(found) == {"startupProbe", "livenessProbe"}
    for probe in found.values():
        assert probe["exec"]["command"] == shlex.split("gristmill worker --check")
    assert found["livenessProbe"]["periodSeconds"] * found["livenessProbe"]["failureThreshold"] > STALE_SECONDS


@every_environment
@pytest.mark.parametrize("component", ["flask", "worker"])
def test_a_budget_lets_one_pod_go_at_a_time_and_never_forbids_all(environment: str, component: str) -> None:
    spec = manifest(environment, f"budget-{component}")["spec"]
    assert spec["maxUnavailable"] == 1
    assert "minAvailable" not in spec
    assert spec["unhealthyPodEvictionPolicy"] == "AlwaysAllow"


@every_environment
def test_no_budget_keeps_redis_on_its_node(environment: str) -> None:
    kinds = [made["metadata"]["labels"]["app.kubernetes.io/component"] for made in budgets(environment)]
    assert sorted(kinds) == ["flask", "worker"]


def budgets(environment: str) -> list[Manifest]:
    """All budgets of an environment."""
    return [made for made in manifests(environment) if made["kind"] == "PodDisruptionBudget"]


@every_environment
@pytest.mark.parametrize("name", ["flask", "nodeport-flask", "redis"])
def test_a_service_leads_to_a_named_port_of_its_pods(environment: str, name: str) -> None:
    service = manifest(environment, f"service-{name}")
    (port,) = service["spec"]["ports"]
    pod = pods(environment)[service["metadata"]["labels"]["app.kubernetes.io/component"]]
    assert port["targetPort"] in {one["name"] for one in pod.container["ports"]}
    assert port["name"]


@every_environment
def test_redis_and_the_api_are_inside_and_the_nodeport_has_a_port_of_the_clusters_choice(environment: str) -> None:
    types = {name: manifest(environment, f"service-{name}")["spec"] for name in ("flask", "nodeport-flask", "redis")}
    assert {name: spec["type"] for name, spec in types.items()} == {
        "flask": "ClusterIP",
        "nodeport-flask": "NodePort",
        "redis": "ClusterIP",
    }
    assert all("nodePort" not in port for spec in types.values() for port in spec["ports"])


@every_environment
def test_the_ingress_leads_to_the_service_by_the_name_of_its_port(environment: str) -> None:
    spec = manifest(environment, "ingress-flask")["spec"]
    assert spec["ingressClassName"]
    (rule,) = spec["rules"]
    (path,) = rule["http"]["paths"]
    assert (path["path"], path["pathType"]) == ("/", "Prefix")
    name, port = path["backend"]["service"]["name"], path["backend"]["service"]["port"]["name"]
    service = manifest(environment, "service-flask")
    assert name == service["metadata"]["name"]
    assert port == service["spec"]["ports"][0]["name"]


def test_each_environment_has_an_address_of_its_own() -> None:
    hosts = [manifest(environment, "ingress-flask")["spec"]["rules"][0]["host"] for environment in ENVIRONMENTS]
    assert len(set(hosts)) == 2
