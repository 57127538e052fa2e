"""The cluster that E2E_CONTEXT names: what it is asked about itself, and the namespaces that a run makes in it."""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

from e2e.files import CLASS
from e2e.kubectl import Kubectl
from e2e.names import Names
from e2e.options import Options

OURS = {"app.kubernetes.io/managed-by": "gristmill-e2e"}
"""Label of every namespace, by which those of a run that was killed are found."""
RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


class Cluster:
    """One run on one cluster. suffix: in the name of all that it makes there."""

    def __init__(self, options: Options, names: Names) -> None:
        self.options, self.names = options, names
        self.kubectl = Kubectl(options.context)
        self.suffix = secrets.token_hex(3)

    @cached_property
    def version(self) -> str:
        """Of Kubernetes."""
        return str(self._node["status"]["nodeInfo"]["kubeletVersion"])

    @cached_property
    def node_address(self) -> str:
        """Where NodePorts are reached: E2E_NODE, else the external address of a node, else the internal one."""
        found = {one["type"]: one["address"] for one in self._node["status"]["addresses"]}
        return self.options.node or str(found.get("ExternalIP") or found["InternalIP"])

    @cached_property
    def ingress_class(self) -> str:
        """The class that the files name if the cluster has it, else the first that it has."""
        names = [one["metadata"]["name"] for one in self.kubectl.get("ingressclasses")]
        return CLASS if CLASS in names or not names else str(names[0])

    def host(self, namespace: Kubectl, environment: str) -> str:
        """A name for an Ingress that nothing else has."""
        return f"{environment}.{namespace.namespace}.example"

    @contextmanager
    def namespace(self, name: str) -> Iterator[Kubectl]:
        """A namespace with Pod Security `restricted`; it is deleted afterwards, unless E2E_KEEP says otherwise."""
        kubectl = self.kubectl.within(f"gristmill-e2e-{self.suffix}-{name}")
        made = {"name": kubectl.namespace, "labels": OURS | RESTRICTED}
        self.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": made})
        try:
            yield kubectl
        finally:
            if not self.options.keep:
                self._delete(kubectl)

    def _delete(self, kubectl: Kubectl) -> None:
        """The pods first, at once and not by their owners: a namespace would wait for half of their grace period."""
        kubectl("delete", "deployments,replicasets", "--all", "--cascade=orphan", check=False)
        kubectl("delete", "pods", "--all", "--grace-period=1", "--wait=false", check=False)
        kubectl("wait", "--for=delete", "pods", "--all", "--timeout=60s", check=False)
        self.kubectl("delete", "namespace", kubectl.namespace, "--timeout=300s", seconds=310)

    @cached_property
    def _node(self) -> dict[str, Any]:
        return dict(self.kubectl.get("nodes")[0])
