"""Connections to Redis that take the credentials of the moment when they connect, and say why one is refused.

redis-py makes the connections. What is added is decided at each connect anew, since files change while a system runs.
"""

# mypy: disable-error-code="no-untyped-call"
# redis-py's connections have no types.

import socket
import ssl
from typing import Any

from redis.connection import Connection, SSLConnection, UnixDomainSocketConnection
from redis.exceptions import AuthenticationError, InvalidResponse, NoPermissionError, RedisError, ResponseError
from redis.exceptions import ConnectionError as RedisConnectionError

from gristmill.credentials import CredentialFiles, Credentials, DoubtfulError, RefusedError

# What OpenSSL calls these faults of a certificate (X509_V_ERR_...).
_NOT_YET_VALID, _EXPIRED, _OTHER_NAME, _OTHER_ADDRESS = 9, 10, 62, 64

# How much of a strange answer is repeated, in characters.
_SHOWN = 200

_STARTED_AFTER = (
    "If the Secret or the files have just changed: Redis reads them only at its start, so restart it; others get them "
    "within two minutes."
)


class TcpConnection(SSLConnection):
    """Over TCP; with TLS when the URL says so (``rediss:``) or ``ca.crt`` is there.

    Keywords beside redis-py's: ``files``; ``is_tls_url``; ``stranger``: log in as nobody, to see what that allows.
    ``is_private``: nobody on the way reads or changes what passes, as of the last connect.
    """

    def __init__(
        self, *, files: CredentialFiles, is_tls_url: bool = False, stranger: bool = False, **kwargs: Any
    ) -> None:
        self._has_own_tls = any(name.startswith("ssl_") for name in kwargs)
        self._is_tls_url = is_tls_url
        self.login = Login(files, kwargs, is_stranger=stranger)
        self.is_private = False
        super().__init__(redis_connect_func=_greet, **kwargs)

    def take_credentials(self) -> ssl.SSLContext | None:
        """Read user, password and authority anew; returns what TLS is to be made with, if it is by ``ca.crt``.

        RefusedError: what is there cannot be used.
        """
        ca = self.login.fill(self).ca
        self.is_private = bool(ca) or self._is_tls_url
        if ca and self._has_own_tls:
            raise RefusedError(
                f"{self.login.files.path('ca.crt')} is there, and REDIS_URL has options ssl_...: keep one."
            )
        return self.login.files.context(ca) if ca else None

    def _connect(self) -> socket.socket:
        context = self.take_credentials()
        connected: socket.socket = Connection._connect(self)
        if not self.is_private:
            return connected
        try:
            if context is None:
                return self._wrap_socket_with_ssl(connected)  # type: ignore[no-any-return]
            return context.wrap_socket(connected, server_hostname=self.host)
        except OSError as error:
            connected.close()
            authority = self.login.files.path("ca.crt") if context else "an authority that this computer trusts"
            raise _tls_error(error, self._host_error(), authority) from error


class SocketConnection(UnixDomainSocketConnection):
    """Over a Unix socket. Keywords beside redis-py's: ``files`` and ``stranger``, as with TCP."""

    is_private = True

    def __init__(self, *, files: CredentialFiles, stranger: bool = False, **kwargs: Any) -> None:
        self.login = Login(files, kwargs, is_stranger=stranger)
        super().__init__(redis_connect_func=_greet, **kwargs)

    def take_credentials(self) -> None:
        """Read user and password anew. RefusedError: what is there cannot be used."""
        if self.login.fill(self).ca:
            path = self.login.files.path("ca.crt")
            raise RefusedError(f"{path} asks for TLS, which does not go over the Unix socket of REDIS_URL: keep one.")

    def _connect(self) -> socket.socket:
        self.take_credentials()
        connected: socket.socket = super()._connect()
        return connected


