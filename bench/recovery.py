"""From SIGKILL of a worker until its job runs again on another."""

import os
import signal
import time
from contextlib import suppress
from pathlib import Path

from bench.measure import Report, percentile
from bench.parts import wait_until
from bench.rivals import drivers


def measure(url: str, folder: Path, kills: int = 10, behind: int = 10_000) -> Report:
    """With default settings: idle, and with so many jobs queued behind."""
    report = Report("SIGKILL of a worker until its job runs again", f"default settings, {kills} kills each")
    jobs, offer = drivers.gristmill_jobs(url)
    sleep = next(one for one in drivers.registry_offers(jobs) if one.process == "sleep")
    for title, queued in (("idle", 0), (f"behind {behind:,} jobs", behind)):
        seconds = []
        workers = [drivers.gristmill_worker(url, folder, children=1)]
        try:
            jobs.pause("noop")
            for _ in range(queued):
                jobs.submit(drivers.new_noop(offer, owner="crowd"))
            for _ in range(kills):
                new = drivers.NewJob(drivers.new_id(), "sleep", "victim", b"{}", sleep.interface, sleep.version)
                jobs.submit(new)
                wait_until(lambda id_=new.id: jobs.get(id_).status == "running", 30, "the job did not start")
                known = {worker.id for worker in jobs.workers()}  # those of the title before are listed for a while
                workers.append(drivers.gristmill_worker(url, folder, children=1))
                wait_until(
                    lambda known=known: {worker.id for worker in jobs.workers()} - known,
                    30, "the second worker did not start",
                )  # fmt: skip
                first = jobs.get(new.id)
                for pid in workers[0].members():
                    with suppress(ProcessLookupError):
                        os.kill(pid, signal.SIGKILL)
                started = time.perf_counter()
                wait_until(
                    lambda id_=new.id, was=first.token: (now := jobs.get(id_)).status == "running" and now.token != was,
                    30, "the job did not run again",
                )  # fmt: skip
                seconds.append(time.perf_counter() - started)
                jobs.dismiss(new.id)
                workers.pop(0).end()
                wait_until(lambda: len(jobs.workers()) == 1, 30, "the dead worker is still listed")
        finally:
            for one in workers:
                one.end()
            jobs.resume("noop")
        p95 = percentile(seconds, 95)
        report.add(f"{title}, p50", percentile(seconds, 50), "s")
        report.add(f"{title}, p95", p95, "s", "< 10 s", p95 < 10)
    return report
