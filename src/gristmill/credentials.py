"""User, password and certificate authority for Redis, from the files of the secrets folder: read for each connection.

Kubernetes changes such files while a pod runs, so a new password needs no restart of those who use it.
"""

import ssl
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError

_NAMES = ("username", "password", "ca.crt")


class RefusedError(RedisError):
    """No connection comes about, for a reason that the team must mend: the message says which, where and how.

    It names files and addresses, so it is for the log, and not for those who use the API. It is no ConnectionError of
    redis-py's: to try again at once is of no use.
    """


class DoubtfulError(RedisConnectionError):
    """No connection comes about: the server may be about to stop, or the team has to mend what the message says."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What the files say now; an empty text where there is no file.

    ca: certificates of authorities (PEM). Where there are any, the connection is TLS, and only they are believed.
    """

    username: str = ""
    password: str = field(default="", repr=False)
    ca: str = field(default="", repr=False)


class CredentialFiles:
    """``redis/username``, ``redis/password`` and ``redis/ca.crt`` of a secrets folder; None: there are none."""

    def __init__(self, secrets_folder: Path | None) -> None:
        self._folder = secrets_folder / "redis" if secrets_folder else None
        self._context: tuple[str, ssl.SSLContext] | None = None

    def path(self, name: str) -> str:
        """Where a file is, or would be, for messages."""
        return str(self._folder / name) if self._folder else f"redis/{name} of GRISTMILL_SECRETS_FOLDER"

    def are_there(self) -> bool:
        """Whether there is any file, usable or not."""
        return self._folder is not None and any((self._folder / name).exists() for name in _NAMES)

    def read(self) -> Credentials:
        """Read the files. RefusedError: one is there and empty, unreadable, or of no use without another."""
        if self._folder is None:
            return Credentials()
        found = Credentials(*(self._read(self._folder / name) for name in _NAMES))
        for name, value in (("username", found.username), ("password", found.password)):
            if "\n" in value:
                raise RefusedError(f"{self.path(name)} has more than one line; it must hold the {name} alone.")
        if found.username and not found.password:
            raise RefusedError(
                f"{self.path('username')} is there, and {self.path('password')} is not: add it, or delete both."
            )
        return found

    def context(self, ca: str) -> ssl.SSLContext:
        """How to speak TLS with a server that one of these authorities has certified, under the name it is asked by.

        RefusedError: there is no certificate in ``ca``.
        """
        if self._context is None or self._context[0] != ca:
            try:
                self._context = ca, ssl.create_default_context(cadata=ca)
            except (ssl.SSLError, ValueError, TypeError) as error:
                raise RefusedError(f"{self.path('ca.crt')} holds no certificates in PEM: {error}.") from error
        return self._context[1]

    def _read(self, path: Path) -> str:
        try:
            text = path.read_text("utf-8").strip("\r\n")
        except FileNotFoundError:
            return ""
        except OSError as error:
            raise RefusedError(
                f"{path} is there and cannot be read: {error.strerror}. Mend it, or delete it."
            ) from error
        except UnicodeDecodeError as error:
            raise RefusedError(f"{path} is not text in UTF-8. Mend it, or delete it.") from error
        if not text.strip():
            raise RefusedError(f"{path} is empty: fill it, or delete it.")
        return text
