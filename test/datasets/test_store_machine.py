"""The store against a simple model: any sequence of uploads, deletions, holds and ends of time.

After every step all keys agree with each other, and every data set is what the model says.
"""

from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule, run_state_machine_as_test
from support.backups import copied, restored, seen_data_sets
from support.shelf import Shelf, version_of

from gristmill.datasets.dataset import Conditions
from gristmill.errors import NoSuchDataSetError, NoSuchVersionError, PreconditionFailedError, StorageFullError
from gristmill.settings import Settings

pytestmark = pytest.mark.slow

VERSIONS = 2
SHARE, OWNERS_SHARE = 260_000, 200_000
NAMES = st.sampled_from(["flights", "flights-2", "air"])
OWNERS = st.sampled_from(["ann", "bob"])
SIZES = [1, 30_000, 60_000, 90_000]
CONTENTS = st.sampled_from([bytes([65 + number]) * size for number, size in enumerate([*SIZES, 60_000])])
JOBS = st.sampled_from(["one", "two"])
FAR = 2**51


class Data(RuleBasedStateMachine):
    shelf: Shelf

    @initialize()
    def start(self) -> None:
        self.shelf = type(self).shelf
        self.owner: dict[str, str] = {}
        self.contents: dict[str, list[bytes]] = {}
        self.titles: dict[str, str] = {}
        self.holds: set[tuple[bytes, str]] = set()
        self.reserved: list[tuple[str, int]] = []
        self.revisions: dict[str, int] = {}

    def total(self) -> int:
        kept = {content for contents in self.contents.values() for content in contents}
        return sum(map(len, kept)) + sum(map(self.said, self.contents)) + sum(size for _, size in self.reserved)

    def used_by(self, owner: str) -> int:
        names = [name for name in self.contents if self.owner[name] == owner]
        kept = sum(len(it) for name in names for it in self.contents[name])
        return kept + sum(map(self.said, names)) + sum(size for who, size in self.reserved if who == owner)

    def said(self, name: str) -> int:
        title = self.titles.get(name, "")
        return len(f"title{title}") if title else 0

    def fits(self, owner: str, size: int) -> bool:
        return self.total() + size <= SHARE and self.used_by(owner) + size <= OWNERS_SHARE

    def prune(self, name: str) -> None:
        held = {content for content, _ in self.holds}
        self.contents[name] = [it for place, it in enumerate(self.contents[name]) if place < VERSIONS or it in held]

    def forget_holds(self) -> None:
        kept = {content for contents in self.contents.values() for content in contents}
        self.holds = {(content, job) for content, job in self.holds if content in kept}

    @rule(name=NAMES, owner=OWNERS, content=CONTENTS, condition=st.sampled_from(["", "", "new", "stale", "current"]))
    def upload(self, name: str, owner: str, content: bytes, condition: str) -> None:
        owner = self.owner.get(name, owner)
        there = name in self.contents
        now = str(self.revisions.get(name, 0))
        wanted, holds = {
            "": (Conditions(), True),
            "new": (Conditions(none_match=("*",)), not there),
            "stale": (Conditions(match=("1",)), False),
            "current": (Conditions(match=("1", now)), there),
        }[condition]
        size = 0 if content in self.contents.get(name, []) else len(content)
        if not self.fits(owner, size):
            with pytest.raises(StorageFullError):
                self.shelf.put(name, content, owner, wanted)
            return
        if not holds:
            with pytest.raises(PreconditionFailedError):
                self.shelf.put(name, content, owner, wanted)
            return
        stored = self.shelf.put(name, content, owner, wanted)
        before = self.contents.setdefault(name, [])
        assert stored.how == ("same" if before[:1] == [content] else "again" if content in before else "new")
        assert stored.how == "same" or stored.data_set.revision > self.revisions.get(name, 0)
        self.owner.setdefault(name, owner)
        self.contents[name] = [content, *(it for it in before if it != content)]
        self.prune(name)
        self.forget_holds()

    @rule(owner=OWNERS, size=st.sampled_from(SIZES))
    def abandon(self, owner: str, size: int) -> None:
        if not self.fits(owner, size):
            with pytest.raises(StorageFullError):
                self.shelf.store.reserve("unfinished", owner, size)
            return
        self.shelf.store.reserve("unfinished", owner, size)
        self.reserved.append((owner, size))

    @rule()
    def uploads_end(self) -> None:
        self.shelf.end_uploads()
        self.reserved.clear()

    @rule(name=NAMES, title=st.sampled_from(["", "A title", "One of two hundred letters".ljust(200, ".")]))
    def describe(self, name: str, title: str) -> None:
        if name not in self.contents:
            with pytest.raises(NoSuchDataSetError):
                self.shelf.store.describe(name, {"title": title})
            return
        more = (len(f"title{title}") if title else 0) - self.said(name)
        if more > 0 and not self.fits(self.owner[name], more):
            with pytest.raises(StorageFullError):
                self.shelf.store.describe(name, {"title": title})
            return
        told = self.shelf.store.describe(name, {"title": title or None})
        assert told.revision > self.revisions[name]
        self.titles[name] = title

    @rule(name=NAMES)
    def delete(self, name: str) -> None:
        epoch = self.shelf.store.epoch()
        if name not in self.contents:
            with pytest.raises(NoSuchDataSetError):
                self.shelf.store.delete(name)
            return
        self.shelf.store.delete(name)
        assert self.shelf.store.epoch() > epoch
        for known in (self.owner, self.contents, self.titles, self.revisions):
            known.pop(name, None)
        self.forget_holds()

    @rule(name=NAMES, content=CONTENTS, job=JOBS)
    def hold(self, name: str, content: bytes, job: str) -> None:
        if content not in self.contents.get(name, []):
            with pytest.raises((NoSuchDataSetError, NoSuchVersionError)):
                self.shelf.store.hold(name, version_of(content).id, job, FAR)
            return
        self.shelf.store.hold(name, version_of(content).id, job, FAR)
        self.holds.add((content, job))

    @rule(content=CONTENTS, job=JOBS)
    def let_go(self, content: bytes, job: str) -> None:
        self.shelf.store.let_go(version_of(content).id, job)
        self.holds.discard((content, job))
        if content not in {held for held, _ in self.holds}:
            for name in [name for name, contents in self.contents.items() if content in contents]:
                self.prune(name)

    @rule()
    def holds_end(self) -> None:
        self.shelf.end_holds()
        self.holds.clear()
        for name in self.contents:
            self.prune(name)

    @invariant()
    def everything_agrees(self) -> None:
        if not hasattr(self, "contents"):
            return
        self.shelf.check()
        used = self.shelf.used()
        assert used.get("total", 0) == self.total() <= SHARE
        for owner in ("ann", "bob"):
            assert used.get(f"o {owner}", 0) == self.used_by(owner) <= OWNERS_SHARE
        listed = self.shelf.store.list().data_sets
        assert [it.name for it in listed] == sorted(self.contents)
        for it in listed:
            assert (it.owner, it.description.title) == (self.owner[it.name], self.titles.get(it.name, ""))
            assert [edition.version for edition in it.editions] == [
                version_of(content).id for content in self.contents[it.name]
            ]
            for content in self.contents[it.name]:
                assert self.shelf.bytes_of(it.name, version_of(content).id) == content
            assert it.revision >= self.revisions.get(it.name, 0)
            self.revisions[it.name] = it.revision

    @rule()
    def is_the_same_when_restored(self) -> None:
        source = self.shelf.settings
        there = Shelf(source.model_copy(update={"key_prefix": f"{source.key_prefix}copy"}))
        restored(copied(self.shelf.client, source), there.settings)
        there.check()
        assert seen_data_sets(there.store) == seen_data_sets(self.shelf.store)
        for data_set in there.store.list().data_sets:
            there.store.delete(data_set.name)
        assert there.stored() <= {"epoch"}
        there.client.delete(*there.client.scan_iter(f"{there.settings.key_prefix}:*"))

    def teardown(self) -> None:
        for name in getattr(self, "contents", {}):
            self.shelf.store.delete(name)
        self.shelf.end_uploads()
        assert self.shelf.stored() <= {"epoch"}


def test_any_sequence_of_events_keeps_the_data_sets_true_to_the_model(
    server: str, make_settings: Callable[..., Settings]
) -> None:
    shelf = Shelf(
        make_settings(
            server, dataset_versions=VERSIONS, dataset_memory_bytes=SHARE, dataset_stored_bytes_per_owner=OWNERS_SHARE
        )
    )
    machine = type("DataHere", (Data,), {"shelf": shelf})
    checks = settings(
        max_examples=25, stateful_step_count=40, deadline=None, derandomize=True,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    run_state_machine_as_test(machine, settings=checks)
