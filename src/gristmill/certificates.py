"""An authority, and a server's certificate by it, made with the program ``openssl``.

Private keys pass through pipes alone: none is written to a disk, or stands on a command line.
"""

import re
import secrets
import subprocess
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from pathlib import Path

from gristmill.errors import ConfigurationError, InvalidRequestError

_EXTENSIONS = """\
[req]
distinguished_name = name
prompt = no
[name]
CN = {name}
[authority]
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
[server]
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
subjectAltName = {alternatives}
"""


_HOST = re.compile(r"(?!-)[a-z0-9-]{1,63}(?<!-)(\.(?!-)[a-z0-9-]{1,63}(?<!-))*")


@dataclass(frozen=True, slots=True)
class Certificates:
    """All in PEM. authority: what clients believe; its private key is gone. key: the server's private key."""

    authority: str
    certificate: str
    key: str = field(repr=False)


def make_certificates(names: Sequence[str], days: int) -> Certificates:
    """Make a certificate for a server under these host names and addresses, and the authority behind it.

    Both are good from now on for so many days. InvalidRequestError: a name that is none. ConfigurationError: there
    is no ``openssl``, or it refuses.
    """
    for name in names:
        if not _is_address(name) and not _HOST.fullmatch(name):
            raise InvalidRequestError(f"{name!r} is neither the name of a host nor an address.")
    alternatives = ", ".join(f"{'IP' if _is_address(name) else 'DNS'}:{name}" for name in names)
    valid = ("-sha256", "-days", str(days))
    with tempfile.TemporaryDirectory(prefix="gristmill-") as folder:
        extensions, request, authority = (Path(folder) / name for name in ("extensions", "request", "authority"))
        extensions.write_text(_EXTENSIONS.format(name=names[0], alternatives=alternatives), "utf-8")
        of_this_name = ("-config", str(extensions))
        ca_name = ("-subj", f"/CN=Authority of {names[0]}"[:64])
        ca_key, key = _new_key(), _new_key()
        authority.write_text(
            _openssl(
                "req", "-new", "-x509", "-key", "/dev/stdin", *of_this_name, *ca_name, *valid, *_serial(),
                "-extensions", "authority", keyboard=ca_key,
            ),
            "ascii",
        )  # fmt: skip
        request.write_text(_openssl("req", "-new", "-key", "/dev/stdin", *of_this_name, keyboard=key), "ascii")
        certificate = _openssl(
            "x509", "-req", "-in", str(request), "-CA", str(authority), "-CAkey", "/dev/stdin", *valid, *_serial(),
            "-extfile", str(extensions), "-extensions", "server", keyboard=ca_key,
        )  # fmt: skip
        return Certificates(authority.read_text("ascii"), certificate, key)


def _new_key() -> str:
    return _openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout")


def _serial() -> tuple[str, str]:
    return "-set_serial", f"0x{secrets.randbits(127) | 1 << 126:x}"


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True


def _openssl(*arguments: str, keyboard: str = "") -> str:
    """Run it with ``keyboard`` as its standard input; returns its standard output."""
    try:
        done = subprocess.run(
            ["openssl", *arguments], input=keyboard, capture_output=True, text=True, timeout=60, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(
            f"Certificates are made by the program openssl, which cannot be run ({error}). Install it (apt-get install "
            "openssl, brew install openssl), run this command in the image, which has it, or do without TLS (--no-tls)."
        ) from error
    if done.returncode:
        said = " ".join(done.stderr.split())[-400:]
        raise ConfigurationError(f"openssl {arguments[0]} refuses to make the certificates: {said}")
    return done.stdout
