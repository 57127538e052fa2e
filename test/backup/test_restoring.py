"""What is restored is what was copied, on both servers and from one to the other; and what is different on purpose."""

import io
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any

import msgpack
import pytest
from support import BACKENDS
from support.backups import (
    call_backs,
    copied,
    entries,
    holds,
    places,
    restored,
    seen_data_sets,
    seen_jobs,
)
from support.lab import Lab, child_of
from support.odd_system import DELETED_KEY, KEY, LIMITED, LONG, OFFERS, A, OddSystem, make
from support.shelf import Shelf, version_of

from gristmill.backup import restoring
from gristmill.backup.format import Reader, Writer
from gristmill.backup.restoring import BYTES, Restorer
from gristmill.errors import BackupError, ConflictError, LostAttemptError
from gristmill.job import Job, Offer, Status
from gristmill.settings import Settings
from gristmill.store import connect


@pytest.fixture(scope="module")
def odd(backend_url: Callable[[str], str]) -> Callable[[str], tuple[OddSystem, bytes]]:
    """A system with everything, and its backup, by backend; tests only look at it."""
    made: dict[str, tuple[OddSystem, bytes]] = {}

    def of(backend: str) -> tuple[OddSystem, bytes]:
        if backend not in made:
            system = make(Settings(redis_url=backend_url(backend), key_prefix="{odd}"))
            made[backend] = system, copied(system.lab.client, system.lab.settings)
        return made[backend]

    return of


@pytest.fixture
def system(odd: Callable[[str], tuple[OddSystem, bytes]]) -> OddSystem:
    return odd("valkey")[0]


@pytest.fixture
def data(odd: Callable[[str], tuple[OddSystem, bytes]]) -> bytes:
    return odd("valkey")[1]


@pytest.fixture
def target(backend_url: Callable[[str], str], make_settings: Callable[..., Settings]) -> Settings:
    return make_settings(backend_url("valkey"))


def job_of(lab: Lab, system: OddSystem, name: str) -> Job:
    return lab.jobs.status(system.jobs[name])


@pytest.mark.slow
@pytest.mark.parametrize("source", BACKENDS)
@pytest.mark.parametrize("target", BACKENDS)
def test_everything_is_as_it_was_on_any_supported_server(
    source: str,
    target: str,
    odd: Callable[[str], tuple[OddSystem, bytes]],
    backend_url: Callable[[str], str],
    make_settings: Callable[..., Settings],
) -> None:
    system, data = odd(source)
    settings = make_settings(backend_url(target))

    told = restored(data, settings)

    lab, shelf = Lab(settings), Shelf(settings)
    lab.check()
    shelf.check()
    assert told.jobs == {"restored": len(system.jobs) - 2, "again": 2}
    assert seen_jobs(lab.jobs) == seen_jobs(system.lab.jobs, after_restore=True)
    assert seen_data_sets(shelf.store) == seen_data_sets(system.shelf.store)
    assert not [name for name in lab.stored() if name.startswith(":r:")]


