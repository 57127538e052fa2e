"""Log lines are readable on a terminal and JSON elsewhere, ours and those of libraries alike."""

import io
import json
import logging
import warnings
from collections.abc import Iterator

import pytest
import structlog

from gristmill import logs
from gristmill.settings import Settings


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    structlog.contextvars.clear_contextvars()
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.captureWarnings(capture=False)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_line_that_is_not_for_a_terminal_is_json_with_the_bound_ids() -> None:
    stream = io.StringIO()
    logs.configure(Settings(), component="api", stream=stream)
    with structlog.contextvars.bound_contextvars(request="r1"):
        structlog.get_logger("gristmill.test").info("Job accepted.", job="j1")

    line = json.loads(stream.getvalue())
    assert line.pop("time").endswith("Z")
    assert line == {
        "message": "Job accepted.",
        "level": "info",
        "job": "j1",
        "request": "r1",
        "component": "api",
    }


def test_a_line_of_the_standard_library_looks_the_same() -> None:
    stream = io.StringIO()
    logs.configure(Settings(), stream=stream)
    with structlog.contextvars.bound_contextvars(request="r1"):
        logging.getLogger("some.library").warning("%d things", 3, extra={"where": "here"})

    line = json.loads(stream.getvalue())
    assert (line["message"], line["level"], line["request"], line["where"]) == (
        "3 things",
        "warning",
        "r1",
        "here",
    )


def test_a_line_for_a_terminal_is_readable() -> None:
    stream = Terminal()
    logs.configure(Settings(), stream=stream)
    structlog.get_logger().info("Job accepted.", job="j1")

    assert "Job accepted." in stream.getvalue()
    assert "\x1b[" in stream.getvalue()
    assert "{" not in stream.getvalue()


def test_an_exception_stays_one_json_line_with_its_traceback() -> None:
    stream = io.StringIO()
    logs.configure(Settings(), stream=stream)
    try:
        _ = 1 / 0
    except ZeroDivisionError:
        structlog.get_logger().exception("Division went wrong.")

    (line,) = stream.getvalue().splitlines()
    assert "ZeroDivisionError" in json.loads(line)["exception"]


def test_lines_below_the_level_and_chatter_of_libraries_are_left_out() -> None:
    stream = io.StringIO()
    logs.configure(Settings(log_level="info"), stream=stream)
    structlog.get_logger().debug("too fine")
    logging.getLogger("httpx").info("HTTP Request: ...")

    assert stream.getvalue() == ""


def test_warnings_go_to_the_log() -> None:
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        logs.configure(Settings(), stream=stream)
        warnings.warn("old thing", DeprecationWarning, stacklevel=1)
        logging.captureWarnings(capture=False)

    assert "old thing" in json.loads(stream.getvalue())["message"]


def test_a_second_configuration_changes_loggers_that_were_used_before() -> None:
    logger = structlog.get_logger("gristmill.early")
    logs.configure(Settings(), stream=io.StringIO())
    logger.info("first")
    second = io.StringIO()
    logs.configure(Settings(log_format="console"), stream=second)
    logger.info("second")

    assert "second" in second.getvalue()
    assert not second.getvalue().startswith("{")
