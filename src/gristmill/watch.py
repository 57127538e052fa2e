"""Whether a child is within its limits, judged from outside, and what the end of one means."""

import signal
from dataclasses import dataclass, replace
from pathlib import Path

from gristmill.job import End, Lost
from gristmill.limits import MIB, folder_bytes, group_bytes, group_bytes_exactly
from gristmill.slots import Phase, Report
from gristmill.workplace import shorten

LONGEST_LOG_BYTES = 4 * MIB
_FOLDER_STEPS_A_LOOK = 5
# What libraries print that give up where memory is short (C++, Rust), instead of raising MemoryError.
_OUT_OF_MEMORY_WORDS = (b"std::bad_alloc", b"memory allocation of")


@dataclass(frozen=True, slots=True)
class Sentence:
    """Why a child is to be killed. lost: how the job that it was at then ends; None: it goes back to the queue."""

    report: Report
    lost: Lost | None
    reason: str


class Watch:
    """Looks at one child now and then."""

    def __init__(self, pid: int, folder: Path, log: Path) -> None:
        self._pid = pid
        self._folder = folder
        self._log = log
        self._last: Report | None = None
        self._measuring = folder_bytes(folder)

    def look(self, report: Report, now: float) -> Sentence | None:
        """What to kill the child for, if anything; now is ``time.monotonic()``."""
        if report.phase is not Phase.RUNNING:
            self._last = None
            return None
        lost = self._over_time(report, now)
        # A job that has just begun is measured the next time, so that short jobs are not slowed down.
        if lost is None and self._last is not None and self._last.is_same_work(report):
            lost = self._over_memory(report) or self._over_disk(report)
            shorten(self._log, LONGEST_LOG_BYTES)
        self._last = report
        return Sentence(report, lost, lost.end.value) if lost else None

    def _over_time(self, report: Report, now: float) -> Lost | None:
        if now < report.deadline:
            return None
        return Lost(End.TIMED_OUT, f"The process ran longer than its {report.seconds:g} s.")

    def _over_memory(self, report: Report) -> Lost | None:
        most = report.memory_bytes
        if not most or group_bytes(self._pid) <= most:
            return None
        used = group_bytes_exactly(self._pid)
        if used <= most:
            return None
        return Lost(
            End.OUT_OF_MEMORY,
            f"The process and what it started used {used // MIB} MiB of memory; {most // MIB} MiB are the most, "
            "with what an idle child uses.",
        )

    def _over_disk(self, report: Report) -> Lost | None:
        if not report.disk_bytes:
            return None
        for _ in range(_FOLDER_STEPS_A_LOOK):
            found = next(self._measuring, None)
            if found is None:
                self._measuring = folder_bytes(self._folder)
                return None
            if found > report.disk_bytes:
                return Lost(
                    End.OUT_OF_DISK,
                    f"The process wrote {found // MIB} MiB into its scratch folder;"
                    f" {report.disk_bytes // MIB} MiB are the most.",
                )
        return None


def verdict(report: Report, sentence: Sentence | None, code: int, log: bytes) -> Lost | None:
    """What the end of a child means for what it held; None: back to the queue, no attempt spent.

    report: what its slot says after its death. A child that was killed for one job, and had gone on to another
    meanwhile, hands that other one back.
    code: its exit code, or minus the number of the signal.
    """
    if report.phase is Phase.IDLE:
        return None
    if sentence is not None:
        if report.phase is Phase.RUNNING and report.is_same_work(sentence.report):
            return sentence.lost and replace(sentence.lost, log=log)
        return None
    return Lost(*_meaning(code, log), log)


def _meaning(code: int, log: bytes) -> tuple[End, str]:
    if code >= 0:
        return End.CRASHED, f"The process ended its child with exit code {code}."
    name = signal.Signals(-code).name if -code in set(signal.Signals) else f"signal {-code}"
    if -code == signal.SIGABRT and any(words in log for words in _OUT_OF_MEMORY_WORDS):
        return End.OUT_OF_MEMORY, "The process gave up because it got no more memory (SIGABRT)."
    if -code == signal.SIGXFSZ:
        return End.OUT_OF_DISK, "The process wrote a file that was too large (SIGXFSZ)."
    if -code == signal.SIGKILL:
        return End.CRASHED, "The process was killed from outside (SIGKILL); perhaps there was no memory left."
    return End.CRASHED, f"The process crashed ({name})."
