"""What tools/build-image asks of a builder, by what it can do: with a client that writes down what it is told.

The builds themselves are tried with the real engine in test_image.py, which has no BuildKit on containerd.
"""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[1]
ON_CONTAINERD = '[["driver-type","io.containerd.snapshotter.v1"]]'
CLIENT = """#!/bin/sh
case "$1 $2" in
  "buildx version") exit $BUILDX ;;
  "info "*) echo "$STATUS" ;;
  "build "*) echo "$@" >"$TOLD" ;;
  "image inspect") echo 1000000 ;;
esac
"""


@pytest.mark.parametrize(
    ("has_buildx", "status", "settings", "is_attested", "told"),
    [
        (True, ON_CONTAINERD, {}, True, "beside the image"),
        (True, '[["Backing Filesystem","extfs"]]', {}, False, "skipped"),
        (False, ON_CONTAINERD, {}, False, "skipped"),
        (True, ON_CONTAINERD, {"DOCKER_BUILDKIT": "0"}, False, "skipped"),
        (True, ON_CONTAINERD, {"ATTEST": "0"}, False, "left out"),
    ],
)
def test_what_an_image_is_made_of_is_written_beside_it_where_the_builder_can_and_else_said_to_be_skipped(
    tmp_path: Path, has_buildx: bool, status: str, settings: dict[str, str], is_attested: bool, told: str
) -> None:
    settings |= {"BUILDX": str(int(not has_buildx)), "STATUS": status}
    asked, printed = built(REPOSITORY, tmp_path, settings)
    assert ({"--sbom=true", "--provenance=mode=max"} <= set(asked)) is is_attested
    assert f"SBOM and provenance: {told}" in printed


@pytest.mark.parametrize("change", ["nothing", "a file that git knows", "a new file"])
def test_the_revision_says_whether_all_of_it_is_committed(tmp_path: Path, change: str) -> None:
    folder = tmp_path / "clone"
    (folder / "tools").mkdir(parents=True)
    for name in ("tools/build-image", "pyproject.toml"):
        shutil.copy(REPOSITORY / name, folder / name)
    for words in (["init", "--quiet"], ["add", "."], ["commit", "--quiet", "--message", "All of it"]):
        subprocess.run(["git", "-c", "user.name=A", "-c", "user.email=a@b.example", *words], cwd=folder, check=True)
    if change != "nothing":
        name = "pyproject.toml" if change == "a file that git knows" else "processes.py"
        with (folder / name).open("a") as file:
            file.write("# changed\n")

    asked, _ = built(folder, tmp_path, {"BUILDX": "1"})

    (revision,) = [word.removeprefix("REVISION=") for word in asked if word.startswith("REVISION=")]
    assert re.fullmatch("[0-9a-f]{40}(-dirty)?", revision)
    assert revision.endswith("-dirty") is (change != "nothing")


@pytest.mark.parametrize(
    ("base", "whole"),
    [
        ("python:3.13-slim", "docker.io/library/python:3.13-slim"),
        ("team/python:3.13", "docker.io/team/python:3.13"),
        ("registry.example.org/python:3.13", "registry.example.org/python:3.13"),
        ("localhost:5000/team/python:3.13", "localhost:5000/team/python:3.13"),
        ("localhost/python:3.13", "localhost/python:3.13"),
    ],
)
def test_the_label_of_another_base_names_its_registry(tmp_path: Path, base: str, whole: str) -> None:
    asked, _ = built(REPOSITORY, tmp_path, {"BUILDX": "1", "BASE_IMAGE": base})
    assert {f"BASE_IMAGE={base}", f"BASE_NAME={whole}"} <= set(asked)


def built(folder: Path, tmp_path: Path, settings: dict[str, str]) -> tuple[list[str], str]:
    """What the builder was asked, and what was printed."""
    client = tmp_path / "client"
    client.write_text(CLIENT)
    client.chmod(0o755)
    own = {"DOCKER_BUILDKIT", "ATTEST", "REVISION", "CREATED", "SOURCE", "BASE_IMAGE", "PYTHON_VERSION"}
    known = {name: value for name, value in os.environ.items() if name not in own}
    known |= {"DOCKER": str(client), "TOLD": str(tmp_path / "told")} | settings
    done = subprocess.run(
        [folder / "tools" / "build-image", "some/name:1.0.0"],
        env=known,
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    return (tmp_path / "told").read_text().split(), done.stdout
