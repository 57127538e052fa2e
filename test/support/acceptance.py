"""The acceptance run, called from tests: of a URL, as a whole or some checks of it."""

import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import Check, Outcome, Result
from gristmill.verify.options import Options
from gristmill.verify.report import Report
from gristmill.verify.runner import verify
from gristmill.verify.target import Target


@dataclass
class Api:
    """An API of the running system. tokens: by role; empty where tokens are off."""

    url: str
    tokens: dict[str, str] = field(default_factory=dict)

    def left(self) -> list[str]:
        """Data sets and jobs that runs have left here, by name and id; of everybody, where somebody may see all."""
        with self._client() as client:
            data = [one["name"] for one in client.get("/datasets?prefix=verify-&limit=1000").json()["datasets"]]
            jobs = [one["jobID"] for one in client.get("/jobs?limit=1000").json()["jobs"]]
            return data + [job for job in jobs if "verify-" in client.get(f"/jobs/{job}/prov").text]

    def clear(self) -> None:
        """Remove what runs have left here, as far as this API lets somebody."""
        for name in self.left():
            with self._client() as client:
                for _ in range(2):  # a job that has not ended is dismissed first
                    client.delete(f"/datasets/{name}" if name.startswith("verify-") else f"/jobs/{name}")

    def _client(self) -> httpx.Client:
        token = self.tokens.get("manage")
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        return httpx.Client(base_url=self.url, headers=headers, timeout=30)


class Listening:
    """A listener that keeps what it hears."""

    def __init__(self) -> None:
        self.results: list[Result] = []

    def starts(self, check: Check) -> None:
        """Nothing to do."""

    def ends(self, result: Result) -> None:
        """Keep it."""
        self.results.append(result)


def needed_for(*names: str) -> list[Check]:
    """These checks, with all that they build on, the roles, and the cleaning up."""
    by_name = {check.name: check for check in CHECKS}
    wanted = {"service.version", "access.stranger", "access.token", "end.cleaned"}

    def add(name: str) -> None:
        wanted.add(name)
        for one in by_name[name].after:
            add(one)

    for name in names:
        add(name)
    return [check for check in CHECKS if check.name in wanted]


def run(
    url: str, *names: str, environment: str = "", seconds: float = 120, listener: Any = None, **options: Any
) -> Report:
    """Verify a URL; with names, these checks and what they need."""
    checks = needed_for(*names) if names else CHECKS
    return verify(Target(url, environment), Options(seconds=seconds, **options), listener or Listening(), checks)


def result_of(report: Report, name: str) -> Result:
    """The result of one check."""
    return next(result for result in report.results if result.check.name == name)


def named(report: Report, *outcomes: Outcome) -> dict[str, str]:
    """The checks that came out like this, each with its reason, for assertions that tell it."""
    return {
        one.check.name: one.detail or f"asked {one.asked}; came {one.came}; right {one.right}"
        for one in report.results
        if one.outcome in outcomes
    }


@dataclass(frozen=True)
class Certificate:
    """Files of a certificate, which is its own authority, and of its key."""

    cert: Path
    key: Path

    @classmethod
    def make(cls, folder: Path, names: str = "IP:127.0.0.1,DNS:localhost") -> "Certificate | None":
        """Make one for these names with openssl; None where that is not installed."""
        if shutil.which("openssl") is None:
            return None
        made = cls(folder / "cert.pem", folder / "key.pem")
        new = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
        about = ["-days", "2", "-subj", "/CN=verify", "-addext", f"subjectAltName={names}"]
        subprocess.run([*new, *about, "-keyout", made.key, "-out", made.cert], check=True, capture_output=True)
        return made
