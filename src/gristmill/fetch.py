"""Talks to addresses that users name, without letting them reach our own networks.

http and https only. A name is resolved once, its addresses are checked, and one that passed is the one connected to;
the Host header and the certificate check keep the name. Every redirect is checked in the same way. Sizes are counted
after decompression, and one deadline covers everything, so neither a bomb nor a trickle gets past the limits.
"""

import socket
import ssl
import threading
import time
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address
from typing import Any, Self

import httpcore
import httpx

from gristmill.errors import FetchError, RefusedUrlError
from gristmill.settings import Settings

__all__ = [
    "CALL_BACK_ALLOW",
    "FETCH_ALLOW",
    "FetchError",
    "Fetched",
    "Fetcher",
    "RefusedUrlError",
    "SafeClient",
    "check_url",
    "is_allowed",
]

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
SocketOptions = Iterable[Any]

FETCH_ALLOW = "GRISTMILL_FETCH_ALLOW"
CALL_BACK_ALLOW = "GRISTMILL_CALL_BACK_ALLOW"

REDIRECTS = 5
_CHUNK_BYTES = 65536
_CONNECT_SECONDS = 10.0

# Forms of IPv6 that carry an IPv4 address to somewhere else, and ranges that Python's tables leave open.
_NEVER_GLOBAL: tuple[Network, ...] = (
    IPv6Network("::/96"),
    IPv6Network("64:ff9b::/96"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2001::/32"),
    IPv6Network("2002::/16"),
    IPv6Network("fec0::/10"),
    IPv4Network("192.88.99.0/24"),
)


@dataclass(frozen=True, slots=True)
class Fetched:
    """What a URL gave.

    url: the last one, after redirects. media_type: lower case, without parameters, or "". charset: as declared, or "".
    """

    url: str
    media_type: str
    charset: str
    content: bytes


def is_allowed(address: Address, allowed: Iterable[Network] = ()) -> bool:
    """Return whether an address is on the public internet, or in one of the allowed networks."""
    if isinstance(address, IPv6Address):
        if address.scope_id:
            address = IPv6Address(int(address))
        address = address.ipv4_mapped or address
    if any(address.version == network.version and address in network for network in allowed):
        return True
    is_special = address.is_multicast or any(address.version == one.version and address in one for one in _NEVER_GLOBAL)
    return address.is_global and not is_special


def check_url(url: str, allowed: Iterable[Network] | None = None, setting: str = FETCH_ALLOW) -> httpx.URL:
    """Return the URL, if its form is right; with ``allowed``, an address written as such is checked too.

    setting: where the allowed networks come from. Names other than localhost are not resolved here.
    Raises RefusedUrlError.
    """
    try:
        parsed = httpx.URL(url)
    except (httpx.InvalidURL, ValueError) as error:
        raise RefusedUrlError(f"{url[:200]!r} is not a URL: {error}") from error
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise RefusedUrlError(f"{url[:200]!r} must be an http or https URL with a host")
    if parsed.userinfo:
        raise RefusedUrlError("the URL must not carry a user name or password, because it is stored with the job")
    written = None if allowed is None else _written_address(parsed.host)
    if allowed is not None and written is not None and not is_allowed(written, allowed):
        raise RefusedUrlError(_why_refused(parsed.host, setting))
    return parsed


class SafeClient:
    """Sends requests to addresses on the public internet or in the allowed networks, each within its own limits.

    setting: where the allowed networks come from; refusals name it.
    """

    def __init__(
        self,
        *,
        allowed: Iterable[Network] = (),
        setting: str = FETCH_ALLOW,
        seconds: float = 30,
        largest_bytes: int = 64 * 2**20,
    ) -> None:
        self.allowed = tuple(allowed)
        self.setting = setting
        self.seconds = seconds
        self.largest_bytes = largest_bytes

    @cached_property
    def _tls(self) -> ssl.SSLContext:
        return httpx.create_ssl_context(trust_env=False)

    def get(self, url: str) -> Fetched:
        """Fetch a URL, following up to five redirects.

        Raises RefusedUrlError where the URL or an address may not be used, and FetchError for everything else: no
        answer within the time, a status other than 2xx, or more bytes than allowed.
        """
        deadline = time.monotonic() + self.seconds
        target = check_url(url, self.allowed, self.setting)
        for _ in range(REDIRECTS + 1):
            with self._send("GET", target, {"Accept": "*/*", "Accept-Encoding": "gzip"}, b"", deadline) as response:
                if response.is_redirect:
                    target = check_url(_joined(target, response.headers["location"]), self.allowed, self.setting)
                    continue
                if not response.is_success:
                    raise FetchError(f"{target} answered with status {response.status_code}")
                content = b"".join(_decoded(response, self.largest_bytes))
                media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
                return Fetched(str(target), media_type, response.charset_encoding or "", content)
        raise FetchError(f"{url} redirects more than {REDIRECTS} times")

    def post(self, url: str, content: bytes, headers: Mapping[str, str]) -> int:
        """Send a body and return the status, whatever it is. Redirects are not followed, the answer's body not read.

        Raises RefusedUrlError where the URL or its address may not be used, FetchError where there is no answer.
        """
        target = check_url(url, self.allowed, self.setting)
        with self._send("POST", target, headers, content, time.monotonic() + self.seconds) as response:
            return response.status_code

    def _send(
        self, method: str, url: httpx.URL, headers: Mapping[str, str], content: bytes, deadline: float
    ) -> "_Response":
        request = httpx.Request(
            method, url, headers={"User-Agent": "gristmill", "Connection": "close", **headers}, content=content or None
        )
        backend = _CheckedBackend(self.allowed, self.setting, deadline)
        pool = httpcore.ConnectionPool(
            ssl_context=self._tls if url.scheme == "https" else None, network_backend=backend
        )
        try:
            raw = pool.handle_request(
                httpcore.Request(
                    method=method,
                    url=httpcore.URL(scheme=url.raw_scheme, host=url.raw_host, port=url.port, target=url.raw_path),
                    headers=request.headers.raw,
                    content=content,
                )
            )
        except BaseException as error:
            pool.close()
            if isinstance(error, _FAILURES):
                raise _no_answer(url, error) from error
            raise
        return _Response(raw, pool, url)


class Fetcher:
    """Fetches inputs that are given by reference, within the limits of the settings."""

    def __init__(self, settings: Settings) -> None:
        self._client = SafeClient(
            allowed=settings.fetch_allow, seconds=settings.fetch_seconds, largest_bytes=settings.fetch_bytes
        )

    def get(self, url: str) -> Fetched:
        """Fetch a URL; raises RefusedUrlError and FetchError as ``SafeClient.get`` does."""
        return self._client.get(url)


class _Response(httpx.Response):
    """An httpx response whose raw stream and connection end with the ``with`` block."""

    def __init__(self, raw: httpcore.Response, pool: httpcore.ConnectionPool, url: httpx.URL) -> None:
        super().__init__(raw.status, headers=raw.headers)
        self._raw, self._pool, self._target = raw, pool, url

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._raw.close()
        self._pool.close()

    def chunks(self) -> Iterator[bytes]:
        """Yield the body as it came over the wire, chunk by chunk."""
        try:
            yield from self._raw.iter_stream()
        except _FAILURES as error:
            raise _no_answer(self._target, error) from error


class _CheckedBackend(httpcore.NetworkBackend):
    """Opens connections to checked addresses only, all of them within one deadline."""

    def __init__(self, allowed: tuple[Network, ...], setting: str, deadline: float) -> None:
        self._allowed = allowed
        self._setting = setting
        self._deadline = deadline
        self._sockets = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: SocketOptions | None = None,
    ) -> httpcore.NetworkStream:
        del timeout
        addresses = _resolve(host, port, _left(self._deadline))
        passed = [one for one in addresses if is_allowed(ip_address(one), self._allowed)]
        if not passed:
            raise RefusedUrlError(_why_refused(host, self._setting))
        for index, address in enumerate(passed):
            seconds = min(_left(self._deadline), _CONNECT_SECONDS)
            try:
                stream = self._sockets.connect_tcp(address, port, seconds, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout):
                if index == len(passed) - 1:
                    raise
            else:
                return _DeadlineStream(stream, self._deadline)
        raise AssertionError("unreachable")


