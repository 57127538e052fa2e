"""A report for programs: JUnit XML, which CI servers show, and JSON."""

import json
import socket
from typing import Any
from xml.etree import ElementTree as ET

from gristmill.verify.check import Outcome, Result
from gristmill.verify.report import Report

FORMAT = 1
SUITE = "gristmill.verify"


def as_json(report: Report) -> str:
    """The whole report. ``format`` counts up when a member changes its meaning."""
    document: dict[str, Any] = {
        "format": FORMAT,
        "target": report.target.url,
        "release": report.release,
        "environment": report.environment,
        "started": report.started.isoformat(timespec="seconds").replace("+00:00", "Z"),
        "seconds": round(report.seconds, 3),
        "exitCode": report.exit_code,
        "unreached": report.unreached,
        "counts": {outcome.value: report.counts[outcome] for outcome in Outcome},
        "checks": [_result(result) for result in report.results],
        "leftBehind": list(report.left),
        "notes": list(report.notes),
    }
    return json.dumps(document, indent=2) + "\n"


def as_junit(report: Report) -> str:
    """JUnit XML as the schemas of Ant and Jenkins have it: a failed check is a failure, one that was not run an error.

    JUnit knows no warnings: such a check has passed, and system-out tells the warning.
    """
    counts = report.counts
    suites = ET.Element("testsuites")
    suite = ET.SubElement(
        suites,
        "testsuite",
        name=SUITE,
        package=SUITE,
        id="0",
        timestamp=report.started.strftime("%Y-%m-%dT%H:%M:%S"),
        hostname=socket.gethostname() or "localhost",
        tests=str(len(report.results)),
        failures=str(counts[Outcome.FAILED]),
        errors=str(counts[Outcome.NOT_RUN]),
        skipped=str(counts[Outcome.SKIPPED]),
        time=f"{report.seconds:.3f}",
    )
    properties = ET.SubElement(suite, "properties")
    for name, value in (
        ("target", report.target.url),
        ("release", report.release),
        ("environment", report.environment),
    ):
        ET.SubElement(properties, "property", name=name, value=_printable(value))
    for result in report.results:
        _case(suite, result)
    warnings = [f"{one.check.name}: {one.detail}" for one in report.results if one.outcome is Outcome.WARNED]
    ET.SubElement(suite, "system-out").text = _printable("\n".join([*warnings, *report.notes]))
    problems = [report.unreached] if report.unreached else []
    problems += [f"left behind: {one}" for one in report.left]
    ET.SubElement(suite, "system-err").text = _printable("\n".join(problems))
    ET.indent(suites)
    return ET.tostring(suites, encoding="unicode", xml_declaration=True) + "\n"


def _result(result: Result) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": result.check.name,
        "claim": result.check.claim.replace("`", ""),
        "outcome": result.outcome.value,
        "seconds": round(result.seconds, 3),
    }
    more = {"detail": result.detail, "asked": result.asked, "came": result.came, "right": result.right}
    return made | {name: text for name, text in more.items() if text}


def _case(suite: ET.Element, result: Result) -> None:
    check = result.check
    name = _printable(f"{check.name}: {check.claim.replace('`', '')}")
    case = ET.SubElement(suite, "testcase", name=name, classname=f"{SUITE}.{check.topic}", time=f"{result.seconds:.3f}")
    if result.outcome is Outcome.SKIPPED:
        ET.SubElement(case, "skipped", message=_printable(result.detail))
    elif result.outcome is Outcome.NOT_RUN:
        ET.SubElement(case, "error", type="not run", message=_printable(result.detail))
    elif result.outcome is Outcome.FAILED:
        lines = [f"{word}: {getattr(result, word)}" for word in ("asked", "came", "right") if getattr(result, word)]
        message = result.detail or f"{result.asked}: {result.came}"
        ET.SubElement(case, "failure", type="failed", message=_printable(message)).text = _printable("\n".join(lines))


def _printable(text: str) -> str:
    """Text without what XML 1.0 cannot hold."""
    return "".join(one if one == "\n" or one.isprintable() else " " for one in text)
