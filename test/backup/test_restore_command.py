"""``gristmill restore``: what it refuses, what it says, and what there is after it was broken off in any way."""

import io
import os
import pty
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from subprocess import PIPE
from typing import Any

import msgpack
import pytest
from support import RedisServer, wait_until
from support.backups import call_backs, copied, seen_data_sets, seen_jobs
from support.lab import DONE, Lab
from support.odd_system import KEY, OddSystem, make
from support.proxy import LossyProxy
from support.shelf import Shelf

from gristmill.backup.format import Reader, Writer
from gristmill.backup.restore_command import restore
from gristmill.errors import BackupError, DamagedBackupError
from gristmill.job import Finish, JobFilter, Status
from gristmill.settings import Settings

from .conftest import Run, command, environment

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def system(backend_url: Callable[[str], str]) -> OddSystem:
    """A system with everything; tests only look at it."""
    return make(Settings(redis_url=backend_url("valkey"), key_prefix="{odd system}"))


@pytest.fixture(scope="module")
def data(system: OddSystem) -> bytes:
    return copied(system.lab.client, system.lab.settings)


@pytest.fixture
def file(data: bytes, tmp_path: Path) -> Path:
    (tmp_path / "file").write_bytes(data)
    return tmp_path / "file"


@pytest.fixture
def target(server: str, make_settings: Callable[..., Settings]) -> Settings:
    """An empty system."""
    return make_settings(server)


@pytest.fixture
def own(start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings]) -> Settings:
    """An empty system on a server of its own."""
    return make_settings(start_server("valkey").url)


def left(settings: Settings) -> set[str]:
    """What there is of a system, but for what says which libraries and which restore there were."""
    return {name for name in Lab(settings).stored() if name not in {":libs", ":restored"}}


def is_like(settings: Settings, system: OddSystem) -> bool:
    lab, shelf = Lab(settings), Shelf(settings)
    lab.check()
    shelf.check()
    return (
        not [name for name in lab.stored() if name.startswith(":r:")]
        and seen_jobs(lab.jobs) == seen_jobs(system.lab.jobs, after_restore=True)
        and seen_data_sets(shelf.store) == seen_data_sets(system.shelf.store)
    )


def test_a_system_is_piped_into_another(system: OddSystem, target: Settings) -> None:
    sender = subprocess.Popen(command("backup", "-"), env=environment(system.lab.settings), stdout=PIPE, stderr=PIPE)
    receiver = subprocess.Popen(
        command("restore", "-"), env=environment(target), stdin=sender.stdout, stdout=PIPE, stderr=PIPE
    )
    assert sender.stdout is not None
    sender.stdout.close()
    printed, said = (text.decode() for text in receiver.communicate(timeout=60))
    assert sender.stderr is not None
    sent = sender.stderr.read().decode()
    sender.stderr.close()
    assert (sender.wait(), receiver.returncode, printed) == (0, 0, ""), sent + said
    assert "Restored: 19 jobs and 3 data sets; 2 jobs among them ran, and will run again." in said
    assert "Paused, as in the backup: another." in said
    assert sent.split()[-1] == said.split()[-1], "both name the same digest"
    assert is_like(target, system)


def test_a_file_is_restored(system: OddSystem, file: Path, target: Settings, run: Run) -> None:
    result = run(target, "restore", file)
    assert (result.returncode, result.stdout) == (0, b""), result.stderr
    assert is_like(target, system)


def test_where_something_is_it_is_refused_with_what_is_there_and_what_to_do(
    system: OddSystem, file: Path, target: Settings, run: Run
) -> None:
    lab = Lab(target)
    job = lab.submit()
    before = left(target)
    for arguments, given in (((file,), b""), (("-",), file.read_bytes())):
        result = run(target, "restore", *arguments, input=given)
        assert result.returncode == 1
        said = result.stderr.decode()
        assert f"{target.redis_url} holds 1 job and 0 data sets. A backup" in said
        assert "--merge" in said
        assert "--replace" in said
        assert "Nothing was restored." in said
    assert left(target) == before
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)
    assert run(target, "restore", file).returncode == 0
    again = run(target, "restore", file)
    assert again.returncode == 1
    assert "holds 19 jobs and 3 data sets. This very backup has been restored there before." in again.stderr.decode()


