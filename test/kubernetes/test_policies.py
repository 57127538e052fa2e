"""Who reaches whom in the cluster, by the network policies of both environments together."""

import pytest
from support.manifests import ENVIRONMENTS, manifests, pods
from support.reach import Peer, may_reach

POLICIES = [made for one in ENVIRONMENTS for made in manifests(one) if made["kind"] == "NetworkPolicy"]
STRANGER = Peer({"app": "somebody-elses", "app.kubernetes.io/name": "shop", "app.kubernetes.io/component": "worker"})
NODE = Peer(address="192.168.7.1")
WEB = Peer(address="93.184.215.14")
WEB_6 = Peer(address="2606:2800:21f:cb07:6820:80da:af6b:8b2c")
COMPONENTS = ("flask", "worker", "backup", "debug", "redis")
every_environment = pytest.mark.parametrize("environment", ENVIRONMENTS)


def peer(environment: str, component: str) -> Peer:
    """A pod of a component."""
    pod = pods(environment)[component]
    ports = {port["name"]: port["containerPort"] for port in pod.container.get("ports", [])}
    return Peer(pod.labels, ports)


def other(environment: str) -> str:
    """The other environment."""
    return "prod" if environment == "test" else "test"


def passes(source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection passes."""
    return may_reach(POLICIES, source, target, port, protocol)


@every_environment
@pytest.mark.parametrize("component", ["flask", "worker", "backup", "debug"])
def test_redis_is_reached_by_those_who_work_with_it(environment: str, component: str) -> None:
    assert passes(peer(environment, component), peer(environment, "redis"), 6379)
    assert not passes(peer(environment, component), peer(environment, "redis"), 6380)


@every_environment
def test_redis_is_reached_by_nobody_else(environment: str) -> None:
    redis = peer(environment, "redis")
    assert not passes(STRANGER, redis, 6379)
    assert not passes(NODE, redis, 6379)
    assert not passes(peer(environment, "redis"), redis, 6379)
    for component in COMPONENTS:
        assert not passes(peer(other(environment), component), redis, 6379)


@every_environment
def test_redis_calls_nobody(environment: str) -> None:
    redis = peer(environment, "redis")
    for target in (STRANGER, WEB, WEB_6, NODE, peer(environment, "flask")):
        for port in (53, 80, 443, 8000):
            assert not passes(redis, target, port)
            assert not passes(redis, target, port, "UDP")


@every_environment
def test_a_worker_is_called_by_nobody(environment: str) -> None:
    worker = peer(environment, "worker")
    for source in (STRANGER, NODE, peer(environment, "flask"), peer(environment, "debug")):
        assert not any(passes(source, worker, port) for port in (80, 6379, 8000))


@every_environment
def test_a_worker_asks_name_servers_anywhere(environment: str) -> None:
    for target in (STRANGER, NODE, WEB, Peer(address="169.254.20.10")):  # the last is a cache of names on the node
        assert passes(peer(environment, "worker"), target, 53, "UDP")
        assert passes(peer(environment, "worker"), target, 53, "TCP")


@every_environment
@pytest.mark.parametrize("web", [WEB, WEB_6])
def test_a_worker_fetches_inputs_from_the_web(environment: str, web: Peer) -> None:
    worker = peer(environment, "worker")
    assert passes(worker, web, 443)
    assert passes(worker, web, 80)
    assert not any(passes(worker, web, port) for port in (22, 25, 6379, 8443))
    assert not passes(worker, web, 443, "UDP")


@every_environment
@pytest.mark.parametrize(
    "address",
    ["10.96.0.1", "172.20.0.1", "192.168.7.1", "100.64.3.2", "169.254.169.254", "127.0.0.1", "fd00::1", "fe80::1"],
)
def test_a_worker_reaches_no_private_address_such_as_the_clusters_own_api(environment: str, address: str) -> None:
    worker = peer(environment, "worker")
    assert not any(passes(worker, Peer(address=address), port) for port in (80, 443, 6443))


@every_environment
def test_a_worker_reaches_no_pod_but_its_redis(environment: str) -> None:
    worker = peer(environment, "worker")
    for target in (STRANGER, peer(environment, "flask"), peer(other(environment), "flask")):
        assert not any(passes(worker, target, port) for port in (80, 443, 6379, 8000))


@every_environment
def test_the_api_is_reached_from_anywhere(environment: str) -> None:
    for source in (STRANGER, NODE, WEB, peer(environment, "debug"), peer(other(environment), "debug")):
        assert passes(source, peer(environment, "flask"), 8000)


def test_strangers_work_as_before() -> None:
    for port in (80, 6379, 8000):
        assert passes(STRANGER, STRANGER, port)
        assert passes(STRANGER, WEB, port)


def test_no_policy_selects_everything() -> None:
    assert len(POLICIES) == 4
    for policy in POLICIES:
        assert policy["spec"]["podSelector"]["matchLabels"]
        assert policy["spec"]["policyTypes"] == ["Ingress", "Egress"]


def test_the_model_knows_what_an_empty_selector_and_an_empty_rule_mean() -> None:
    all_pods = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": []}}
    assert not may_reach([all_pods], WEB, STRANGER, 80)
    assert may_reach([all_pods], STRANGER, WEB, 80)
    anybody = {"spec": {"podSelector": {}, "policyTypes": ["Ingress"], "ingress": [{}]}}
    assert may_reach([all_pods, anybody], WEB, STRANGER, 80)
