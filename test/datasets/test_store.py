"""Data sets and versions in Redis, on both servers: what each call does, alone, at once with others, and sent twice."""

import io
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial

import pytest
from support import RedisServer
from support.backups import copied, restored
from support.proxy import LossyProxy
from support.shelf import Shelf, revision, version_of

from gristmill.backup.restoring import Restorer
from gristmill.datasets.blobs import LIBRARY
from gristmill.datasets.dataset import Conditions
from gristmill.datasets.forgetter import Forgetter
from gristmill.datasets.store import Store
from gristmill.errors import (
    GristmillError,
    InvalidRequestError,
    NoSuchDataSetError,
    NoSuchVersionError,
    PreconditionFailedError,
    StorageFullError,
    TooLargeError,
    UnavailableError,
)
from gristmill.jobs import Jobs
from gristmill.library import Source
from gristmill.settings import Settings
from gristmill.store import connect

A, B, C = b"a" * 3_000_000, b"b" * 1000, b"c" * 50_000
FAR = 2**51  # in the year 2041
NEW = Conditions(none_match=("*",))
FUNCTIONS = re.findall(r"^(?:entry|change)\('(\w+)'", LIBRARY.code, re.MULTILINE)


@pytest.fixture
def shelf(server: str, make_settings: Callable[..., Settings]) -> Iterator[Shelf]:
    made = Shelf(make_settings(server))
    yield made
    made.check()
    made.store.close()


def test_an_upload_becomes_a_version_with_all_that_was_said_of_it(shelf: Shelf) -> None:
    stored = shelf.put("flights", A)
    assert stored.how == "new"
    assert (stored.data_set.owner, stored.data_set.newest.rows) == ("ann", len(A))
    version = shelf.store.version("flights")
    assert version == shelf.store.version("flights", version_of(A).id)
    assert (version.facts, version.edition.stored_bytes, version.edition.read_bytes) == (
        b"facts of aaaaaaaaa", len(A), 3 * len(A),
    )  # fmt: skip
    assert shelf.bytes_of("flights") == A
    assert shelf.store.get("flights") == stored.data_set


def test_the_same_content_again_is_the_same_version(shelf: Shelf) -> None:
    first = shelf.put("flights", A).data_set
    again = shelf.put("flights", A)
    assert (again.how, again.data_set) == ("same", first)
    assert shelf.used() == {"total": len(A), "o ann": len(A)}


def test_the_same_content_again_needs_no_room(server: str, make_settings: Callable[..., Settings]) -> None:
    shelf = Shelf(make_settings(server, dataset_memory_bytes=len(A) + len(B)))
    shelf.put("flights", A)
    shelf.put("flights", B)
    assert [shelf.put("flights", content).how for content in (B, A, A)] == ["same", "again", "same"]
    with pytest.raises(StorageFullError):
        shelf.put("other", A)
    assert shelf.bytes_of("flights") == A
    shelf.check()


def test_a_version_that_goes_while_it_is_uploaded_again_is_not_made_without_its_bytes(shelf: Shelf) -> None:
    shelf.put("flights", A)
    upload = shelf.store.reserve("flights", "ann", 0)
    blob = shelf.store.blobs.write(upload, io.BytesIO())
    shelf.store.delete("flights")
    with pytest.raises(UnavailableError):
        shelf.store.commit(upload, blob, "flights", version_of(A), owner="ann")
    shelf.store.blobs.discard(upload)
    assert shelf.stored() == {"epoch"}


def test_an_older_version_becomes_the_newest_when_it_comes_again(shelf: Shelf) -> None:
    shelf.put("flights", A)
    shelf.put("flights", B)
    assert shelf.put("flights", A).how == "again"
    assert shelf.contents("flights", A, B) == [A, B]
    assert shelf.used() == {"total": len(A) + len(B), "o ann": len(A) + len(B)}


