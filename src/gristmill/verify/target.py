"""What is verified: a URL, or an environment by its name, which stands for its Service in the cluster."""

import socket
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import ip_address
from urllib.parse import urlsplit

import httpx

ENVIRONMENTS = ("test", "prod")

# Names that only a cluster's own DNS knows; a name without a dot is one too.
_CLUSTER_ENDINGS = (".svc", ".cluster.local", ".localhost")


class UsageError(ValueError):
    """What was asked for on the command line cannot be; nothing has been sent."""


@dataclass(frozen=True, slots=True)
class Target:
    """A deployment to verify.

    url: where the API answers, path prefix included, without a slash at the end. environment: the name that was given
    instead of a URL, or "".
    """

    url: str
    environment: str = ""

    @property
    def host(self) -> str:
        """The host's name or address."""
        return urlsplit(self.url).hostname or ""

    @property
    def is_https(self) -> bool:
        """Whether the connection is encrypted."""
        return self.url.startswith("https:")

    @property
    def is_inside(self) -> bool:
        """Whether the host is this computer, or known to a cluster's own DNS alone."""
        try:
            return ip_address(self.host).is_loopback
        except ValueError:
            return "." not in self.host or self.host.endswith(_CLUSTER_ENDINGS)

    @property
    def redis_url(self) -> str:
        """The Redis of an environment, where no other is named; "" for a URL."""
        return f"redis://app-{self.environment}-service-redis:6379/0" if self.environment else ""

    @property
    def mending(self) -> str:
        """The commands that make an environment's Secrets and turn them on."""
        return f"`gristmill secret {self.environment} | kubectl apply -f -`, then {self.restarting}"

    @property
    def restarting(self) -> str:
        """The command that restarts an environment, so that its Redis reads its Secret."""
        parts = (f"deployment/app-{self.environment}-deployment-{part}" for part in ("redis", "worker", "flask"))
        return f"`kubectl rollout restart {' '.join(parts)}`"

    def hint(self, error: BaseException) -> str:
        """What to try when nothing answers because of this error; "" where there is nothing to say."""
        name = f"app-{self.environment}"
        if self.environment and _is_by(error, socket.gaierror):
            return (
                f"Only the cluster knows the name {self.host}: run this in it, as in `kubectl exec "
                f"{name}-pod-debug -- gristmill verify {self.environment}`, or give a URL."
            )
        if self.environment and _is_by(error, ConnectionRefusedError, httpx.ConnectTimeout):
            return (
                f"No pod of the API is ready: look at `kubectl get pods -l app.kubernetes.io/instance={name}` and at "
                f"its log, `kubectl logs deployment/{name}-deployment-flask`."
            )
        return ""

    def redis_hint(self, error: BaseException) -> str:
        """The same for the Redis of an environment."""
        name = f"app-{self.environment}"
        if not _is_by(error, ConnectionRefusedError):
            return f"run this where Redis may be reached, as in the pod {name}-pod-debug"
        pod = f"pod -l app.kubernetes.io/instance={name},app.kubernetes.io/component=redis"
        return (
            f"look whether its pod is 0/1 (`kubectl get {pod}`), and at its events (`kubectl describe {pod}`). "
            f"NOAUTH or WRONGPASS there: its Secret was changed and it was not restarted. Then {self.restarting}"
        )


def read_target(text: str) -> Target:
    """Read TARGET as it was typed. UsageError says what would be right."""
    if text in ENVIRONMENTS:
        return Target(f"http://app-{text}-service-flask", text)
    if "@" in text.partition("://")[2].partition("/")[0]:  # first of all, since the others repeat what was typed
        raise UsageError("The URL holds a user or password, which the API does not know; give a token by --token-file.")
    wanted = f"a URL, such as https://data.example.org/mill, or {' or '.join(ENVIRONMENTS)}"
    try:
        parts = urlsplit(text)
        port_is_right = parts.port is None or parts.port > 0
        httpx.URL(text).host.encode("idna")  # as the name server is asked; refuses labels that cannot be
    except (ValueError, httpx.InvalidURL) as error:
        raise UsageError(f"{text!r} is not {wanted}: {error}.") from error
    if parts.scheme not in {"http", "https"} or not parts.hostname or not port_is_right:
        meant = f" Did you mean http://{text}?" if "://" not in text and ("." in text or ":" in text) else ""
        raise UsageError(f"{text!r} is not {wanted}.{meant}")
    if parts.query or parts.fragment:
        raise UsageError(f"{text!r} is not {wanted}: leave out what begins with {'?' if parts.query else '#'}.")
    return Target(text.rstrip("/"))


def _is_by(error: BaseException, *kinds: type[BaseException]) -> bool:
    """Whether an error, or one that led to it, is of such a kind."""
    return any(isinstance(one, kinds) for one in _with_causes(error))


def _with_causes(error: BaseException | None) -> Iterator[BaseException]:
    while error:
        yield error
        error = error.__cause__ or error.__context__
