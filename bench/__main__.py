"""``python -m bench [NAME ...]``: measure, print the tables, write them to bench/results/."""

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from bench import analyses, backup, datasets, drain, footprint, http, latency, recovery
from bench import server as http_server
from bench.measure import Report, show, write
from bench.parts import scratch, server

Measurement = Callable[[str, Path], Report]

MEASUREMENTS: dict[str, Measurement] = {
    "drain": drain.measure,
    "submit": lambda url, _: drain.measure_submit(url),
    "latency": latency.measure,
    "http": http.measure,
    "bytes": lambda url, _: footprint.measure_bytes(url),
    "idle": footprint.measure_idle,
    "growth": lambda url, _: footprint.measure_growth(url, (1_000, 100_000)),
    "recovery": recovery.measure,
    "server": http_server.measure,
    "datasets": datasets.measure,
    "analyses": analyses.measure,
    "backup": backup.measure,
}
LONG: dict[str, Measurement] = {
    "million": lambda url, _: footprint.measure_growth(url, (1_000, 1_000_000)),
}


def main() -> int:
    """Run the measurements that were named, or all but the long ones."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", help=f"which: {', '.join(MEASUREMENTS)}; only by name: {', '.join(LONG)}")
    parser.add_argument("--no-write", action="store_true", help="print only")
    asked = parser.parse_args()
    known = MEASUREMENTS | LONG
    if unknown := set(asked.names) - set(known):
        parser.error(f"unknown: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
    reports = []
    for name in asked.names or MEASUREMENTS:
        print(f"{name} ...", file=sys.stderr, flush=True)
        with scratch() as folder, server(Path(folder) / "server") as url:
            reports.append(known[name](url, Path(folder)))
        show(reports[-1])
    if not asked.no_write:
        print(f"written to {write(reports)}")
    return 0 if all(row.holds is not False for report in reports for row in report.rows) else 1


if __name__ == "__main__":
    raise SystemExit(main())
