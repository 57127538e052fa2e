"""What the conformance tests share: the running system's client and its echo process."""

import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest
from support.system import RunningSystem

from conformance.suite import TIFF, Echo


@pytest.fixture(scope="session")
def api(running_system: RunningSystem) -> Iterator[httpx.Client]:
    """A client of the running system."""
    with httpx.Client(base_url=running_system.url, timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def echo(api: httpx.Client) -> Echo:
    """The echo process, read as the published suite reads it."""
    return Echo(api.get("/processes/echo").json())


@pytest.fixture(scope="session")
def picture_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """URL of a picture, for an input by reference."""
    folder = tmp_path_factory.mktemp("pictures")
    (folder / "testgeotiff.tiff").write_bytes(TIFF)
    handler = partial(SimpleHTTPRequestHandler, directory=folder)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/testgeotiff.tiff"
        server.shutdown()
