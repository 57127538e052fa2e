"""A real Docker Engine, where one answers: the image, built once, and containers of it that are gone afterwards."""

import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from support import dockerfile

REPOSITORY = Path(__file__).parents[2]
IMAGE = "gristmill-under-test:1"
# What a container of ours gets in the cluster, and no more.
HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


def docker(*arguments: str, check: bool = True, seconds: float = 60) -> subprocess.CompletedProcess[str]:
    """Run the client; its standard output and error are in the answer, and in the failure."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=seconds, check=False)
    assert not check or done.returncode == 0, f"docker {' '.join(arguments)}\n{done.stdout}{done.stderr}"
    return done


@functools.cache
def why_missing() -> str:
    """Say why no image can be built here, or return ""."""
    if shutil.which("docker") is None:
        return "docker is not installed"
    if docker("version", check=False).returncode:
        return "no Docker Engine answers (docker version)"
    arguments = dockerfile.read(REPOSITORY / "Dockerfile").arguments
    base = arguments["BASE_IMAGE"].replace("${PYTHON_VERSION}", arguments["PYTHON_VERSION"])
    return why_not_there(base)


def why_not_there(image: str) -> str:
    """Say why an image is neither here nor can be pulled, or return ""."""
    if docker("image", "inspect", image, check=False).returncode == 0:
        return ""
    try:
        pulled = docker("pull", "--quiet", image, check=False, seconds=120)
    except subprocess.TimeoutExpired:
        return f"{image} is not here, and was not pulled within 120 s"
    said = (pulled.stderr.strip().splitlines() or ["no reason given"])[-1]
    return f"{image} is not here and cannot be pulled: {said}" if pulled.returncode else ""


@functools.cache
def why_no_compose() -> str:
    """Say why the development environment cannot be started here, or return ""."""
    if reason := why_missing() or why_not_there("redis:7-bookworm"):
        return reason
    has_plugin = docker("compose", "version", check=False).returncode == 0
    return "" if has_plugin or shutil.which("docker-compose") else "there is no Docker Compose"


@contextmanager
def alone(what: str) -> Iterator[None]:
    """Wait until no other test process of this user does the same."""
    with Path(tempfile.gettempdir(), f"gristmill-{what}-{os.getuid()}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def copy_context(to: Path) -> None:
    """Copy what an image is built of, to change it there."""
    ignored = shutil.ignore_patterns(".git", ".venv*", "data", "bench", "__pycache__", ".*_cache", ".hypothesis")
    shutil.copytree(REPOSITORY, to, ignore=ignored)


def built(folder: Path = REPOSITORY, name: str = IMAGE) -> str:
    """Build the image of a folder, and return its name. What was built before is kept by the engine."""
    with alone("build"):
        done = subprocess.run(
            [str(folder / "tools" / "build-image"), name], capture_output=True, text=True, timeout=900, check=False
        )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]
    return name


def inspected(name: str) -> dict[str, Any]:
    """What the engine knows of an image or a container."""
    return dict(json.loads(docker("inspect", name).stdout)[0])


@dataclass(frozen=True)
class Container:
    """A container that runs, by its name."""

    name: str

    @property
    def state(self) -> dict[str, Any]:
        return dict(inspected(self.name)["State"])

    @property
    def health(self) -> str:
        return str(self.state["Health"]["Status"])

    @property
    def log(self) -> str:
        done = docker("logs", self.name)
        return done.stdout + done.stderr

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command beside what runs in it."""
        return docker("exec", self.name, *command, check=check)


@contextmanager
def container(image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
    """Start a container with nothing that it need not have, and remove it."""
    made = Container(f"gristmill-test-{uuid.uuid4().hex[:12]}")
    docker("run", "--detach", "--name", made.name, *HARDENED, *options, image, *command)
    try:
        yield made
    finally:
        docker("rm", "--force", "--volumes", made.name, check=False)
