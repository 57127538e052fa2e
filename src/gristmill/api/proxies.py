"""Who really asked, and at which address, when proxies stand in between.

Forwarding headers are believed only from peers in ``settings.trusted_proxies``, and of those headers only the
family that ``settings.proxy_headers`` names: a proxy passes on, unread, the family that it does not write,
so a client could forge it.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address

from gristmill.errors import ForbiddenError, InvalidRequestError
from gristmill.settings import Network, ProxyHeaders, Settings

_HOST = re.compile(r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]{0,253})|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PORT = re.compile(r":[0-9]+$")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9._~!$&'()*+,;=:@%-]+)*/?")
_PARTS = ("for", "proto", "host", "prefix")
_FORWARDED_PAIR = re.compile(r"""\s*([!#$%&'*+.^_`|~0-9A-Za-z-]+)=("(?:[^"\\]|\\.)*"|[^\s;,"]+)\s*(?:;|(,)|$)""")


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a request came from and the address that it was sent to. ``prefix`` has no slash at its end."""

    client: str
    scheme: str
    host: str
    prefix: str


def asked_url(environ: Mapping[str, str], settings: Settings) -> str:
    """Scheme, host and path prefix that a request was sent to. InvalidRequestError for a malformed host."""
    if settings.trusted_proxies:
        asked = read_origin(environ, settings.trusted_proxies, settings.proxy_headers)
        return f"{asked.scheme}://{asked.host}{asked.prefix}"
    host = environ.get("HTTP_HOST") or _server_address(environ)
    return _checked_url(environ["wsgi.url_scheme"], host, environ.get("SCRIPT_NAME", ""))


def refuses_names(settings: Settings) -> bool:
    """Whether the API must know itself by address only: where it serves this computer alone, and anybody may run.

    A container cannot know that it serves this computer alone, so there a setting says so.

    There a page of any site in a browser of this computer could otherwise reach it, under a name of the site's own
    that the site's name server turns into 127.0.0.1 (DNS rebinding).
    """
    if settings.local_names_only:
        return True
    is_open = settings.anonymous in {"run", "manage"}
    return settings.is_here_only and is_open and not settings.public_url and not settings.trusted_proxies


def check_local_name(host: str) -> None:
    """Let an IP address, localhost and names below it pass. ForbiddenError."""
    if not _is_local_name(host):
        raise ForbiddenError(
            f"Everybody on this computer may use this API, so it answers only under an IP address or localhost, "
            f"not as {host[:100]!r}. Set GRISTMILL_PUBLIC_URL to the address that it is known by."
        )


@lru_cache(maxsize=1024)
def _is_local_name(host: str) -> bool:
    name = host.rpartition(":")[0] if _PORT.search(host) else host
    name = name.strip("[]").rstrip(".").lower()
    return name == "localhost" or name.endswith(".localhost") or bool(_address(name))


def client_address(environ: Mapping[str, str], settings: Settings) -> str:
    """The IP address of whoever sent a request, behind all trusted proxies."""
    if not settings.trusted_proxies:
        return environ.get("REMOTE_ADDR") or ""
    return read_origin(environ, settings.trusted_proxies, settings.proxy_headers).client


def read_origin(environ: Mapping[str, str], trusted: Sequence[Network], headers: ProxyHeaders) -> Origin:
    """Read the origin from a WSGI environment, believing ``headers`` that ``trusted`` peers wrote."""
    peer = environ.get("REMOTE_ADDR") or ""
    scheme = environ.get("wsgi.url_scheme", "http")
    host = environ.get("HTTP_HOST") or _server_address(environ)
    prefix = environ.get("SCRIPT_NAME", "")
    if trusted and is_trusted(peer, tuple(trusted)):
        hops = _x_forwarded(environ) if headers == "x-forwarded" else _forwarded(environ)
        client, believed = peer, 0
        for hop in reversed(hops["for"]):
            address = _address(hop)
            if not address:
                break
            client, believed = address, believed + 1
            if not is_trusted(address, tuple(trusted)):
                break
        peer = client
        outermost = max(believed, 1)
        scheme = _at(hops["proto"], outermost) or scheme
        host = _at(hops["host"], outermost) or host
        prefix = _at(hops["prefix"], outermost).rstrip("/") + prefix
    _checked_url(scheme, host, prefix)
    return Origin(peer, scheme, host, prefix.rstrip("/"))


@lru_cache(maxsize=1024)
def _checked_url(scheme: str, host: str, prefix: str) -> str:
    if scheme not in {"http", "https"} or not _HOST.fullmatch(host) or not _PREFIX.fullmatch(prefix):
        shown = f"{scheme}://{host}{prefix}"[:200]
        raise InvalidRequestError(f"The address that the request was sent to is malformed: {shown}")
    return f"{scheme}://{host}{prefix.rstrip('/')}"


@lru_cache(maxsize=4096)
def is_trusted(address: str, trusted: tuple[Network, ...]) -> bool:
    """Whether an address lies in one of the networks; text that is no IP address does not."""
    plain = _address(address)
    return bool(plain) and any(ip_address(plain) in network for network in trusted)


def _address(text: str) -> str:
    """An IP address in its usual form, IPv4 within IPv6 as IPv4; "" for what is none."""
    try:
        ip = ip_address(text)
    except ValueError:
        return ""
    return str(getattr(ip, "ipv4_mapped", None) or ip)


def _server_address(environ: Mapping[str, str]) -> str:
    return f"{environ.get('SERVER_NAME', 'localhost')}:{environ.get('SERVER_PORT', '80')}"


def _x_forwarded(environ: Mapping[str, str]) -> dict[str, list[str]]:
    hops = {name: _listed(environ.get(f"HTTP_X_FORWARDED_{name.upper()}", "")) for name in _PARTS}
    hops["for"] = [_without_port(value) for value in hops["for"]]
    port = environ.get("HTTP_X_FORWARDED_PORT", "").strip()
    if port.isdigit() and hops["host"] and ":" not in hops["host"][-1] and port not in {"80", "443"}:
        hops["host"][-1] += f":{port}"
    return hops


def _forwarded(environ: Mapping[str, str]) -> dict[str, list[str]]:
    """The elements of ``Forwarded`` (RFC 7239); a list has "" where an element lacks the parameter."""
    hops: dict[str, list[str]] = {name: [] for name in _PARTS}
    text, position, element = environ.get("HTTP_FORWARDED", ""), 0, dict[str, str]()
    while position < len(text):
        pair = _FORWARDED_PAIR.match(text, position)
        if pair is None:
            return {name: [] for name in hops}
        value = pair[2][1:-1].replace('\\"', '"') if pair[2].startswith('"') else pair[2]
        element[pair[1].lower()] = value
        position = pair.end()
        if pair[3] or position == len(text):
            hops["for"].append(_without_port(element.get("for", "unknown")))
            hops["proto"].append(element.get("proto", ""))
            hops["host"].append(element.get("host", ""))
            element = {}
    return hops


def _listed(value: str) -> list[str]:
    return [part.strip() for part in value.split(",") if part.strip()]


def _without_port(value: str) -> str:
    value = value.strip('"')
    if value.startswith("["):
        return value[1:].partition("]")[0]
    return value.partition(":")[0] if value.count(":") == 1 else value


def _at(values: Sequence[str], hops: int) -> str:
    """The value that the outermost believed proxy wrote; proxies that overwrite leave only one."""
    return values[-min(hops, len(values))] if values else ""
