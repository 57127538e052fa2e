"""Whole files of a version, from two API processes over one cache, to clients on real sockets."""

import socket
import sys
import time
import zlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from support import wait_until
from support.system import RunningSystem

from gristmill.limits import descendants_of

ROWS = 1_000_000
BODY = "a,b\n" + "".join(f"{row},{row * 2_654_435_761 % 2**40}\n" for row in range(ROWS))
# So that they are all at once at work, and in both processes.
CLIENTS = 8
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningSystem]:
    settings = {"DATASET_FREE_BYTES": "0", "API_PROCESSES": "2"}
    with RunningSystem(tmp_path_factory.mktemp("system"), settings=settings) as running:
        yield running


def put(system: RunningSystem, name: str, body: str = BODY) -> str:
    """The path of the version's rows as CSV."""
    answer = httpx.put(f"{system.url}/datasets/{name}", content=body, headers={"Content-Type": "text/csv"}, timeout=60)
    assert answer.status_code == 201, answer.text
    return f"/datasets/{name}/versions/{answer.json()['version']}/rows?f=csv"


def exports(system: RunningSystem) -> list[Path]:
    return list((system.folder / "data" / "cache").glob("*-*.data"))


def stalled(system: RunningSystem, path: str) -> tuple[socket.socket, bytes]:
    """A client that has read the headers and the beginning of the body, which is given."""
    client = socket.create_connection(("127.0.0.1", int(system.url.rpartition(":")[2])), timeout=60)
    client.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".encode())
    data = b""
    while b"\r\n\r\n" not in data:
        piece = client.recv(4096)
        assert piece, data
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200"), head
    return client, body


def holders(system: RunningSystem, file: str) -> list[str]:
    """The descriptors of API processes that have a file open."""
    (api,) = (part.process.pid for part in system.parts if part.name == "api")
    found = []
    for process in [api, *descendants_of(api)]:
        for descriptor in Path(f"/proc/{process}/fd").iterdir():
            try:
                target = str(descriptor.readlink())
            except FileNotFoundError:
                continue
            if target.partition(" ")[0] == file:
                found.append(str(descriptor))
    return found


@pytest.mark.slow
def test_two_processes_that_are_asked_at_once_make_one_file(system: RunningSystem) -> None:
    url = system.url + put(system, "once")

    with ThreadPoolExecutor(CLIENTS) as pool:
        headers = {"Accept-Encoding": "identity"}
        answers = list(pool.map(lambda _: httpx.get(url, headers=headers, timeout=60), range(CLIENTS)))

    assert {(answer.status_code, zlib.crc32(answer.content)) for answer in answers} == {
        (200, zlib.crc32(BODY.encode()))
    }
    assert len(exports(system)) == 1
    httpx.delete(f"{system.url}/datasets/once")
    wait_until(lambda: not exports(system), 60, "the file goes with its version")


@linux
def test_who_is_being_sent_a_file_gets_it_whole_though_the_data_set_is_deleted(system: RunningSystem) -> None:
    client, beginning = stalled(system, put(system, "deleted"))
    with client:
        (file,) = map(str, exports(system))
        assert holders(system, file)

        httpx.delete(f"{system.url}/datasets/deleted")
        rest = b"".join(iter(lambda: client.recv(2**20), b""))
    assert zlib.crc32(beginning + rest) == zlib.crc32(BODY.encode())
    wait_until(lambda: not exports(system), 60, "the file leaves the cache when it has been sent")
    assert not holders(system, file)


@linux
def test_the_file_is_closed_when_the_client_leaves_in_the_middle(system: RunningSystem) -> None:
    client, _ = stalled(system, put(system, "left", BODY.replace("a,b", "c,d", 1)))
    with client:
        (file,) = map(str, exports(system))
        assert holders(system, file)

    wait_until(lambda: not holders(system, file), 30, "the file is closed")


def test_files_whose_clients_have_gone_are_not_made(system: RunningSystem) -> None:
    path = put(system, "abandoned", BODY.replace("a,b", "e,f", 1))
    host = int(system.url.rpartition(":")[2])
    before = len(exports(system))
    with ExitStack() as clients:
        for number in range(30):
            client = clients.enter_context(socket.create_connection(("127.0.0.1", host), timeout=60))
            query = f"{path}&sortby=-f&filter=f%3E{number}"
            client.sendall(f"GET {query} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
        wait_until(lambda: list((system.folder / "data" / "cache").glob("*-*.making")), 30, "one is being made")

    time.sleep(5)  # in which most would be made
    assert len(exports(system)) - before < 5
    assert not list((system.folder / "data" / "cache").glob("*-*.making"))
