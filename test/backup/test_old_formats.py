"""Backups of earlier formats are read for ever: the files in fixtures/ were written by the release that had the format.

They are never written again. ``format-1.backup`` is of ``support.odd_system``, by release 0.1.0 on Redis 7.0;
``format-1.json`` says which job is which.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from support.backups import seen_data_sets, seen_jobs
from support.lab import Lab
from support.odd_system import LONG, OFFERS, A, B
from support.shelf import Shelf, version_of

from gristmill.job import End, Status
from gristmill.settings import Settings

from .conftest import Run

FIXTURES = Path(__file__).parent / "fixtures"
NAMES = json.loads((FIXTURES / "format-1.json").read_text())
THIRTY_YEARS = 30 * 365 * 86400


@pytest.fixture
def settings(server: str, make_settings: Callable[..., Settings]) -> Settings:
    """A system that keeps results until after this test has outlived its authors."""
    return make_settings(server, retention_seconds=THIRTY_YEARS, environment="prod")


@pytest.mark.slow
def test_format_1_is_read_to_its_end_and_restored(settings: Settings, run: Run, tmp_path: Path) -> None:
    shutil.copy(FIXTURES / "format-1.backup", tmp_path)
    checked = run(settings, "backup", "--check", "format-1.backup")
    assert checked.returncode == 0, checked.stderr
    assert b"by release 0.1.0 in prod" in checked.stdout
    result = run(settings, "restore", "format-1.backup")
    assert result.returncode == 0, result.stderr

    lab, shelf = Lab(settings), Shelf(settings)
    lab.check()
    shelf.check()
    jobs = {name: seen_jobs(lab.jobs)[job] for name, job in NAMES.items()}
    statuses = {name: job.status for name, (job, *_) in jobs.items()}
    done = {"keyed", "with everything", "original", "copy", "long log"}
    failed = {"failed", "crashed"}
    assert {name for name, status in statuses.items() if status is Status.SUCCESSFUL} == done
    assert {name for name, status in statuses.items() if status is Status.FAILED} == failed
    assert {name for name, status in statuses.items() if status is Status.DISMISSED} == {"dismissed"}
    whole, inputs, outputs, log, host = jobs["with everything"]
    assert (inputs, outputs, log, host) == (LONG, [LONG, b"1"], b"done\n", "here")
    assert (whole.release, whole.process_version, whole.owner) == ("1.0.0", "v1", "ann")
    assert jobs["long log"][3] == b"line\n" * 10_000
    assert jobs["copy"][0].same_as == NAMES["original"]
    assert jobs["crashed"][0].end is End.CRASHED
    assert jobs["odd owner"][0].owner == "böb|:@ x"
    assert [queue.process for queue in lab.jobs.queues() if queue.paused] == ["another"]
    assert len(lab.jobs.signing_secret("ann")) == 32

    data_sets = seen_data_sets(shelf.store)
    flights, versions = data_sets["flights"]
    assert (flights.description.title, flights.description.columns["x"].unit) == ("Flüge", "m")
    assert [data for *_, data in versions] == [B, A]
    assert set(data_sets) == {"air", "flights", "636166c3a9"}
    assert shelf.client.zscore(f"{shelf.prefix}holds", f"{version_of(A).id} {NAMES['waiting 0']}")

    lab.client.delete(f"{lab.prefix}:due")  # they have waited for too long by now
    worker = lab.worker(*OFFERS)
    lab.client.zadd(f"{lab.prefix}:delayed", {NAMES["delayed"]: 1})
    lab.swept_ago(settings.beat_seconds)
    lab.jobs.sweep()
    while attempt := lab.jobs.claim(lab.child(worker), OFFERS):
        lab.finish(attempt)
    assert all(job.status.is_final for job, *_ in seen_jobs(lab.jobs).values())
