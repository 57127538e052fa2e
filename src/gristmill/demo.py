"""The sample of ``gristmill up --demo``: a real table uploaded, and two jobs on it, by the public API alone."""

import json
import shlex
import sys
import time
from http import HTTPStatus
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from gristmill.errors import GristmillError
from gristmill.samples import penguins

NAME, COLUMN, BINS = "penguins", "body_mass_g", 12
PICTURE = "gristmill-histogram.png"
JOB_SECONDS = 120
BAR_WIDTH = 40
# What is said about the sample: it makes labels and lists readable.
DESCRIPTION = {
    "title": "Palmer penguins",
    "source": "Palmer Station LTER, by A. Horst, A. Hill and K. Gorman (palmerpenguins)",
    "licence": "CC0-1.0",
    "columns": {
        "bill_length_mm": {"unit": "mm"},
        "bill_depth_mm": {"unit": "mm"},
        "flipper_length_mm": {"unit": "mm"},
        "body_mass_g": {"unit": "g"},
    },
}


class DemoError(GristmillError):
    """The sample jobs did not end as they should."""


def run_demo(url: str, console: Console, folder: Path | None = None) -> None:
    """Upload the table, run two jobs on it, show their results, write a picture to ``folder`` (default: this one).

    Raises DemoError, httpx.HTTPError, OSError when the folder is not writable.
    """
    folder = folder or Path.cwd()
    with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
        _upload(client, console)
        job = _submit(client, console, "summary", {})
        _follow(client, job, console)
        _print_summary(_document(client, job), console)
        job = _submit(client, console, "histogram", {"column": COLUMN, "bins": BINS})
        _follow(client, job, console)
        _print_histogram(_document(client, job), console)
        picture = _save_picture(client, job, folder)
    console.print(f"Picture: {_near(picture)}")
    _print_next(url, job, console)


def _upload(client: httpx.Client, console: Console) -> None:
    console.print("\nSample data: 344 penguins of three species (Palmer Station LTER, CC0).")
    headers = {"Content-Type": "text/csv"}
    answer = _ok(client.put(f"/datasets/{NAME}", params={"null": ["NA", ""]}, content=penguins(), headers=headers))
    _ok(client.patch(f"/datasets/{NAME}", json=DESCRIPTION))
    told = answer.json()
    how = "a new version" if answer.status_code == HTTPStatus.CREATED else "the version that is there"
    console.print(
        f"PUT /datasets/{NAME} -> {answer.status_code}, {how}: "
        f"{told['rows']} rows, {len(told['columns'])} columns, version {told['version'][:12]}…"
    )


def _submit(client: httpx.Client, console: Console, process: str, inputs: dict[str, Any]) -> str:
    body = {"inputs": {"table": {"dataset": NAME}} | inputs}
    answer = _ok(client.post(f"/processes/{process}/execution", json=body, headers={"Prefer": "respond-async"}))
    job = str(answer.json()["jobID"])
    console.print(f"\nPOST /processes/{process}/execution -> {answer.status_code}, job {job}")
    return job


def _document(client: httpx.Client, job: str) -> dict[str, Any]:
    document: dict[str, Any] = _ok(client.get(f"/jobs/{job}/results", params={"f": "json"})).json()
    return document


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


def _print_summary(document: dict[str, Any], console: Console) -> None:
    made = Table(box=None, header_style="bold", padding=(0, 2, 0, 0))
    for head in ("column", "type", "nulls", "distinct", "least", "mean", "greatest"):
        made.add_column(head, justify="left" if head in {"column", "type"} else "right")
    for column in document["columns"]:
        numbers = (_short(column[name]) for name in ("minimum", "mean", "maximum"))
        made.add_row(column["name"], column["type"], str(column["nulls"]), str(column["distinct"]), *numbers)
    console.print(made)


def _short(value: Any) -> str:
    return "" if value is None else f"{value:,.4g}" if isinstance(value, float) else str(value)


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
    path = folder / PICTURE
    path.write_bytes(answer.content)
    return path


def _print_next(url: str, job: str, console: Console) -> None:
    command = shlex.quote(_near(Path(sys.argv[0]))) if Path(sys.argv[0]).name == "gristmill" else "gristmill"
    rows = f"curl -sG {url}/datasets/{NAME}/rows"
    post = f"curl -s {url}/processes/histogram/execution -H 'Content-Type: application/json'"
    ask = json.dumps({"inputs": {"table": {"dataset": NAME}, "column": "species"}, "response": "document"})
    tries = (
        ("the data set: its columns, its versions", f"curl -s {url}/datasets/{NAME}"),
        ("the heaviest birds", f"{rows} --data-urlencode 'filter={COLUMN} > 6000' -d sortby=-{COLUMN}"),
        ("a histogram of another column", f"{post} -d '{ask}'"),
        ("where the last result came from", f"curl -s {url}/jobs/{job}/prov"),
        ("what else is offered", f"curl -s {url}/processes"),
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
