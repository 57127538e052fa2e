"""Fetching what users name: only from allowed addresses, and within the limits."""

import gzip
import os
import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address, ip_network
from pathlib import Path

import pytest

from gristmill.errors import FetchError, RefusedUrlError
from gristmill.fetch import CALL_BACK_ALLOW, Fetcher, SafeClient, check_url, is_allowed
from gristmill.settings import Settings

LOOPBACK = [ip_network("127.0.0.0/8")]
Handle = Callable[[BaseHTTPRequestHandler], None]


class Site:
    """A small web server on the loopback address; ``seen`` has method, path, Host and body of each request."""

    def __init__(self, context: ssl.SSLContext | None = None) -> None:
        self.seen: list[tuple[str, str, str, bytes]] = []
        self.pages: dict[str, Handle] = {}
        site = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                site.seen.append((self.command, self.path, self.headers["Host"], body))
                self.close_connection = True
                site.pages.get(self.path, lambda one: reply(one, 404))(self)

            do_GET = do_POST = answer  # noqa: N815  the names that the standard library calls

            def log_message(self, *_: object) -> None: ...

        class Server(ThreadingHTTPServer):
            def handle_error(self, *_: object) -> None:
                """Clients that go away are what is tested."""

        self.server = Server(("127.0.0.1", 0), Handler)
        if context:
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()

    def url(self, path: str, host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


def reply(to: BaseHTTPRequestHandler, status: int = 200, body: bytes = b"", **headers: str) -> None:
    to.send_response(status)
    for name, value in headers.items():
        to.send_header(name.replace("_", "-"), value)
    to.send_header("Content-Length", str(len(body)))
    to.end_headers()
    to.wfile.write(body)


@pytest.fixture
def site() -> Iterator[Site]:
    made = Site()
    yield made
    made.close()


@contextmanager
def names(monkeypatch: pytest.MonkeyPatch, **addresses: list[str]) -> Iterator[list[str]]:
    """Let names resolve to given addresses; yields the names that were looked up."""
    asked: list[str] = []
    real = socket.getaddrinfo

    def look_up(host: str, port: int, *rest: int, **options: int) -> list[tuple[object, ...]]:
        if host.replace(".", "").isdigit():
            return list(real(host, port, *rest, **options))
        asked.append(host)
        found = addresses[host.replace(".", "_")]
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (one, port)) for one in found]

    with monkeypatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", look_up)
        yield asked


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "127.255.0.9", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1", "0.0.0.0",
        "192.0.0.1", "192.88.99.1", "198.18.0.1", "198.51.100.7", "224.0.0.1", "233.252.0.1", "239.1.1.1", "240.0.0.1",
        "255.255.255.255", "::", "::1", "::7f00:1", "fe80::1", "fe80::1%2", "fc00::1", "fd12::1", "fec0::1", "ff02::1",
        "ff0e::1", "::ffff:10.0.0.1", "::ffff:127.0.0.1", "64:ff9b::a00:1", "64:ff9b::808:808", "64:ff9b:1::1",
        "2002:a00:1::1", "2002:808:808::1", "2001:0:4136:e378::1", "2001:db8::1",
    ],
)  # fmt: skip
def test_an_address_that_is_not_on_the_public_internet_is_refused(address: str) -> None:
    assert not is_allowed(ip_address(address))


@pytest.mark.parametrize("address", ["8.8.8.8", "1.1.1.1", "2606:4700:4700::1111", "::ffff:8.8.8.8"])
def test_a_public_address_is_allowed(address: str) -> None:
    assert is_allowed(ip_address(address))


def test_a_network_of_the_setting_is_allowed_and_its_neighbours_are_not() -> None:
    allowed = [ip_network("10.1.0.0/16"), ip_network("fd00:1::/32")]

    assert is_allowed(ip_address("10.1.2.3"), allowed)
    assert is_allowed(ip_address("::ffff:10.1.2.3"), allowed)
    assert is_allowed(ip_address("fd00:1::5"), allowed)
    assert not is_allowed(ip_address("10.2.0.1"), allowed)
    assert not is_allowed(ip_address("fd00:2::5"), allowed)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.org/x",
        "file:///etc/passwd",
        "//example.org/x",
        "example.org",
        "http://",
        "http://u:p@example.org/",
        "http://[::1/",
        "",
    ],
)
def test_a_url_of_the_wrong_form_is_refused(url: str) -> None:
    with pytest.raises(RefusedUrlError):
        check_url(url)


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "2130706433", "0x7f.1", "localhost"])
def test_no_spelling_of_loopback_is_connected_to(site: Site, host: str) -> None:
    site.pages["/"] = reply

    with pytest.raises(RefusedUrlError, match="not on the public internet"):
        SafeClient().get(site.url("/", host))

    assert not site.seen


