"""The image that is built here: what is in it, and how it behaves in a container with nothing that it need not have."""

import time
from pathlib import Path

import pytest
from support import docker, wait_until

from gristmill import __version__
from gristmill.processes import load_registry

BASE = "org.opencontainers.image."
# A server that nothing answers for: components start without it, and wait.
NO_REDIS = ("--env", "REDIS_URL=redis://127.0.0.1:1/0", "--env", "GRISTMILL_CHILDREN=1")

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def image() -> str:
    if reason := docker.why_missing():
        pytest.skip(reason)
    return docker.built()


def shell(image: str, script: str) -> str:
    return docker.docker("run", "--rm", "--user", "0", "--entrypoint", "sh", image, "-ec", script).stdout


def test_the_labels_say_what_it_is_and_where_it_comes_from(image: str) -> None:
    labels = docker.inspected(image)["Config"]["Labels"]
    assert labels[BASE + "title"] == "Gristmill"
    assert labels[BASE + "version"] == __version__
    assert labels[BASE + "licenses"] == "Apache-2.0"
    assert labels[BASE + "base.name"].startswith("docker.io/library/python:3.")
    assert {"source", "revision", "created"} <= {name.removeprefix(BASE) for name in labels}
    assert "@" not in labels[BASE + "source"]


def test_it_runs_as_a_number_with_a_health_check_of_its_own(image: str) -> None:
    config = docker.inspected(image)["Config"]
    assert config["User"] == "10001:10001"
    assert (config["Entrypoint"], config["Cmd"]) == (["gristmill"], ["api"])
    assert config["Healthcheck"]["Test"] == ["CMD", "gristmill", "check"]


def test_nothing_is_in_it_that_only_builds_or_tests_need(image: str) -> None:
    found = shell(
        image,
        """
        for tool in gcc cc make git curl wget pytest hatchling; do command -v $tool || true; done
        find / -xdev \\( -name .git -o -path '/root/.cache/?*' -o -path '/tmp/?*' -o -path '/var/lib/apt/lists/*_*' \\)
        find /opt /app -type d \\( -name tests -o -name pip \\)
        ls -d /build /suite /package /dependencies 2>/dev/null || true
        """,
    )
    assert found == ""


def test_nobody_but_root_can_change_what_is_in_it(image: str) -> None:
    assert shell(image, "find / -xdev ! -type l \\( -user 10001 -o -perm -o+w \\) ! -perm -1000") == ""


def test_bytecode_is_there_for_every_module_and_is_never_checked(image: str) -> None:
    script = """
import importlib.util, pathlib, sysconfig
folders = [pathlib.Path("/opt/venv/lib"), pathlib.Path(sysconfig.get_path("stdlib"), "asyncio")]
sources = [path for folder in folders for path in folder.rglob("*.py")]
kinds = {pathlib.Path(importlib.util.cache_from_source(path)).read_bytes()[4] for path in sources}
print(len(sources), kinds)
"""
    count, kinds = docker.docker("run", "--rm", "--entrypoint", "python", image, "-c", script).stdout.split()
    assert int(count) > 2000
    assert kinds == "{1}"


def test_dependencies_and_base_stay_when_the_source_changes(image: str, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    docker.copy_context(copy)
    changed = copy / "src" / "gristmill" / "probe.py"
    changed.write_text(changed.read_text() + "\n# another release\n")
    layers = docker.inspected(image)["RootFS"]["Layers"]
    others = docker.inspected(docker.built(copy, "gristmill-under-test:2"))["RootFS"]["Layers"]
    docker.docker("rmi", "gristmill-under-test:2")
    different = [number for number, (one, other) in enumerate(zip(layers, others, strict=True)) if one != other]
    assert len(different) == 1
    assert different[0] >= len(layers) - 2  # WORKDIR may add an empty layer


def test_it_is_small(image: str) -> None:
    base = docker.inspected(image)["Config"]["Labels"][BASE + "base.name"].removeprefix("docker.io/library/")
    assert docker.inspected(image)["Size"] - docker.inspected(base)["Size"] < 380 * 10**6


@pytest.mark.parametrize("user", ["10001:10001", "4242:4242"])
def test_commands_work_with_nothing_but_tmp_as_any_user(image: str, user: str) -> None:
    done = docker.docker("run", "--rm", *docker.HARDENED, "--network", "none", "--user", user, image, "version")
    assert done.stdout.startswith(f"gristmill {__version__} (Python 3.")
    offered = docker.docker("run", "--rm", *docker.HARDENED, "--network", "none", "--user", user, image, "processes")
    assert set(load_registry(docker.REPOSITORY / "processes")) <= set(offered.stdout.split())
    assert "Warning" not in offered.stderr


@pytest.mark.parametrize(("component", "other", "name"), [("api", "worker", "API"), ("worker", "api", "worker")])
def test_a_component_becomes_healthy_and_ends_with_0_when_it_is_told_to(
    image: str, component: str, other: str, name: str
) -> None:
    with docker.container(image, component, options=("--user", "10001", *NO_REDIS)) as running:
        wait_until(lambda: running.health == "healthy", 120, f"the {component} is healthy", every=0.5)
        assert running.run("gristmill", component, "--check").stdout == f"The {name} is well.\n"
        assert running.run("gristmill", other, "--check", check=False).returncode == 1
        began = time.monotonic()
        docker.docker("stop", "--time", "60", running.name, seconds=90)
        took = time.monotonic() - began
        assert (running.state["ExitCode"], running.state["OOMKilled"]) == (0, False), running.log
    assert took < 10


def test_a_component_that_cannot_start_says_why_and_ends(image: str) -> None:
    done = docker.docker("run", "--rm", *docker.HARDENED, image, "api", check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("gristmill: No server: REDIS_URL is not set")