def test_data_sets_with_the_same_content_share_it_until_the_last_goes(shelf: Shelf) -> None:
    shelf.put("flights", A)
    shelf.put("copy", A, "bob")
    assert shelf.used() == {"total": len(A), "o ann": len(A), "o bob": len(A)}
    shelf.store.delete("flights")
    assert shelf.bytes_of("copy") == A
    shelf.store.delete("copy")
    assert shelf.stored() == {"epoch"}


def test_the_newest_versions_are_kept_and_those_that_jobs_use(shelf: Shelf) -> None:
    contents = [b"%d" % number for number in range(14)]
    for number, content in enumerate(contents):
        shelf.put("flights", content)
        if number == 1:
            shelf.store.hold("flights", version_of(content).id, "job", FAR)
    assert shelf.contents("flights", *contents) == [*reversed(contents[4:]), contents[1]]
    before = shelf.store.get("flights").revision
    shelf.store.let_go(version_of(contents[1]).id, "job")
    assert shelf.contents("flights", *contents) == [*reversed(contents[4:])]
    assert shelf.store.get("flights").revision > before
    with pytest.raises(NoSuchVersionError):
        shelf.store.version("flights", version_of(contents[1]).id)


def test_a_version_goes_when_the_last_hold_has_run_out(shelf: Shelf) -> None:
    store = Store(shelf.client, shelf.settings.model_copy(update={"dataset_versions": 1}))
    shelf.store = store
    shelf.put("flights", A)
    shelf.put("copy", A)
    for job in ("one", "two"):
        store.hold("flights", version_of(A).id, job, FAR)
    shelf.put("flights", B)
    store.let_go(version_of(A).id, "one")
    assert shelf.contents("flights", A, B) == [B, A]
    shelf.end_holds()
    assert shelf.contents("flights", A, B) == [B]
    assert shelf.bytes_of("copy") == A


def test_a_hold_is_never_shortened_by_a_late_call(shelf: Shelf) -> None:
    shelf.put("flights", A)
    version = version_of(A).id
    shelf.store.hold("flights", version, "job", FAR)
    shelf.store.hold("flights", version, "job", 1)
    shelf.store.sweep()
    assert shelf.client.smembers(f"{shelf.prefix}h:{version}") == {b"job"}


def test_what_is_not_there_cannot_be_held(shelf: Shelf) -> None:
    shelf.put("flights", A)
    shelf.put("other", B)
    for name, content, error in (("flights", B, NoSuchVersionError), ("none", A, NoSuchDataSetError)):
        with pytest.raises(error):
            shelf.store.hold(name, version_of(content).id, "job", FAR)


def test_the_newest_version_is_held_without_a_name_and_comes_with_what_is_said_about_it(shelf: Shelf) -> None:
    shelf.put("flights", A)
    shelf.put("flights", B)
    shelf.store.describe("flights", {"columns": {"x": {"unit": "km"}}}, ["x"])

    held = shelf.store.hold("flights", "", "job", FAR)

    assert held.version == version_of(B).id
    assert held.description.columns["x"].unit == "km"


def test_a_deleted_data_set_leaves_nothing_not_even_versions_that_jobs_use(shelf: Shelf) -> None:
    shelf.put("flights", A)
    shelf.put("flights", B)
    shelf.store.hold("flights", version_of(A).id, "job", FAR)
    shelf.store.describe("flights", {"title": "Flights"})
    shelf.store.delete("flights")
    assert shelf.stored() == {"epoch"}
    shelf.store.let_go(version_of(A).id, "job")
    for call in (shelf.store.get, shelf.store.version, shelf.store.delete):
        with pytest.raises(NoSuchDataSetError, match="flights"):
            call("flights")
    with pytest.raises(NoSuchDataSetError):
        shelf.store.describe("flights", {})


def test_reading_notices_that_the_data_set_was_deleted_in_the_middle(shelf: Shelf) -> None:
    shelf.put("flights", A)
    chunks = shelf.store.blobs.read(shelf.store.version("flights").blob)
    next(chunks)
    shelf.store.delete("flights")
    with pytest.raises(NoSuchVersionError):
        list(chunks)


