"""What is in a backup, counted while it is read."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime

import msgpack

from gristmill.backup.format import Entry
from gristmill.errors import DamagedBackupError
from gristmill.job import Status
from gristmill.records import CODES
from gristmill.words import counted

_STATUS = {code.encode(): status for status, code in CODES.items()}
_MOST_NAMES = 20
_NO_BEGIN = "The backup is damaged: its first entry is missing."


@dataclass(slots=True)
class Contents:
    """Numbers of what has been read. ``begun``: us."""

    backup: str = ""
    release: str = ""
    environment: str = ""
    begun: int = 0
    jobs: Counter[Status] = field(default_factory=Counter)
    data_sets: list[str] = field(default_factory=list)
    versions: int = 0
    call_backs: int = 0

    def counted(self, entries: Iterable[Entry]) -> Iterator[Entry]:
        """The entries, counted as they pass. Raises DamagedBackupError when they do not begin as they should."""
        for kind, fields in entries:
            if not self.backup and kind != "begin":
                raise DamagedBackupError(_NO_BEGIN)
            if self.backup and kind == "begin":
                raise DamagedBackupError("The backup is damaged: it begins twice.")
            if kind == "begin":
                self.backup, self.release = fields["backup"], fields["release"]
                self.environment, self.begun = fields["environment"], fields["begun"]
            elif kind == "job":
                self.jobs[_STATUS[msgpack.unpackb(fields["record"], raw=True)[b"s"]]] += 1
            elif kind == "data-set":
                self.data_sets.append(fields["name"].decode())
            elif kind == "version":
                self.versions += 1
            elif kind == "call-back":
                self.call_backs += 1
            yield kind, fields
        if not self.backup:
            raise DamagedBackupError(_NO_BEGIN)

    def summary(self) -> str:
        """In a line: how many jobs and data sets."""
        data_sets = f"{counted(len(self.data_sets), 'data set')} with {counted(self.versions, 'version')}"
        return f"{counted(self.jobs.total(), 'job')}, {data_sets}"

    def lines(self) -> Iterator[str]:
        """One line a fact."""
        when = datetime.fromtimestamp(self.begun / 1e6, UTC)
        yield f"begun        {when:%Y-%m-%d %H:%M:%S} UTC by release {self.release} in {self.environment}"
        states = ", ".join(f"{self.jobs[status]:,} {status.value}" for status in Status if self.jobs[status])
        yield f"jobs         {self.jobs.total():,}{f' ({states})' if states else ''}"
        names = ", ".join(self.data_sets[:_MOST_NAMES])
        more = len(self.data_sets) - _MOST_NAMES
        said = f" ({names}{f' and {more:,} more' if more > 0 else ''})" if names else ""
        yield f"data sets    {len(self.data_sets):,} with {counted(self.versions, 'version')}{said}"
        if self.call_backs:
            yield f"call-backs   {self.call_backs:,} not delivered yet"
