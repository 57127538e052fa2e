"""A copy is of what there is, while everything goes on: whole entries, nothing of before missing, nothing changed."""

from collections.abc import Callable, Iterator
from contextlib import closing

import pytest
from support import RedisServer
from support.backups import copied, entries, restored
from support.lab import DONE, Lab
from support.odd_system import LONG, make
from support.shelf import Shelf, version_of

from gristmill.backup.copying import Copier
from gristmill.backup.format import Entry
from gristmill.backup.names import NameSet
from gristmill.errors import BackupError
from gristmill.job import Finish
from gristmill.settings import Settings

A, B, C = b"a" * 3_000_000, b"b" * 1000, b"c" * 50_000


@pytest.fixture
def lab(server: str, make_settings: Callable[..., Settings]) -> Lab:
    return Lab(make_settings(server))


@pytest.fixture
def shelf(lab: Lab) -> Shelf:
    return Shelf(lab.settings)


@pytest.fixture
def copier(lab: Lab) -> Iterator[Copier]:
    with closing(Copier(lab.client, lab.settings)) as made:
        yield made


def of(kind: str, found: list[Entry], field: str) -> list[bytes]:
    return [fields[field] for its, fields in found if its == kind]


def until(kind: str, copying: Iterator[Entry]) -> list[Entry]:
    """Copy up to the first entry of a kind."""
    found = []
    for entry in copying:
        found.append(entry)
        if entry[0] == kind:
            return found
    raise AssertionError(f"there is no {kind}")


def finished(lab: Lab, data: bytes = LONG) -> str:
    """A job with a long output."""
    job = lab.submit()
    attempt = lab.claim(lab.worker())
    output = lab.jobs.put_output(attempt.token, attempt.job_id, "result", "text/plain", data)
    lab.finish(attempt, Finish((output,)))
    return job.id


def test_a_copy_changes_nothing(lab: Lab) -> None:
    make(lab.settings)
    lab.client.delete(*lab.client.scan_iter(f"{lab.prefix}:ds:x:*"))
    before = {key: lab.client.dump(key) for key in lab.client.scan_iter(f"{lab.prefix}:*")}
    copied(lab.client, lab.settings)
    assert {key: lab.client.dump(key) for key in lab.client.scan_iter(f"{lab.prefix}:*")} == before


def test_two_copies_of_the_same_are_the_same_but_for_their_names_and_times(lab: Lab) -> None:
    make(lab.settings)
    first, second = (list(entries(copied(lab.client, lab.settings))) for _ in range(2))
    assert first[1:] == second[1:]


def test_an_empty_system_can_be_copied(lab: Lab) -> None:
    assert [kind for kind, _ in entries(copied(lab.client, lab.settings))] == ["begin"]


def test_a_job_that_is_deleted_while_its_bytes_are_read_is_left_out_whole(lab: Lab, copier: Copier) -> None:
    gone, stays = finished(lab), finished(lab)
    copying = copier.entries()
    found = until("job-bytes", copying)
    lab.jobs.delete(gone)
    found += copying
    assert of("job", found, "job") == [stays.encode()]
    assert not copier.damaged


def test_a_job_whose_bytes_go_on_with_its_copy_is_copied_with_them(
    lab: Lab, copier: Copier, make_settings: Callable[..., Settings], server: str, key_prefix: str
) -> None:
    first = lab.submit(equal_work="same")
    attempt = lab.claim(lab.worker())
    lab.finish(attempt, Finish((lab.jobs.put_output(attempt.token, first.id, "r", "text/plain", LONG),)))
    copy = lab.submit(equal_work="same")
    copying = copier.entries()
    until("begin", copying)
    lab.jobs.delete(first.id)
    found = list(copying)
    assert of("job", found, "job") == [copy.id.encode()]
    assert len(of("job-bytes", found, "data")) == 3


