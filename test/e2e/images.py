"""The project's image in two releases, and the Redis image, where the cluster gets them from."""

import hashlib
import re
import shlex
import subprocess
import tempfile
from functools import cached_property
from pathlib import Path
from typing import Any

from support import docker
from support.manifests import pods

from e2e.kubectl import Kubectl
from e2e.options import Options

_MINUTES = 15 * 60.0


class Images:
    """What this source builds, and a later release of it.

    The tag is the version, as ever; the repository is named by the layers of the image, so that a cluster that has the
    image of another source under its name is never mistaken.
    """

    def __init__(self, options: Options, kubectl: Kubectl) -> None:
        self._options, self._kubectl = options, kubectl

    @cached_property
    def repository(self) -> str:
        """Where the image of both releases is, without a tag."""
        layers = "".join(self._built["RootFS"]["Layers"])
        digest = hashlib.sha256(layers.encode()).hexdigest()[:12]
        return f"{self._options.registry or 'gristmill'}/e2e-{digest}-gristmill"

    @cached_property
    def first(self) -> str:
        """The version of this source; its image is where the cluster gets it from."""
        version = _version(docker.REPOSITORY)
        self._deliver_as(self._built["Id"], version)
        return version

    @cached_property
    def later(self) -> str:
        """The version of a later release of the same source; its image is where the cluster gets it from."""
        major, minor, _ = self.first.split(".")
        version = f"{major}.{int(minor) + 1}.0"
        with tempfile.TemporaryDirectory() as folder:
            copy = Path(folder, "later")
            docker.copy_context(copy)
            _set_version(copy, version)
            self._deliver_as(docker.built(copy, "gristmill-under-test:later"), version)
        return version

    def deliver_redis(self) -> None:
        """See to it that the cluster has the Redis image; where it has a registry of its own, it pulls that itself."""
        if self._options.load:
            image = pods("test")["redis"].container["image"]
            assert not docker.why_not_there(image), docker.why_not_there(image)
            self._deliver(image)

    @cached_property
    def _built(self) -> dict[str, Any]:
        return docker.inspected(docker.built())

    def _deliver_as(self, built: str, version: str) -> None:
        image = f"{self.repository}:{version}"
        docker.docker("tag", built, image)
        self._deliver(image)

    def _deliver(self, image: str) -> None:
        if self._options.registry:
            docker.docker("push", image, seconds=_MINUTES)
        elif not self._is_on_every_node(image):
            self._load(image)

    def _load(self, image: str) -> None:
        with tempfile.TemporaryDirectory() as folder:
            archive = Path(folder, "image.tar")
            if "{archive}" in self._options.load:
                docker.docker("save", "--output", str(archive), image, seconds=_MINUTES)
            command = load_command(self._options.load, image, archive)
            done = subprocess.run(command, capture_output=True, text=True, timeout=_MINUTES, check=False)
        assert done.returncode == 0, f"{shlex.join(command)}\n{done.stdout}{done.stderr}"

    def _is_on_every_node(self, image: str) -> bool:
        nodes = self._kubectl.get("nodes")
        return all(_has(node, image) for node in nodes)


def load_command(text: str, image: str, archive: Path) -> list[str]:
    """The command of E2E_LOAD for an image: its name comes last, unless a placeholder says where, or what else."""
    words = shlex.split(text)
    if not any(placeholder in text for placeholder in ("{image}", "{archive}")):
        words.append("{image}")
    return [word.replace("{image}", image).replace("{archive}", str(archive)) for word in words]


def _has(node: dict[str, Any], image: str) -> bool:
    names = {name for one in node["status"].get("images") or [] for name in one.get("names") or []}
    return not names.isdisjoint({image, f"docker.io/{image}", f"docker.io/library/{image}"})


def _version(folder: Path) -> str:
    found = re.search(r'^version = "(.+)"$', (folder / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert found
    return found[1]


def _set_version(folder: Path, version: str) -> None:
    path = folder / "pyproject.toml"
    path.write_text(path.read_text("utf-8").replace(f'version = "{_version(folder)}"', f'version = "{version}"', 1))
