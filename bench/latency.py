"""How long a job takes from its submission until its result is seen, one job in flight."""

import time
from pathlib import Path

from bench.measure import Report, percentile
from bench.parts import FSYNC
from bench.rivals import drivers
from gristmill.hub import Hub

COUNT = 2000


def measure(url: str, folder: Path) -> Report:
    """Through the engine: subscribe, submit, wait for the event, read the result."""
    jobs, offer = drivers.gristmill_jobs(url)
    hub = Hub(jobs)
    workers = drivers.gristmill_worker(url, folder)
    seconds = []
    try:
        for number in range(COUNT + 100):
            new = drivers.new_noop(offer)
            started = time.perf_counter()
            with hub.watch(new.id) as watch:
                job = jobs.submit(new).job
                while not job.status.is_final:
                    event = watch.wait(10 if number < 100 else 2)
                    if event is None or event.status is None or event.status.is_final:
                        job = jobs.get(new.id)
            if number >= 100:
                seconds.append(time.perf_counter() - started)
    finally:
        workers.end()
        hub.close()
    p50, p99 = percentile(seconds, 50) * 1000, percentile(seconds, 99) * 1000
    report = Report("From submission to the result seen, in the engine", f"one job in flight, appendfsync {FSYNC}")
    report.add("p50", p50, "ms", "<= 1.3 ms", p50 <= 1.3)
    report.add("p99", p99, "ms", "<= 6 ms", p99 <= 6)
    return report
