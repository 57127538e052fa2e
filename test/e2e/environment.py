"""An environment that is applied to a namespace, and the ways to its API."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any
from urllib.parse import urlsplit

import httpx
from support.acceptance import run as run_verify
from support.manifests import LABEL
from support.waiting import wait_until

from e2e.cluster import Cluster
from e2e.files import Files
from e2e.kubectl import Kubectl
from e2e.pods import Pod
from gristmill.verify.written import as_json

COMPONENTS = ("redis", "flask", "worker")
_STARTING = 600.0
"""Seconds, for pulling images too."""


@dataclass(frozen=True)
class Environment:
    """``test`` or ``prod`` in the namespace of ``kubectl``. host: the name of its Ingress."""

    cluster: Cluster
    kubectl: Kubectl
    files: Files
    name: str
    host: str

    def object(self, kind_and_component: str) -> str:
        """The name of one of its objects, such as ``app-test-deployment-flask`` for ``deployment-flask``."""
        return f"app-{self.name}-{kind_and_component}"

    def deployment(self, component: str) -> str:
        """How kubectl calls the Deployment of a component."""
        return f"deployment/{self.object(f'deployment-{component}')}"

    def apply(self) -> str:
        """Apply the folder; returns what kubectl said."""
        return self.kubectl("apply", f"--filename={self.files.of(self.name)}").stdout

    def start(self) -> None:
        """Apply the folder, and wait until everything in it runs."""
        self.apply()
        self.wait_rolled_out()

    def wait_rolled_out(self, *components: str, seconds: float = _STARTING) -> None:
        """Wait as a person does; a failure tells the pods and the events."""
        for component in components or COMPONENTS:
            deployment = self.deployment(component)
            done = self.kubectl(
                "rollout", "status", deployment, f"--timeout={seconds:.0f}s", check=False, seconds=seconds + 10
            )
            assert done.returncode == 0, f"{deployment}: {done.stdout}{done.stderr}\n{self.described()}"

    def restart(self, *components: str) -> None:
        """Restart these, as after a change of Secrets, and wait until they are there again."""
        self.kubectl("rollout", "restart", *map(self.deployment, components or COMPONENTS))
        self.wait_rolled_out(*components)

    def described(self) -> str:
        """The pods and the last events, for the reader of a failure."""
        pods = self.kubectl("get", "pods", "--output=wide", check=False).stdout
        events = self.kubectl("get", "events", "--sort-by=.lastTimestamp", check=False).stdout
        return pods + "\n".join(events.splitlines()[-20:])

    def pods(self, component: str) -> list[Pod]:
        """The pods of a component that are not on their way out, by name."""
        selector = f"{LABEL}instance=app-{self.name},{LABEL}component={component}"
        found = self.kubectl.get("pods", f"--selector={selector}")
        names = [it["metadata"]["name"] for it in found if "deletionTimestamp" not in it["metadata"]]
        return [Pod(self.kubectl, name) for name in sorted(names)]

    @contextmanager
    def debug_pod(self) -> Iterator[Pod]:
        """The debug pod, for as long as it is needed."""
        path = self.files.debug_pod(self.name)
        pod = Pod(self.kubectl, self.object("pod-debug"))
        self.kubectl("apply", f"--filename={path}")
        try:
            self.kubectl("wait", "--for=condition=Ready", f"pod/{pod.name}", "--timeout=120s", seconds=130)
            yield pod
        finally:
            self.kubectl("delete", f"--filename={path}", "--ignore-not-found", check=False)

    @cached_property
    def nodeport_url(self) -> str:
        """The API at a port of a node."""
        found = self.kubectl.get(f"service/{self.object('service-nodeport-flask')}")
        (port,) = found["spec"]["ports"]
        return f"http://{self.cluster.node_address}:{port['nodePort']}"

    @cached_property
    def ingress_url(self) -> str:
        """The API under the name of its Ingress, which this process knows from now on."""
        controller = urlsplit(self.cluster.options.ingress or f"http://{self._ingress_address()}")
        assert controller.hostname
        self.cluster.names.lead(self.host, controller.hostname)
        port = f":{controller.port}" if controller.port else ""
        return f"{controller.scheme}://{self.host}{port}"

    def _ingress_address(self) -> str:
        def address() -> str:
            status = self.kubectl.get(f"ingress/{self.object('ingress-flask')}")["status"]
            found = status.get("loadBalancer", {}).get("ingress") or [{}]
            return str(found[0].get("ip") or found[0].get("hostname") or "")

        return wait_until(address, 60, f"the Ingress of {self.name} has an address; else set E2E_INGRESS", every=1)

    def client(self, url: str = "", token: str = "") -> httpx.Client:
        """A client of the API; by the NodePort, unless another way is named."""
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=url or self.nodeport_url, headers=headers, timeout=60, trust_env=False)

    def verified(self, url: str, token: str = "") -> dict[str, Any]:
        """The report of ``gristmill verify URL`` from this computer."""
        wait_until(lambda: self._answers(url), 30, f"{url} answers", every=0.5)
        return dict(json.loads(as_json(run_verify(url, seconds=180, token=token))))

    def verified_inside(self, debug: Pod, token: str = "") -> dict[str, Any]:
        """The report of ``gristmill verify`` with the environment's name, from its debug pod."""
        if token:
            debug.exec("sh", "-c", "umask 077; cat > /tmp/token", stdin=token)
        options = ["--token-file", "/tmp/token"] if token else []
        done = debug.exec("gristmill", "verify", self.name, "--json", "-", *options, check=False, seconds=240)
        assert done.stdout, done.stderr
        return dict(json.loads(done.stdout))

    def _answers(self, url: str) -> bool:
        """Whether the way is there: proxies and port rules follow some time after the pods."""
        try:
            with self.client(url) as client:
                return client.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False
