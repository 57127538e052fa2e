"""Rate limits by owner, right over any number of API processes, at the cost of one Redis call for many requests.

The bucket of an owner lies in Redis. A process draws some requests' worth at a time and spends them by itself; what it
has drawn is gone from the bucket, so all processes together never let through more than the limit. When the bucket is
empty, the process remembers until when, so a flood of refused requests does not reach Redis either.
"""

import hashlib
import math
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

import redis.exceptions

from gristmill.errors import RateLimitedError
from gristmill.settings import Settings
from gristmill.store import Client

_MOST_OWNERS = 10_000
_KEEP_SECONDS = 1.0
_DRAWN_SECONDS = 0.1

# The key holds the time (in microseconds) at which the bucket is full again; each request moves it by one interval.
# Returns how many of the wanted requests are granted and, when none is, the microseconds until one will be.
_DRAW = """#!lua flags=allow-oom
local t = redis.call('TIME')
local now = t[1] * 1000000 + t[2]
local interval, burst, wanted = tonumber(ARGV[1]), tonumber(ARGV[2]), tonumber(ARGV[3])
local full = math.max(tonumber(redis.call('GET', KEYS[1])) or now, now)
local room = math.floor(burst - (full - now) / interval)
if room < 1 then return {0, math.ceil(full - now - (burst - 1) * interval)} end
local granted = math.min(room, wanted)
full = full + granted * interval
redis.call('SET', KEYS[1], string.format('%.0f', full), 'PX', math.ceil((full - now) / 1000) + 1)
return {granted, 0}
"""
_DRAW_SHA = hashlib.sha1(_DRAW.encode(), usedforsecurity=False).hexdigest()


@dataclass(slots=True)
class _Purse:
    """What this process may still let through for an owner. Times are of ``time.monotonic``."""

    left: int = 0
    good_until: float = 0.0
    refused_until: float = 0.0


class RateLimit:
    """The limit of ``settings.rate_per_second`` and ``rate_burst``; does nothing when that is 0."""

    def __init__(self, client: Client, settings: Settings) -> None:
        self._client = client
        self._prefix = settings.key_prefix
        self._rate = settings.rate_per_second
        self._burst = settings.rate_burst
        self._batch = max(1, min(int(self._rate * _DRAWN_SECONDS), self._burst // 10))
        self._purses: OrderedDict[str, _Purse] = OrderedDict()
        self._lock = threading.Lock()

    def spend(self, owner: str) -> None:
        """Count one request of an owner. RateLimitedError with ``retry_after_seconds`` when it is one too many.

        While Redis is away nothing is counted: the request itself finds that out.
        """
        if not self._rate:
            return
        now = time.monotonic()
        with self._lock:
            purse = self._purse(owner)
            if purse.left and now < purse.good_until:
                purse.left -= 1
                return
            wait = purse.refused_until - now
        if wait <= 0:
            try:
                granted, microseconds = self._draw(owner)
            except redis.exceptions.RedisError:
                return
            with self._lock:
                if granted:
                    purse.left, purse.good_until = granted - 1, now + _KEEP_SECONDS
                    return
                wait = microseconds / 1_000_000
                purse.refused_until = now + wait
        raise RateLimitedError(
            f"{owner} has sent more than {self._rate:g} requests a second; slow down.",
            retry_after_seconds=max(1, math.ceil(wait)),
        )

    def _purse(self, owner: str) -> _Purse:
        purse = self._purses.get(owner)
        if purse is None:
            purse = self._purses[owner] = _Purse()
            if len(self._purses) > _MOST_OWNERS:
                self._purses.popitem(last=False)
        else:
            self._purses.move_to_end(owner)
        return purse

    def _draw(self, owner: str) -> tuple[int, int]:
        words: tuple[Any, ...] = (1, f"{self._prefix}:rate:{owner}", 1_000_000 / self._rate, self._burst, self._batch)
        try:
            granted, microseconds = self._client.evalsha(_DRAW_SHA, *words)
        except redis.exceptions.NoScriptError:
            granted, microseconds = self._client.eval(_DRAW, *words)
        return int(granted), int(microseconds)
