"""Whether an API process is ready to serve: what it has found out about Redis, kept so that a probe never waits."""

import threading
import time

from redis.exceptions import RedisError

from gristmill.doctor import Finding, about_server
from gristmill.errors import GristmillError
from gristmill.settings import Settings
from gristmill.store import Client, facts_about, mapped_errors

_AGAIN_SECONDS = 1.0


class Readiness:
    """Redis as this process has seen it last. ``look`` asks; everything else only remembers."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._environment = settings.environment
        self._lock = threading.Lock()
        self._next_look = 0.0
        self.reached = False
        self.away = False
        self.reason = ""  # why it is away, for everybody to read
        self.findings: tuple[Finding, ...] = ()

    @property
    def refused(self) -> bool:
        """Whether the server's configuration is one that ``prod`` does not accept."""
        return self._environment == "prod" and any(
            finding.level == "error" and finding.subject in {"durability", "memory"} for finding in self.findings
        )

    def look(self) -> None:
        """Ask Redis how it is configured; never raises. At most once a second, by one thread at a time."""
        if time.monotonic() < self._next_look or not self._lock.acquire(blocking=False):
            return
        try:
            with mapped_errors():
                self._client.ping()
            self.reached, self.away, self.reason = True, False, ""
            found = about_server(facts_about(self._client), self._environment)
            self.findings = tuple(finding for finding in found if finding.level != "ok")
        except GristmillError as error:
            self.away, self.reason = True, error.detail
        except RedisError as error:
            self.findings = (Finding("warning", "server", f"Redis does not tell its configuration: {error}"),)
        finally:
            self._next_look = time.monotonic() + _AGAIN_SECONDS
            self._lock.release()