def test_merge_leaves_alone_what_is_there(system: OddSystem, file: Path, target: Settings, run: Run) -> None:
    lab = Lab(target)
    job = lab.submit()
    for there in (0, 19):
        result = run(target, "restore", file, "--merge")
        assert result.returncode == 0, result.stderr
        assert f"Restored: {19 - there} jobs and {0 if there else 3} data sets" in result.stderr.decode()
        assert ("left alone: 19 jobs and 3 data sets" in result.stderr.decode()) == bool(there)
    assert lab.jobs.get(job.id).status is Status.ACCEPTED
    lab.jobs.dismiss(job.id)
    lab.jobs.delete(job.id)
    assert is_like(target, system)


def test_replace_deletes_first_what_is_there(system: OddSystem, file: Path, target: Settings, run: Run) -> None:
    lab, shelf = Lab(target), Shelf(target)
    worker = lab.worker()
    gone = [lab.submit(equal_work="same", subscriber={"successUri": "https://example.org"}) for _ in range(150)]
    lab.jobs.submit(lab.new(), idempotency=KEY)
    running = lab.claim(worker)
    shelf.put("flights", b"mine")
    secret = lab.jobs.signing_secret("ann")
    result = run(target, "restore", file, "--replace")
    assert result.returncode == 0, result.stderr
    assert lab.beat(worker, held={f"{worker}.1": running.token}) == {running.token}
    lab.jobs.leave(worker)
    assert not {job.id for job in gone} & set(seen_jobs(lab.jobs))
    assert is_like(target, system)
    assert lab.jobs.signing_secret("ann") != secret
    assert lab.jobs.submit(lab.new(), idempotency=KEY).job.id == system.jobs["keyed"]


def test_replace_restores_what_is_still_there_too(system: OddSystem, file: Path, target: Settings, run: Run) -> None:
    assert run(target, "restore", file).returncode == 0
    Shelf(target).store.delete("flights")
    result = run(target, "restore", file, "--replace")
    assert result.returncode == 0, result.stderr
    assert is_like(target, system)