def test_conditions_are_checked_with_the_change(shelf: Shelf) -> None:
    with pytest.raises(PreconditionFailedError, match="no data set"):
        shelf.put("flights", A, conditions=Conditions(match=("*",)))
    assert shelf.stored() == set()
    first = shelf.put("flights", A, conditions=NEW).data_set
    with pytest.raises(PreconditionFailedError):
        shelf.put("flights", B, conditions=NEW)
    with pytest.raises(PreconditionFailedError):
        shelf.put("flights", B, conditions=Conditions(none_match=("x", version_of(A).id)))
    second = shelf.put("flights", B, conditions=revision(first)).data_set
    with pytest.raises(PreconditionFailedError, match=str(second.revision)):
        shelf.put("flights", C, conditions=revision(first))
    shelf.put("flights", C, conditions=Conditions(match=("x", version_of(B).id)))
    with pytest.raises(PreconditionFailedError):
        shelf.store.delete("flights", revision(second))
    with pytest.raises(PreconditionFailedError):
        shelf.store.describe("flights", {"title": "x"}, conditions=revision(second))
    with pytest.raises(PreconditionFailedError):
        shelf.put("flights", C, conditions=Conditions(match=()))
    assert shelf.contents("flights", A, B, C) == [C, B, A]
    assert shelf.used()["total"] == len(A) + len(B) + len(C)


def at_once(*calls: Callable[[], object]) -> list[object]:
    """What each returns or raises, when all begin together."""
    gate = threading.Barrier(len(calls))
    answers: list[object] = [None] * len(calls)

    def run(place: int) -> None:
        gate.wait()
        try:
            answers[place] = calls[place]()
        except GristmillError as error:
            answers[place] = error

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(calls))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return answers


def test_of_uploads_at_once_that_expect_the_same_exactly_one_wins(shelf: Shelf) -> None:
    expected = NEW
    for turn in range(8):
        contents = [b"%d %d " % (turn, number) * 100_000 for number in range(3)]
        answers = at_once(*(partial(shelf.put, "flights", content, conditions=expected) for content in contents))
        lost = [answer for answer in answers if isinstance(answer, PreconditionFailedError)]
        assert len(lost) == 2
        shelf.check()
        won = next(place for place, answer in enumerate(answers) if answer not in lost)
        assert shelf.bytes_of("flights") == contents[won]
        expected = revision(shelf.store.get("flights"))
    assert len(shelf.store.get("flights").editions) == 8


def test_a_description_is_merged_and_makes_no_new_version(shelf: Shelf) -> None:
    first = shelf.put("flights", A).data_set
    columns = ["distance", "Ankunft (°)"]
    shelf.store.describe(
        "flights",
        {"title": "Flights", "source": "BTS", "columns": {"distance": {"unit": "mi"}, "Ankunft (°)": {"unit": "min"}}},
        columns, revision(first),
    )  # fmt: skip
    told = shelf.store.describe(
        "flights",
        {"title": "All flights", "source": None, "columns": {"distance": {"description": "Flown"}, columns[1]: None}},
        columns,
    )  # fmt: skip
    assert told == shelf.store.get("flights")
    assert told.revision > first.revision
    assert told.editions == first.editions
    text = told.description
    assert (text.title, text.source, dict(text.columns)) == (
        "All flights", "", {"distance": type(text.columns["distance"])("Flown", "mi")},
    )  # fmt: skip
    assert not shelf.store.describe("flights", {"columns": None}).description.columns
    assert shelf.store.describe("flights", {"title": None}).description == type(text)()


NAMES = [f"column {number}" for number in range(600)]


def said(text: str, names: list[str] = NAMES) -> dict[str, object]:
    return {"columns": {name: {"description": text} for name in names}}


