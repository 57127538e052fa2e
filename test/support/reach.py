"""Who may reach whom under network policies, worked out as Kubernetes defines it (networking.k8s.io/v1)."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network
from typing import Any

Policy = dict[str, Any]


@dataclass(frozen=True)
class Peer:
    """An end of a connection: a pod with labels and named ports, or an address with no pod behind it."""

    labels: dict[str, str] = field(default_factory=dict)
    ports: dict[str, int] = field(default_factory=dict)
    address: str = "10.42.0.7"

    @property
    def is_pod(self) -> bool:
        """Whether policies of this namespace can name it by labels."""
        return bool(self.labels)


def may_reach(policies: Iterable[Policy], source: Peer, target: Peer, port: int, protocol: str = "TCP") -> bool:
    """Whether a connection from one to the other passes: out of the source, and into the target.

    A pod that no policy selects for a direction is open in it; one that any selects takes only what some rule allows.
    All pods are in the namespace of the policies.
    """
    known = list(policies)
    return _passes(known, "Egress", source, target, target, port, protocol) and _passes(
        known, "Ingress", target, source, target, port, protocol
    )


def selects(selector: dict[str, Any], labels: dict[str, str]) -> bool:
    """Whether a label selector matches; an empty one matches everything."""
    if any(labels.get(key) != value for key, value in selector.get("matchLabels", {}).items()):
        return False
    return all(_matches(expression, labels) for expression in selector.get("matchExpressions", []))


def _matches(expression: dict[str, Any], labels: dict[str, str]) -> bool:
    value, values = labels.get(expression["key"]), expression.get("values", [])
    match expression["operator"]:
        case "In":
            return value in values
        case "NotIn":
            return value not in values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
    raise ValueError(expression["operator"])


def _passes(
    policies: list[Policy], direction: str, ruled: Peer, other: Peer, target: Peer, port: int, protocol: str
) -> bool:
    specs = [policy["spec"] for policy in policies if _rules(policy["spec"], direction, ruled)]
    if not specs:
        return True
    who = "to" if direction == "Egress" else "from"
    rules: Iterator[dict[str, Any]] = (rule for spec in specs for rule in spec.get(direction.lower(), []))
    return any(_names(rule, who, other) and _has_port(rule, target, port, protocol) for rule in rules)


def _rules(spec: dict[str, Any], direction: str, peer: Peer) -> bool:
    types = spec.get("policyTypes", ["Ingress", *(["Egress"] if "egress" in spec else [])])
    return peer.is_pod and direction in types and selects(spec["podSelector"], peer.labels)


def _names(rule: dict[str, Any], who: str, peer: Peer) -> bool:
    return not rule.get(who) or any(_is(one, peer) for one in rule[who])


def _is(one: dict[str, Any], peer: Peer) -> bool:
    if "ipBlock" in one:
        block, address = one["ipBlock"], ip_address(peer.address)
        inside = [block["cidr"], *block.get("except", [])]
        first, *rest = (
            network.version == address.version and address in network for network in map(ip_network, inside)
        )
        return first and not any(rest)
    if "namespaceSelector" in one:
        raise ValueError("namespaceSelector is not modelled")
    return peer.is_pod and selects(one["podSelector"], peer.labels)


def _has_port(rule: dict[str, Any], target: Peer, port: int, protocol: str) -> bool:
    if not rule.get("ports"):
        return True
    for one in rule["ports"]:
        number = target.ports.get(one["port"]) if isinstance(one.get("port"), str) else one.get("port", port)
        if one.get("protocol", "TCP") == protocol and number == port:
            return True
    return False