def test_a_name_that_resolves_to_a_private_address_is_refused(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    with names(monkeypatch, inner_test=["10.0.0.1", "127.0.0.1"]), pytest.raises(RefusedUrlError):
        SafeClient().get(site.url("/", "inner.test"))

    assert not site.seen


def test_a_name_is_resolved_once_and_the_checked_address_is_the_one_connected_to(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    site.pages["/"] = lambda to: reply(to, body=b"here")

    with names(monkeypatch, outer_test=["10.0.0.1", "127.0.0.1"]) as asked:
        fetched = SafeClient(allowed=LOOPBACK).get(site.url("/", "outer.test"))

    assert fetched.content == b"here"
    assert asked == ["outer.test"]
    assert site.seen[0][2] == f"outer.test:{site.port}"


def test_what_is_fetched_comes_with_its_type(site: Site) -> None:
    site.pages["/a?b=1"] = lambda to: reply(to, body=b"x,y\n", Content_Type="Text/CSV; charset=utf-8")

    fetched = SafeClient(allowed=LOOPBACK).get(site.url("/a?b=1"))

    assert (fetched.media_type, fetched.charset, fetched.content) == ("text/csv", "utf-8", b"x,y\n")
    assert fetched.url == site.url("/a?b=1")


def test_redirects_are_followed_and_each_is_checked(site: Site) -> None:
    site.pages["/1"] = lambda to: reply(to, 302, Location="/2")
    site.pages["/2"] = lambda to: reply(to, 307, Location=site.url("/3"))
    site.pages["/3"] = lambda to: reply(to, body=b"end")
    site.pages["/out"] = lambda to: reply(to, 302, Location=f"http://127.0.0.2:{site.port}/3")
    site.pages["/file"] = lambda to: reply(to, 302, Location="file:///etc/passwd")
    client = SafeClient(allowed=[ip_network("127.0.0.1/32")])

    assert client.get(site.url("/1")).content == b"end"
    with pytest.raises(RefusedUrlError, match=r"127\.0\.0\.2"):
        client.get(site.url("/out"))
    with pytest.raises(RefusedUrlError, match="http or https"):
        client.get(site.url("/file"))


def test_endless_redirects_end_after_five(site: Site) -> None:
    site.pages["/"] = lambda to: reply(to, 302, Location="/")

    with pytest.raises(FetchError, match="more than 5 times"):
        SafeClient(allowed=LOOPBACK).get(site.url("/"))

    assert len(site.seen) == 6


def test_a_status_that_is_no_success_is_an_error(site: Site) -> None:
    with pytest.raises(FetchError, match="status 404"):
        SafeClient(allowed=LOOPBACK).get(site.url("/nothing"))


def test_an_answer_larger_than_allowed_is_refused_while_it_comes(site: Site) -> None:
    def endless(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.end_headers()
        while True:
            to.wfile.write(b"x" * 65536)

    site.pages["/"] = endless

    with pytest.raises(FetchError, match="larger than 100,000 bytes"):
        SafeClient(allowed=LOOPBACK, largest_bytes=100_000).get(site.url("/"))


def test_a_compressed_answer_is_counted_as_it_expands(site: Site) -> None:
    bomb = gzip.compress(bytes(200 * 2**20))
    site.pages["/bomb"] = lambda to: reply(to, body=bomb, Content_Encoding="gzip")
    site.pages["/small"] = lambda to: reply(to, body=gzip.compress(b"small"), Content_Encoding="gzip")
    site.pages["/cut"] = lambda to: reply(to, body=gzip.compress(b"small" * 1000)[:-9], Content_Encoding="gzip")
    site.pages["/br"] = lambda to: reply(to, body=b"?", Content_Encoding="br")
    client = SafeClient(allowed=LOOPBACK, largest_bytes=2**20)

    assert client.get(site.url("/small")).content == b"small"
    with pytest.raises(FetchError, match="larger than"):
        client.get(site.url("/bomb"))
    with pytest.raises(FetchError, match="gzip"):
        client.get(site.url("/cut"))
    with pytest.raises(FetchError, match="compressed with br"):
        client.get(site.url("/br"))


@pytest.mark.parametrize("slow_in", ["headers", "body"])
def test_an_answer_that_trickles_is_given_up_at_the_time_limit(site: Site, slow_in: str) -> None:
    def trickle(to: BaseHTTPRequestHandler) -> None:
        to.wfile.write(b"HTTP/1.1 200 OK\r\n" + (b"X: " if slow_in == "headers" else b"\r\n"))
        for _ in range(400):
            to.wfile.write(b"x")
            time.sleep(0.05)

    site.pages["/"] = trickle
    started = time.monotonic()

    with pytest.raises(FetchError, match="in time"):
        SafeClient(allowed=LOOPBACK, seconds=0.5).get(site.url("/"))

    assert time.monotonic() - started < 5


def test_a_name_that_does_not_resolve_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)

    with pytest.raises(FetchError, match="cannot be resolved"):
        SafeClient().get("http://nowhere.test/")


def test_a_server_that_breaks_off_is_an_error(site: Site) -> None:
    def break_off(to: BaseHTTPRequestHandler) -> None:
        to.send_response(200)
        to.send_header("Content-Length", "100")
        to.end_headers()
        to.wfile.write(b"half")

    site.pages["/"] = break_off

    with pytest.raises(FetchError, match="could not be fetched"):
        SafeClient(allowed=LOOPBACK).get(site.url("/"))


def test_a_proxy_of_the_environment_is_not_used(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    site.pages["/"] = lambda to: reply(to, body=b"direct")

    assert SafeClient(allowed=LOOPBACK).get(site.url("/")).content == b"direct"


def test_a_post_sends_its_body_and_follows_no_redirect(site: Site) -> None:
    site.pages["/"] = lambda to: reply(to, 307, Location="/other")

    status = SafeClient(allowed=LOOPBACK).post(site.url("/"), b'{"a":1}', {"Content-Type": "application/json"})

    assert status == 307
    assert [(one[0], one[1], one[3]) for one in site.seen] == [("POST", "/", b'{"a":1}')]


def test_a_post_to_a_private_address_is_refused(site: Site) -> None:
    with pytest.raises(RefusedUrlError):
        SafeClient().post(site.url("/"), b"", {})

    assert not site.seen


def test_the_fetcher_takes_its_limits_from_the_settings(site: Site) -> None:
    site.pages["/"] = lambda to: reply(to, body=b"x" * 11)
    settings = Settings(fetch_allow="127.0.0.0/8", fetch_bytes=10)

    with pytest.raises(FetchError, match="larger than 10 bytes"):
        Fetcher(settings).get(site.url("/"))


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    """A certificate for outer.test that signs itself, and its key."""
    openssl = shutil.which("openssl")
    if not openssl:
        pytest.skip("openssl is not installed")
    crt, key = tmp_path / "crt.pem", tmp_path / "key.pem"
    command = [openssl, "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=outer.test"]
    command += ["-addext", "subjectAltName=DNS:outer.test", "-keyout", str(key), "-out", str(crt)]
    subprocess.run(command, check=True, capture_output=True, env={"PATH": os.environ["PATH"]})
    return crt, key


def test_a_certificate_is_checked_for_the_name_and_not_for_the_address(
    certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    site = Site(context)
    site.pages["/"] = lambda to: reply(to, body=b"secret")
    trusting = SafeClient(allowed=LOOPBACK)
    trusting._tls.load_verify_locations(certificate[0])
    try:
        with names(monkeypatch, outer_test=["127.0.0.1"], wrong_test=["127.0.0.1"]):
            assert trusting.get(f"https://outer.test:{site.port}/").content == b"secret"
            with pytest.raises(FetchError, match=r"(?i)hostname mismatch"):
                trusting.get(f"https://wrong.test:{site.port}/")
            with pytest.raises(FetchError, match=r"(?i)certificate verify failed"):
                SafeClient(allowed=LOOPBACK).get(f"https://outer.test:{site.port}/")
    finally:
        site.close()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "[::1]",
        "2130706433",
        "0x7f.1",
        "127.1",
        "localhost",
        "LOCALHOST.",
        "a.localhost",
        "[::ffff:10.0.0.1]",
    ],
)
def test_an_address_in_any_spelling_is_refused_before_anything_is_sent(host: str) -> None:
    with pytest.raises(
        RefusedUrlError, match="not on the public internet, nor in a network of GRISTMILL_CALL_BACK_ALLOW"
    ):
        check_url(f"HTTP://{host}/", (), CALL_BACK_ALLOW)


@pytest.mark.parametrize("host", ["example.org", "1.1.1.1", "[2606:4700:4700::1111]", "localhost.example.org"])
def test_a_name_or_a_public_address_passes_before_it_is_resolved(host: str) -> None:
    assert check_url(f"https://{host}/", (), CALL_BACK_ALLOW).host
