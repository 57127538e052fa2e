"""Server-Sent Events over real streams."""

import json
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from support import wait_until
from support.by_hand import WorkerByHand

from gristmill.api import events

ASYNC = {"Prefer": "respond-async"}


@dataclass
class Frame:
    """One event, or a comment (in ``comment``), or a ``retry``."""

    id: str = ""
    event: str = ""
    data: str = ""
    retry: str = ""
    comment: str = ""

    @property
    def status(self) -> dict:
        return json.loads(self.data)


def frames_of(chunks: Iterator[bytes]) -> Iterator[Frame]:
    text = ""
    for chunk in chunks:
        text += chunk.decode()
        while "\n\n" in text:
            block, _, text = text.partition("\n\n")
            frame = Frame()
            for line in block.split("\n"):
                name, _, value = line.partition(": ")
                setattr(frame, name or "comment", value)
            yield frame


@pytest.fixture
def worker(api) -> WorkerByHand:
    return WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release))


def submitted(api) -> str:
    return api.execute(headers=ASYNC).json["jobID"]


def stream(api, job_id: str, last: str = ""):
    headers = {"Last-Event-ID": last} if last else {}
    return api.client.get(f"/jobs/{job_id}/events", headers=headers, buffered=False)


def told(api, job_id: str, last: str = "") -> list[Frame]:
    """The events of a stream that ends by itself, without comments."""
    response = stream(api, job_id, last)
    frames = [frame for frame in frames_of(iter(response.response)) if not frame.comment]
    response.close()
    return frames


def watched(api, job_id: str) -> tuple[list[Frame], threading.Thread]:
    """Follow a job in a thread; returns once the stream has told the first state."""
    seen: list[Frame] = []

    def follow() -> None:
        response = stream(api, job_id)
        seen.extend(frames_of(iter(response.response)))
        response.close()

    thread = threading.Thread(target=follow)
    thread.start()
    wait_until(lambda: [frame for frame in seen if frame.id])
    return seen, thread


def test_a_finished_jobs_stream_tells_its_state_and_ends(api, worker):
    job_id = submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    [frame] = told(api, job_id)
    assert frame.event == "status"
    assert frame.id == str(api.services.jobs.get(job_id).revision)
    assert frame.status == api.get(f"/jobs/{job_id}").json


def test_every_change_is_told_until_the_end(api, worker):
    job_id = submitted(api)
    seen, thread = watched(api, job_id)
    attempt = worker.claim()
    wait_until(lambda: any("running" in frame.data for frame in seen))
    api.services.jobs.progress(job_id, attempt.token, 50, "half")
    wait_until(lambda: any("half" in frame.data for frame in seen))
    api.client.delete(f"/jobs/{job_id}")
    thread.join(20)
    assert not thread.is_alive()
    changes = [frame for frame in seen if frame.id]
    assert [frame.status["status"] for frame in changes] == ["accepted", "running", "running", "dismissed"]
    assert [frame.status["progress"] for frame in changes[:3]] == [0, 0, 50]
    ids = [int(frame.id) for frame in changes]
    assert ids == sorted(set(ids))


def test_a_change_between_two_looks_is_not_missed(api, worker):
    for _ in range(20):
        job_id = submitted(api)
        finish = threading.Thread(target=lambda: worker.succeed(("string", "text/plain", b"x")))
        finish.start()
        assert told(api, job_id)[-1].status["status"] == "successful"
        finish.join()


def test_a_resumed_stream_does_not_repeat_what_was_seen(api, worker):
    job_id = submitted(api)
    attempt = worker.claim()
    last = str(api.services.jobs.get(job_id).revision)
    frames: list[Frame] = []
    response = stream(api, job_id, last)
    thread = threading.Thread(target=lambda: frames.extend(frames_of(iter(response.response))))
    thread.start()
    wait_until(lambda: api.services.hub.watchers == 1)
    api.services.jobs.progress(job_id, attempt.token, 70, "")
    wait_until(lambda: any(frame.id for frame in frames))
    api.client.delete(f"/jobs/{job_id}")
    thread.join(20)
    assert next(frame.status["progress"] for frame in frames if frame.id) == 70