class Login:
    """Who a connection is: by REDIS_URL, or by the files."""

    def __init__(self, files: CredentialFiles, kwargs: dict[str, Any], *, is_stranger: bool) -> None:
        self.files = files
        self._is_stranger = is_stranger
        self._url_username = str(kwargs.get("username") or "")
        self._url_password = str(kwargs.get("password") or "")
        self._source = ""

    def fill(self, connection: Connection | UnixDomainSocketConnection) -> Credentials:
        """Give a connection its user and password. RefusedError where the files contradict REDIS_URL or themselves."""
        found = self.files.read()
        for name, ours, theirs in (
            ("username", self._url_username, found.username),
            ("password", self._url_password, found.password),
        ):
            if ours and theirs:
                raise RefusedError(f"REDIS_URL has a {name}, and so has {self.files.path(name)}: keep one.")
        self._source = self.files.path("password") if found.password else "REDIS_URL" if self._url_password else ""
        connection.username = "" if self._is_stranger else self._url_username or found.username
        connection.password = "" if self._is_stranger else self._url_password or found.password
        return found

    def fault(self, error: AuthenticationError, connection: Connection | UnixDomainSocketConnection) -> str:
        """Why Redis does not let us in, and what to do."""
        where = connection._host_error()
        if not connection.username and not connection.password:
            return (
                f"Redis at {where} wants a user and a password, and there are none: they belong into "
                f"{self.files.path('username')} and {self.files.path('password')}, or into REDIS_URL. {_STARTED_AFTER}"
            )
        user = f"the user {connection.username!r}" if connection.username else "the default user"
        source = f"the password of {self._source}" if self._source else "no password"
        return f"Redis at {where} does not let in {user} with {source} ({error}). {_STARTED_AFTER}"


def _greet(connection: TcpConnection | SocketConnection) -> None:
    """Log in; redis-py calls it on each connection that was just made."""
    where = connection._host_error()
    try:
        connection.on_connect()
    except AuthenticationError as error:
        raise RefusedError(connection.login.fault(error, connection)) from error
    except (RedisConnectionError, InvalidResponse) as error:
        is_cut = type(error) in {RedisConnectionError, InvalidResponse} and not error.status_code  # and no answer
        if connection.is_private or not is_cut:
            raise
        raise DoubtfulError(
            f"{where} cuts the connection at the first word ({error}). If Redis speaks TLS there: "
            f"its authority's certificate belongs into {connection.login.files.path('ca.crt')}, or rediss:// into "
            f"REDIS_URL. {_STARTED_AFTER}"
        ) from error
    except ResponseError as error:
        if isinstance(error, NoPermissionError) or "DB index is out of range" in str(error):
            raise
        raise _refusal(str(error), where) from error
    except AttributeError as error:  # redis-py takes whatever answers HELLO for a map
        if isinstance(connection.handshake_metadata, dict):
            raise
        raise RefusedError(_no_redis(connection.handshake_metadata, where)) from error
    if not isinstance(connection.handshake_metadata, dict):
        raise RefusedError(_no_redis(connection.handshake_metadata, where))


def _refusal(said: str, where: str) -> RefusedError | DoubtfulError:
    """What an error in answer to the first words means."""
    if said.startswith("DENIED"):
        return RefusedError(
            f"Redis at {where} is in protected mode, in which it answers its own computer alone. Give it a password "
            "(docs/security.md), or start it with `--protected-mode no` where nobody else reaches it."
        )
    if "unknown command" in said or said.startswith("NOPROTO"):
        return RefusedError(
            f"What answers at {where} does not know a command that is needed ({said[:_SHOWN]}). Redis 7, Valkey 8 or "
            "newer must answer there, and no proxy that knows less."
        )
    return DoubtfulError(f"Redis at {where} answers the first word with an error: {said[:_SHOWN]}")


def _no_redis(answer: object, where: str) -> str:
    return (
        f"What answers at {where} is no Redis or Valkey that is known here: it says {str(answer)[:_SHOWN]} to HELLO. "
        "See whether REDIS_URL names the right host and port."
    )


def _tls_error(error: OSError, where: str, authority: str) -> RedisError:
    """Why there is no TLS with the server, and what to do; a RefusedError where that is certain."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return RefusedError(_certificate_fault(error, where, authority))
    told = f"Redis at {where} does not answer in TLS ({error}). Does it speak TLS there? {_STARTED_AFTER}"
    if isinstance(error, ssl.SSLError) and not isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return RefusedError(told)
    return DoubtfulError(told)


def _certificate_fault(error: ssl.SSLCertVerificationError, where: str, authority: str) -> str:
    if error.verify_code == _EXPIRED:
        return f"The certificate of Redis at {where} has expired: make a new one (`gristmill secret`)."
    if error.verify_code == _NOT_YET_VALID:
        return f"The certificate of Redis at {where} is not valid yet: see whether the clocks are right."
    reason = error.verify_message.rstrip(".")
    if error.verify_code in {_OTHER_NAME, _OTHER_ADDRESS}:
        return f"The certificate of Redis is for another name ({reason}): mend REDIS_URL or the certificate."
    return f"The certificate of Redis at {where} is not certified by {authority} ({reason}). {_STARTED_AFTER}"
