"""Copies of ``kubernetes/`` with a deployment's own values, made by the commands of docs/deploy.md."""

import re
from pathlib import Path

from support import deploy_docs
from support.manifests import SHIPPED_HOSTS, copy_as_shipped

CLASS = "nginx"
"""The Ingress class that the files name as shipped."""


class Files:
    """A copy in ``folder`` of both environments and their debug pods."""

    def __init__(self, folder: Path, *, repository: str, hosts: dict[str, str], ingress_class: str = CLASS) -> None:
        self.folder = folder
        copy_as_shipped(folder)
        own = {"registry.example.org/team/gristmill": repository}
        for environment, host in hosts.items():
            said = SHIPPED_HOSTS[environment].removeprefix("grist")
            own[f"#{said}#"] = f"#{host}#"
        deploy_docs.edit(folder, "example.org", own)
        if ingress_class != CLASS:
            for path in folder.rglob("*-ingress-flask.yml"):
                text = path.read_text("utf-8")
                path.write_text(re.sub(r"(?<=ingressClassName: )\S+", ingress_class, text), "utf-8")

    def set_release(self, environment: str, version: str) -> None:
        """Write another tag into an environment's files, as for a new version by hand."""
        own = {"0.2.0": version, "kubernetes/test/": f"kubernetes/{environment}/", "app-test-": f"app-{environment}-"}
        deploy_docs.edit(self.folder, "0.2.0", own)

    def of(self, environment: str) -> Path:
        """The folder that is applied."""
        return self.folder / "kubernetes" / environment

    def debug_pod(self, environment: str) -> Path:
        """The file of the debug pod."""
        return self.folder / "kubernetes" / "debug" / f"app-{environment}-pod-debug.yml"

    def image_of(self, environment: str) -> str:
        """The image in an environment's files."""
        text = self.debug_pod(environment).read_text("utf-8")
        found = re.search(r"image: (\S+)", text)
        assert found
        return found[1]
