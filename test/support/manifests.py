"""The files of ``kubernetes/`` as the tests see them: read strictly, and the questions asked of many of them."""

import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from gristmill.settings import Settings
from gristmill.settings_table import load as load_settings

FOLDER = Path(__file__).parents[2] / "kubernetes"
ENVIRONMENTS = ("test", "prod")
PLACEHOLDER = "gristmill/gristmill"
"""The repository of our image as shipped; teams name their own."""
LABEL = "app.kubernetes.io/"
EDIT = "# EDIT: "
"""Marks the two values that a newcomer edits."""
SHIPPED_HOSTS = {"test": "gristmill-test.example.org", "prod": "gristmill.example.org"}

Manifest = dict[str, Any]

_UNITS = {"": 1, "m": 1e-3, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "k": 10**3, "M": 10**6, "G": 10**9}
_REDIS_UNITS = {"": 1, "b": 1, "kb": 2**10, "mb": 2**20, "gb": 2**30}


class _Strict(yaml.SafeLoader):
    """Refuses what a reader could overlook: two equal keys, of which one wins, and values that stand elsewhere."""

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise yaml.YAMLError(f"an anchor or alias {event.start_mark}")
        return super().compose_node(parent, index)

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [key.value for key, _ in node.value]
        if len(keys) != len(set(keys)):
            raise yaml.YAMLError(f"a key stands twice {node.start_mark}")
        return super().construct_mapping(node, deep)


def load(text: str) -> Manifest:
    """The one object of a file. Raises yaml.YAMLError for several, equal keys, tabs, and anchors."""
    return yaml.load(text, _Strict)


@cache
def read(path: Path) -> Manifest:
    """The object of a file: one for all who ask, so not to be changed."""
    return load(path.read_text("utf-8"))


def paths(environment: str) -> list[Path]:
    """The files that are applied together."""
    return sorted((FOLDER / environment).iterdir())


def all_paths() -> list[Path]:
    """Every file below ``kubernetes/``."""
    return sorted(path for path in FOLDER.rglob("*") if path.is_file())


def manifest(environment: str, kind_and_component: str) -> Manifest:
    """One object by the end of its file's name, such as ``deployment-flask``; ``pod-debug`` lies in another folder."""
    folder = FOLDER / ("debug" if kind_and_component == "pod-debug" else environment)
    return read(folder / f"app-{environment}-{kind_and_component}.yml")


def manifests(environment: str, *, debug: bool = False) -> Iterator[Manifest]:
    """All objects of an environment; with its debug pod, or without."""
    for path in paths(environment):
        yield read(path)
    if debug:
        yield manifest(environment, "pod-debug")


def marked(environment: str) -> dict[str, set[str]]:
    """The values that a newcomer edits, by key, as they stand before their mark."""
    found: dict[str, set[str]] = {}
    for path in [*paths(environment), FOLDER / "debug" / f"app-{environment}-pod-debug.yml"]:
        for key, value in re.findall(rf"^ *(?:- )?(\w+): (\S+) {EDIT}", path.read_text("utf-8"), re.MULTILINE):
            found.setdefault(key, set()).add(value)
    return found


def copy_as_shipped(to: Path) -> None:
    """Copy ``kubernetes/`` into a folder, with the values that a newcomer finds."""
    shutil.copytree(FOLDER, to / "kubernetes")
    for environment in ENVIRONMENTS:
        (image,), (host,) = marked(environment)["image"], marked(environment)["host"]
        for path in (to / "kubernetes").rglob(f"app-{environment}-*"):
            text = path.read_text("utf-8").replace(image, f"{PLACEHOLDER}:0.1.0")
            path.write_text(text.replace(host, SHIPPED_HOSTS[environment]), "utf-8")


@dataclass(frozen=True)
class Pods:
    """What makes the pods of one component. most: of them at a time, while they are updated too."""

    environment: str
    component: str
    labels: dict[str, str]
    spec: Manifest
    count: int
    most: int

    @property
    def container(self) -> Manifest:
        """The only container."""
        (only,) = self.spec["containers"]
        return only

    @property
    def variables(self) -> dict[str, str]:
        """The environment of the container."""
        return {one["name"]: one["value"] for one in self.container["env"]}

    @property
    def settings(self) -> Settings:
        """As the component would read them. ConfigurationError."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            return load_settings()

    def request(self, resource: str) -> float:
        """What one pod asks for: bytes, or cores."""
        return quantity(self.container["resources"]["requests"][resource])

    def limit(self, resource: str) -> float:
        """What one pod may use: bytes, or cores."""
        return quantity(self.container["resources"]["limits"][resource])


@cache
def pods(environment: str) -> dict[str, Pods]:
    """All that runs, by component, the debug pod included."""
    return {one.component: one for made in manifests(environment, debug=True) for one in _pods_of(environment, made)}


def _pods_of(environment: str, made: Manifest) -> Iterator[Pods]:
    spec, count, more = made.get("spec", {}), 1, 0
    if made["kind"] == "Deployment":
        count, template = spec.get("replicas", 1), spec["template"]  # without: as an autoscaler says
        more = spec["strategy"].get("rollingUpdate", {}).get("maxSurge", 0)
    elif made["kind"] == "CronJob":
        template = spec["jobTemplate"]["spec"]["template"]
    elif made["kind"] == "Pod":
        template = made
    else:
        return
    labels = template["metadata"]["labels"]
    yield Pods(environment, labels[f"{LABEL}component"], labels, template["spec"], count, count + more)


def quantity(text: str) -> float:
    """A Kubernetes quantity as a number: bytes, cores."""
    found = re.fullmatch(r"([0-9.]+)([A-Za-z]*)", str(text))
    assert found, f"{text!r} is no quantity"
    return float(found[1]) * _UNITS[found[2]]


def redis_bytes(text: str) -> int:
    """A size as Redis writes it."""
    found = re.fullmatch(r"([0-9]+)([a-z]*)", text)
    assert found, f"{text!r} is no size"
    return int(found[1]) * _REDIS_UNITS[found[2]]


def argument(args: list[str], name: str) -> str:
    """The word after an option."""
    return args[args.index(name) + 1]


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Every plain value with its path; what is in a list is called by its ``name``, where it has one."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from leaves(inner, f"{path}.{key}" if path else key)
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            name = inner.get("name", index) if isinstance(inner, dict) and len(inner) > 1 else index
            yield from leaves(inner, f"{path}[{name}]")
    else:
        yield path, value
