"""Load on an HTTP server: by wrk, or by a client of our own where there is none, which takes more of the two cores."""

import asyncio
import json
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from bench.measure import percentile

GENERATOR = "wrk" if shutil.which("wrk") else "bench.load"
_MILLISECONDS = {"us": 0.001, "ms": 1.0, "s": 1000.0}


@dataclass(frozen=True, slots=True)
class Request:
    """One request, which is sent again and again."""

    path: str = "/get"
    method: str = "GET"
    headers: tuple[tuple[str, str], ...] = ()
    body: str = ""

    def raw(self) -> bytes:
        """As it goes over the connection."""
        headers = [("Host", "127.0.0.1"), *self.headers]
        if self.body:
            headers.append(("Content-Length", str(len(self.body))))
        lines = [f"{self.method} {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers)]
        return ("\r\n".join(lines) + "\r\n\r\n" + self.body).encode()

    def script(self) -> str:
        """As wrk reads it."""
        headers = "".join(f"wrk.headers[{json.dumps(name)}] = {json.dumps(value)}\n" for name, value in self.headers)
        return f"wrk.method = {json.dumps(self.method)}\nwrk.body = {json.dumps(self.body)}\n{headers}"


GET = Request()


def generate(port: int, connections: int, request: Request = GET) -> dict[str, float]:
    """One slice of one second: requests per second, and the median and 99th percentile of their time in ms."""
    if GENERATOR != "wrk":
        return asyncio.run(load(port, connections, 1.0, request))
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder, "request.lua")
        script.write_text(request.script())
        url = f"http://127.0.0.1:{port}{request.path}"
        command = ["wrk", "-t1", f"-c{connections}", "-d1", "--latency", "-s", str(script), url]
        text = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in text, text
    times = {
        percent: float(value) * _MILLISECONDS[unit]
        for percent, value, unit in re.findall(r"(\d+)%\s+([\d.]+)(us|ms|s)", text)
    }
    rate = re.search(r"Requests/sec:\s+([\d.]+)", text)
    assert rate, text
    return {"rate": float(rate[1]), "p50": times["50"], "p99": times["99"]}


async def _client(port: int, end: float, seconds: list[float], request: bytes) -> None:
    """Ask again and again on one connection."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while (started := time.perf_counter()) < end:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 2"):
            raise RuntimeError(head.decode())
        await reader.readexactly(int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]))
        seconds.append(time.perf_counter() - started)
    writer.close()


async def load(port: int, connections: int, duration: float, request: Request = GET) -> dict[str, float]:
    """The same by our own client, for any time in seconds."""
    seconds: list[float] = []
    end = time.perf_counter() + duration
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(_client(port, end, seconds, request.raw()))
    return {
        "rate": len(seconds) / duration,
        "p50": percentile(seconds, 50) * 1000,
        "p99": percentile(seconds, 99) * 1000,
    }