def test_a_resumed_stream_tells_the_state_when_it_has_changed_meanwhile(api, worker):
    job_id = submitted(api)
    last = str(api.services.jobs.get(job_id).revision)
    worker.succeed(("string", "text/plain", b"x"))
    [frame] = told(api, job_id, last)
    assert frame.status["status"] == "successful"


def test_a_client_that_has_seen_the_end_is_told_not_to_come_again(api, worker):
    job_id = submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    [frame] = told(api, job_id)
    assert stream(api, job_id, frame.id).status_code == 204


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "²", "9" * 40])
def test_any_last_event_id_is_answered(api, worker, last):
    job_id = submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    assert len(told(api, job_id, last.encode().decode("latin-1"))) == 1


def test_an_idle_stream_is_kept_alive_by_comments(api, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.05)
    job_id = submitted(api)
    seen, thread = watched(api, job_id)
    wait_until(lambda: sum(frame.comment == "keep-alive" for frame in seen) >= 2)
    api.client.delete(f"/jobs/{job_id}")
    thread.join(20)


def test_a_draining_server_ends_its_streams_with_retry(api, monkeypatch):
    monkeypatch.setattr(events, "KEEP_ALIVE_SECONDS", 0.05)
    seen, thread = watched(api, submitted(api))
    api.services.draining.set()
    thread.join(20)
    assert not thread.is_alive()
    assert seen[-1].retry == "2000"


def test_a_stream_gives_its_place_back_at_its_end_and_when_the_client_goes(api, worker):
    finished, unfinished = submitted(api), submitted(api)
    worker.succeed(("string", "text/plain", b"x"))
    told(api, finished)
    assert api.services.places.taken == 0
    response = stream(api, unfinished)
    next(iter(response.response))
    assert api.services.places.taken == 1
    response.close()
    assert api.services.places.taken == 0
    assert api.services.hub.watchers == 0


def test_a_stream_that_was_never_read_gives_its_place_back(api):
    with api.app.test_request_context(f"/jobs/{submitted(api)}/events"):
        response = api.app.full_dispatch_request()
        assert api.services.places.taken == 1
        response.response.close()
    assert api.services.places.taken == 0


def test_above_the_cap_a_stream_is_503(make_api):
    api = make_api(waiting_requests=1)
    job_id = submitted(api)
    with api.services.places.take("another"):
        refused = api.get(f"/jobs/{job_id}/events")
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0


def test_head_takes_no_place(api):
    head = api.client.head(f"/jobs/{submitted(api)}/events")
    assert (head.status_code, head.mimetype) == (200, "text/event-stream")
    assert api.services.places.taken == 0


def test_proxies_are_told_not_to_hold_the_stream_back(api):
    response = stream(api, submitted(api))
    assert response.headers["Cache-Control"] == "no-store"
    assert response.headers["X-Accel-Buffering"] == "no"
    response.close()


def test_an_unknown_job_has_no_stream(api):
    assert stream(api, "nope").status_code == 404


def test_a_change_while_redis_restarts_is_told_afterwards(make_api, start_server):
    server = start_server("redis", appendfsync="always")
    api = make_api(redis_url=server.url)
    worker = WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release))
    job_id = submitted(api)
    seen, thread = watched(api, job_id)
    server.kill()
    server.start()
    worker.succeed(("string", "text/plain", b"x"))
    thread.join(60)
    assert not thread.is_alive()
    assert [frame for frame in seen if frame.id][-1].status["status"] == "successful"


def test_a_stream_that_redis_does_not_confirm_says_when_to_come_again(api, monkeypatch):
    monkeypatch.setattr("gristmill.hub.CONFIRM_SECONDS", 0.0)
    [frame] = told(api, submitted(api))
    assert frame.retry == "2000"
    assert api.services.places.taken == 0


def test_without_redis_a_stream_is_503(make_api, start_server):
    server = start_server("redis")
    api = make_api(redis_url=server.url)
    job_id = submitted(api)
    server.kill()
    assert stream(api, job_id).status_code == 503
    assert api.services.places.taken == 0