def test_while_one_restores_no_other_does_and_none_that_is_refused_harms_it(
    system: OddSystem, data: bytes, file: Path, target: Settings, run: Run
) -> None:
    lab = Lab(target)
    lab.submit()
    arguments = (*command("restore", "-"), "--replace")
    first = subprocess.Popen(arguments, env=environment(target), stdin=PIPE, stdout=PIPE, stderr=PIPE)
    assert first.stdin is not None
    first.stdin.write(data[: len(data) // 2])
    first.stdin.flush()
    wait_until(lambda: lab.client.exists(f"{lab.prefix}:restoring"), 60, "it has begun")
    for words, given, said in (
        (("--replace",), None, "Another restore into this system has been under way since"),
        (("--merge",), None, "Another restore into this system has been under way since"),
        ((), None, "holds 1 job and 0 data sets"),
        ((), b"nonsense", "This is no backup"),
    ):
        result = run(target, "restore", "-" if given else file, *words, input=given or b"")
        assert result.returncode == 1
        assert said in result.stderr.decode()
        assert "Nothing was restored." in result.stderr.decode()
    first.stdin.write(data[len(data) // 2 :])
    _, told = first.communicate(timeout=60)
    assert first.returncode == 0, told
    assert is_like(target, system)


def changed_record(change: dict[str, Any]) -> bytes:
    """The record of a job that waits, with some fields changed; None: left out."""
    record = {"s": "A", "p": "echo", "o": "ann", "c": 1, "u": 1, "f": "f", "q": "echo@face@1"} | change
    packed: bytes = msgpack.packb({name: value for name, value in record.items() if value is not None})
    return packed


WRONG = {
    "a job without blobs": ("job", {"blobs": None}),
    "a job with a list of blobs": ("job", {"blobs": [b"no"]}),
    "a job whose blobs are no blobs": ("job", {"blobs": b"no"}),
    "a job without a state": ("job", {"record": b"\x80"}),
    "a job of an unknown state": ("job", {"record": msgpack.packb({"s": "?", "p": "a", "o": "b", "c": 1, "u": 1})}),
    "a job whose record is none": ("job", {"record": b"\xc1"}),
    "a job with a revision that is none": ("job", {"record": changed_record({"u": "x"})}),
    "a job with a creation that is none": ("job", {"record": changed_record({"c": "x"})}),
    "a job without a queue": ("job", {"record": changed_record({"s": "A", "q": None})}),
    "a job whose queue is of no process": ("job", {"record": changed_record({"q": "echo"})}),
    "a job whose subscriber is none": ("job", {"record": changed_record({"cb": "no JSON"})}),
    "a job of very many blobs": ("job", {"blobs": b";".join([b"a,1,1"] * 20_000)}),
    "a job whose next try is at no time": ("job", {"retry": b"1e999"}),
    "a pause of no process": ("pause", {"process": b"\xff"}),
    "a begin beyond all years": ("begin", {"begun": 2**63}),
    "a data set whose record is none": ("data-set", {"record": b"\x05"}),
    "a data set with texts that are none": ("data-set", {"texts": 5}),
    "a data set with a name that is none": ("data-set", {"name": b"\xff"}),
    "a data set with another's name": ("data-set", {"name": b"../x"}),
    "a version of more parts than bytes": ("version", {"chunks": 10**15}),
    "a version without a blob": ("version", {"blob": 7}),
    "bytes without data": ("data-set-bytes", {"data": None}),
    "a secret without an owner": ("secret", {"owner": None}),
    "no name": ("begin", {"backup": None}),
    "a call-back of no job": ("call-back", {"record": b"\x80"}),
    "a mark that is none": ("idempotency-key", {"ends": b"x"}),
    "a mark that ends at no time": ("idempotency-key", {"ends": 2**63}),
    "a hold until a truth": ("hold", {"until": True}),
}


@pytest.mark.parametrize("wrong", [pytest.param(wrong, id=name) for name, wrong in WRONG.items()])
def test_what_no_backup_holds_is_refused_before_anything_is_deleted(
    data: bytes, target: Settings, tmp_path: Path, wrong: tuple[str, dict[str, Any]]
) -> None:
    lab, shelf = Lab(target), Shelf(target)
    lab.submit()
    shelf.put("flights", b"mine")
    kind, change = wrong
    path = made_wrongly(data, tmp_path / "wrong", kind, change)
    with pytest.raises(DamagedBackupError) as refused:
        restore(target, str(path), "replace", call_backs=None, spool_mb=16)
    assert refused.value.detail.startswith("The backup is damaged: an entry of the kind")
    assert refused.value.detail.endswith("Nothing was restored.")
    assert shelf.contents("flights", b"mine") == [b"mine"]
    assert len(seen_jobs(lab.jobs)) == 1
    assert not [name for name in left(target) if name.startswith(":r:")]


def test_a_version_that_claims_to_have_very_many_parts_does_not_hold_redis_up(
    data: bytes, target: Settings, tmp_path: Path
) -> None:
    path = made_wrongly(data, tmp_path / "wrong", "version", {"chunks": 10**15, "bytes": 10**15})
    started = time.monotonic()
    with pytest.raises(BackupError, match="are not there"):
        restore(target, str(path), "empty", call_backs=None, spool_mb=16)
    assert time.monotonic() - started < 20


def test_a_backup_of_nothing_at_all_is_damaged(target: Settings, tmp_path: Path) -> None:
    lab = Lab(target)
    lab.submit()
    with (tmp_path / "empty").open("wb") as file:
        Writer(file).finish()
    with pytest.raises(DamagedBackupError) as refused:
        restore(target, str(tmp_path / "empty"), "replace", call_backs=None, spool_mb=16)
    assert refused.value.detail == "The backup is damaged: its first entry is missing. Nothing was restored."
    assert len(seen_jobs(lab.jobs)) == 1


def test_a_backup_that_begins_twice_is_damaged(data: bytes, target: Settings, tmp_path: Path) -> None:
    lab = Lab(target)
    lab.submit()
    with (tmp_path / "twice").open("wb") as file:
        writer = Writer(file)
        for kind, fields in (*Reader(io.BytesIO(data)), next(iter(Reader(io.BytesIO(data))))):
            writer.write(kind, fields)
        writer.finish()
    with pytest.raises(DamagedBackupError, match="it begins twice"):
        restore(target, str(tmp_path / "twice"), "replace", call_backs=None, spool_mb=16)
    assert len(seen_jobs(lab.jobs)) == 1


def made_wrongly(data: bytes, path: Path, kind: str, change: dict[str, Any]) -> Path:
    """A backup with the right digest, and with an entry of a kind that is changed; None: a field is left out."""
    with path.open("wb") as file:
        writer = Writer(file)
        is_changed = False
        for name, fields in Reader(io.BytesIO(data)):
            if name == kind:
                changed = {key: value for key, value in (fields | change).items() if value is not None}
                is_changed = True
            writer.write(name, changed if name == kind else fields)
        writer.finish()
    assert is_changed
    return path


def test_replace_of_a_damaged_backup_deletes_nothing(data: bytes, target: Settings, run: Run) -> None:
    job = Lab(target).submit()
    result = run(target, "restore", "-", "--replace", input=data[:-1])
    assert result.returncode == 1
    assert Lab(target).jobs.get(job.id).status is Status.ACCEPTED


def test_merge_and_replace_exclude_each_other(file: Path, target: Settings, run: Run) -> None:
    assert run(target, "restore", file, "--merge", "--replace").returncode == 2


@pytest.mark.parametrize("how", ["stream", "file"])
@pytest.mark.parametrize("damage", ["nothing", "begin", "half", "digest", "flip", "more"])
def test_of_a_damaged_backup_nothing_is_restored(
    data: bytes, settings: Settings, run: Run, tmp_path: Path, damage: str, how: str
) -> None:
    flipped = bytearray(data)
    flipped[len(data) * 2 // 3] ^= 4
    bad = {
        "nothing": b"", "begin": data[:30], "half": data[: len(data) // 2], "digest": data[:-1], "flip": bytes(flipped),
        "more": data + b"\n",
    }[damage]  # fmt: skip
    (tmp_path / "bad").write_bytes(bad)
    result = run(settings, "restore", *(("-",) if how == "stream" else ("bad",)), input=bad)
    assert (result.returncode, result.stdout) == (1, b"")
    said = result.stderr.decode()
    assert said.startswith("gristmill: ")
    assert len(said.splitlines()) == 1
    assert said.endswith("Nothing was restored.\n")
    assert left(settings) == set()
    assert run(settings, "restore", "-", input=data).returncode == 0


def test_a_damaged_file_never_reaches_the_server(data: bytes, own: Settings, run: Run, tmp_path: Path) -> None:
    (tmp_path / "bad").write_bytes(data[:-1])
    client = Lab(own).client
    client.config_resetstat()
    assert run(own, "restore", "bad").returncode == 1
    assert "cmdstat_set" not in client.info("commandstats")


def test_a_terminal_is_refused(settings: Settings) -> None:
    master, slave = pty.openpty()
    result = subprocess.run(
        command("restore", "-"), env=environment(settings), stdin=slave, stderr=PIPE, timeout=60, check=False
    )
    os.close(slave)
    os.close(master)
    assert result.returncode == 1
    assert b"Nothing is piped in" in result.stderr


def test_in_another_environment_no_subscriber_is_told_unless_it_is_said(
    system: OddSystem, file: Path, make_settings: Callable[..., Settings], server: str, run: Run, key_prefix: str
) -> None:
    for number, (option, told) in enumerate((((), False), (("--call-backs",), True))):
        there = make_settings(server, environment="test", key_prefix=f"{key_prefix}{number}")
        result = run(there, "restore", file, *option)
        assert result.returncode == 0
        assert (b"No subscriber will be told of these jobs from here" in result.stderr) != told
        assert bool(call_backs(Lab(there).client, there.key_prefix)) == told
        assert (Lab(there).jobs.signing_secret("ann") == system.lab.jobs.signing_secret("ann")) == told


def test_in_the_same_environment_subscribers_are_told_unless_it_is_said(file: Path, target: Settings, run: Run) -> None:
    assert run(target, "restore", file, "--no-call-backs").returncode == 0
    assert call_backs(Lab(target).client, target.key_prefix) == {}


def test_results_that_are_kept_no_longer_are_left_out_and_it_is_said(
    make_settings: Callable[..., Settings], server: str, run: Run, key_prefix: str
) -> None:
    lab = Lab(make_settings(server, key_prefix=key_prefix + "s"))
    lab.submit()
    lab.finish(lab.claim(lab.worker()))
    lab.submit()
    data = copied(lab.client, lab.settings)
    there = make_settings(server, retention_seconds=1)
    wait_until(
        lambda: lab.client.time()[0] > lab.jobs.list(JobFilter()).jobs[1].finished / 1e6 + 1, what="a second is over"
    )
    result = run(there, "restore", "-", input=data)
    assert result.returncode == 0
    assert b"longer ago than results are kept here: 1 job (GRISTMILL_RETENTION_SECONDS=1)" in result.stderr
    assert len(seen_jobs(Lab(there).jobs)) == 1


def test_a_stream_whose_entries_take_too_much_room_is_refused_and_a_file_is_not(
    settings: Settings,
    run: Run,
    tmp_path: Path,
    make_settings: Callable[..., Settings],
    redis_url: str,
    key_prefix: str,
) -> None:
    lab = Lab(make_settings(redis_url, key_prefix=key_prefix + "s"))
    worker = lab.worker()
    for _ in range(1200):
        lab.submit()
        lab.finish(lab.claim(worker), Finish(DONE.outputs, log=os.urandom(1000)))
    data = copied(lab.client, lab.settings)
    result = run(settings, "restore", "-", "--spool-mb", "1", input=data)
    assert result.returncode == 1
    assert b"more than 1 MiB" in result.stderr
    assert b"--spool-mb" in result.stderr
    assert left(settings) == set()
    (tmp_path / "file").write_bytes(data)
    assert run(settings, "restore", "file", "--spool-mb", "1").returncode == 0


# Broken off


def large(settings: Settings, jobs: int, blobs: int) -> bytes:
    """A backup of many jobs, and of a data set of so many MB."""
    lab, shelf = Lab(settings), Shelf(settings)
    for _ in range(jobs):
        lab.submit()
    if blobs:
        shelf.put("flights", os.urandom(blobs * 1_000_000))
    return copied(lab.client, settings)


def begun(settings: Settings, file: Path, until: Callable[[], object]) -> subprocess.Popen[bytes]:
    """A restore that has come so far, unless it was faster."""
    process = subprocess.Popen(command("restore", file), env=environment(settings), stderr=PIPE)
    wait_until(lambda: until() or process.poll() is not None, 120, "it has begun", every=0.001)
    return process


@pytest.mark.parametrize("phase", ["bytes", "jobs"])
def test_after_a_kill_the_same_command_restores_everything(
    own: Settings, make_settings: Callable[..., Settings], redis_url: str, key_prefix: str, run: Run, tmp_path: Path,
    phase: str,
) -> None:  # fmt: skip
    source = make_settings(redis_url, key_prefix=key_prefix + "s")
    (tmp_path / "file").write_bytes(large(source, *((0, 60) if phase == "bytes" else (8000, 1))))
    lab = Lab(own)

    def is_under_way() -> bool:
        if phase == "jobs":
            return lab.client.zcard(f"{lab.prefix}:all") > 0
        return lab.client.dbsize() > 5

    process = begun(own, tmp_path / "file", is_under_way)
    process.kill()
    process.communicate()
    assert process.returncode == -signal.SIGKILL, "the test was too slow"
    lab.check()
    if phase == "bytes":
        assert left(own)
        assert all(
            name.startswith((":r:", ":restoring")) and lab.client.ttl(lab.prefix + name) > 0 for name in left(own)
        )
    else:
        assert 0 < lab.client.zcard(f"{lab.prefix}:all") < 8000

    result = run(own, "restore", "file")

    assert result.returncode == 0, result.stderr
    there, here = Lab(source), Shelf(source)
    assert seen_jobs(lab.jobs) == seen_jobs(there.jobs)
    assert seen_data_sets(Shelf(own).store) == seen_data_sets(here.store)
    assert not [name for name in left(own) if name.startswith(":r:")]
    lab.check()
    Shelf(own).check()


def test_a_restore_that_is_stopped_while_it_reads_leaves_nothing(
    own: Settings, make_settings: Callable[..., Settings], redis_url: str, key_prefix: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_bytes(large(make_settings(redis_url, key_prefix=key_prefix + "s"), 0, 60))
    lab = Lab(own)
    process = begun(own, tmp_path / "file", lambda: lab.client.dbsize() > 5)
    process.send_signal(signal.SIGTERM)
    process.communicate()
    assert process.returncode == 128 + signal.SIGTERM, "the test was too slow"
    assert left(own) == set()


def test_a_sender_that_dies_leaves_nothing(
    own: Settings, make_settings: Callable[..., Settings], redis_url: str, key_prefix: str
) -> None:
    data = large(make_settings(redis_url, key_prefix=key_prefix + "s"), 10, 10)
    process = subprocess.Popen(command("restore", "-"), env=environment(own), stdin=PIPE, stderr=PIPE)
    assert process.stdin is not None
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    wait_until(lambda: left(own), 120, "it has begun")
    _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert b"ends too early" in said
    assert left(own) == set()


@pytest.mark.parametrize("backend", ["redis", "valkey"])
def test_a_server_that_is_too_small_is_told_and_left_empty(
    backend: str, start_server: Callable[..., RedisServer], make_settings: Callable[..., Settings], redis_url: str,
    key_prefix: str, run: Run, tmp_path: Path,
) -> None:  # fmt: skip
    source = make_settings(redis_url, key_prefix=key_prefix + "s")
    (tmp_path / "file").write_bytes(large(source, 500, 30))
    there = make_settings(start_server(backend, maxmemory="20mb", maxmemory_policy="noeviction").url)
    result = run(there, "restore", "file")
    assert result.returncode == 1
    assert b"Redis has no memory left" in result.stderr
    assert b"Nothing was restored." in result.stderr
    assert left(there) == set()
    lab = Lab(there)
    lab.client.config_set("maxmemory", "100mb")
    assert run(there, "restore", "file").returncode == 0
    assert seen_jobs(lab.jobs) == seen_jobs(Lab(source).jobs)


def test_a_server_that_becomes_full_among_the_jobs_is_told_and_the_same_command_goes_on(
    own: Settings, make_settings: Callable[..., Settings], redis_url: str, key_prefix: str, run: Run, tmp_path: Path
) -> None:
    source = make_settings(redis_url, key_prefix=key_prefix + "s")
    (tmp_path / "file").write_bytes(large(source, 8000, 0))
    lab = Lab(own)
    lab.client.config_set("maxmemory", lab.client.info("memory")["used_memory"] + 3_000_000)
    result = run(own, "restore", "file")
    assert result.returncode == 1
    assert b"Redis has no memory left" in result.stderr
    assert b"It is restored in part; repeat the same command" in result.stderr
    assert 0 < len(seen_jobs(lab.jobs)) < 8000
    lab.check()
    lab.client.config_set("maxmemory", 0)
    assert run(own, "restore", "file").returncode == 0
    assert seen_jobs(lab.jobs) == seen_jobs(Lab(source).jobs)
    lab.check()


def test_a_server_that_goes_away_is_told_and_the_same_command_goes_on(
    own: Settings, system: OddSystem, file: Path, run: Run, make_settings: Callable[..., Settings]
) -> None:
    with LossyProxy(int(own.redis_url.rpartition(":")[2].partition("/")[0])) as proxy:
        near = own.model_copy(update={"redis_url": proxy.url})
        lab = Lab(own)
        process = begun(near, file, lambda: lab.client.exists(f"{lab.prefix}:restored"))
        proxy.black_hole.set()
        _, said = process.communicate(timeout=120)
    if process.returncode:
        assert b"Redis does not answer" in said
        # The reply that is lost may be the one that it has begun: then it knows of nothing, and there is nothing.
        is_nothing = b"Nothing was restored" in said and not lab.client.exists(
            f"{lab.prefix}:all", f"{lab.prefix}:ds:all"
        )
        assert is_nothing or b"repeat the same command" in said
        assert run(own, "restore", file).returncode == 0
    assert is_like(own, system)


def test_a_server_that_has_lost_everything_meanwhile_is_told_and_not_another_restore(
    own: Settings, system: OddSystem, data: bytes, file: Path, run: Run
) -> None:
    client = Lab(own).client
    process = subprocess.Popen(command("restore", "-"), env=environment(own), stdin=PIPE, stderr=PIPE)
    assert process.stdin is not None
    process.stdin.write(data[: len(data) // 2])
    process.stdin.flush()
    wait_until(lambda: client.exists(f"{own.key_prefix}:restoring"), 60, "it has begun")
    client.flushall()
    _, said = process.communicate(data[len(data) // 2 :], timeout=60)
    assert process.returncode == 1
    assert b"Redis has lost what it held, or somebody has emptied it. Nothing was restored." in said
    assert run(own, "restore", file).returncode == 0
    assert is_like(own, system)


@pytest.mark.parametrize(
    "function", ["restore_begin", "restore_jobs", "restore_data_set", "restore_marks", "restore_end"]
)
def test_a_call_whose_reply_is_lost_may_be_sent_again(
    function: str, own: Settings, system: OddSystem, file: Path, run: Run
) -> None:
    with LossyProxy(int(own.redis_url.rpartition(":")[2].partition("/")[0])) as proxy:
        proxy.swallow(function.encode())
        result = run(own.model_copy(update={"redis_url": proxy.url}), "restore", file)
        assert result.returncode == 0, result.stderr
        assert proxy.lost == [function.encode()]
    assert is_like(own, system)
