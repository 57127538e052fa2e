"""The commands that a person types: kubectl, in one context and one namespace."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

Done = subprocess.CompletedProcess[str]


@dataclass(frozen=True)
class Kubectl:
    """kubectl in a context, and in a namespace unless that is ""."""

    context: str
    namespace: str = ""

    def within(self, namespace: str) -> "Kubectl":
        """The same cluster, in this namespace."""
        return replace(self, namespace=namespace)

    def command(self, *words: str) -> list[str]:
        """The whole command, for a process of the caller's own."""
        where = [f"--namespace={self.namespace}"] if self.namespace else []
        return ["kubectl", f"--context={self.context}", *where, *words]

    def __call__(self, *words: str, stdin: str = "", check: bool = True, seconds: float = 120) -> Done:
        """Run it; a failure is an AssertionError with all that was said, unless ``check`` is false."""
        done = subprocess.run(
            self.command(*words), input=stdin, capture_output=True, text=True, timeout=seconds, check=False
        )
        said = f"{done.stdout[-4000:]}{done.stderr[-4000:]}"
        assert not check or done.returncode == 0, f"kubectl {' '.join(words)}: exit code {done.returncode}\n{said}"
        return done

    def get(self, *words: str) -> Any:
        """The object of ``kubectl get``, or the list's items."""
        found = json.loads(self("get", *words, "--output=json").stdout)
        return found["items"] if found["kind"] == "List" else found

    def apply(self, *objects: dict[str, Any]) -> None:
        """Apply objects that no file holds."""
        text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects})
        self("apply", "--filename=-", stdin=text)

    @contextmanager
    def running(self, *pods: dict[str, Any], seconds: float = 120) -> Iterator[None]:
        """Pods that are made, are Ready, and go again."""
        names = [f"pod/{pod['metadata']['name']}" for pod in pods]
        self.apply(*pods)
        try:
            self("wait", "--for=condition=Ready", *names, f"--timeout={seconds:.0f}s", seconds=seconds + 10)
            yield
        finally:
            self("delete", *names, "--ignore-not-found", "--wait=false", check=False)
