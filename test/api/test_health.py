"""Liveness, readiness and release over HTTP."""

import time

from support import RedisServer, wait_until
from support.secured import for_clients


def test_alive_needs_nothing(make_api, start_server):
    server = start_server("redis")
    api = make_api(redis_url=server.url)
    server.kill()
    began = time.monotonic()
    assert api.get("/healthz").status_code == 200
    assert time.monotonic() - began < 1


def test_alive_while_every_place_is_taken(make_api):
    api = make_api(waiting_requests=1)
    with api.services.places.take("another"):
        assert api.get("/healthz").status_code == 200


def test_ready_once_redis_was_reached(make_api, start_server):
    server: RedisServer = start_server("redis")
    api = make_api(redis_url=server.url)
    server.kill()
    refused = api.get("/readyz")
    assert (refused.status_code, refused.json["redis"]) == (503, "away")
    assert refused.json["type"] == "urn:gristmill:problem:not-ready"
    server.start()
    time.sleep(1.1)
    assert api.get("/readyz").json["status"] == "ready"
    server.kill()
    began = time.monotonic()
    assert api.get("/readyz").status_code == 200
    assert time.monotonic() - began < 1


def test_why_redis_does_not_let_us_in_is_for_the_log_and_that_it_does_not_is_for_all(
    make_api, start_secured, mount, redis_files
):
    server = start_secured(redis_files)
    mount.put(for_clients(redis_files) | {"password": b"wr0ng-one"})
    api = make_api(redis_url=server.url, secrets_folder=mount.secrets_folder)
    refused = api.get("/readyz")
    assert (refused.status_code, refused.json["redis"]) == (503, "away")
    assert "does not let this system in" in refused.json["detail"]
    assert str(mount.folder) not in refused.text
    mount.put(for_clients(redis_files))
    wait_until(lambda: api.get("/readyz").status_code == 200, 10)
    assert "reason" not in api.get("/readyz").json


def test_not_ready_while_draining(api):
    assert api.get("/readyz").status_code == 200
    api.services.draining.set()
    assert api.get("/readyz").status_code == 503
    assert api.get("/healthz").status_code == 200


def test_a_server_that_would_lose_jobs_is_named(make_api, start_server):
    server = start_server("redis", appendonly="no", maxmemory_policy="allkeys-lru", maxmemory="100mb")
    ready = make_api(redis_url=server.url, environment="test").get("/readyz")
    assert ready.status_code == 200
    assert {finding["subject"] for finding in ready.json["findings"]} >= {"durability", "memory"}


def test_production_refuses_a_server_that_would_lose_jobs(make_api, start_server):
    server = start_server("redis", appendonly="no")
    refused = make_api(redis_url=server.url, environment="prod").get("/readyz")
    assert refused.status_code == 503
    assert "append-only" in refused.json["findings"][0]["detail"]


def test_production_takes_a_server_that_keeps_jobs(make_api, start_server):
    server = start_server("redis", appendfsync="always", maxmemory="100mb")
    ready = make_api(redis_url=server.url, environment="prod").get("/readyz")
    assert (ready.status_code, ready.json["findings"]) == (200, [])


def test_a_full_server_is_named_and_does_not_make_it_unready(make_api, start_server):
    server = start_server("redis", appendfsync="always", maxmemory="100mb")
    api = make_api(redis_url=server.url, environment="prod")
    assert api.get("/readyz").json["findings"] == []
    with server.client() as client:
        client.config_set("maxmemory", "1mb")
    time.sleep(1.1)
    api.services.readiness.look()  # as is done in the background
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert [finding["subject"] for finding in ready.json["findings"]] == ["memory"]


def test_a_server_that_keeps_its_configuration_to_itself_is_ready(make_api, start_server):
    server = start_server("redis")
    with server.client() as client:
        client.execute_command("ACL", "SETUSER", "app", "on", ">s", "~*", "&*", "+@all", "-config", "-info")
    api = make_api(redis_url=server.url.replace("redis://", "redis://app:s@"))
    ready = api.get("/readyz")
    assert ready.status_code == 200
    assert "configuration" in ready.json["findings"][0]["detail"]


def test_the_release_is_told(api):
    assert api.get("/version").json == {"release": api.services.release, "environment": "dev"}
