"""The files of ``kubernetes/``: which there are, how they are written, and that Kubernetes takes each of them."""

import copy
import re
import subprocess
from pathlib import Path

import kubernetes_validate
import pytest
import yaml
from support import deploy_docs
from support.manifests import (
    ENVIRONMENTS,
    FOLDER,
    PLACEHOLDER,
    all_paths,
    copy_as_shipped,
    leaves,
    load,
    manifest,
    marked,
    paths,
    pods,
)  # fmt: skip

REPOSITORY = FOLDER.parent
SIXTEEN = {
    f"app-{environment}-{rest}.yml"
    for environment in ENVIRONMENTS
    for rest in (
        "deployment-flask",
        "deployment-redis",
        "deployment-worker",
        "service-flask",
        "service-nodeport-flask",
        "service-redis",
        "pvc-redis",
        "ingress-flask",
    )
}
KINDS = {
    "budget": "PodDisruptionBudget",
    "cronjob": "CronJob",
    "deployment": "Deployment",
    "ingress": "Ingress",
    "networkpolicy": "NetworkPolicy",
    "pod": "Pod",
    "pvc": "PersistentVolumeClaim",
    "service": "Service",
}
every_file = pytest.mark.parametrize("path", all_paths(), ids=lambda path: path.stem)


def versions() -> tuple[str, str]:
    """The oldest and the newest Kubernetes that the README names."""
    found = re.search(r"Kubernetes (1\.\d+) to (1\.\d+)", (REPOSITORY / "README.md").read_text("utf-8"))
    assert found
    return found[1], found[2]


def test_the_sixteen_files_of_the_design_are_there() -> None:
    assert {path.name for path in all_paths()} >= SIXTEEN


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_an_environment_has_at_most_fourteen_files(environment: str) -> None:
    assert len(paths(environment)) <= 14


@every_file
def test_a_file_is_called_by_its_environment_kind_and_component(path: Path) -> None:
    found = re.fullmatch(r"app-(test|prod)-([a-z]+)-(?:nodeport-)?([a-z]+)\.yml", path.name)
    assert found
    made = load(path.read_text("utf-8"))
    environment, kind, component = found.groups()
    assert made["metadata"]["name"] == path.stem
    assert made["kind"] == KINDS[kind]
    assert made["metadata"]["labels"]["app.kubernetes.io/component"] == component
    assert path.parent.name == ("debug" if kind == "pod" else environment)


@every_file
def test_no_file_has_more_than_120_lines_or_columns(path: Path) -> None:
    lines = path.read_text("utf-8").splitlines()
    assert len(lines) <= 120
    assert max(map(len, lines)) <= 120


@every_file
def test_a_file_holds_one_object_without_tabs_anchors_or_equal_keys(path: Path) -> None:
    text = path.read_text("utf-8")
    assert load(text)
    assert "\t" not in text
    assert text.endswith("\n")


@pytest.mark.parametrize("text", ["a: 1\na: 2\n", "a: &x 1\nb: *x\n", "a: &x 1\n", "a: 1\n---\nb: 2\n", "a:\n\tb: 1\n"])
def test_what_the_strict_reader_refuses(text: str) -> None:
    with pytest.raises(yaml.YAMLError):
        load(text)


@every_file
def test_keys_stand_in_the_usual_order_after_a_comment_that_says_what_it_is(path: Path) -> None:
    text = path.read_text("utf-8")
    assert text.startswith("# ")
    assert list(load(text)) == ["apiVersion", "kind", "metadata", "spec"]


@every_file
def test_no_file_names_a_namespace_or_holds_a_secret(path: Path) -> None:
    text = path.read_text("utf-8")
    assert "namespace:" not in text
    assert load(text)["kind"] != "Secret"


@every_file
def test_annotations_are_for_scanners_and_each_says_why(path: Path) -> None:
    text = path.read_text("utf-8")
    annotations = load(text)["metadata"].get("annotations", {})
    said = re.findall(
        r"^    (?:kube-score/ignore: [a-z,-]+ # |checkov.io/skip\d: CKV_K8S_\d+=)\w.+$", text, re.MULTILINE
    )
    assert len(said) == len(annotations)


@every_file
@pytest.mark.parametrize("end", [0, 1], ids=["oldest", "newest"])
def test_kubernetes_takes_every_field(path: Path, end: int) -> None:
    kubernetes_validate.validate(load(path.read_text("utf-8")), versions()[end], strict=True)


