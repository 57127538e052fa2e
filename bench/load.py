"""A load generator for where there is no wrk: ``python -m bench.load PORT CONNECTIONS SECONDS`` prints JSON."""

import asyncio
import json
import sys
import time

from bench.measure import percentile

REQUEST = b"GET /get HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"


async def client(port: int, end: float, seconds: list[float], request: bytes) -> None:
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


async def load(port: int, connections: int, duration: float, request: bytes = REQUEST) -> dict[str, float]:
    """Requests per second, and the median and 99th percentile of their time in milliseconds."""
    seconds: list[float] = []
    end = time.perf_counter() + duration
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(client(port, end, seconds, request))
    return {
        "rate": len(seconds) / duration,
        "p50": percentile(seconds, 50) * 1000,
        "p99": percentile(seconds, 99) * 1000,
    }


if __name__ == "__main__":
    print(json.dumps(asyncio.run(load(int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])))))