def test_what_is_said_about_a_data_set_is_bounded_in_total_and_can_always_become_less(shelf: Shelf) -> None:
    shelf.put("flights", B)
    shelf.store.describe("flights", said("x" * 1700), NAMES)
    with pytest.raises(TooLargeError, match="at most 1,048,576; shorten some"):
        shelf.store.describe("flights", said("é" * 1700), NAMES)
    assert shelf.store.get("flights").description.columns[NAMES[-1]].description == "x" * 1700
    shelf.check()

    # As an earlier release has left them: more, and not counted.
    texts = {f"d {name}": "é" * 1700 for name in NAMES}
    shelf.client.hset(f"{shelf.prefix}t:flights", mapping=texts)
    assert len(shelf.store.get("flights").description.columns) == 600
    shelf.store.describe("flights", {"columns": {NAMES[0]: None}})
    with pytest.raises(TooLargeError):
        shelf.store.describe("flights", {"title": "Flights"})
    shelf.store.describe("flights", {"columns": None, "title": "Flights"})
    shelf.check()


def test_what_is_said_counts_in_the_share_of_the_owner_and_of_all(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    small, owners = 500_000, "GRISTMILL_DATASET_STORED_BYTES_PER_OWNER"
    for changes, setting in (
        ({"dataset_stored_bytes_per_owner": small}, owners),
        ({"dataset_memory_bytes": small}, "GRISTMILL_DATASET_MEMORY_BYTES"),
    ):
        shelf = Shelf(make_settings(server, **changes))
        shelf.put("flights", B)
        shelf.put("more", B)
        shelf.store.describe("flights", said("x" * 700), NAMES)
        with pytest.raises(StorageFullError, match=f"description does not fit: .* {setting}"):
            shelf.store.describe("more", said("x" * 700), NAMES)
        shelf.check()
        shelf.store.delete("flights")
        shelf.store.describe("more", said("x" * 700), NAMES)
        shelf.check()
        shelf.store.delete("more")


def test_an_answer_that_is_kept_for_its_repetition_has_no_texts(shelf: Shelf) -> None:
    shelf.put("flights", B)
    shelf.store.describe("flights", said("x" * 1700), NAMES)

    told = shelf.put("flights", B)

    assert told.data_set == shelf.store.get("flights")
    assert all(shelf.client.strlen(key) < 2000 for key in shelf.client.scan_iter(f"{shelf.prefix}x:*"))


def test_pages_list_the_names_in_order(shelf: Shelf) -> None:
    names = ["a", "a-b", "a.b", "b0", "b1", "b2", "bc", "c"]
    for number, name in enumerate(names):
        shelf.put(name, B, "ann" if number % 2 else "bob")
    shelf.store.describe("b1", {"title": "B one", "licence": "CC0"})

    def walk(limit: int, **wanted: str) -> list[str]:
        found, cursor = [], ""
        while True:
            page = shelf.store.list(limit=limit, cursor=cursor, **wanted)
            found += [it.name for it in page.data_sets]
            assert len(page.data_sets) <= limit
            if not page.cursor:
                return found
            cursor = page.cursor

    for limit in (1, 3, 8, 100):
        assert walk(limit) == sorted(names)
        assert walk(limit, prefix="b") == ["b0", "b1", "b2", "bc"]
        assert walk(limit, owner="bob") == sorted(names[::2])
        assert walk(limit, owner="bob", prefix="b") == ["b1", "bc"]
        assert walk(limit, prefix="none") == walk(limit, owner="nobody") == []
    b1 = next(it for it in shelf.store.list(prefix="b1").data_sets)
    assert (b1.description.title, b1.description.licence, b1.owner) == ("B one", "CC0", "bob")
    assert [it.name for it in shelf.store.list(prefix="b", cursor="a").data_sets] == ["b0", "b1", "b2", "bc"]


def test_caches_learn_what_has_gone(shelf: Shelf) -> None:
    cached = {version_of(content).id for content in (A, B, C)}
    dropped: list[str] = []
    look = Forgetter(shelf.store, lambda: cached, dropped.append)
    for content in (A, B, C):
        shelf.put(f"of-{content[:1].decode()}", content)
    shelf.put("copy", A)
    assert look()
    assert not look()
    assert dropped == []
    shelf.store.delete("of-a")
    assert look()
    assert dropped == []
    shelf.store.delete("of-b")
    assert look()
    assert dropped == [version_of(B).id]
    assert not look()


def test_the_owner_stays_whoever_uploads_later_and_is_charged(shelf: Shelf) -> None:
    shelf.put("flights", A, "ann")
    assert shelf.put("flights", B, "bob").data_set.owner == "ann"
    assert shelf.used() == {"total": len(A) + len(B), "o ann": len(A) + len(B)}


def test_a_name_or_a_size_that_cannot_be_is_refused_before_anything_is_kept(shelf: Shelf) -> None:
    for name in ("", "..", "A", "a/b"):
        with pytest.raises(InvalidRequestError):
            shelf.put(name, B)
    with pytest.raises(TooLargeError, match="GRISTMILL_DATASET_STORED_BYTES"):
        shelf.store.reserve("flights", "ann", shelf.settings.dataset_stored_bytes + 1)
    assert shelf.stored() == set()


# The share of memory


def test_uploads_at_once_never_pass_the_share_of_all_nor_that_of_an_owner(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(server, dataset_memory_bytes=1_000_000, dataset_stored_bytes_per_owner=600_000))
    assert shelf.client.info("memory")["maxmemory"] == 0

    def upload(number: int) -> object:
        answer = shelf.put(f"of-{number}", b"%03d" % number * 33_333, owner=f"owner-{number % 2}")
        assert shelf.used()["total"] <= 1_000_000
        return answer

    answers = at_once(*(lambda number=number: upload(number) for number in range(16)))
    refused = [answer for answer in answers if isinstance(answer, StorageFullError)]
    assert {error.status for error in refused} == {507}
    assert len(answers) - len(refused) == 10
    assert max(shelf.used()["o owner-0"], shelf.used()["o owner-1"]) <= 600_000
    shelf.check()
    with pytest.raises(StorageFullError, match=r"all data sets together .*GRISTMILL_DATASET_MEMORY_BYTES"):
        shelf.put("more", b"x" * 100_000, owner="newcomer")


def test_an_owner_with_a_full_share_does_not_hinder_others(server: str, make_settings: Callable[..., Settings]) -> None:
    shelf = Shelf(make_settings(server, dataset_stored_bytes_per_owner=5_000_000))
    shelf.put("one", A)
    with pytest.raises(StorageFullError, match=r"of at most 5000000 .*GRISTMILL_DATASET_STORED_BYTES_PER_OWNER"):
        shelf.put("two", A + B)
    shelf.put("two", A + B, "bob")
    shelf.store.delete("one")
    shelf.put("three", A + C)
    shelf.check()


def test_the_share_is_of_the_servers_memory_limit(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(own_server.url, dataset_memory_percent=25))
    shelf.client.config_set("maxmemory", 20_000_000)
    shelf.put("one", A)
    with pytest.raises(StorageFullError, match=r"of at most 5000000 bytes .*GRISTMILL_DATASET_MEMORY_PERCENT"):
        shelf.put("two", A + B)
    shelf.check()


def test_what_a_killed_process_has_left_goes_by_itself(shelf: Shelf) -> None:
    code = (
        "import io, sys, time\n"
        "from gristmill.datasets.store import Store\n"
        "from gristmill.settings import Settings\n"
        "from gristmill.store import connect\n"
        "settings = Settings(redis_url=sys.argv[1], key_prefix=sys.argv[2])\n"
        "store = Store(connect(settings), settings)\n"
        "upload = store.reserve('flights', 'ann', 5_000_000)\n"
        "store.blobs.write(upload, io.BytesIO(bytes(3_000_000)))\n"
        "print('written', flush=True)\n"
        "time.sleep(600)\n"
    )
    settings = shelf.settings
    with subprocess.Popen(
        [sys.executable, "-c", code, settings.redis_url, settings.key_prefix], stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"written\n"
        child.kill()
    assert shelf.used() == {"total": 5_000_000, "o ann": 5_000_000}
    chunks = [key for key in shelf.stored() if key.startswith("c:")]
    assert len(chunks) == 3
    assert all(0 < shelf.client.ttl(shelf.prefix + key) <= settings.dataset_upload_seconds for key in chunks)
    shelf.end_uploads()
    assert shelf.stored() == set()
    with pytest.raises(NoSuchDataSetError):
        shelf.store.get("flights")


def test_room_of_uploads_that_have_ended_is_given_to_the_next_without_a_sweep(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(server, dataset_memory_bytes=1_000_000))
    shelf.store.reserve("flights", "ann", 900_000)
    with pytest.raises(StorageFullError):
        shelf.put("flights", b"x" * 200_000)
    shelf.client.zadd(f"{shelf.prefix}uploads", {shelf.client.zrange(f"{shelf.prefix}uploads", 0, 0)[0]: 1})
    shelf.put("flights", b"x" * 200_000)
    shelf.check()


def test_an_upload_that_ended_before_its_commit_is_told_to_try_again(shelf: Shelf) -> None:
    upload = shelf.store.reserve("flights", "ann", len(A))
    blob = shelf.store.blobs.write(upload, io.BytesIO(A))
    shelf.end_uploads()
    with pytest.raises(UnavailableError, match="too long"):
        shelf.store.commit(upload, blob, "flights", version_of(A), owner="ann")
    assert shelf.stored() == set()


# A full server


def test_a_full_server_refuses_uploads_and_does_everything_else(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(own_server.url, dataset_versions=1))
    store = shelf.store
    shelf.put("flights", A)
    shelf.put("other", B)
    store.hold("flights", version_of(A).id, "job", FAR)
    store.hold("flights", version_of(A).id, "more", FAR)
    shelf.put("flights", C)
    upload = store.reserve("new", "ann", 1000)
    blob = store.blobs.write(upload, io.BytesIO(B[:999]))
    abandoned = store.reserve("new", "ann", 1000)
    store.blobs.write(abandoned, io.BytesIO(B))
    room = shelf.client.config_set
    room("maxmemory", 1)
    full = (
        lambda: store.reserve("more", "ann", 10),
        lambda: store.commit(upload, blob, "new", version_of(B[:999]), owner="ann"),
        lambda: store.describe("flights", {"title": "x"}),
    )
    for call in full:
        with pytest.raises(StorageFullError):
            call()
    assert shelf.bytes_of("flights", version_of(A).id) == A
    assert [it.name for it in store.list().data_sets] == ["flights", "other"]
    store.hold("flights", version_of(A).id, "job", 2 * FAR)
    store.let_go(version_of(A).id, "job")
    room("maxmemory", 0)
    shelf.push_holds()
    shelf.push_uploads()
    room("maxmemory", 1)
    epoch = store.epoch()
    store.sweep()
    assert store.epoch() > epoch
    assert store.missing([version_of(A).id, version_of(C).id]) == {version_of(A).id}
    store.delete("other")
    store.blobs.discard(upload)
    room("maxmemory", 0)
    assert shelf.used() == {"total": len(C), "o ann": len(C)}
    shelf.check()


def test_a_full_server_that_lacks_the_library_reads_and_deletes(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(own_server.url))
    shelf.put("flights", A)
    shelf.put("other", B)
    shelf.client.config_set("maxmemory", 1)
    shelf.client.function_flush()
    with pytest.raises(StorageFullError):
        shelf.put("more", C)
    assert shelf.bytes_of("flights") == A
    shelf.store.sweep()
    shelf.store.delete("flights")
    assert [it.name for it in shelf.store.list().data_sets] == ["other"]
    shelf.client.config_set("maxmemory", 0)
    shelf.check()


def test_a_commit_whose_reply_was_lost_while_it_filled_the_server_is_still_told(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(make_settings(own_server.url))
    upload = shelf.store.reserve("flights", "ann", len(A))
    blob = shelf.store.blobs.write(upload, io.BytesIO(A))
    first = shelf.store.commit(upload, blob, "flights", version_of(A), owner="ann", conditions=NEW)
    shelf.client.config_set("maxmemory", 1)
    assert shelf.store.commit(upload, blob, "flights", version_of(A), owner="ann", conditions=NEW) == first


# Calls that are sent twice, and versions of the library side by side


@pytest.mark.parametrize("function", [*FUNCTIONS, "SET"])
def test_a_call_whose_reply_is_lost_may_be_sent_again(
    function: str, server: str, make_settings: Callable[..., Settings]
) -> None:
    with LossyProxy(int(server.rpartition(":")[2].partition("/")[0])) as proxy:
        shelf = Shelf(make_settings(proxy.url))
        words = b"\r\nSET\r\n" if function == "SET" else f"{function}_{LIBRARY.hash}".encode()
        proxy.swallow(words)
        first = shelf.put("flights", A, conditions=NEW).data_set
        assert shelf.put("flights", A, conditions=revision(first)).how == "same"
        second = shelf.put("flights", B, conditions=revision(first)).data_set
        told = shelf.store.describe("flights", {"title": "x"}, conditions=revision(second))
        assert told.description.title == "x"
        shelf.store.hold("flights", version_of(A).id, "job", FAR)
        shelf.store.let_go(version_of(A).id, "job")
        assert shelf.bytes_of("flights") == B
        assert len(shelf.store.list().data_sets) == 1
        with pytest.raises(PreconditionFailedError):
            shelf.put("flights", C, conditions=NEW)
        with pytest.raises(PreconditionFailedError):
            shelf.store.require("flights", NEW)
        shelf.store.sweep()
        upload = shelf.store.reserve("other", "ann", len(C))
        blob = shelf.store.blobs.write(upload, io.BytesIO(C))
        shelf.store.blobs.keep(blob, "one")
        shelf.store.blobs.keep(blob, "two")
        shelf.store.blobs.release(blob.id, "one")
        assert shelf.used()["total"] == len(A) + len(B) + len(C) + len("titlex")
        shelf.store.blobs.release(blob.id, "two")
        shelf.check()
        shelf.store.hold("flights", version_of(B).id, "no job", FAR)
        before, data = shelf.store.get("flights"), copied(shelf.client, shelf.settings)
        shelf.store.delete("flights", revision(told))
        restored(data, shelf.settings)
        shelf.check()
        assert shelf.store.get("flights") == before
        shelf.store.delete("flights", revision(told))
        assert shelf.store.missing([version_of(A).id]) == {version_of(A).id}
        shelf.put("flights", A)
        with closing(Restorer(shelf.client, shelf.settings)) as restorer, restorer.taken():
            restorer.clear()
        assert shelf.store.list().data_sets == ()
        shelf.check()
        assert proxy.lost == [words], "nothing here calls it"
        assert shelf.stored() == {"epoch"}


def test_two_versions_of_the_library_work_on_the_same_data_sets_in_turn(shelf: Shelf) -> None:
    upload = shelf.store.reserve("flights", "ann", len(A))
    blob = shelf.store.blobs.write(upload, io.BytesIO(A))
    old = shelf.store._library.source
    shelf.store._library.source = Source("another", old.code.replace(old.hash, "another"))
    shelf.store.commit(upload, blob, "flights", version_of(A), owner="ann")
    shelf.store.hold("flights", version_of(A).id, "job", FAR)
    shelf.store._library.source = old
    shelf.put("flights", B)
    shelf.store.let_go(version_of(A).id, "job")
    assert shelf.contents("flights", A, B) == [B, A]


def test_libraries_of_jobs_and_data_sets_live_side_by_side_and_old_ones_go(
    own_server: RedisServer, make_settings: Callable[..., Settings]
) -> None:
    settings = make_settings(own_server.url)
    shelf, jobs = Shelf(settings), Jobs(connect(settings), settings)
    jobs.sweep()
    shelf.put("flights", A)
    shelf.store.sweep()

    def loaded() -> int:
        return len(shelf.client.function_list())

    assert loaded() == 2
    jobs.drop_old_libraries()
    assert loaded() == 2
    shelf.client.zadd(f"{settings.key_prefix}:libs", {f"datasets_{LIBRARY.hash}": 1})
    jobs.drop_old_libraries()
    assert loaded() == 1
    assert shelf.bytes_of("flights") == A
    assert loaded() == 2
