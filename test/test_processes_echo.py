"""The process ``echo``: every input comes back as it was."""

import base64
import time
from pathlib import Path
from typing import Any

import pytest
from support.runs import REGISTRY, run

from gristmill.errors import InvalidInputsError
from gristmill.fetch import Fetched
from gristmill.processes import RunContext


class NoFetcher:
    def get(self, url: str) -> Fetched:
        return Fetched(url, "application/json", "", b'{"from": "there"}')


CONTEXT = RunContext(lambda *_: None, Path, NoFetcher())  # type: ignore[arg-type]


ECHOED: dict[str, Any] = {
    "string": "any text",
    "number": 1.5,
    "integer": 3,
    "boolean": False,
    "array": [1, 2],
    "object": {"a": {"b": [None, 1]}},
    "box": {"bbox": [345345345, 1, 2, 3], "crs": "urn:ogc:def:crs:EPSG:6.6:4326"},
    "binary": "teststring",
    "mixed": [1, 2.5],
    "pause": 0,
}


def test_echo_gives_every_input_back() -> None:
    assert run("echo", ECHOED) == ECHOED


def test_echo_needs_its_first_input_alone_which_is_text() -> None:
    inputs = REGISTRY["echo"].describe()["inputs"]

    assert isinstance(inputs, dict)
    assert next(iter(inputs)) == "string"
    assert inputs["string"]["schema"] == {"type": "string"}
    assert [name for name, one in inputs.items() if one["minOccurs"]] == ["string"]
    assert run("echo", {"string": ""}) == {"string": ""}


def test_echo_s_outputs_have_the_names_and_schemas_of_its_inputs() -> None:
    described: Any = REGISTRY["echo"].describe()

    assert list(described["outputs"]) == list(described["inputs"])
    for name, one in described["inputs"].items():
        assert described["outputs"][name]["schema"] == one["schema"]


@pytest.mark.parametrize("value", ["teststring", 3, None, [], {"a": 1}])
def test_echo_takes_an_object_with_a_value(value: Any) -> None:
    result = run("echo", {"string": "x", "object": {"value": value}})["object"]

    assert result == (value if isinstance(value, dict) else {"value": value})


@pytest.mark.parametrize("mixed", ["text", 3, 1.25, [1, 2]])
def test_echo_s_mixed_input_takes_each_of_its_kinds(mixed: Any) -> None:
    assert run("echo", {"string": "x", "mixed": mixed})["mixed"] == mixed


def test_echo_gives_a_reference_s_content_back() -> None:
    link = {"href": "http://example.org/x", "type": "application/json"}
    result = run("echo", {"string": "x", "object": link, "binary": {"href": "http://example.org/x"}}, CONTEXT)

    assert result["object"] == {"from": "there"}
    assert base64.b64decode(result["binary"]) == b'{"from": "there"}'


def test_echo_refuses_a_binary_of_the_wrong_form() -> None:
    with pytest.raises(InvalidInputsError):
        REGISTRY["echo"].check({"string": "x", "binary": {"type": "wrong/type"}})


def test_echo_lasts_as_long_as_its_pause_and_reports() -> None:
    reports: list[tuple[int, str]] = []
    context = RunContext(lambda *report: reports.append(report), Path, NoFetcher())  # type: ignore[arg-type]
    started = time.monotonic()

    run("echo", {"string": "x", "pause": 1}, context)

    assert 1 <= time.monotonic() - started < 5
    percents = [percent for percent, _ in reports]
    assert percents == sorted(percents)
    assert len(percents) >= 2


def test_echo_is_never_answered_from_an_earlier_result_and_the_others_may_be() -> None:
    assert not REGISTRY["echo"].limits.deterministic
    assert REGISTRY["summary"].limits.deterministic
    assert REGISTRY["histogram"].limits.deterministic
