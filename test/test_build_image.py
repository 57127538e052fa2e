"""What tools/build-image asks of a builder, by what it can do: with a client that writes down what it is told.

The builds themselves are tried with the real engine in test_image.py, which has no BuildKit on containerd.
"""

import os
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
    client = tmp_path / "client"
    client.write_text(CLIENT)
    client.chmod(0o755)
    known = {name: value for name, value in os.environ.items() if name not in {"DOCKER_BUILDKIT", "ATTEST"}}
    known |= {"DOCKER": str(client), "BUILDX": str(int(not has_buildx)), "STATUS": status} | settings
    done = subprocess.run(
        [REPOSITORY / "tools" / "build-image", "some/name:1.0.0"],
        env=known | {"TOLD": str(tmp_path / "told")},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )

    asked = (tmp_path / "told").read_text().split()
    assert ({"--sbom=true", "--provenance=mode=max"} <= set(asked)) is is_attested
    assert f"SBOM and provenance: {told}" in done.stdout