def test_bytes_that_several_jobs_share_are_copied_once(lab: Lab, copier: Copier) -> None:
    first = lab.submit(equal_work="same")
    attempt = lab.claim(lab.worker())
    lab.finish(attempt, Finish((lab.jobs.put_output(attempt.token, first.id, "r", "text/plain", LONG),)))
    for _ in range(3):
        lab.submit(equal_work="same")
    found = list(copier.entries())
    assert len(of("job", found, "job")) == 4
    assert len(of("job-bytes", found, "data")) == 3


def test_jobs_accepted_before_the_copy_began_are_in_it_and_later_ones_are_not(lab: Lab, copier: Copier) -> None:
    before = [lab.submit().id.encode() for _ in range(450)]
    copying = copier.entries()
    until("begin", copying)
    lab.submit()
    assert of("job", list(copying), "job") == before


def test_jobs_that_a_clock_ahead_of_now_has_dated_are_in_it(lab: Lab) -> None:
    job = lab.submit()
    later = job.created + 3600 * 1_000_000
    lab.client.zadd(f"{lab.prefix}:all", {job.id: later})
    assert of("job", list(entries(copied(lab.client, lab.settings))), "job") == [job.id.encode()]


@pytest.mark.parametrize("at_once", [1, 3, 450])
def test_jobs_of_the_same_moment_are_all_copied_once(lab: Lab, at_once: int) -> None:
    ids = [lab.submit().id for _ in range(450)]
    lab.client.zadd(f"{lab.prefix}:all", {job: 1000 + number // at_once for number, job in enumerate(ids)})
    found = of("job", list(entries(copied(lab.client, lab.settings))), "job")
    assert sorted(found) == sorted(job.encode() for job in ids)


def test_jobs_with_much_in_their_logs_are_all_copied(lab: Lab) -> None:
    worker = lab.worker()
    for _ in range(40):
        lab.submit()
        lab.finish(lab.claim(worker), Finish(DONE.outputs, log=b"x" * 60_000))
    found = list(entries(copied(lab.client, lab.settings)))
    assert len(of("job", found, "job")) == len(of("log", found, "log")) == 40


def test_what_is_told_of_a_release_and_a_worker_comes_before_their_first_job(lab: Lab) -> None:
    for _ in range(3):
        finished(lab, b"short")
    kinds = [kind for kind, _ in entries(copied(lab.client, lab.settings))]
    assert kinds == ["begin", *["facts"] * 4, *["job"] * 3]


def test_a_version_that_goes_while_it_is_read_is_left_out_and_its_successor_is_in(
    make_settings: Callable[..., Settings], server: str
) -> None:
    shelf = Shelf(make_settings(server, dataset_versions=1))
    shelf.put("flights", A)
    with closing(Copier(shelf.client, shelf.settings)) as copier:
        copying = copier.entries()
        found = until("data-set-bytes", copying)
        shelf.put("flights", B)
        found += copying
        assert of("version", found, "version") == [version_of(B).id.encode()]
        assert of("data-set", found, "name") == [b"flights"]
        assert not copier.damaged


def test_a_version_that_comes_while_another_is_read_is_in(shelf: Shelf, copier: Copier) -> None:
    shelf.put("flights", A)
    copying = copier.entries()
    found = until("data-set-bytes", copying)
    shelf.put("flights", B)
    shelf.store.describe("flights", {"title": "later"})
    found += copying
    assert of("version", found, "version") == [version_of(A).id.encode(), version_of(B).id.encode()]
    assert of("data-set", found, "texts") == [{b"title": b"later"}]


def test_a_data_set_that_is_deleted_while_it_is_read_is_left_out_whole(shelf: Shelf, copier: Copier) -> None:
    shelf.put("flights", A)
    shelf.put("later", B)
    copying = copier.entries()
    found = until("data-set-bytes", copying)
    shelf.store.delete("flights")
    found += copying
    assert of("data-set", found, "name") == [b"later"]
    assert not copier.damaged


def test_a_data_set_that_never_stands_still_is_an_error_rather_than_missing(
    make_settings: Callable[..., Settings], server: str
) -> None:
    shelf = Shelf(make_settings(server, dataset_versions=1))
    shelf.put("flights", A)

    def copy_and_upload(copier: Copier) -> None:
        for number, (kind, _) in enumerate(copier.entries()):
            if kind == "data-set-bytes":
                shelf.put("flights", b"%d" % number * 1_500_000)

    with closing(Copier(shelf.client, shelf.settings)) as copier, pytest.raises(BackupError, match="faster"):
        copy_and_upload(copier)


def test_bytes_that_two_data_sets_share_are_copied_once(shelf: Shelf, copier: Copier) -> None:
    shelf.put("air", A)
    shelf.put("flights", A)
    found = list(copier.entries())
    assert of("data-set", found, "name") == [b"air", b"flights"]
    assert len(of("data-set-bytes", found, "data")) == 3


def test_what_is_damaged_is_named_and_the_rest_copied(lab: Lab, shelf: Shelf, copier: Copier) -> None:
    bad, good = finished(lab), finished(lab)
    (blob,) = [name for name in lab.stored() if name.startswith(f":b:{bad}") and name.endswith(":1")]
    lab.client.delete(lab.prefix + blob)
    for content in (A, B, C):
        shelf.put("flights", content)
    shelf.put("lost", A[:-1])
    for content, how in ((B, b""), (A[:-1], None)):
        its = shelf.store.version("flights" if content is B else "lost", version_of(content).id).blob.id
        key = f"{shelf.prefix}c:{its}:0"
        if how is None:
            lab.client.delete(key)
        else:
            lab.client.set(key, b"!" * len(B))
    found = list(copier.entries())
    assert of("job", found, "job") == [good.encode()]
    assert of("data-set", found, "name") == [b"flights"]
    assert copier.damaged == [
        f"version {version_of(B).id} of data set flights",
        f"version {version_of(A[:-1]).id} of data set lost",
        f"job {bad}",
    ]


def test_a_job_whose_log_is_gone_is_damaged(lab: Lab, copier: Copier) -> None:
    worker = lab.worker()
    bad, good = (lab.submit().id for _ in range(2))
    for _ in range(2):
        lab.finish(lab.claim(worker), Finish(DONE.outputs, log=b"done"))
    lab.client.delete(f"{lab.prefix}:l:{bad}")
    assert of("job", list(copier.entries()), "job") == [good.encode()]
    assert copier.damaged == [f"job {bad}"]


def test_a_data_set_that_lacks_a_damaged_version_can_be_restored(
    lab: Lab, shelf: Shelf, make_settings: Callable[..., Settings], server: str, key_prefix: str
) -> None:
    for content in (A, B, C):
        shelf.put("flights", content)
    its = shelf.store.version("flights", version_of(C).id).blob.id
    lab.client.delete(f"{shelf.prefix}c:{its}:0")
    there = make_settings(server, key_prefix=key_prefix + "b")
    restored(copied(lab.client, lab.settings, damaged=1), there)
    assert Shelf(there).contents("flights", A, B) == [B, A]
    Shelf(there).check()


def test_a_full_server_can_be_copied_also_when_it_lacks_the_library(
    own_server: RedisServer, make_settings: Callable[..., Settings], backend_url: Callable[[str], str]
) -> None:
    settings = make_settings(own_server.url)
    system = make(settings)
    system.lab.client.config_set("maxmemory", 1)
    system.lab.client.function_flush()
    there = make_settings(backend_url("valkey"))
    assert restored(copied(system.lab.client, settings), there).jobs.total() == len(system.jobs)


def test_a_set_of_names_forgets_the_oldest() -> None:
    names = NameSet(2)
    for name in (b"one", b"two", b"three", b"three"):
        names.add(name)
    assert [name in names for name in (b"one", b"two", b"three")] == [False, True, True]
