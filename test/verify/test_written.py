"""Reports for programs hold every check, in the shape that CI servers read, whatever a server has said."""

import json
import re
from datetime import UTC, datetime
from xml.etree import ElementTree as ET

import pytest

from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import Outcome, Result
from gristmill.verify.report import Report
from gristmill.verify.target import Target
from gristmill.verify.written import as_json, as_junit

HOSTILE = "\x00\x1b[31m]]>&<b>\ufffe\ud800 ümlaut \u2028"
RESULTS = (
    Result(CHECKS[0], Outcome.PASSED, 0.25, detail="found"),
    Result(CHECKS[1], Outcome.WARNED, 0.5, detail="no limit"),
    Result(CHECKS[2], Outcome.FAILED, 1.0, asked=f"GET /{HOSTILE}", came=HOSTILE, right="200"),
    Result(CHECKS[3], Outcome.FAILED, 1.0, detail=HOSTILE),
    Result(CHECKS[4], Outcome.SKIPPED, detail="needs a token"),
    Result(CHECKS[5], Outcome.NOT_RUN, detail="the time was up"),
)


def report(**changes: object) -> Report:
    given = {
        "target": Target("http://127.0.0.1:8000"),
        "started": datetime(2026, 11, 28, 3, 4, 5, tzinfo=UTC),
        "seconds": 2.75,
        "results": RESULTS,
        "release": "1.2.3",
        "environment": "test",
        "left": ("job 1: no answer",),
        "notes": ("It waited.",),
    }
    return Report(**given | changes)  # type: ignore[arg-type]


def test_junit_has_the_shape_of_the_common_schema() -> None:
    """Ant's and Jenkins' schemas: which attributes and children there must be, in which order, and of which type."""
    root = ET.fromstring(as_junit(report()))
    assert (root.tag, root.attrib) == ("testsuites", {})
    (suite,) = root
    assert suite.attrib.keys() == {
        "name", "package", "id", "timestamp", "hostname", "tests", "failures", "errors", "skipped", "time",
    }  # fmt: skip
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", suite.attrib["timestamp"])
    assert [child.tag for child in suite] == ["properties", *["testcase"] * len(RESULTS), "system-out", "system-err"]
    assert all(one.attrib.keys() == {"name", "value"} for one in suite[0])
    for case in suite.findall("testcase"):
        assert case.attrib.keys() == {"name", "classname", "time"}
        assert re.fullmatch(r"\d+\.\d+", case.attrib["time"])
        assert [child.tag for child in case] in ([], ["failure"], ["error"], ["skipped"])
        assert all(child.attrib.keys() == {"type", "message"} for child in case if child.tag != "skipped")


def test_junit_counts_and_tells_every_outcome() -> None:
    suite = ET.fromstring(as_junit(report()))[0]
    counts = {name: suite.attrib[name] for name in ("tests", "failures", "errors", "skipped")}
    assert counts == {"tests": "6", "failures": "2", "errors": "1", "skipped": "1"}
    cases = suite.findall("testcase")
    assert cases[0].attrib["name"].startswith(f"{CHECKS[0].name}: ")
    assert cases[0].attrib["classname"] == "gristmill.verify.service"
    failure = cases[2].find("failure")
    assert failure is not None
    assert failure.text is not None
    assert "right: 200" in failure.text
    assert cases[4].find("skipped").attrib["message"] == "needs a token"  # type: ignore[union-attr]
    assert cases[5].find("error").attrib["message"] == "the time was up"  # type: ignore[union-attr]
    assert "no limit" in (suite.findtext("system-out") or "")
    assert "It waited." in (suite.findtext("system-out") or "")
    assert "left behind: job 1" in (suite.findtext("system-err") or "")


def test_json_has_every_check_with_its_reason() -> None:
    document = json.loads(as_json(report()))
    assert (document["format"], document["target"], document["exitCode"]) == (1, "http://127.0.0.1:8000", 1)
    assert document["started"] == "2026-11-28T03:04:05Z"
    assert document["counts"] == {"passed": 1, "warning": 1, "failed": 2, "skipped": 1, "not run": 1}
    assert [one["outcome"] for one in document["checks"]] == [result.outcome.value for result in RESULTS]
    assert document["checks"][2]["right"] == "200"
    assert document["leftBehind"] == ["job 1: no answer"]


@pytest.mark.parametrize(
    ("outcomes", "changes", "code"),
    [
        ([Outcome.PASSED, Outcome.SKIPPED], {}, 0),
        ([Outcome.PASSED, Outcome.WARNED], {}, 0),
        ([Outcome.PASSED, Outcome.FAILED], {}, 1),
        ([Outcome.PASSED, Outcome.NOT_RUN], {}, 1),
        ([Outcome.SKIPPED], {}, 1),
        ([], {}, 1),
        ([Outcome.NOT_RUN], {"unreached": "nobody"}, 3),
        ([Outcome.PASSED], {"stopped": 15}, 143),
    ],
)
def test_the_exit_code_is_0_only_where_something_was_checked_and_all_of_it_holds(outcomes, changes, code) -> None:
    results = tuple(Result(CHECKS[0], outcome) for outcome in outcomes)
    assert report(results=results, **changes).exit_code == code
