import os

import redis
from rq import Queue

queue = Queue(connection=redis.Redis.from_url(os.environ["BENCH_URL"] + "/4"))


def noop() -> int:
    return 1
