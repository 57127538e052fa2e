"""What the command line prints is complete, piped or not, and hides what is secret."""

import io
import re
from contextlib import closing
from dataclasses import replace

import pytest
from rich.console import Console

from gristmill import console
from gristmill.job import End, Job, NewJob, Output, QueueState, Status, Waiting, new_id
from gristmill.jobs import Jobs
from gristmill.settings import Settings
from gristmill.store import connect

JOB = Job(
    id="01j",
    process="histogram",
    owner="[ada]",
    status=Status.FAILED,
    created=1_700_000_000_000_000,
    updated=1_700_000_001_000_000,
    revision=3,
    message="Ran out of memory.",
    end=End.OUT_OF_MEMORY,
    detail="It used 2 GB.",
    attempts=1,
    outputs=(Output("plot", "image/png", None, size=123),),
)


def test_a_job_is_shown_with_its_end_and_the_end_of_its_log(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_job(JOB, b"line [1]\nline 2\n")
    shown = capsys.readouterr().out
    for text in (
        "failed",
        "Ran out of memory.",
        "out-of-memory",
        "It used 2 GB.",
        "[ada]",
        "plot (image/png, 123 bytes)",
    ):
        assert text in shown
    assert shown.endswith("line [1]\nline 2\n")


def test_piped_lines_are_neither_cut_nor_folded(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_jobs([replace(JOB, message="long " * 100)])
    header, line = capsys.readouterr().out.splitlines()
    assert header.split() == ["id", "process", "owner", "status", "created", "message"]
    assert line.count("long") == 100


def test_ids_are_whole_on_a_narrow_terminal() -> None:
    made = console.table("id", "process", "message")
    made.add_row("1m84anzxzjmsv56ca9mmjf", "histogram", "long " * 20)
    out = io.StringIO()
    Console(file=out, width=50).print(made)
    assert "1m84anzxzjmsv56ca9mmjf" in out.getvalue()
    assert out.getvalue().count("long") == 20


def test_the_list_says_why_a_job_failed(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_jobs([replace(JOB, message="")])
    assert capsys.readouterr().out.splitlines()[1].rstrip().endswith("It used 2 GB.")


def test_every_reason_to_wait_is_said_in_words() -> None:
    for reason in ("position", "next", "paused", "limit", "no-worker", "retry", "joined"):
        said = console.why_waiting(Waiting(reason, position=4, not_before=1_700_000_000_000_000, joined="01k"))
        assert re.fullmatch(r".*\w \w.*", said), (reason, said)
    assert console.why_waiting(Waiting("position", position=4)) == "4 before it"
    assert console.why_waiting(None) == ""


def test_a_paused_queue_and_one_without_a_worker_stand_out(capsys: pytest.CaptureFixture[str]) -> None:
    console.show_queues(
        [
            QueueState("echo", ready=2, running=1, delayed=0, oldest_seconds=61.2, paused=True, workers=1),
            QueueState("summary", ready=0, running=0, delayed=0, oldest_seconds=0, paused=False, workers=0),
        ]
    )
    _, echo, summary = capsys.readouterr().out.splitlines()
    assert echo.split() == ["echo", "2", "1", "0", "61", "s", "1", "paused"]
    assert summary.rstrip().endswith("no worker")


def test_the_newest_jobs_are_collected_over_pages(settings: Settings) -> None:
    ids = []
    with connect(settings) as client, closing(Jobs(client, settings)) as jobs:
        for number in range(12):
            new = NewJob(
                id=new_id(), process=f"p{number % 4}", owner="o", inputs=b"{}", interface="i", process_version="v"
            )
            ids.append(jobs.submit(new).job.id)

        found = console.newest(jobs, process="p3", status="", owner="o", limit=2)

    assert [job.id for job in found] == [ids[11], ids[7]]
