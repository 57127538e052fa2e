import os

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

url = os.environ["BENCH_URL"]
broker = RedisBroker(url=f"{url}/2")
broker.add_middleware(Results(backend=RedisBackend(url=f"{url}/2")))
dramatiq.set_broker(broker)


@dramatiq.actor(store_results=True)
def noop() -> int:
    return 1
