"""The report of the acceptance run, read."""

from typing import Any

Report = dict[str, Any]


def outcomes(report: Report, *wanted: str) -> dict[str, str]:
    """The checks that came out like this, each with all that was said of it."""
    return {one["name"]: str(one) for one in report["checks"] if one["outcome"] in wanted}


def counts(report: Report) -> str:
    """How many checks came out how, in words."""
    return ", ".join(f"{number} {outcome}" for outcome, number in report["counts"].items() if number)
