"""The sample job of ``gristmill up --demo``: a histogram of a real table, by the public API alone."""

import json
import shlex
import sys
import time
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gristmill.errors import GristmillError
from gristmill.samples import penguins

COLUMN, BINS = "body_mass_g", 12
JOB_SECONDS = 120
BAR_WIDTH = 40
SUMMARY_REQUEST = "gristmill-summary.json"


class DemoError(GristmillError):
    """The sample job did not end as it should."""


def run_demo(url: str, console: Console, folder: Path | None = None) -> None:
    """Submit the job, show its progress, print its result, write its picture to ``folder`` (default: the current one).

    Raises DemoError, httpx.HTTPError, OSError when the folder is not writable.
    """
    folder = folder or Path.cwd()
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        job = _submit(client, console)
        _follow(client, job, console)
        document = _ok(client.get(f"/jobs/{job}/results", params={"f": "json"})).json()
        _print_histogram(document, console)
        picture = _save_picture(client, job, folder)
    console.print(f"Picture: {_near(picture)}")
    (folder / SUMMARY_REQUEST).write_text(
        json.dumps({"inputs": {"table": penguins()}, "response": "document"}), encoding="utf-8"
    )
    _print_next(url, job, folder / SUMMARY_REQUEST, console)


def _submit(client: httpx.Client, console: Console) -> str:
    console.print(f"\nSample job: a histogram of {COLUMN} of 344 penguins (Palmer Station LTER, CC0).")
    body = {"inputs": {"table": penguins(), "column": COLUMN, "bins": BINS}, "response": "document"}
    answer = _ok(client.post("/processes/histogram/execution", json=body, headers={"Prefer": "respond-async"}))
    job = str(answer.json()["jobID"])
    console.print(f"POST /processes/histogram/execution -> {answer.status_code}, job {job}")
    return job


def _follow(client: httpx.Client, job: str, console: Console) -> None:
    """Show the progress until the job has ended; DemoError unless it was successful."""
    columns = (TextColumn("{task.description:>10}"), BarColumn(BAR_WIDTH), TextColumn("{task.percentage:>3.0f} %"))
    deadline = time.monotonic() + JOB_SECONDS
    with Progress(*columns, TimeElapsedColumn(), console=console) as bar:
        task = bar.add_task("accepted", total=100)
        while True:
            state = _ok(client.get(f"/jobs/{job}")).json()
            status = str(state["status"])
            percent = 100 if status == "successful" else int(state.get("progress", 0))
            bar.update(task, completed=percent, description=status)
            if status in {"successful", "failed", "dismissed"}:
                break
            if time.monotonic() > deadline:
                raise DemoError(f"job {job} is still {status} after {JOB_SECONDS} s")
            time.sleep(0.05)
    if status != "successful":
        raise DemoError(f"job {job} {status}: {state.get('message', '')}")


def _print_histogram(document: dict[str, Any], console: Console) -> None:
    histogram = document["histogram"]
    histogram = histogram.get("value", histogram)
    edges, counts = histogram["edges"], histogram["counts"]
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    made.add_column(COLUMN, justify="right")
    made.add_column("birds", justify="right")
    made.add_column("")
    most = max(counts)
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        made.add_row(f"{low:,.0f} to {high:,.0f}", str(count), "█" * round(BAR_WIDTH * count / most), style="cyan")
    console.print(made)


def _save_picture(client: httpx.Client, job: str, folder: Path) -> Path:
    answer = _ok(client.get(f"/jobs/{job}/results/plot"))
    path = folder / "gristmill-histogram.png"
    path.write_bytes(answer.content)
    return path


def _print_next(url: str, job: str, request: Path, console: Console) -> None:
    command = shlex.quote(_near(Path(sys.argv[0]))) if Path(sys.argv[0]).name == "gristmill" else "gristmill"
    post = f"curl -s {url}/processes/summary/execution -H 'Content-Type: application/json'"
    tries = (
        ("what is offered", f"curl -s {url}/processes"),
        ("the summary of all columns", f"{post} -d @{shlex.quote(str(request))}"),
        (
            "the same of a table of your own",
            post + """ -d '{"inputs": {"table": "x,y\\n1,4\\n2,9"}, "response": "document"}'""",
        ),
        ("the job's state", f"curl -s {url}/jobs/{job}"),
        ("the latest jobs", f"{command} jobs list"),
    )
    console.print("\nTry next, in another terminal:")
    for meaning, line in tries:
        console.print(f"  [dim]# {meaning}[/]\n  {escape(line)}")
    console.print(
        "  [dim]# your own analysis: put a Python file into processes/ (docs/processes.md), and start again[/]\n"
    )


def _ok(answer: httpx.Response) -> httpx.Response:
    """The answer, or DemoError with the problem's detail."""
    if answer.is_success:
        return answer
    try:
        detail = answer.json().get("detail", answer.text)
    except ValueError:
        detail = answer.text
    raise DemoError(f"{answer.request.method} {answer.request.url.path} -> {answer.status_code}: {detail}")


def _near(path: Path) -> str:
    """A path as it is best typed from the current folder."""
    try:
        return str(path.absolute().relative_to(Path.cwd()))
    except ValueError:
        return str(path)
