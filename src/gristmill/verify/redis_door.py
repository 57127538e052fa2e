"""How a Redis receives whoever reaches it: with TLS or without, asking for a password or not.

Said with a socket, without a client library and without any password: what a stranger is told is what counts.
"""

import socket
import ssl
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from gristmill.verify.answers import shown

SECONDS = 5.0
_PORT = 6379


@dataclass(frozen=True, slots=True)
class Door:
    """What a stranger finds. address: host and port. is_open: whether it may give commands without a password.

    reply: what it was told. distrust: why the certificate is not trusted, or that it could not be checked; "" if it is.
    """

    address: str
    has_tls: bool
    is_open: bool
    reply: str
    distrust: str = ""


def look(redis_url: str, authority: Path | None) -> Door:
    """Knock at a Redis. authority: what to check its certificate against (PEM). OSError where nobody answers."""
    parts = urlsplit(redis_url)
    host, port = parts.hostname or "localhost", parts.port or _PORT
    address = f"{host}:{port}"
    with closing(socket.create_connection((host, port), SECONDS)) as plain:
        reply = _ping(plain)
    if reply.startswith((b"+", b"-")):
        return _door(address, reply, has_tls=False)
    if authority is None:
        return _through_tls(address, host, port, None, "there is no ca.crt here to check its certificate against")
    try:
        return _through_tls(address, host, port, authority, "")
    except ssl.SSLCertVerificationError as error:
        return _through_tls(address, host, port, None, f"its certificate is not trusted: {error.verify_message}")


def _through_tls(address: str, host: str, port: int, authority: Path | None, distrust: str) -> Door:
    context = ssl.create_default_context(cafile=authority)
    if authority is None:
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        closing(socket.create_connection((host, port), SECONDS)) as plain,
        context.wrap_socket(plain, server_hostname=host) as wrapped,
    ):
        return _door(address, _ping(wrapped), has_tls=True, distrust=distrust)


def _ping(connection: socket.socket) -> bytes:
    """What a PING without a password is answered with; nothing, if the other side ends the connection or is silent."""
    connection.settimeout(SECONDS)
    try:
        connection.sendall(b"PING\r\n")
        return connection.recv(512)
    except ssl.SSLError as error:
        return str(error).encode()
    except (TimeoutError, ConnectionError):
        return b""


def _door(address: str, reply: bytes, *, has_tls: bool, distrust: str = "") -> Door:
    said = shown(reply.decode("utf-8", "replace")) or "nothing"
    return Door(address, has_tls, reply.startswith(b"+"), said, distrust)
