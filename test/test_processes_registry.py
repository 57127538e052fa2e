"""A process: its description, its hashes, checking and running."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conformance.ogc import assert_valid

from gristmill.errors import ConfigurationError, InvalidInputsError
from gristmill.fetch import Fetcher
from gristmill.job import Offer
from gristmill.processes import Process, Progress, Registry, RunContext, load_registry, process, wrong_input
from gristmill.settings import Settings

REPOSITORY = Path(__file__).parents[1]
ALL = load_registry(REPOSITORY / "processes")


@process(version="2", concurrent=3, keywords=["k"])
def add(left: int, right: int = 1, *, progress: Progress, scratch: Path) -> int:
    """Sum of two numbers.

    Adds them.

    Args:
        left: The first.
    """
    progress(50, "adding")
    (scratch / "note").write_text("used")
    return left + right


@pytest.fixture
def reports() -> list[tuple[int, str]]:
    return []


@pytest.fixture
def context(tmp_path: Path, reports: list[tuple[int, str]]) -> RunContext:
    return RunContext(
        lambda percent, message: reports.append((percent, message)), lambda: tmp_path, Fetcher(Settings())
    )


def changed(**changes: Any) -> Process:
    """The process ``add`` with another function or declaration."""

    def add(left: int, right: int = 1) -> int:
        return left + right

    add.__annotations__ |= changes.pop("annotations", {})
    return Process(process(**{"version": "2"} | changes)(add), "source")


def test_a_process_is_described_as_the_standard_says() -> None:
    described = Process(add, "source").describe()

    assert described["id"] == "add"
    assert described["title"] == "Sum of two numbers"
    assert described["description"] == "Adds them."
    assert described["version"] == "2"
    assert described["keywords"] == ["k"]
    assert described["jobControlOptions"] == ["sync-execute", "async-execute"]
    assert described["outputTransmission"] == ["value", "reference"]
    assert described["outputs"] == {"result": {"title": "Result", "schema": {"type": "integer"}}}


@pytest.mark.parametrize("process_id", list(ALL))
def test_every_description_is_valid_by_the_standard_s_schema(process_id: str) -> None:
    described = ALL[process_id].describe()

    json.dumps(described, allow_nan=False)
    assert_valid(described, "process.yaml")
    assert_valid(ALL[process_id].summary(), "processSummary.yaml")


def test_a_run_reads_calls_and_writes(context: RunContext, reports: list[tuple[int, str]], tmp_path: Path) -> None:
    (output,) = Process(add, "source").run({"left": 2}, context)

    assert (output.name, output.media_type, output.data) == ("result", "application/json", b"3")
    assert reports == [(50, "adding")]
    assert (tmp_path / "note").read_text() == "used"


def test_the_scratch_folder_is_not_made_for_a_process_that_does_not_ask(context: RunContext) -> None:
    def refuse() -> Path:
        raise AssertionError("the folder was asked for")

    lazy = RunContext(context.progress, refuse, context.fetcher)

    assert changed().run({"left": 1}, lazy)[0].data == b"2"


def test_a_run_refuses_wrong_inputs(context: RunContext) -> None:
    with pytest.raises(InvalidInputsError):
        Process(add, "source").run({"left": "x"}, context)


@process
def blame(table: int, *, name: str = "table") -> int:
    raise wrong_input(name, "must be even")


def test_an_error_about_an_input_is_the_user_s_and_one_about_no_input_is_that_of_the_process(
    context: RunContext,
) -> None:
    for name in ("table", "table/0"):
        with pytest.raises(InvalidInputsError, match=f"/inputs/{name} must be even"):
            Process(blame, "").run({"table": 1, "name": name}, context)
    with pytest.raises(ValueError, match=r"raised wrong_input\('tt', \.\.\.\), .* its inputs are: name, table$"):
        Process(blame, "").run({"table": 1, "name": "tt"}, context)


def test_a_check_tells_the_faults_of_inputs_and_outputs_together() -> None:
    with pytest.raises(InvalidInputsError) as caught:
        Process(add, "source").check({"right": "x"}, {"sum": {}})

    assert {one.pointer for one in caught.value.faults} == {"/inputs/left", "/inputs/right", "/outputs/sum"}


def test_the_interface_changes_with_the_schemas_alone() -> None:
    first = changed().interface

    assert changed().interface == first
    assert changed(version="9", title="Another", seconds=1).interface == first
    assert changed(annotations={"left": float}).interface != first
    assert changed(annotations={"return": float}).interface != first


def test_the_version_hash_names_source_version_and_release() -> None:
    def double(number: int) -> int:
        return 2 * number

    made = [
        Process(process(version="1")(double), "a").version_hash("1.0.0"),
        Process(process(version="2")(double), "a").version_hash("1.0.0"),
        Process(process(version="1")(double), "b").version_hash("1.0.0"),
        Process(process(version="1")(double), "a").version_hash("1.0.1"),
    ]

    assert len(set(made)) == 4


def test_a_registry_offers_what_workers_need_to_know() -> None:
    offered = Process(add, "source")

    assert Registry([offered]).offers("1.0.0") == (
        Offer("add", offered.interface, offered.version_hash("1.0.0"), 3, "source", offered.version),
    )


def test_two_processes_of_one_id_are_refused_with_both_places() -> None:
    with pytest.raises(
        ConfigurationError, match=r"registry\.py:\d+: there is another process 'add', at .*registry\.py:\d+"
    ):
        Registry([Process(add, "a"), changed()])


def no_return(number: int):  # type: ignore[no-untyped-def]
    return number


def returns_nothing(number: int) -> None: ...
def unresolved(number: "Missing") -> int: ...  # type: ignore[name-defined]  # noqa: F821


@pytest.mark.parametrize(
    ("function", "right"),
    [
        (no_return, "declare what the process returns"),
        (returns_nothing, "declare what the process returns"),
        (unresolved, "'Missing' is not defined"),
    ],
)
def test_a_signature_that_cannot_be_offered_says_what_would_be_right(function: Callable[..., Any], right: str) -> None:
    with pytest.raises(ConfigurationError, match=right):
        Process(process(function), "source")


def test_a_declared_title_leaves_the_docstring_whole() -> None:
    def work() -> int:
        """First line.

        More.
        """
        return 1

    assert Process(process(title="T")(work), "").description == "First line\n\nMore."


def test_a_run_of_a_small_process_costs_microseconds(context: RunContext) -> None:
    small = changed()

    def best_of(call: Callable[[], object]) -> float:
        times = []
        for _ in range(20):
            started = time.perf_counter()
            for _ in range(20):
                call()
            times.append((time.perf_counter() - started) / 20)
        return min(times)

    assert best_of(lambda: small.run({"left": 1, "right": 2}, context)) < 150e-6
    assert best_of(lambda: small.check({"left": 1, "right": 2})) < 150e-6


def test_a_plain_call_of_a_process_is_a_plain_call(tmp_path: Path) -> None:
    progress = Progress()

    assert add(1, 2, progress=progress, scratch=tmp_path) == 3
    assert progress.reports == [(50, "adding")]
