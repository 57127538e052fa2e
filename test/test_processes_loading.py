"""Loading the team's folder: what is found, and what a broken file says."""

import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from gristmill.errors import ConfigurationError
from gristmill.processes import load_registry, loading

BUILT_IN = {
    "correlation", "echo", "groupby", "histogram", "regression", "scatter", "sql", "summary", "timeseries",
}  # fmt: skip
GOOD = '''
from gristmill import process

@process
def {name}(number: float) -> float:
    """Twice."""
    return 2 * number
'''


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "processes"
    made.mkdir()
    return made


def put(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def test_files_and_packages_of_the_folder_are_offered_with_the_built_in_processes(folder: Path) -> None:
    put(folder, "one.py", GOOD.format(name="one") + GOOD.format(name="uno"))
    put(folder, "two/__init__.py", "from ._inside import two\n")
    put(folder, "two/_inside.py", GOOD.format(name="two"))
    put(folder, "_helper.py", "1 / 0")
    put(folder, ".hidden.py", "1 / 0")
    put(folder, "notes.txt", "no Python")
    put(folder, "data/table.csv", "a\n1\n")

    assert set(load_registry(folder)) == BUILT_IN | {"one", "uno", "two"}


def test_a_folder_that_is_not_there_adds_nothing_and_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        assert set(load_registry(tmp_path / "none")) == BUILT_IN

    assert str(tmp_path / "none") in caplog.text


def test_an_entry_of_a_docstring_that_is_no_parameter_is_logged_with_its_line(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    described = (
        "Twice.\n\n    Args:\n        nubmer: The number.\n        factor: None.\n\n    Attributes:\n        x: Other."
    )
    path = put(folder, "one.py", GOOD.format(name="one").replace("Twice.", f"{described}\n    "))

    with caplog.at_level(logging.WARNING):
        assert "one" in load_registry(folder)

    said = "process 'one': the docstring describes"
    assert caplog.messages == [
        f"{path}:9: {said} 'nubmer', which is no parameter; did you mean 'number'?",
        f"{path}:10: {said} 'factor', which is no parameter",
    ]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "processes"
    path.touch()

    with pytest.raises(ConfigurationError, match="must be a folder"):
        load_registry(path)


@pytest.mark.parametrize("line", ["from ._shared import FACTOR", "from _shared_{unique} import FACTOR"])
def test_a_file_can_import_its_neighbours(folder: Path, line: str) -> None:
    unique = folder.parent.name
    put(folder, "_shared.py", "FACTOR = 3\n")
    put(folder, f"_shared_{unique}.py", "FACTOR = 3\n")
    put(folder, "one.py", line.format(unique=unique) + GOOD.format(name="one").replace("2 *", "FACTOR *"))

    assert load_registry(folder)["one"].function(2) == 6


def test_a_process_that_another_file_imports_is_offered_once(folder: Path) -> None:
    put(folder, "one.py", GOOD.format(name="one"))
    put(folder, "two.py", "from .one import one\n" + GOOD.format(name="two"))

    assert set(load_registry(folder)) == BUILT_IN | {"one", "two"}


def test_a_file_named_like_a_module_of_python_does_not_hide_it(folder: Path) -> None:
    put(folder, "json.py", GOOD.format(name="one"))

    load_registry(folder)

    assert "one" not in vars(sys.modules["json"])


def test_a_changed_file_is_read_again(folder: Path) -> None:
    path = put(folder, "one.py", GOOD.format(name="one"))
    first = load_registry(folder)["one"]
    path.write_text(GOOD.format(name="one").replace("2 *", "300 *"))
    second = load_registry(folder)["one"]

    assert second.function(1) == 300
    assert first.source_hash != second.source_hash
    assert first.interface == second.interface


def test_the_source_hash_covers_the_files_that_a_process_can_be_made_of(folder: Path) -> None:
    put(folder, "one.py", GOOD.format(name="one"))
    put(folder, "pack/__init__.py", GOOD.format(name="pack"))
    helper, inside = put(folder, "_helper.py", "A = 1"), put(folder, "pack/_inside.py", "A = 1")

    def hashes() -> tuple[str, str, str]:
        registry = load_registry(folder)
        return registry["one"].source_hash, registry["pack"].source_hash, registry["echo"].source_hash

    before = hashes()
    helper.write_text("A = 2")
    with_helper = hashes()
    inside.write_text("A = 2")
    with_inside = hashes()

    assert [a == b for a, b in zip(before, with_helper, strict=True)] == [False, True, True]
    assert [a == b for a, b in zip(with_helper, with_inside, strict=True)] == [True, False, True]


HEAD = "from gristmill import process\n"
BROKEN = {
    "syntax": ("def one(:\n", 1, "this is not Python"),
    "exception": ("import math\n\nmath.sqrt(-1)\n", 3, "ValueError: "),
    "missing module": ("\nimport no_such_module\n", 2, "No module named 'no_such_module'; check the name, or run"),
    "exit": ("raise SystemExit(3)\n", 1, "SystemExit"),
    "no process": ("def one() -> int:\n    return 1\n", 1, "put @process on a function"),
    "no hint": (HEAD + "@process\ndef one(\n    a: int,\n    b,\n) -> int: ...\n", 5, "'b': has no type hint"),
    "keyword-only": (HEAD + "@process\ndef one(\n    *,\n    b,\n) -> int:\n    return 1\n", 5, "parameter 'b'"),
    "no return": (HEAD + "@process\ndef one(a: int):\n    return 1\n", 2, "declare what the process returns"),
    "wrong output": (HEAD + "@process\ndef one(a: int) -> range:\n    return range(1)\n", 2, "output 'result'"),
    "limit": (HEAD + "\n@process(seconds=-1)\ndef one(a: int) -> int:\n    return 1\n", 3, "seconds must be at least"),
    "argument": (HEAD + "\n@process(secs=1)\ndef one(a: int) -> int:\n    return 1\n", 3, "secs"),
    "class": (HEAD + "@process\nclass one:\n    pass\n", 2, "above a function"),
    "method": (HEAD + "class One:\n    @process\n    def one(self) -> int: ...\n", 3, "a method of the class 'One'"),
    "static": (HEAD + "class A:\n    @process\n    @staticmethod\n    def one() -> int: ...\n", 3, "a method of"),
    "of class": (HEAD + "class A:\n    @classmethod\n    @process\n    def one(cls) -> int: ...\n", 3, "a method of"),
    "async": (HEAD + "@process\nasync def one(a: int) -> int:\n    return 1\n", 2, "no async"),
    "hidden": (HEAD + "\n@process\ndef one() -> int: ...\n\n@process\ndef one() -> int: ...\n", 7, "in lines 4 and 7"),
    "duplicate": (HEAD + "\n@process\ndef echo(a: int) -> int:\n    return 1\n", 3, "there is another process 'echo'"),
}  # fmt: skip


@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_file_is_named_with_its_line_and_what_would_be_right(folder: Path, what: str) -> None:
    text, line, right = BROKEN[what]
    path = put(folder, "one.py", text)

    with pytest.raises(ConfigurationError) as caught:
        load_registry(folder)

    assert caught.value.detail.startswith(f"{path}:{line}: ")
    assert right in caught.value.detail


def test_a_class_may_hold_a_process_of_the_file_and_the_class_of_another_file_is_not_looked_at(folder: Path) -> None:
    held = "class Held:\n    run = staticmethod({name})\n"
    put(folder, "one.py", GOOD.format(name="one") + held.format(name="one"))
    put(folder, "two.py", "from .one import Held\n" + GOOD.format(name="two"))

    assert set(load_registry(folder)) == BUILT_IN | {"one", "two"}


def test_a_file_whose_name_is_no_python_name_is_refused_with_one_that_is(folder: Path) -> None:
    put(folder, "my-analysis.py", GOOD.format(name="one"))

    with pytest.raises(ConfigurationError, match=r"my_analysis\.py"):
        load_registry(folder)


def test_the_source_hash_of_a_built_in_process_changes_with_what_it_shares_with_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "gristmill"
    shutil.copytree(Path(loading.__file__).parent, package / "processes")
    shutil.copytree(Path(loading.__file__).parents[1] / "datasets", package / "datasets")
    monkeypatch.setattr(loading, "__file__", str(package / "processes" / "loading.py"))

    hashes = [load_registry(tmp_path / "none")["summary"].source_hash]
    for shared in ("processes/counting.py", "datasets/queries.py"):
        with (package / shared).open("a") as file:
            file.write("# changed\n")
        hashes.append(load_registry(tmp_path / "none")["summary"].source_hash)

    assert len(set(hashes)) == 3


_READ_ONLY = """
for folder in /tmp /var/tmp /usr/tmp; do
  [ ! -d $folder ] || { mount --bind $folder $folder && mount -o remount,ro,bind $folder; } || exit 77
done
cd /proc && exec "$@"
"""


def test_where_no_folder_for_temporary_files_can_be_written_that_is_said_and_not_the_process_blamed(
    folder: Path,
) -> None:
    if sys.platform != "linux" or subprocess.run(["unshare", "--mount", "true"], check=False).returncode:
        pytest.skip("only root on Linux can make the folders read-only")
    put(folder, "drawn.py", "from matplotlib.figure import Figure\n" + GOOD.format(name="drawn"))
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", _READ_ONLY, "sh", sys.executable, "-m", "gristmill", "processes"],
        env={
            "PATH": os.environ["PATH"],
            "HOME": "/proc",
            "MPLCONFIGDIR": "/proc/none",
            "GRISTMILL_PROCESSES": str(folder),
        },
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if done.returncode == 77:
        pytest.skip("mounting is not allowed here")
    assert done.returncode == 1
    assert "gristmill: No folder for temporary files can be written, and drawn.py needs one" in done.stderr
    assert "--tmpfs /tmp" in done.stderr