class _DeadlineStream(httpcore.NetworkStream):
    """A connection on which no wait goes past the deadline."""

    def __init__(self, stream: httpcore.NetworkStream, deadline: float) -> None:
        self._stream = stream
        self._deadline = deadline

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        del timeout
        return self._stream.read(max_bytes, _left(self._deadline))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        del timeout
        self._stream.write(buffer, _left(self._deadline))

    def close(self) -> None:
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        del timeout
        secured = self._stream.start_tls(ssl_context, server_hostname, _left(self._deadline))
        return _DeadlineStream(secured, self._deadline)

    def get_extra_info(self, info: str) -> Any:
        return self._stream.get_extra_info(info)


_FAILURES = (
    httpcore.NetworkError,
    httpcore.ProtocolError,
    httpcore.TimeoutException,
    httpcore.UnsupportedProtocol,
    OSError,
)


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def _written_address(host: str) -> Address | None:
    """The address that a host names by itself, in any of the forms that the system's resolver takes for one."""
    name = host.lower().rstrip(".")
    if name == "localhost" or name.endswith(".localhost"):
        return IPv4Address("127.0.0.1")
    try:
        return ip_address(host)
    except ValueError:
        pass
    try:
        return IPv4Address(socket.inet_aton(host))  # 2130706433, 0x7f.1, 127.1
    except (OSError, UnicodeError):
        return None


