"""What a client asks next: everything a user does, each as often as in this table.

Each function asks once and returns what it asked; it raises UnexpectedError for an answer that it should not get, and
httpx.HTTPError where there is none.
"""

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import httpx

from e2e.traffic.ledger import Ledger

LOOKS = ("/", "/processes", "/processes/echo", "/version", "/jobs?limit=20", "/datasets", "/api")
UPLOAD_PIECES = 40
_PIECE = b"".join(b"%d,north,12.5\n" % (100 + number % 900) for number in range(500_000 // 15))
"""Half a megabyte; an upload has 20."""


class UnexpectedError(Exception):
    """An answer that the request should not get."""


class RefusedError(UnexpectedError):
    """503 that says when to come again: what there is to say while Redis is away."""


@dataclass
class Visitor:
    """One client, and what it knows.

    name: of the client, which is part of what its jobs say. uploads: how many were acknowledged.
    """

    name: str
    http: httpx.Client
    ledger: Ledger
    chance: random.Random
    jobs: list[str] = field(default_factory=list)
    uploads: int = 0
    asked: int = 0

    def send(self, method: str, path: str, *expected: int, **options: object) -> httpx.Response:
        """Ask, once."""
        answer = self.http.request(method, path, **options)  # type: ignore[arg-type]
        if answer.status_code not in expected:
            is_refusal = answer.status_code == 503 and "Retry-After" in answer.headers
            kind = RefusedError if is_refusal else UnexpectedError
            raise kind(f"{answer.status_code} for {method} {path}: {answer.text[:300]}")
        return answer

    def execute(self, seconds: int, *expected: int, **headers: str) -> tuple[httpx.Response, str]:
        """Ask for a job that lasts so long; returns the answer, and what the result is to say."""
        self.asked += 1
        text = f"{self.name}-{self.asked}"
        body = {"inputs": {"string": text, "pause": seconds}, "response": "document"}
        answer = self.send("POST", "/processes/echo/execution", *expected, json=body, headers=headers)
        return answer, text

    def submit(self, seconds: int) -> str:
        """Have a job accepted, and keep the promise."""
        answer, text = self.execute(seconds, 201, Prefer="respond-async")
        job_id = answer.headers["Location"].rpartition("/")[2]
        self.ledger.promise(job_id, text)
        self.jobs.append(job_id)
        return job_id


Ask = Callable[[Visitor], str]


def look(visitor: Visitor) -> str:
    """Read a page."""
    path = visitor.chance.choice(LOOKS)
    visitor.send("GET", path, 200)
    return "read"


def follow(visitor: Visitor) -> str:
    """Read how a job is doing."""
    if not visitor.jobs:
        return look(visitor)
    visitor.send("GET", f"/jobs/{visitor.chance.choice(visitor.jobs)}", 200)
    return "follow"


def submit_short(visitor: Visitor) -> str:
    """Submit a job that is over at once."""
    visitor.submit(0)
    return "submit"


def submit_long(visitor: Visitor) -> str:
    """Submit a job that outlives the pod that took it."""
    visitor.submit(visitor.chance.randint(1, 20))
    return "submit"


def run(visitor: Visitor) -> str:
    """Wait for a result in the request itself; a queue may be so long that it comes later."""
    answer, text = visitor.execute(visitor.chance.choice((0, 0, 0, 1)), 200, 201)
    is_over = answer.status_code == 200
    url = answer.links["monitor"]["url"] if is_over else answer.headers["Location"]
    visitor.ledger.promise(url.rpartition("/")[2], text)
    if is_over and answer.json()["string"] != text:
        raise UnexpectedError(f"the result is {answer.text[:300]}, and should say {text}")
    return "run"


def upload(visitor: Visitor) -> str:
    """Send a new version of the client's data set: at once, or over some seconds as by a slow line."""
    number = visitor.uploads + 1
    first = f"number,region,value\n{number},{visitor.name},0\n".encode()
    body = _paced(first, visitor.chance.choice((0, 4, 8)))
    visitor.send("PUT", f"/datasets/{visitor.name}", 200, 201, content=body, headers={"Content-Type": "text/csv"})
    visitor.uploads = number
    return "upload"


def _paced(first: bytes, seconds: float) -> Iterator[bytes]:
    """A body of so many pieces, which leave one after the other within these seconds."""
    yield first
    for _ in range(UPLOAD_PIECES):
        time.sleep(seconds / UPLOAD_PIECES)
        yield _PIECE


def read_rows(visitor: Visitor) -> str:
    """Read the begin of the newest version."""
    if not visitor.uploads:
        return look(visitor)
    answer = visitor.send("GET", f"/datasets/{visitor.name}/rows?limit=1", 200)
    (row,) = answer.json()["rows"]
    if row["number"] < visitor.uploads or row["region"] != visitor.name:
        raise UnexpectedError(f"upload {visitor.uploads} of {visitor.name} was acknowledged, and there is {row}")
    return "rows"


# Out of a thousand. The long jobs are so few that two workers with two children each keep up with them.
MIX: dict[Ask, int] = {
    look: 432,
    follow: 300,
    submit_short: 150,
    run: 60,
    read_rows: 50,
    submit_long: 4,
    upload: 4,
}
