"""What `make e2e` is made of, where it needs no cluster: its settings, its copies of the files, its table."""

import json
import socket
import subprocess
from pathlib import Path

import pytest
from e2e import options
from e2e.files import Files
from e2e.images import load_command
from e2e.names import Names
from e2e.seen import Notes, Seen
from e2e.workload import drain_rate
from support.manifests import ENVIRONMENTS, FOLDER

REPOSITORY = FOLDER.parent
HOSTS = {"test": "test.mine.example", "prod": "prod.mine.example"}


@pytest.mark.parametrize("given", [{}, {"E2E_LOAD": "load", "E2E_REGISTRY": "registry.example.org/team"}])
def test_how_images_get_to_the_cluster_is_said_in_one_of_two_ways(given: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"either E2E_LOAD.* or E2E_REGISTRY"):
        options.read({"E2E_CONTEXT": "mine"} | given)


def test_without_a_context_nothing_else_is_asked_for() -> None:
    assert options.read({}) == options.Options()
    assert "-n 0 test/e2e" in (REPOSITORY / "Makefile").read_text("utf-8")


def test_make_e2e_without_a_context_says_what_to_set() -> None:
    done = subprocess.run(
        ["make", "e2e", "E2E_CONTEXT="], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode != 0
    assert "make e2e E2E_CONTEXT=kind-kind E2E_LOAD=" in done.stderr


def test_every_setting_stands_in_the_docs() -> None:
    text = (REPOSITORY / "CONTRIBUTING.md").read_text("utf-8")
    for name in options.Options.__dataclass_fields__:
        assert f"`E2E_{name.upper()}`" in text


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ("kind load docker-image", ["kind", "load", "docker-image", "mill:1"]),
        (
            "kind load docker-image {image} --name 'my lab'",
            ["kind", "load", "docker-image", "mill:1", "--name", "my lab"],
        ),
        ("k3s ctr images import {archive}", ["k3s", "ctr", "images", "import", "/tmp/image.tar"]),
    ],
)
def test_the_command_that_loads_an_image_gets_its_name_or_its_archive(text: str, command: list[str]) -> None:
    assert load_command(text, "mill:1", Path("/tmp/image.tar")) == command


def test_copies_of_the_files_differ_in_the_two_values_and_the_class(tmp_path: Path) -> None:
    files = Files(tmp_path, repository="registry.mine/mill/gristmill", hosts=HOSTS, ingress_class="traefik")
    files.set_release("prod", "7.8.9")
    for environment, tag in (("test", "0.1.0"), ("prod", "7.8.9")):
        text = "".join(path.read_text("utf-8") for path in files.of(environment).iterdir())
        image = f"registry.mine/mill/gristmill:{tag}"
        assert text.count(f"image: {image} # EDIT") == 3
        assert files.image_of(environment) == image
        assert text.count(f"- host: {HOSTS[environment]} # EDIT") == 1
        assert "ingressClassName: traefik #" in text
        shipped = "".join(path.read_text("utf-8") for path in sorted((FOLDER / environment).iterdir()))
        assert len(text.splitlines()) == len(shipped.splitlines())
    assert not list(tmp_path.rglob("*.bak"))
    assert {path.name for path in (tmp_path / "kubernetes").iterdir()} == {*ENVIRONMENTS, "debug"}


def test_a_name_is_led_to_an_address_in_this_process_alone_and_for_a_while() -> None:
    usual, names = socket.getaddrinfo, Names()
    names.lead("mill.nowhere.example", "127.0.0.1")
    with names.known():
        ((*_, address),) = socket.getaddrinfo("mill.nowhere.example", 80, type=socket.SOCK_STREAM)
        assert address == ("127.0.0.1", 80)
        assert socket.getaddrinfo("127.0.0.2", 80)
    assert socket.getaddrinfo is usual


def test_the_table_has_what_was_seen_to_succeed_with_its_time(tmp_path: Path) -> None:
    table = Seen(about={"kubernetes": "v1.36.0"})
    notes = Notes(table, "scaling")
    notes.add("drain rate", "4.0 x")
    with notes.timed("scaled") as sight:
        sight.seen = "all there"
    with pytest.raises(AssertionError), notes.timed("what fails"):
        raise AssertionError
    assert [line.split()[0] for line in table.lines()] == ["scenario", "scaling", "scaling"]
    table.write(tmp_path / "seen.json")
    written = json.loads((tmp_path / "seen.json").read_text("utf-8"))
    assert [(one["what"], one["seen"]) for one in written["seen"]] == [("drain rate", "4.0 x"), ("scaled", "all there")]
    assert written["kubernetes"] == "v1.36.0"
    assert written["seen"][1]["seconds"] >= 0


def test_a_drain_rate_is_that_of_the_middle() -> None:
    ends = [0.0, *(10 + n / 4 for n in range(18)), 100.0]
    jobs = [{"finished": f"2026-11-28T00:{int(end) // 60:02}:{end % 60:06.3f}+00:00"} for end in ends]
    assert drain_rate(jobs) == pytest.approx(4, rel=0.01)
