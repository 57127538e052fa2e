"""What the client would like, by header: Prefer (RFC 7240) and Priority (RFC 9218).

What is not understood is ignored, as both say.
"""

import re
from dataclasses import dataclass

ORDINARY = 3

_WAIT = re.compile(r"[0-9]{1,9}")
_URGENCY = re.compile(r"(?:^|[,\s])u=([0-7])(?![0-9.])")


@dataclass(frozen=True, slots=True)
class Preferences:
    """The preferences that matter here. ``wait``: seconds, or None."""

    respond_async: bool = False
    wait: int | None = None


NONE = Preferences()


def read_prefer(header: str) -> Preferences:
    """Parse ``Prefer``; of a preference that is named twice, the first counts."""
    if not header:
        return NONE
    found: dict[str, str] = {}
    for preference in header.split(","):
        name, _, value = preference.partition(";")[0].partition("=")
        found.setdefault(name.strip().lower(), value.strip().strip('"'))
    wait = found.get("wait", "")
    return Preferences("respond-async" in found, int(wait) if _WAIT.fullmatch(wait) else None)


def read_urgency(header: str) -> int:
    """Parse ``Priority``: 0 (most urgent) to 3 (ordinary, and all that is less urgent than that)."""
    if not header:
        return ORDINARY
    match = _URGENCY.search(header)
    return min(int(match[1]), ORDINARY) if match else ORDINARY
