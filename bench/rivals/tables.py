"""What else serves a table over HTTP: Datasette over SQLite, and ROAPI with all rows in memory.

Datasette has what its documentation gives for a large table that does not change: ``sqlite-utils insert`` (which finds
the types), no index, the file immutable with counts made beforehand, no suggested facets, limits out of the way.
"""

import json
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.error import URLError

from bench.parts import Workers, wait_until
from bench.server import free_port

_SETTINGS = {
    "sql_time_limit_ms": "600000",
    "max_returned_rows": "10000",
    "max_csv_mb": "0",
    "suggest_facets": "off",
    "default_cache_ttl": "0",
}


def program(name: str) -> str | None:
    """A command beside this Python, or on the PATH."""
    beside = Path(sys.executable).parent / name
    return str(beside) if beside.exists() else shutil.which(name)


def into_sqlite(csv: Path, database: Path) -> None:
    """The CSV as the table flights of a new SQLite file."""
    command = [program("sqlite-utils") or "sqlite-utils", "insert", str(database), "flights", str(csv), "--csv"]
    subprocess.run(command, check=True, capture_output=True)


def datasette(database: Path, folder: Path) -> tuple[Workers, int]:
    """Datasette on the file, in one process."""
    port, found = free_port(), program("datasette") or "datasette"
    counts = folder / "inspect.json"
    subprocess.run([found, "inspect", str(database), "--inspect-file", str(counts)], check=True, capture_output=True)
    settings = [word for name, value in _SETTINGS.items() for word in ("--setting", name, value)]
    command = [found, "serve", "-i", str(database), "--inspect-file", str(counts), "-p", str(port), *settings]
    running = Workers(command, env={}, folder=folder)
    wait_until(lambda: _answers(f"http://127.0.0.1:{port}/-/versions.json"), 60, "Datasette does not answer")
    return running, port


def roapi(csv: Path, folder: Path) -> tuple[Workers, int]:
    """ROAPI with the CSV in memory; it answers as soon as it has read it."""
    port, other, flight = free_port(), free_port(), free_port()
    command = [
        program("roapi") or "roapi", "-t", f"flights={csv}", "-a", f"127.0.0.1:{port}", "-p", f"127.0.0.1:{other}",
        "--addr-flight-sql", f"127.0.0.1:{flight}",
    ]  # fmt: skip
    running = Workers(command, env={}, folder=folder)
    wait_until(lambda: _answers(f"http://127.0.0.1:{port}/api/schema"), 60, "ROAPI does not answer")
    return running, port


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=60) as response:
            return isinstance(json.load(response), dict)
    except (URLError, OSError):
        return False