def _left(deadline: float) -> float:
    left = deadline - time.monotonic()
    if left <= 0:
        raise httpcore.ReadTimeout("the time is over")
    return left


def _resolve(host: str, port: int, seconds: float) -> list[str]:
    """Return the addresses of a name. The system's resolver knows no time limit, so it is left behind in a thread."""
    found: list[str] = []
    failure: list[OSError | UnicodeError] = []

    def look_up() -> None:
        try:
            found.extend(str(one[4][0]) for one in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, UnicodeError) as error:
            failure.append(error)

    if _is_address(host):
        return [host]
    thread = threading.Thread(target=look_up, daemon=True, name="resolve")
    thread.start()
    thread.join(seconds)
    if thread.is_alive():
        raise httpcore.ConnectTimeout(f"the name {host} was not resolved in time")
    if failure:
        raise httpcore.ConnectError(f"the name {host} cannot be resolved: {failure[0]}") from failure[0]
    return list(dict.fromkeys(found))


def _decoded(response: _Response, largest_bytes: int) -> Iterator[bytes]:
    """Yield the body decompressed, a bounded piece at a time; FetchError when it is larger than allowed."""
    encoding = response.headers.get("content-encoding", "identity").strip().lower()
    if encoding not in {"identity", "", "gzip", "x-gzip"}:
        raise FetchError(f"the answer is compressed with {encoding}, which was not asked for")
    size = 0
    for piece in _gunzipped(response.chunks()) if "gzip" in encoding else response.chunks():
        size += len(piece)
        if size > largest_bytes:
            raise FetchError(f"the answer is larger than {largest_bytes:,} bytes")
        yield piece


def _gunzipped(chunks: Iterator[bytes]) -> Iterator[bytes]:
    decoder = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)
    for chunk in chunks:
        rest = chunk
        while rest:
            try:
                yield decoder.decompress(rest, _CHUNK_BYTES)
            except zlib.error as error:
                raise FetchError(f"the answer is not valid gzip: {error}") from error
            rest = decoder.unconsumed_tail
    if not decoder.eof:
        raise FetchError("the answer ended in the middle of its gzip data")


def _joined(base: httpx.URL, location: str) -> str:
    try:
        return str(base.join(location))
    except (httpx.InvalidURL, ValueError) as error:
        raise RefusedUrlError(f"{base} redirects to {location[:200]!r}, which is not a URL") from error


def _no_answer(url: httpx.URL, error: BaseException) -> FetchError:
    reason = (
        "no complete answer in time"
        if isinstance(error, httpcore.TimeoutException)
        else str(error) or type(error).__name__
    )
    return FetchError(f"{url.copy_with(query=None)} could not be fetched: {reason}")


def _why_refused(host: str, setting: str) -> str:
    return f"the address of {host} is not on the public internet, nor in a network of {setting}"
