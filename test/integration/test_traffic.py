"""The users of the tests on a cluster, before they are let loose there: they get along, and they notice."""

from pathlib import Path

import httpx
import pytest
from e2e.traffic.audit import audit
from e2e.traffic.doors import Door
from e2e.traffic.event_source import Event, EventSource
from e2e.traffic.mix import Ask, submit_short
from e2e.traffic.traffic import Traffic
from support import wait_until
from support.proxy import LossyProxy
from support.system import RunningSystem


@pytest.mark.slow
def test_users_of_a_system_that_is_well_fail_in_nothing(tmp_path: Path) -> None:
    with RunningSystem(tmp_path) as system:
        doors = [Door("one", system.url), Door("two", system.url.replace("127.0.0.1", "localhost"))]
        with Traffic(doors) as traffic:
            wait_until(lambda: all(traffic.ledger.answered[what] for what in ("upload", "rows", "run", "watch")), 120)
        assert traffic.ledger.failures == []
        assert traffic.ledger.refusals == []
        with doors[0].client() as http:
            assert audit(http, traffic.ledger) == []


def test_a_reply_that_is_lost_is_a_failure_and_its_job_is_promised_to_nobody(
    running_system: RunningSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    only_submit: dict[Ask, int] = {submit_short: 1}
    monkeypatch.setattr("e2e.traffic.clients.MIX", only_submit)
    assert running_system.parts, "the proxy stands before an API of this computer"
    port = httpx.URL(running_system.url).port
    assert port
    with LossyProxy(port) as proxy, Traffic([Door("lossy", http_url(proxy))], clients=1, watchers=0) as traffic:
        wait_until(lambda: traffic.ledger.promises)
        proxy.swallow(b"execution")
        wait_until(lambda: traffic.ledger.failures)
    assert len(traffic.ledger.failures) == 1
    with httpx.Client(base_url=running_system.url) as http:
        found = audit(http, traffic.ledger)
    assert [line for line in found if line.endswith("was promised to nobody")]
    assert not [line for line in found if not line.endswith("was promised to nobody")]


def test_the_events_of_a_stream_are_read_as_a_browser_does() -> None:
    source = EventSource()
    lines = ": watching\n\nid: 3\nevent: status\ndata: {\ndata: }\n\n: keep-alive\n\nretry: 2000\n\nid: 4\ndata: {}"
    assert list(source.read(lines.split("\n"))) == [Event(3, {})]
    assert source.reconnection_seconds == 2
    assert source.headers["Last-Event-ID"] == "3"


def http_url(proxy: LossyProxy) -> str:
    """The proxy, for clients of the API."""
    return f"http://127.0.0.1:{proxy.port}"
