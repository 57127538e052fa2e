"""Pods that run, and what is tried from inside them."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from e2e.kubectl import Done, Kubectl

# Bash alone, since Redis' image has no other means. Nobody there is a refusal, and a policy that drops packets silence.
_REACH = """
if timeout 3 bash -c 'exec 3<>"/dev/tcp/$0/$1"' "$0" "$1"; then echo reached; else echo not reached; fi
"""


@dataclass(frozen=True)
class Pod:
    """A pod by its name."""

    kubectl: Kubectl
    name: str

    @property
    def document(self) -> dict[str, Any]:
        """What the cluster knows of it."""
        return dict(self.kubectl.get(f"pod/{self.name}"))

    @property
    def address(self) -> str:
        """Its own, inside the cluster."""
        return str(self.document["status"]["podIP"])

    @property
    def restarts(self) -> int:
        """How often its only container was started again."""
        (only,) = self.document["status"]["containerStatuses"]
        return int(only["restartCount"])

    def command(self, *words: str) -> list[str]:
        """The command that runs another one inside."""
        return self.kubectl.command("exec", f"pod/{self.name}", "--", *words)

    def exec(self, *words: str, stdin: str = "", check: bool = True, seconds: float = 120) -> Done:
        """Run a command inside."""
        given = ["--stdin"] if stdin else []
        return self.kubectl("exec", *given, f"pod/{self.name}", "--", *words, stdin=stdin, check=check, seconds=seconds)

    def reaches(self, host: str, port: int) -> bool:
        """Whether a connection from inside to there is taken."""
        done = self.exec("bash", "-c", _REACH, host, str(port))
        said = done.stdout.strip()
        assert said in {"reached", "not reached"}, said + done.stderr
        return said == "reached"


def serving(name: str, image: str) -> dict[str, Any]:
    """A pod that has nothing to do with us, but for the image, and serves pages at port 8000."""
    allowed = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    server = {
        "name": "web",
        "image": image,
        "command": ["python", "-m", "http.server", "8000", "--directory", "/opt"],
        "ports": [{"containerPort": 8000}],
        "readinessProbe": {"tcpSocket": {"port": 8000}, "periodSeconds": 1},
        "resources": {"requests": {"cpu": "10m", "memory": "32Mi"}, "limits": {"cpu": "500m", "memory": "128Mi"}},
        "securityContext": allowed,
    }
    spec = {
        "automountServiceAccountToken": False,
        "terminationGracePeriodSeconds": 1,
        "securityContext": {
            "runAsNonRoot": True, "runAsUser": 20002, "runAsGroup": 20002, "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [server],
    }  # fmt: skip
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}}, "spec": spec}


def service(name: str) -> dict[str, Any]:
    """The Service of such a pod, at port 80."""
    spec = {"selector": {"app": name}, "ports": [{"port": 80, "targetPort": 8000}]}
    return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": name}, "spec": spec}


@contextmanager
def stranger(kubectl: Kubectl, image: str, name: str = "stranger") -> Iterator[Pod]:
    """Somebody else's pod in a namespace, which serves and asks."""
    with kubectl.running(serving(name, image)):
        yield Pod(kubectl, name)
