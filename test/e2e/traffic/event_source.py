"""Server-Sent Events as a browser's EventSource reads them (HTML standard, section 9.2)."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

# What browsers wait where the server has not said anything else.
RECONNECTION_SECONDS = 3.0


@dataclass(frozen=True)
class Event:
    """One event. id: as the server has given it, a job's revision."""

    id: int
    data: dict[str, Any]


class EventSource:
    """What a client has of a stream over all its connections.

    last_id: of the event that it has seen last, or "". reconnection_seconds: what it waits before it comes again.
    """

    def __init__(self) -> None:
        self.last_id = ""
        self.reconnection_seconds = RECONNECTION_SECONDS

    @property
    def headers(self) -> dict[str, str]:
        """Of the next connection."""
        return {"Accept": "text/event-stream"} | ({"Last-Event-ID": self.last_id} if self.last_id else {})

    def read(self, lines: Iterable[str]) -> Iterator[Event]:
        """The events of one connection, from its lines."""
        data: list[str] = []
        last_id = self.last_id
        for line in lines:
            name, _, value = line.partition(":")
            value = value.removeprefix(" ")
            if name == "id":
                last_id = value
            elif name == "data":
                data.append(value)
            elif name == "retry":
                self.reconnection_seconds = int(value) / 1000
            elif not line and data:
                self.last_id = last_id
                yield Event(int(last_id), json.loads("\n".join(data)))
                data = []
