"""The decorator and the small types that authors import."""

import importlib
import subprocess
import sys

import pytest

import gristmill
from gristmill import MediaType, OnDemand, Progress, process, wrong_input
from gristmill.errors import ConfigurationError, Fault
from gristmill.processes.authoring import DECLARATION, Declaration, Limits


def test_importing_gristmill_imports_no_heavy_library() -> None:
    code = (
        "import sys, gristmill\n"
        "print([one for one in ('numpy', 'pydantic', 'matplotlib', 'httpx') if one in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "[]"


def test_loading_the_built_in_processes_imports_no_matplotlib() -> None:
    code = "import sys, gristmill.processes\nprint('matplotlib' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)

    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("name", [one for one in gristmill.__all__ if one != "__version__"])
def test_every_exported_name_can_be_imported(name: str) -> None:
    found = getattr(gristmill, name)
    assert found is (OnDemand if name == "OnDemand" else getattr(importlib.import_module(found.__module__), name))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = gristmill.no_such_name


def test_the_decorator_leaves_the_function_as_it_was() -> None:
    def double(number: float) -> float:
        return 2 * number

    assert process(double) is double
    assert process(seconds=5)(double) is double
    assert double(2) == 4


def test_the_decorator_keeps_what_it_was_told() -> None:
    @process(
        title="T", version="3", seconds=1.5, memory_mb=2, disk_mb=3, retries=4, concurrent=5, queue_seconds=6,
        deterministic=True, keywords=["a", "b"],
    )  # fmt: skip
    def work() -> int:
        return 1

    told = getattr(work, DECLARATION)

    assert told == Declaration("T", "3", ("a", "b"), Limits(1.5, 2, 3, 4, 5, 6, deterministic=True))


@pytest.mark.parametrize(
    "argument",
    [{"seconds": 0}, {"memory_mb": 0}, {"retries": -1}, {"concurrent": -1}, {"queue_seconds": -1}, {"disk_mb": -1}],
)
def test_a_limit_out_of_range_names_the_file_and_the_argument(argument: dict[str, int]) -> None:
    def work() -> int:
        return 1

    with pytest.raises(
        ConfigurationError, match=rf"test_processes_authoring\.py:\d+: .*{next(iter(argument))} must be"
    ):
        process(**argument)(work)  # type: ignore[call-overload]


def test_keywords_given_as_one_string_are_refused() -> None:
    def work() -> int:
        return 1

    with pytest.raises(ConfigurationError, match="list of strings"):
        process(keywords="statistics")(work)


def test_a_media_type_must_look_like_one() -> None:
    assert MediaType("text/plain; charset=utf-8").name == "text/plain; charset=utf-8"
    with pytest.raises(ValueError, match="not a media type"):
        MediaType("png")


def test_progress_without_a_receiver_keeps_its_reports() -> None:
    progress = Progress()

    progress(12.7, "reading")
    progress(-5)
    progress(200)

    assert progress.reports == [(12, "reading"), (0, ""), (100, "")]


def test_progress_counts_the_items_of_a_loop() -> None:
    seen: list[tuple[int, str]] = []
    progress = Progress(lambda percent, message: seen.append((percent, message)))

    assert list(progress.each("abcd", "letters")) == list("abcd")
    assert list(progress.each(iter("ab"), total=2)) == ["a", "b"]

    assert seen == [(25, "letters"), (50, "letters"), (75, "letters"), (100, "letters"), (50, ""), (100, "")]


def test_a_wrong_input_carries_its_pointer() -> None:
    assert wrong_input("column", "is empty").faults == (Fault("/inputs/column", "is empty"),)


def test_an_option_that_there_is_not_is_answered_with_those_that_there_are() -> None:
    with pytest.raises(
        TypeError, match="no option 'sec'; did you mean seconds\\? its options are title, version, keywords, seconds"
    ):
        process(sec=1)  # type: ignore[call-overload]
    for word in ("timeout", "time"):
        with pytest.raises(TypeError, match=f"no option '{word}'; did you mean seconds\\?"):
            process(**{word: 1})


@pytest.mark.parametrize("value", ["1", True, None, float("nan")])
def test_a_limit_that_is_no_number_is_refused_by_name(value: object) -> None:
    with pytest.raises(ConfigurationError, match="seconds must be a number, not"):
        process(seconds=value)(lambda: 1)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"retries": 1.5}, "retries must be a whole number, not 1.5"),
        ({"deterministic": "no"}, "deterministic must be True or False, not 'no'"),
        ({"version": 2}, "version must be a string, such as '2', not 2"),
        ({"title": 2}, "title must be a string, such as '2', not 2"),
        ({"keywords": 3}, "keywords must be a list of strings, not 3"),
        ({"keywords": [3]}, r"keywords must be a list of strings, not \(3,\)"),
    ],
)
def test_an_option_of_a_wrong_type_is_refused_by_name_with_its_line(options: dict[str, object], told: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"\.py:\d+: @process: {told}"):
        process(**options)(lambda: 1)  # type: ignore[call-overload]


def test_an_option_without_a_name_is_answered_with_how_to_write_it() -> None:
    with pytest.raises(TypeError, match=r"by name, such as @process\(title='A title'\)"):
        process("A title")  # type: ignore[call-overload]
