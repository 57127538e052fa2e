"""What the command line adds to the target: the token, the authority to trust, how long it may take."""

import re
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from gristmill.verify.target import UsageError

TOKEN_VARIABLE = "GRISTMILL_TOKEN"  # noqa: S105  the name of a variable
DEFAULT_SECONDS = 180.0
LEAST_SECONDS = 10.0

_MOST_CHARACTERS = 2**16  # a file of the server's hashes is told as such
_TOKEN = re.compile(r"[!-~]{8,512}")


@dataclass(frozen=True, slots=True)
class Options:
    """How a run goes.

    token: a bearer token, or "" for none. tls: what https is checked against; None: the well-known authorities.
    expect_version: the release that must answer, or "". seconds: for the whole run, cleaning up included.
    redis_url, secrets_folder: where the Redis of a named environment is, and the files of its Secrets; may be empty.
    """

    token: str = ""
    tls: ssl.SSLContext | None = None
    expect_version: str = ""
    seconds: float = DEFAULT_SECONDS
    redis_url: str = ""
    secrets_folder: Path | None = None


def read_token(path: Path | None, environ: Mapping[str, str]) -> str:
    """The token of a file, else of the environment, else "". UsageError for what is none."""
    if path is None:
        text, where = environ.get(TOKEN_VARIABLE, "").strip(), TOKEN_VARIABLE
    else:
        where = str(path)
        try:
            with path.open(encoding="utf-8") as file:
                text = file.read(_MOST_CHARACTERS + 1)
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"The token file {path} cannot be read: {error}.") from error
        if len(text) > _MOST_CHARACTERS:
            raise UsageError(f"The token file {path} is too large; it holds the token alone.")
        text = text.strip()
        if not text:
            raise UsageError(f"The token file {path} is empty; it holds the token alone.")
    if "sha256:" in text:
        raise UsageError(f"{where} holds hashes of tokens, as the server keeps them; a token itself is needed.")
    if text and not _TOKEN.fullmatch(text):
        raise UsageError(f"{where} does not hold one token: a single word, such as `gristmill token new` prints.")
    return text


def read_authority(path: Path | None) -> ssl.SSLContext | None:
    """Trust the authorities whose certificates (PEM) are in a file, and no others. UsageError for what is no such."""
    if path is None:
        return None
    try:
        return ssl.create_default_context(cafile=path)
    except (OSError, ssl.SSLError) as error:
        raise UsageError(f"The file {path} is no certificate (PEM) to trust: {error}.") from error
