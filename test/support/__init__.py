"""What tests share: private servers, waiting with a limit, free ports."""

from support.servers import BACKENDS, RedisServer, free_port, why_missing
from support.waiting import wait_until

__all__ = ["BACKENDS", "RedisServer", "free_port", "wait_until", "why_missing"]
