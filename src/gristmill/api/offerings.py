"""A process as this API offers it: what of it depends on the release and the settings, worked out once."""

from dataclasses import dataclass

from gristmill.processes import Process


@dataclass(frozen=True, slots=True)
class Offering:
    """A process and how it may be executed here.

    version: hash of its source, its declared version and the release.
    sync: whether it may be waited for; False when its time limit is longer than a request may wait.
    """

    process: Process
    version: str
    sync: bool

    @property
    def job_control_options(self) -> list[str]:
        """As in the process description."""
        return ["sync-execute", "async-execute", "dismiss"] if self.sync else ["async-execute", "dismiss"]


def offer(process: Process, release: str, wait_seconds: float) -> Offering:
    """Offer a process; waiting for it is on offer when its time limit is within ``wait_seconds``."""
    return Offering(process, process.version_hash(release), process.limits.seconds <= wait_seconds)
