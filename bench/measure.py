"""Slices, medians, and the table: what every measurement shares.

Every measurement interleaves its candidates in slices of less than two seconds, so that a machine whose speed drifts
slows all of them alike; what counts is the ratio within one run.
"""

import json
import platform
import statistics
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

RESULTS = Path(__file__).parent / "results"


@dataclass
class Row:
    """One figure. ``bar`` is what it has to reach, ``holds`` whether it does (None: no bar)."""

    name: str
    value: float
    unit: str
    bar: str = ""
    holds: bool | None = None


@dataclass
class Report:
    """What one measurement found. day: when it was written down, as ``2026-11-28``; "" before that."""

    title: str
    note: str = ""
    rows: list[Row] = field(default_factory=list)
    day: str = ""

    def add(self, name: str, value: float, unit: str, bar: str = "", holds: bool | None = None) -> None:
        self.rows.append(Row(name, value, unit, bar, holds))


def interleaved(slices: Mapping[str, Callable[[], float]], runs: int = 5) -> dict[str, float]:
    """Call each slice in turn, ``runs`` times round; the median of what each returned."""
    found: dict[str, list[float]] = {name: [] for name in slices}
    for _ in range(runs):
        for name, measure in slices.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def percentile(values: list[float], percent: float) -> float:
    """The nearest-rank percentile."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * percent / 100))]


def machine() -> str:
    """The machine, in a line."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    count = 0
    if cpuinfo.exists():
        lines = cpuinfo.read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
        count = sum(line.startswith("processor") for line in lines)
    return f"{count or '?'} x {model}, Python {platform.python_version()}, {platform.system()}"


def show(report: Report) -> None:
    """Print one report as a table."""
    table = Table(title=report.title, caption=report.note, title_justify="left", caption_justify="left")
    table.add_column("figure")
    table.add_column("value", justify="right")
    table.add_column("bar")
    table.add_column("")
    for row in report.rows:
        verdict = "" if row.holds is None else "[green]holds" if row.holds else "[red]missed"
        table.add_row(
            row.name,
            f"{row.value:,.4g} {row.unit}" if row.value < 1000 else f"{row.value:,.0f} {row.unit}",
            row.bar,
            verdict,
        )
    Console().print(table)


def write(reports: list[Report]) -> Path:
    """Write the reports as JSON, by the day, and as the Markdown tables that the README shows.

    What the last day's file has of the same machine stays, unless it was measured again; each table says when.
    """
    RESULTS.mkdir(exist_ok=True)
    day = datetime.now(UTC).date().isoformat()
    for report in reports:
        report.day = day
    path = RESULTS / f"{day}.json"
    reports = _with_earlier(reports)
    facts = {"date": day, "machine": machine(), "reports": [asdict(report) for report in reports]}
    path.write_text(json.dumps(facts, indent=1) + "\n")
    lines = [f"Measured on {machine()}.", ""]
    for report in reports:
        lines += [
            f"**{report.title}** ({report.day}){': ' + report.note if report.note else ''}",
            "",
            "| figure | value | bar |",
            "| --- | ---: | --- |",
        ]
        for row in report.rows:
            value = f"{row.value:,.0f}" if row.value >= 1000 else f"{row.value:.3g}"
            mark = "" if row.holds is None else " ✓" if row.holds else " ✗"
            lines.append(f"| {row.name} | {value} {row.unit} | {row.bar}{mark} |")
        lines.append("")
    (RESULTS / "latest.md").write_text("\n".join(lines))
    return path


def _with_earlier(reports: list[Report]) -> list[Report]:
    files = sorted(RESULTS.glob("[0-9]*.json"))
    earlier = json.loads(files[-1].read_text()) if files else {"machine": "", "reports": []}
    if earlier["machine"] != machine():
        return reports
    known = [
        Report(one["title"], one["note"], [Row(**row) for row in one["rows"]], one.get("day", earlier["date"]))
        for one in earlier["reports"]
    ]
    new = {report.title: report for report in reports}
    kept = [new.pop(report.title, report) for report in known]
    return [*kept, *new.values()]
