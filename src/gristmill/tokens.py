"""The bearer tokens: a text file with one token a line, ``<name> <role> sha256:<hash>``.

A token is 32 random bytes. Nobody guesses such a value from its hash, so one round of SHA-256 keeps it as well as a
slow password hash would, and costs a request nothing. ``#`` begins a comment.
"""

import hashlib
import hmac
import os
import re
import secrets
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import ip_address
from pathlib import Path
from typing import Literal, Self, cast, get_args

import structlog

from gristmill.errors import ConfigurationError, InvalidRequestError
from gristmill.settings import Settings

TokenRole = Literal["read", "run", "manage"]

START = "gm_"
_LOOK_SECONDS = 1.0
_MOST_MIB = 4
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,63}")
_HASH = re.compile(r"sha256:[0-9a-f]{64}")
_HOW = "`gristmill token new NAME --role ROLE`"
_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Token:
    """A token as it is kept. ``name`` is the owner of the jobs that it submits."""

    name: str
    role: TokenRole
    hash: str


class TokenFile:
    """The tokens of a file; changes of the file count within a second.

    A file that has become unreadable or wrong, or is gone, leaves the last good tokens in force, and an error in the
    log.
    """

    def __init__(self, path: Path | None, *, is_optional: bool = False) -> None:
        """Read the file; None: there are no tokens.

        is_optional: the file may be missing, and come later; until then there are no tokens.
        Raises ConfigurationError where it is wrong, or missing and not optional.
        """
        self._path = path
        self._lock = threading.Lock()
        self._next_look = time.monotonic() + _LOOK_SECONDS
        self._seen = self._look()
        self._tokens: tuple[Token, ...] | None = None
        if path and (self._seen is not None or not is_optional):
            self._tokens = _read(path)

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """The tokens of ``token_file``, or of ``tokens/tokens`` in the secrets folder, which may be missing.

        Raises ConfigurationError as above, and where both files are there.
        """
        optional = settings.secrets_folder / "tokens" / "tokens" if settings.secrets_folder else None
        if settings.token_file is None:
            return cls(optional, is_optional=True)
        if optional and optional.exists():
            raise ConfigurationError(
                f"There are two token files: {settings.token_file} (GRISTMILL_TOKEN_FILE) and {optional} "
                "(GRISTMILL_SECRETS_FOLDER). Keep one."
            )
        return cls(settings.token_file)

    @property
    def enabled(self) -> bool:
        """Whether there is a token file, or was one since the start."""
        self._reload_if_changed()
        return self._tokens is not None

    def find(self, text: str) -> Token | None:
        """The token that a client sent, or None when it is not known. Takes equally long for every text."""
        self._reload_if_changed()
        sent, found = _hash(text), None
        for token in self._tokens or ():
            if hmac.compare_digest(token.hash, sent):
                found = token
        return found

    def _reload_if_changed(self) -> None:
        if self._path is None or time.monotonic() < self._next_look:
            return
        with self._lock:
            if time.monotonic() < self._next_look:
                return
            self._next_look = time.monotonic() + _LOOK_SECONDS
            seen = self._look()
            if seen == self._seen:
                return
            self._seen = seen
            try:
                self._tokens = _read(self._path)
            except ConfigurationError as error:
                _log.error("token file not reloaded, the earlier tokens stay in force", reason=error.detail)
            else:
                _log.info("token file reloaded", tokens=len(self._tokens))

    def _look(self) -> bytes | str | None:
        """What tells one state of the file from another: its content, or why there is none; None: it is not there.

        The content itself, since Kubernetes swaps a link on the way to the file, and not the file.
        """
        if self._path is None:
            return None
        try:
            return _content(self._path)
        except FileNotFoundError:
            return None
        except OSError as error:
            return str(error)


def new_token(settings: Settings, name: str, role: str) -> str:
    """Make a token, add its hash to the token file (made when missing), and return it: it is kept nowhere else.

    Raises ConfigurationError when the file cannot be used, InvalidRequestError for a name or role that cannot be.
    """
    path = settings.token_file
    if path is None:
        raise ConfigurationError(
            "There is no token file: set GRISTMILL_TOKEN_FILE, such as GRISTMILL_TOKEN_FILE=data/tokens."
        )
    text, line = made_token(name, role)
    if path.exists() and not path.is_file():
        raise ConfigurationError(f"GRISTMILL_TOKEN_FILE={path} is no file, so no token can be added to it.")
    tokens = _read(path) if path.exists() else ()
    if any(token.name == name for token in tokens):
        raise InvalidRequestError(f"{path} has a token for {name!r} already; remove its line to replace it.")
    try:
        before = _content(path).decode() if path.exists() else ""
        if before and not before.endswith("\n"):
            before += "\n"
        _replace(path, before + line)
    except OSError as error:
        raise ConfigurationError(f"The token file {path} cannot be written: {error}.") from error
    return text


def made_token(name: str, role: str) -> tuple[str, str]:
    """Make a token: its text, and the line of a token file that knows it. InvalidRequestError: no such name or role."""
    if reason := _why_not(name, role):
        raise InvalidRequestError(reason)
    text = START + secrets.token_urlsafe(32)
    return text, f"{name} {role} {_hash(text)}\n"


def _replace(path: Path, content: str) -> None:
    """Put a new file in the old one's place, readable by nobody else, so that a reader sees one or the other whole."""
    path.parent.mkdir(parents=True, exist_ok=True)
    mode = path.stat().st_mode & 0o777 if path.exists() else 0o600
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.touch(mode)
        with beside.open("w", encoding="utf-8") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        with suppress(FileNotFoundError):
            beside.unlink()


def _content(path: Path) -> bytes:
    """What a file holds; OSError also where that is more than tokens can be, such as a device without an end."""
    with path.open("rb") as file:
        content = file.read(_MOST_MIB * 2**20 + 1)
    if len(content) > _MOST_MIB * 2**20:
        raise OSError(f"it has more than {_MOST_MIB} MiB")
    return content


def _read(path: Path) -> tuple[Token, ...]:
    try:
        text = _content(path).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"The token file {path} cannot be read: {error}. GRISTMILL_TOKEN_FILE names it; {_HOW} makes it, "
            "with a first token."
        ) from error
    return read_tokens(text, f"the token file {path}")


def read_tokens(text: str, of: str) -> tuple[Token, ...]:
    """The tokens of such a text. ConfigurationError names the line that is wrong ``of`` it."""
    tokens: dict[str, Token] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.partition("#")[0].split()
        if not words:
            continue
        where = f"Line {number} of {of}"
        if len(words) != 3 or not _HASH.fullmatch(words[2]):
            raise ConfigurationError(
                f"{where} is not `<name> <role> sha256:<64 hexadecimal digits>`; {_HOW} makes one."
            )
        name, role, hash_ = words
        if reason := _why_not(name, role):
            raise ConfigurationError(f"{where} is wrong: {reason}")
        if name in tokens:
            raise ConfigurationError(f"{where} is wrong: {name!r} is there twice.")
        tokens[name] = Token(name, cast("TokenRole", role), hash_)
    return tuple(tokens.values())


def _why_not(name: str, role: str) -> str:
    if role not in get_args(TokenRole):
        return f"the role {role!r} is none of {', '.join(get_args(TokenRole))}."
    if not _NAME.fullmatch(name):
        return (
            f"the name {name!r} is not 1 to 64 letters, digits, '.', '_', '@' or '-', beginning with a letter or digit."
        )
    try:
        ip_address(name)
    except ValueError:
        return ""
    return f"the name {name!r} is an address, which names callers without a token."


def _hash(text: str) -> str:
    return "sha256:" + hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
