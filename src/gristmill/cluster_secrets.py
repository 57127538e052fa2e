"""The Secrets of an environment on Kubernetes, as ``kubectl apply -f -`` takes them: for Redis, and for the tokens.

Their files are those of the secrets folder (docs/security.md), and what the Redis pod reads at its start.
"""

import hashlib
import secrets
from base64 import b64encode
from collections.abc import Iterable, Mapping, Sequence

from gristmill.certificates import make_certificates
from gristmill.errors import InvalidRequestError
from gristmill.tokens import made_token, read_tokens

USER, PROBE_USER = "gristmill", "probe"
# Where the Redis pod finds its part of the Secret; it includes *.conf from there.
SERVER_FOLDER = "/run/secrets/redis"

_TLS = f"""\
port 0
tls-port 6379
tls-cert-file {SERVER_FOLDER}/tls.crt
tls-key-file {SERVER_FOLDER}/tls.key
tls-auth-clients no
"""
# Nobody can log in as `default`, which is off and has no password. But it keeps all rights: Redis loads its append-only
# file in its name, and leaves out the transactions (every change by a function is one) that it has no right to.
# Whoever knows the password may change any data, but not the server: no CONFIG SET, ACL, MODULE, SHUTDOWN ...
# Whole categories, so that a later release finds what it needs: the Secret stays when the release changes.
_USERS = """\
user default off ~* &* +@all
user {user} on #{password} ~* &* +@all -@admin -@dangerous +info +config|get
user {probe} on #{probe_password} +ping
"""


def service_names(environment: str, namespace: str = "") -> tuple[str, ...]:
    """The host names of an environment's Redis: in its namespace, and from others where that is named; and loopback."""
    service = f"app-{environment}-service-redis"
    beyond = (f"{service}.{namespace}{end}" for end in ("", ".svc", ".svc.cluster.local")) if namespace else ()
    return service, *beyond, "localhost", "127.0.0.1"


def redis_secret(environment: str, names: Iterable[str], *, days: int, tls: bool = True) -> str:
    """The Secret for Redis, with new passwords and, with ``tls``, a new certificate for these host names.

    Raises ConfigurationError: there is no ``openssl``.
    """
    password, probe_password = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
    users = _USERS.format(
        user=USER, password=_sha256(password), probe=PROBE_USER, probe_password=_sha256(probe_password)
    )
    files = {"username": USER, "password": password, "probe-password": probe_password, "redis.conf": users}
    if tls:
        made = make_certificates(tuple(names), days)
        files |= {
            "redis.conf": _TLS + users,
            "ca.crt": made.authority,
            "tls.crt": made.certificate,
            "tls.key": made.key,
        }
    return _secret(environment, "redis", files)


def tokens_secret(environment: str, kept: str, wanted: Sequence[str]) -> tuple[str, Mapping[str, str]]:
    """The Secret for the tokens, and by their names the new ones, which it does not hold itself.

    kept: the lines of a token file that stay. wanted: new tokens, such as ``alice:run``.
    Raises InvalidRequestError: no such name or role, or a name twice.
    """
    made: dict[str, str] = {}
    lines = kept if not kept or kept.endswith("\n") else f"{kept}\n"
    for word in wanted:
        name, colon, role = word.partition(":")
        if not colon:
            raise InvalidRequestError(f"A token is wanted as NAME:ROLE, such as alice:run, and not as {word!r}.")
        made[name], line = made_token(name, role)
        lines += line
    read_tokens(lines, "the Secret")
    return _secret(environment, "tokens", {"tokens": lines}), made


def _secret(environment: str, name: str, files: Mapping[str, str]) -> str:
    """A Secret as YAML. In ``data``: of ``stringData``, apply would never take away what is no longer there."""
    keys = "".join(f"  {key}: {b64encode(value.encode()).decode()}\n" for key, value in files.items())
    component = {"tokens": "flask"}.get(name, name)
    return f"""\
---
apiVersion: v1
kind: Secret
metadata:
  name: app-{environment}-secret-{name}
  labels:
    app.kubernetes.io/name: gristmill
    app.kubernetes.io/instance: app-{environment}
    app.kubernetes.io/component: {component}
    app.kubernetes.io/part-of: gristmill
    app.kubernetes.io/managed-by: kubectl
type: Opaque
data:
{keys}"""


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
