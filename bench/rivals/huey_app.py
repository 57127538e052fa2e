import os

from huey import RedisHuey

huey = RedisHuey("bench", url=os.environ["BENCH_URL"] + "/3")


@huey.task()
def noop() -> int:
    return 1
