"""What a run has seen and how long it took: the table that is printed at the end, and its JSON."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path

FORMAT = 1
_WIDEST = 72


@dataclass
class Sight:
    """One line. what: a claim or a measure; seen: its value in words; seconds: how long it took, where that counts."""

    scenario: str
    what: str
    seen: str = ""
    seconds: float | None = None


@dataclass
class Seen:
    """All lines of a run."""

    began: datetime = field(default_factory=lambda: datetime.now(UTC))
    about: dict[str, str] = field(default_factory=dict)
    sights: list[Sight] = field(default_factory=list)

    def lines(self) -> Iterator[str]:
        """The table as text."""
        rows = [("scenario", "what", "seen", "seconds")]
        rows += [
            (one.scenario, one.what, one.seen, "" if one.seconds is None else f"{one.seconds:.1f}")
            for one in self.sights
        ]
        widths = [min(_WIDEST, max(len(row[column]) for row in rows)) for column in range(3)]
        for row in rows:
            cells = [text.ljust(width) for text, width in zip(row, widths, strict=False)]
            yield "  ".join([*cells, row[3].rjust(7)]).rstrip()

    def write(self, path: Path) -> None:
        """Write it as JSON."""
        document = {
            "format": FORMAT,
            "began": self.began.isoformat(timespec="seconds"),
            **self.about,
            "seen": [asdict(one) for one in self.sights],
        }
        path.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True)
class Notes:
    """The part of the table that one scenario writes."""

    table: Seen
    scenario: str

    def add(self, what: str, seen: str = "", seconds: float | None = None) -> None:
        """Note something that was seen to hold."""
        self.table.sights.append(Sight(self.scenario, what, seen, seconds))

    @contextmanager
    def timed(self, what: str, seen: str = "") -> Iterator[Sight]:
        """Note what is done within, if it succeeds, with its time; ``seen`` of what is given may be set within."""
        sight, start = Sight(self.scenario, what, seen), time.monotonic()
        yield sight
        sight.seconds = time.monotonic() - start
        self.table.sights.append(sight)
