"""Test and production are the same but for a written list of differences, and never meet."""

import re
from typing import Any

import pytest
from support.manifests import ENVIRONMENTS, LABEL, Manifest, leaves, manifests, paths, pods
from support.reach import selects

TEMPLATE = "spec.template.spec"
# (file without its environment, path in it): why production has another value
DIFFERENCES = {
    ("deployment-flask", "spec.replicas"): "one pod can go while the other serves",
    ("deployment-worker", "spec.replicas"): "one pod can go while the other works",
    ("deployment-worker", f"{TEMPLATE}.containers[worker].env[GRISTMILL_CHILDREN].value"): "more jobs at a time",
    ("deployment-worker", f"{TEMPLATE}.containers[worker].resources.limits.cpu"): "for more children",
    ("deployment-worker", f"{TEMPLATE}.containers[worker].resources.limits.memory"): "for more children",
    ("deployment-worker", f"{TEMPLATE}.containers[worker].resources.limits.ephemeral-storage"): "for more children",
    ("deployment-worker", f"{TEMPLATE}.volumes[tmp].emptyDir.sizeLimit"): "for more children",
    ("deployment-redis", f"{TEMPLATE}.containers[redis].args[9]"): "more data",
    ("deployment-redis", f"{TEMPLATE}.containers[redis].resources.requests.memory"): "for more data",
    ("deployment-redis", f"{TEMPLATE}.containers[redis].resources.limits.memory"): "for more data",
    ("pvc-redis", "spec.resources.requests.storage"): "for more data",
    ("pvc-backup", "spec.resources.requests.storage"): "for more and larger backups",
    ("cronjob-backup", "spec.schedule"): "every day",
    ("cronjob-backup", "spec.jobTemplate.spec.template.spec.containers[backup].args[3]"): "a week of days",
    ("ingress-flask", "spec.rules[0].host"): "another address",
}
# A release reaches test first, and a cluster may want other words of each: these may differ, and need not
MAY_DIFFER = re.compile(
    r"containers\[(flask|worker|backup|debug)\]\.image$"
    r"|env\[GRISTMILL_(TRUSTED_PROXIES|PROXY_HEADERS|PUBLIC_URL|TITLE|DESCRIPTION)\]\.(name|value)$"
    r"|^spec\.(tls\[\d\]\..*|ingressClassName|storageClassName)$"
)


def neutral(value: Any) -> Any:
    """A value without its environment's name."""
    return re.sub(r"\bapp-(test|prod)\b", "app-ENV", value) if isinstance(value, str) else value


def differing() -> set[tuple[str, str]]:
    """Where twins have different values."""
    found = set()
    for test, prod in zip(manifests("test", debug=True), manifests("prod", debug=True), strict=True):
        name = test["metadata"]["name"].removeprefix("app-test-")
        sides = [
            {path: neutral(value) for path, value in leaves(made)} | _environment(made, environment)
            for made, environment in ((test, "test"), (prod, "prod"))
        ]
        found |= {
            (name, path) for path in sides[0].keys() | sides[1].keys() if sides[0].get(path) != sides[1].get(path)
        }
    return {(name, path) for name, path in found if not MAY_DIFFER.search(path)}


def _environment(made: Manifest, environment: str) -> dict[str, Any]:
    """The setting that says the environment's name, which is the one that is right."""
    return {
        path: "right"
        for path, value in leaves(made)
        if path.endswith("env[GRISTMILL_ENVIRONMENT].value") and value == environment
    }


def test_every_file_of_test_has_its_twin_in_prod() -> None:
    names = [[path.name.replace(f"app-{one}-", "") for path in paths(one)] for one in ENVIRONMENTS]
    assert names[0] == names[1]


def test_twins_differ_where_the_list_says_and_nowhere_else() -> None:
    assert differing() == set(DIFFERENCES)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_label_is_there_and_the_instance_says_the_environment(environment: str) -> None:
    for made in manifests(environment, debug=True):
        for labels in [made["metadata"]["labels"], *_templates_labels(made)]:
            component = made["metadata"]["labels"][f"{LABEL}component"]
            assert labels == {
                f"{LABEL}name": "gristmill",
                f"{LABEL}instance": f"app-{environment}",
                f"{LABEL}component": component,
                f"{LABEL}part-of": "gristmill",
                f"{LABEL}managed-by": "kubectl",
            }


def _templates_labels(made: Manifest) -> list[dict[str, str]]:
    job = made["spec"].get("jobTemplate")
    template = job["spec"]["template"] if job else made["spec"].get("template")
    return [one["metadata"]["labels"] for one in (job, template) if one]


def selectors(environment: str) -> list[tuple[str, dict[str, Any]]]:
    """Every selector of an environment's objects that chooses pods, with the object's name."""
    found = []
    for made in manifests(environment):
        name, spec = made["metadata"]["name"], made["spec"]
        if made["kind"] == "Service":
            found.append((name, {"matchLabels": spec["selector"]}))
        found += [(name, spec[key]) for key in ("selector", "podSelector") if "matchLabels" in spec.get(key, {})]
        rules = [*spec.get("ingress", []), *spec.get("egress", [])] if made["kind"] == "NetworkPolicy" else []
        peers = [peer for rule in rules for peer in [*rule.get("from", []), *rule.get("to", [])]]
        found += [(name, peer["podSelector"]) for peer in peers if "podSelector" in peer]
        for spread in spec.get("template", {}).get("spec", {}).get("topologySpreadConstraints", []):
            found.append((name, spread["labelSelector"]))
    return found


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_selectors_use_only_name_instance_and_component_and_always_the_instance(environment: str) -> None:
    for name, selector in selectors(environment):
        used = {*selector.get("matchLabels", {}), *(one["key"] for one in selector.get("matchExpressions", []))}
        assert used <= {f"{LABEL}name", f"{LABEL}instance", f"{LABEL}component"}, name
        assert selector["matchLabels"][f"{LABEL}instance"] == f"app-{environment}", name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_every_selector_finds_pods_of_its_own_environment_only(environment: str) -> None:
    (other,) = set(ENVIRONMENTS) - {environment}
    assert len(selectors(environment)) >= 12
    for name, selector in selectors(environment):
        assert any(selects(selector, one.labels) for one in pods(environment).values()), name
        assert not any(selects(selector, one.labels) for one in pods(other).values()), name


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_object_selects_the_pods_of_its_own_component(environment: str) -> None:
    for made in manifests(environment):
        selector = made["spec"].get("podSelector") or made["spec"].get("selector")
        if selector:
            chosen = {c for c, one in pods(environment).items() if selects(_full(selector), one.labels)}
            assert chosen == {made["metadata"]["labels"][f"{LABEL}component"]}


def _full(selector: dict[str, Any]) -> dict[str, Any]:
    return selector if "matchLabels" in selector else {"matchLabels": selector}
