"""What the environment variables ``E2E_...`` say about the cluster; CONTRIBUTING.md tells what each means."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Options:
    """How this cluster is reached. context: of the kubeconfig; "" for no cluster at all.

    load, registry: how images get there, one of the two. ingress: URL of the Ingress controller, node: an address of a
    node; "" where the cluster is to be asked. keep: leave the namespaces. json: where to write the table, or None.
    """

    context: str = ""
    load: str = ""
    registry: str = ""
    ingress: str = ""
    node: str = ""
    keep: bool = False
    json: Path | None = None


def read(environ: Mapping[str, str] = os.environ) -> Options:
    """The options. ValueError says what is missing for the cluster that is named."""
    path = environ.get("E2E_JSON", "")
    options = Options(
        context=environ.get("E2E_CONTEXT", ""),
        load=environ.get("E2E_LOAD", ""),
        registry=environ.get("E2E_REGISTRY", "").rstrip("/"),
        ingress=environ.get("E2E_INGRESS", "").rstrip("/"),
        node=environ.get("E2E_NODE", ""),
        keep=environ.get("E2E_KEEP", "") not in {"", "0"},
        json=Path(path) if path else None,
    )
    if options.context and bool(options.load) == bool(options.registry):
        raise ValueError(
            "Say how images get to the cluster: either E2E_LOAD, a command such as 'kind load docker-image {image}', "
            "or E2E_REGISTRY, where to push them, such as registry.example.org/team."
        )
    return options


def why_not(environ: Mapping[str, str] = os.environ) -> str:
    """Say why there is nothing to run the tests on, or return ""."""
    if not environ.get("E2E_CONTEXT"):
        return "E2E_CONTEXT names no cluster (CONTRIBUTING.md, `make e2e`)"
    if "PYTEST_XDIST_WORKER" in environ:
        return "these tests share one cluster: run them by `make e2e`"
    return ""