@every_file
def test_nothing_is_empty_since_kubernetes_drops_that_and_each_apply_would_bring_it_again(path: Path) -> None:
    assert not [where for where, value in leaves(load(path.read_text("utf-8"))) if value in ([], {}, None)]


def test_a_field_that_kubernetes_does_not_know_is_refused() -> None:
    made = copy.deepcopy(manifest("test", "service-flask"))
    made["spec"]["sesionAffinity"] = "None"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(made, versions()[1], strict=True)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_a_newcomer_edits_two_values(environment: str) -> None:
    found = marked(environment)
    assert set(found) == {"image", "host"}
    assert len(found["host"]) == len(found["image"]) == 1
    assert found["image"] == {pods(environment)["flask"].container["image"]}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_image_stands_in_three_lines_of_an_environment_and_in_its_debug_pod(environment: str) -> None:
    (image,) = marked(environment)["image"]
    lines = [line for path in paths(environment) for line in path.read_text("utf-8").splitlines() if image in line]
    assert len(lines) == 3
    debug = (FOLDER / "debug" / f"app-{environment}-pod-debug.yml").read_text("utf-8").splitlines()
    lines += [line for line in debug if image in line]
    assert len(lines) == 4
    assert len({line.strip() for line in lines}) == 1


@pytest.fixture
def shipped(tmp_path: Path) -> Path:
    """A folder with a copy as a newcomer finds it."""
    copy_as_shipped(tmp_path)
    return tmp_path


def test_the_commands_of_the_docs_edit_these_two_values_and_nothing_else(shipped: Path) -> None:
    before = {path: path.read_text("utf-8") for path in shipped.rglob("*.yml")}
    commands = deploy_docs.edits("example.org")
    assert len(commands) == 3
    subprocess.run("\n".join(["set -e", *commands]), shell=True, check=True, cwd=shipped)
    for path, text in before.items():
        now = path.read_text("utf-8")
        assert "gristmill/gristmill:" not in now.replace("team/gristmill:", "")
        changed = [new for old, new in zip(text.splitlines(), now.splitlines(), strict=True) if old != new]
        assert all(
            re.search(r"^ *image: registry\.example\.org/team/gristmill:|mill\S*\.example\.org", line)
            for line in changed
        )
        is_marked = "image: " in text or "-ingress-" in path.name
        assert bool(changed) == (is_marked and "-redis" not in path.name)


def test_the_command_of_the_docs_for_a_new_version_changes_four_lines(shipped: Path) -> None:
    (command,) = deploy_docs.edits("0.2.0")
    subprocess.run(command, shell=True, check=True, cwd=shipped)
    texts = {path: path.read_text("utf-8") for path in shipped.rglob("*.yml")}
    found = [path.name for path, text in texts.items() if f"image: {PLACEHOLDER}:0.2.0 # EDIT" in text]
    assert sorted(found) == [
        "app-test-cronjob-backup.yml",
        "app-test-deployment-flask.yml",
        "app-test-deployment-worker.yml",
        "app-test-pod-debug.yml",
    ]
    assert sum("0.2.0" in text for text in texts.values()) == 4


def test_every_file_is_named_in_the_docs() -> None:
    text = (REPOSITORY / "docs" / "deploy.md").read_text("utf-8")
    for path in all_paths():
        assert re.sub("^app-(test|prod)-", "", path.stem) in text or path.stem in text


def test_what_the_docs_show_is_valid_too() -> None:
    text = (REPOSITORY / "docs" / "deploy.md").read_text("utf-8")
    shown = re.findall(r"^```yaml\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(shown) == 2
    for block in shown:
        for version in versions():
            kubernetes_validate.validate(load(block), version, strict=True)


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_the_certificate_is_for_the_same_host(environment: str) -> None:
    path = FOLDER / environment / f"app-{environment}-ingress-flask.yml"
    text = re.sub(r"^  # (?=tls:|  )", "  ", path.read_text("utf-8"), flags=re.MULTILINE)
    spec = load(text)["spec"]
    assert [one["hosts"] for one in spec["tls"]] == [[rule["host"] for rule in spec["rules"]]]
    assert f"create secret tls {spec['tls'][0]['secretName']}" in text