def test_jobs_wait_in_their_old_order_and_those_that_ran_at_their_old_place(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    restored(data, target)
    lab = Lab(target)
    found = places(lab.client, lab.prefix)
    assert found.pop(f":q:echo@face@{lab.jobs._key}|ann") == [system.jobs["running"], system.jobs["under way"]]
    (alone,) = [name for name in found if name.startswith(":q:limited")]
    queue = found.pop(alone)
    assert queue.index(system.jobs["running alone"]) == 3  # behind what is more urgent, and ahead of what is younger
    queue.remove(system.jobs["running alone"])
    before = places(system.lab.client, system.lab.prefix)
    assert before.pop(f":q:echo@face@{lab.jobs._key}|ann") == [system.jobs["under way"]]
    assert before.pop(alone) == queue
    assert found == before


def test_a_job_that_ran_runs_again_and_its_old_attempt_is_dead(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    restored(data, target)
    lab = Lab(target)
    token = system.lab.jobs.get(system.jobs["running"]).token
    assert token
    with pytest.raises(LostAttemptError):
        lab.jobs.progress(system.jobs["running"], token, 50, "still there")
    attempt = lab.claim(lab.worker())
    assert (attempt.job_id, attempt.number, attempt.inputs) == (system.jobs["running"], 2, LONG)
    lab.finish(attempt)
    assert job_of(lab, system, "running").status is Status.SUCCESSFUL
    lab.check()


def test_all_that_waits_is_carried_out(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab = Lab(target)
    worker = lab.worker(*OFFERS)
    lab.client.zadd(f"{lab.prefix}:delayed", {system.jobs["delayed"]: 1})
    lab.swept_ago(lab.settings.beat_seconds)
    lab.jobs.sweep()
    while attempt := lab.jobs.wait_and_claim(lab.child(worker), OFFERS, 0.1):
        lab.finish(attempt)
    assert {job_of(lab, system, name).status for name in system.jobs} == {
        Status.SUCCESSFUL, Status.FAILED, Status.DISMISSED,
    }  # fmt: skip
    assert job_of(lab, system, "joined").same_as == system.jobs["under way"]
    lab.check()


def test_an_idle_child_is_woken_by_what_is_restored(data: bytes, target: Settings) -> None:
    restored(data, target)
    lab = Lab(target)
    for name in ("echo", "limited"):
        assert lab.client.llen(f"{lab.prefix}:wake:{name}@face") == 1


def test_idempotency_keys_and_equal_work_count_for_jobs_that_came_along(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    restored(data, target)
    lab = Lab(target)
    assert lab.jobs.submit(lab.new(), idempotency=KEY).job.id == system.jobs["keyed"]
    with pytest.raises(ConflictError):
        lab.jobs.submit(lab.new(), idempotency=DELETED_KEY)
    again = lab.jobs.submit(lab.new("zoe", equal_work="same"))
    assert (again.how, again.job.same_as) == ("copied", system.jobs["original"])
    assert lab.jobs.submit(lab.new("zoe", equal_work="other")).how == "joined"
    for kind in ("e", "i"):
        for key in lab.client.scan_iter(f"{lab.prefix}:{kind}:*"):
            its = key.replace(lab.prefix.encode(), system.lab.prefix.encode())
            assert lab.client.pexpiretime(key) == system.lab.client.pexpiretime(its)
    lab.check()


def test_an_idempotency_key_whose_job_came_too_late_for_the_backup_makes_a_job(
    target: Settings, server: str, make_settings: Callable[..., Settings], key_prefix: str
) -> None:
    source = Lab(make_settings(server, key_prefix=key_prefix + "s"))
    source.jobs.submit(source.new(), idempotency=KEY)
    data = copied(source.client, source.settings)
    late = [(kind, fields) for kind, fields in entries(data) if kind != "job"]
    assert [kind for kind, _ in late] == ["begin", "facts", "idempotency-key"]
    restored(_written(late), target)
    lab = Lab(target)
    assert lab.jobs.submit(lab.new(), idempotency=KEY).how == "new"


def test_shared_bytes_live_until_their_last_job_goes(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab = Lab(target)
    lab.jobs.delete(system.jobs["original"])
    copy = job_of(lab, system, "copy")
    assert b"".join(lab.jobs.output_chunks(copy.outputs[0])) == LONG
    lab.jobs.delete(copy.id)
    lab.check()


def test_call_backs_of_what_has_ended_are_delivered_and_secrets_are_the_same(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    told = restored(data, target)
    lab = Lab(target)
    before = call_backs(system.lab.client, system.lab.prefix)
    running = system.jobs["running"].encode()
    assert any(event.startswith(running) for event in before), "it told that it runs, and will tell so again"
    assert call_backs(lab.client, lab.prefix) == {
        event: it for event, it in before.items() if not event.startswith(running)
    }
    assert told.call_backs == 4
    assert lab.jobs.signing_secret("ann") == system.lab.jobs.signing_secret("ann")
    lab.finish(lab.claim(lab.worker()))
    told_again = [it["status"] for event, (it, _) in call_backs(lab.client, lab.prefix).items() if running in event]
    assert sorted(told_again) == ["R", "S"]


def test_without_call_backs_nobody_is_told_and_secrets_stay_behind(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    restored(data, target, tells=False)
    lab = Lab(target)
    lab.finish(lab.claim(lab.worker()))
    assert job_of(lab, system, "running").status is Status.SUCCESSFUL
    assert call_backs(lab.client, lab.prefix) == {}
    assert lab.jobs.signing_secret("ann") != system.lab.jobs.signing_secret("ann")
    lab.check()


def test_versions_are_kept_for_their_jobs_and_for_no_job_that_is_gone(
    system: OddSystem, data: bytes, target: Settings
) -> None:
    restored(data, target)
    shelf = Shelf(target)
    gone = [
        it for it in holds(system.shelf.client, "{odd}") if not any(job.encode() in it for job in system.jobs.values())
    ]
    assert len(gone) == 1
    assert holds(shelf.client, target.key_prefix) == {
        hold: until for hold, until in holds(system.shelf.client, "{odd}").items() if hold not in gone
    }
    shelf.check()


def test_a_version_that_only_a_job_keeps_stays_while_it_is_restored(
    make_settings: Callable[..., Settings], server: str, key_prefix: str
) -> None:
    source = make_settings(server, key_prefix=key_prefix + "s", dataset_versions=1)
    lab, shelf = Lab(source), Shelf(source)
    job = lab.submit()
    contents = [bytes([65 + number]) * 100 for number in range(4)]
    for content in contents:
        shelf.put("flights", content)
        shelf.store.hold("flights", version_of(content).id, job.id, 2**51)
    other = lab.submit()
    shelf.store.hold("flights", version_of(contents[1]).id, other.id, 2**51)
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)

    there = make_settings(server, dataset_versions=1)
    restored(copied(lab.client, source), there)

    # The newest, and the one that a job has; the others' job is gone.
    assert Shelf(there).contents("flights", *contents) == [contents[3], contents[1]]
    Shelf(there).check()


def test_pauses_come_along(data: bytes, target: Settings) -> None:
    assert restored(data, target).paused == ["another"]
    lab = Lab(target)
    lab.submit(process="another")
    assert [queue.process for queue in lab.jobs.queues() if queue.paused] == ["another"]


def test_restoring_twice_changes_nothing(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab, shelf = Lab(target), Shelf(target)
    before = seen_jobs(lab.jobs), seen_data_sets(shelf.store), _keys(lab)
    told = restored(data, target, anyway=True)
    assert told.jobs == {"there": len(system.jobs)}
    assert told.data_sets == {"there": 3}
    assert (seen_jobs(lab.jobs), seen_data_sets(shelf.store), _keys(lab)) == before
    lab.check()
    shelf.check()


def test_what_is_there_stays_as_it_is_and_the_rest_is_added(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab, shelf = Lab(target), Shelf(target)
    lab.finish(lab.claim(lab.worker()))
    lab.jobs.delete(system.jobs["with everything"])
    lab.jobs.delete(system.jobs["original"])
    mine = lab.submit("zoe").id
    shelf.store.delete("flights")
    shelf.put("air", b"newer", owner="bob")

    told = restored(data, target, anyway=True)

    assert told.jobs == {"there": len(system.jobs) - 2, "restored": 2}
    assert told.data_sets == {"there": 2, "restored": 1}
    assert job_of(lab, system, "running").status is Status.SUCCESSFUL
    assert b"".join(lab.jobs.output_chunks(job_of(lab, system, "original").outputs[0])) == LONG
    assert lab.jobs.get(mine).status is Status.ACCEPTED
    assert shelf.bytes_of("air") == b"newer"
    assert shelf.bytes_of("flights", version_of(A).id) == A
    lab.check()
    shelf.check()


def test_results_that_have_been_kept_long_enough_are_left_out_and_their_copies_are_not(
    system: OddSystem, data: bytes, make_settings: Callable[..., Settings], backend_url: Callable[[str], str]
) -> None:
    old = [(kind, fields) for kind, fields in entries(data)]
    lab = Lab(make_settings(backend_url("valkey")))
    year = 365 * 86400 * 1_000_000
    for kind, fields in old:
        if kind == "job" and fields["job"].decode() == system.jobs["original"]:
            fields["record"] = _changed(fields["record"], lambda record: record | {b"c": record[b"c"] - year})
    told = restored(_written(old), lab.settings)
    assert told.jobs["old"] == 1
    copy = job_of(lab, system, "copy")
    assert b"".join(lab.jobs.output_chunks(copy.outputs[0])) == LONG
    lab.check()


def test_what_provenance_tells_of_a_process_and_of_whoever_made_a_copied_result_is_there_again(
    backend_url: Callable[[str], str], make_settings: Callable[..., Settings], key_prefix: str, target: Settings
) -> None:
    settings = make_settings(backend_url("valkey"), key_prefix=key_prefix + "s")
    first, second = Lab(settings, release="1.0.0"), Lab(settings, release="2.0.0")
    offer = Offer("echo", "face", "v1", source="the hash of its source", declared="7")
    worker = first.worker(offer)
    made = first.submit(equal_work="same")
    first.finish(first.claim(worker, offer))
    copy = second.submit(equal_work="same")
    first.jobs.delete(made.id)
    restored(copied(first.client, settings), target)
    lab = Lab(target)
    assert lab.jobs.source_of("v1") == ("the hash of its source", "7")
    it = lab.jobs.get(copy.id)
    assert it.made is not None
    assert (it.release, it.made.release, lab.jobs.host_of(it.made.worker)) == ("2.0.0", "1.0.0", "here")
    assert it.made == second.jobs.get(copy.id).made


def test_everything_of_a_restored_job_goes_with_it(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab, shelf = Lab(target), Shelf(target)
    for job in system.jobs.values():
        lab.jobs.dismiss(job)
        lab.jobs.delete(job)
    for data_set in shelf.store.list().data_sets:
        shelf.store.delete(data_set.name)
    lasting = (":wake:", ":facts", ":stats", ":s", ":libs", ":c", ":restored", ":i:", ":e:", ":ds:epoch", ":ds:x:")
    assert {name for name in lab.stored() if not name.startswith(lasting)} == set()


def test_a_limit_on_concurrent_runs_holds_after_a_restore(system: OddSystem, data: bytes, target: Settings) -> None:
    restored(data, target)
    lab = Lab(target)
    worker = lab.worker(LIMITED)
    first = lab.claim(worker, LIMITED)
    assert lab.jobs.claim(lab.child(worker), (LIMITED,)) is None
    lab.jobs.hand_back(child_of(first))
    assert lab.jobs.claim(lab.child(worker), (LIMITED,)) is not None
    lab.check()


def _keys(lab: Lab) -> set[str]:
    return {name for name in lab.stored() if not name.startswith(":ds:x:")}


def _written(them: list[tuple[str, dict[str, Any]]]) -> bytes:
    out = io.BytesIO()
    writer = Writer(out)
    for kind, fields in them:
        writer.write(kind, fields)
    writer.finish()
    return out.getvalue()


def _changed(record: bytes, change: Callable[[dict[bytes, Any]], dict[bytes, Any]]) -> bytes:
    packed: bytes = msgpack.packb(change(msgpack.unpackb(record, raw=True)), use_bin_type=False)
    return packed


@pytest.mark.parametrize("replaces", [False, True])
def test_a_restore_that_was_not_heard_of_for_too_long_does_not_go_on_when_another_has_begun(
    system: OddSystem, data: bytes, target: Settings, monkeypatch: pytest.MonkeyPatch, replaces: bool
) -> None:
    monkeypatch.setattr(restoring, "RENEW_SECONDS", 1000.0)

    def staged(restorer: Restorer) -> None:
        for kind, fields in Reader(io.BytesIO(data)):
            if kind in BYTES:
                restorer.stage(kind, fields)

    with (
        connect(target) as client,
        closing(Restorer(client, target, replaces=replaces)) as first,
        closing(Restorer(client, target, replaces=replaces)) as second,
        first.taken(),
    ):
        staged(first)
        if replaces:
            first.clear()
        assert first.begin("first", anyway=True)
        first.apply(entry for entry in Reader(io.BytesIO(data)) if entry[0] in {"version", "data-set"})
        client.delete(f"{target.key_prefix}:restoring")  # as it goes by itself
        with second.taken():
            staged(second)
            if replaces:
                second.clear()
            assert second.begin("second", anyway=True)
            # What it would go on with, were it in the middle of clearing.
            clearing = [
                partial(first._call, first._jobs, "clear_jobs", 2**52, first._run),
                partial(first._call, first._datasets, "clear_data_sets", first._run),
            ]
            steps = (*clearing, lambda: staged(first), lambda: first.apply(Reader(io.BytesIO(data))), first.end)
            for step in steps:
                with pytest.raises(BackupError, match="Another restore"):
                    step()
            second.apply(Reader(io.BytesIO(data)))
            second.end()
        with pytest.raises(BackupError, match="Another restore"):  # also when that one has ended
            first.end()
    assert seen_jobs(Lab(target).jobs) == seen_jobs(system.lab.jobs, after_restore=True)
    assert seen_data_sets(Shelf(target).store) == seen_data_sets(system.shelf.store)


def test_a_restore_has_the_system_for_as_long_as_it_lives(target: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(restoring, "RENEW_SECONDS", 0.2)
    with connect(target) as client, closing(Restorer(client, target)) as first, first.taken():
        waits: list[str] = []
        with (
            closing(Restorer(client, target)) as second,
            pytest.raises(ConflictError, match=r"has been under way since .* UTC"),
            second.taken(lambda: waits.append("waits")),
        ):
            pytest.fail("two have the system")
        assert waits == ["waits"]
        assert first.begin("first", anyway=False)
    with connect(target) as client, closing(Restorer(client, target)) as third, third.taken():
        assert third.begin("third", anyway=True)
    assert not Lab(target).client.exists(f"{target.key_prefix}:restoring")


def test_what_was_left_is_deleted_by_the_one_that_has_the_system_alone(
    target: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(restoring, "RENEW_SECONDS", 1000.0)
    prefix = target.key_prefix
    with (
        connect(target) as client,
        closing(Restorer(client, target)) as first,
        closing(Restorer(client, target)) as second,
    ):
        client.set(f"{prefix}:r:old:b:x", "left")
        with first.taken():
            assert not client.exists(f"{prefix}:r:old:b:x")
            client.delete(f"{prefix}:restoring")
            with second.taken():
                second.stage("job-bytes", {"blob": b"x", "number": 0, "data": b"its"})
                with pytest.raises(BackupError, match="Another restore"):
                    first._call(first._jobs, "restore_tidy", first._run, *client.keys("*:r:*"))
                assert client.exists(f"{prefix}:r:{second._run}:b:x:0")


def test_a_wrong_record_leaves_no_bytes_and_no_share_behind_when_it_is_cleared(target: Settings) -> None:
    lab = Lab(target)
    job = lab.jobs.submit(replace(lab.new(), inputs=LONG, subscriber={"successUri": "https://example.org"})).job
    key = f"{lab.prefix}:j:{job.id}"
    lab.client.set(key, _changed(lab.client.get(key), lambda record: record | {b"cb": b"no JSON"}))
    with closing(Restorer(lab.client, target, replaces=True)) as restorer, restorer.taken():
        restorer.clear()
    lasting = (":wake:", ":facts", ":stats", ":libs", ":restored")
    assert [name for name in lab.stored() if not name.startswith(lasting)] == []


def test_what_has_no_record_or_a_wrong_one_is_cleared_too(target: Settings) -> None:
    lab, shelf = Lab(target), Shelf(target)
    lab.submit()
    ahead = lab.submit()
    lab.client.zadd(f"{target.key_prefix}:all", {ahead.id: 2**52})  # by a clock that was set back since
    lab.client.zadd(f"{target.key_prefix}:all", {"wrong": 2})
    lab.client.set(f"{target.key_prefix}:j:wrong", msgpack.packb({"s": "A", "u": "x", "o": "ann", "p": "echo"}))
    shelf.put("flights", b"mine")
    lab.client.zadd(f"{target.key_prefix}:all", {"gone": 1})
    lab.client.zadd(f"{target.key_prefix}:ds:all", {"air": 0})
    with connect(target) as client, closing(Restorer(client, target, replaces=True)) as restorer, restorer.taken():
        restorer.clear()
        found = restorer.look()
    assert (found.jobs, found.data_sets) == (0, 0)
