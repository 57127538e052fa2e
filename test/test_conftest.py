"""The servers that the tests run on are what the tests take them for."""

from collections.abc import Callable

import redis
from support import RedisServer

from gristmill.settings import Settings


def test_each_backend_is_a_private_server_with_an_append_only_file(server: str) -> None:
    with redis.Redis.from_url(server) as client:
        assert client.config_get("appendonly") == {"appendonly": "yes"}
        assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert client.config_get("port")["port"] != "6379"


def test_acknowledged_data_outlives_the_kill_of_a_server(start_server: Callable[..., RedisServer]) -> None:
    own = start_server("valkey", appendfsync="always")
    with own.client() as client:
        client.set("kept", "yes")
        own.kill()
        own.start()
        assert client.get("kept") == b"yes"


def test_the_settings_of_a_test_name_its_own_server_and_prefix(
    settings: Settings, redis_url: str, key_prefix: str
) -> None:
    assert settings.redis_url == redis_url
    assert settings.key_prefix == key_prefix
