"""Rate limits by owner over several API processes."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from gristmill.errors import RateLimitedError
from gristmill.rate import RateLimit
from gristmill.settings import Settings
from gristmill.store import connect


@pytest.fixture
def make_rate(make_settings: Callable[..., Settings]) -> Iterator[Callable[..., RateLimit]]:
    with ExitStack() as stack:

        def make(url: str, per_second: float, burst: int) -> RateLimit:
            settings = make_settings(url, rate_per_second=per_second, rate_burst=burst)
            client = connect(settings)
            stack.callback(client.close)
            return RateLimit(client, settings)

        yield make


def spent(rate: RateLimit, owner: str, tries: int) -> int:
    """How many of so many requests pass."""
    passed = 0
    for _ in range(tries):
        try:
            rate.spend(owner)
        except RateLimitedError:
            continue
        passed += 1
    return passed


def test_a_burst_passes_and_no_more(server, make_rate):
    rate = make_rate(server, 0.01, 20)
    assert spent(rate, "alice", 50) == 20


def test_owners_do_not_share_a_limit(redis_url, make_rate):
    rate = make_rate(redis_url, 0.01, 5)
    assert spent(rate, "alice", 10) == 5
    assert spent(rate, "bob", 10) == 5


def test_processes_together_pass_no_more_than_one_alone(redis_url, make_rate):
    rates = [make_rate(redis_url, 0.01, 100) for _ in range(4)]
    passed: list[int] = []
    threads = [threading.Thread(target=lambda rate=rate: passed.append(spent(rate, "alice", 100))) for rate in rates]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 60 <= sum(passed) <= 100


def test_what_is_over_the_limit_is_told_when_to_come_again(redis_url, make_rate):
    rate = make_rate(redis_url, 0.1, 1)
    rate.spend("alice")
    with pytest.raises(RateLimitedError) as refused:
        rate.spend("alice")
    assert 8 <= refused.value.retry_after_seconds <= 10
    assert refused.value.status == 429


def test_the_bucket_fills_with_time(redis_url, make_rate):
    rate = make_rate(redis_url, 20, 2)
    assert spent(rate, "alice", 10) >= 2
    began = time.monotonic()
    while spent(rate, "alice", 1) == 0:
        assert time.monotonic() - began < 10
        time.sleep(0.01)


def test_a_flood_of_refused_requests_does_not_reach_redis(redis_url, make_rate):
    rate = make_rate(redis_url, 0.01, 1)
    rate.spend("alice")
    assert spent(rate, "alice", 1) == 0
    calls = []
    rate._draw = calls.append  # type: ignore[method-assign]
    assert spent(rate, "alice", 1000) == 0
    assert not calls


def test_many_requests_cost_one_call_of_redis(redis_url, make_rate):
    rate = make_rate(redis_url, 1000, 1000)
    calls = []
    draw = rate._draw
    rate._draw = lambda owner: calls.append(owner) or draw(owner)  # type: ignore[method-assign]
    assert spent(rate, "alice", 300) == 300
    assert len(calls) <= 30


def test_the_key_goes_when_the_bucket_is_full(redis_url, make_rate, key_prefix):
    rate = make_rate(redis_url, 1, 10)
    rate.spend("alice")
    assert 0 < rate._client.pttl(f"{key_prefix}:rate:alice") <= 1500


def test_without_a_limit_nothing_is_counted(redis_url, make_rate, key_prefix):
    rate = make_rate(redis_url, 0, 1)
    assert spent(rate, "alice", 100) == 100
    assert not rate._client.exists(f"{key_prefix}:rate:alice")


def test_while_redis_is_away_nobody_is_refused(own_server, make_rate):
    rate = make_rate(own_server.url, 1, 1)
    rate.spend("alice")
    own_server.kill()
    assert spent(rate, "bob", 1) == 1


def test_a_full_redis_still_counts(start_server, make_rate):
    server = start_server("redis", maxmemory="1")
    rate = make_rate(server.url, 0.01, 2)
    assert spent(rate, "alice", 5) == 2
