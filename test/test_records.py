"""Records: what is packed comes back, and releases sort by Semantic Versioning."""

import itertools

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.job import End, Offer, Output, Status, Waiting
from gristmill.records import (
    CHUNK_BYTES,
    blob_text,
    chunk_count,
    decode,
    facts_text,
    inputs_of,
    offers_of,
    offers_text,
    pack,
    pack_outputs,
    release_key,
    unpack,
    unpack_outputs,
)

# The order that semver.org, section 11, gives as its example, between further releases.
IN_ORDER = [
    "0.0.9", "0.9.10", "0.10.0", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.beta", "1.0.0-beta", "1.0.0-beta.2",
    "1.0.0-beta.11", "1.0.0-rc.1", "1.0.0-rc.20261123", "1.0.0", "1.0.1", "1.2.0", "1.11.0", "2.0.0", "10.0.0-rc.1",
    "10.0.0", "2026.1.0", "2026.11.23", "20261123.0.0",
]  # fmt: skip

names = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
inline = st.builds(lambda name, kind, data: Output(name, kind, data, "", len(data)), names, names, st.binary())
in_blob = st.builds(Output, names, names, st.none(), names, st.integers(0, 2**40))


@pytest.mark.parametrize(("earlier", "later"), list(itertools.pairwise(IN_ORDER)))
def test_a_release_sorts_before_the_next(earlier: str, later: str) -> None:
    assert release_key(earlier) < release_key(later)


def test_releases_sort_alike_in_a_locale_that_ignores_punctuation_and_case() -> None:
    def as_a_language_does(release: str) -> str:
        return "".join(letter for letter in release_key(release).casefold() if letter.isalnum())

    final = [release for release in IN_ORDER if "-a" not in release]
    assert sorted(final, key=as_a_language_does) == final


@given(*[st.tuples(*[st.integers(0, 10**8)] * 3)] * 2)
def test_releases_sort_by_their_numbers(one: tuple[int, ...], other: tuple[int, ...]) -> None:
    def key(numbers: tuple[int, ...]) -> str:
        return release_key(".".join(map(str, numbers)))

    assert (key(one) < key(other)) == (one < other)


def test_build_metadata_and_leading_zeros_do_not_count() -> None:
    assert release_key("1.2.3+build.7") == release_key("1.2.3") == release_key("01.02.3")


@given(st.lists(st.one_of(inline, in_blob)))
def test_outputs_come_back_as_they_were_packed(outputs: list[Output]) -> None:
    assert unpack_outputs(pack_outputs(outputs)) == tuple(outputs)


def test_json_outputs_spare_their_media_type() -> None:
    assert len(pack_outputs([Output("a", "application/json", b"1", "", 1)])) == 8


@pytest.mark.slow
@given(st.recursive(st.one_of(st.integers(-(2**53), 2**53), st.text()), lambda it: st.dictionaries(st.text(), it)))
def test_what_is_packed_comes_back(value: object) -> None:
    assert unpack(pack(value)) == value


def test_text_that_is_no_utf8_keeps_its_bytes() -> None:
    assert unpack(msgpack.packb({"d": b"\xff"}, use_bin_type=False))["d"].encode("utf-8", "surrogateescape") == b"\xff"


@pytest.mark.parametrize(
    ("size", "chunks"), [(0, 1), (1, 1), (CHUNK_BYTES, 1), (CHUNK_BYTES + 1, 2), (64 * CHUNK_BYTES, 64)]
)
def test_a_chunk_holds_a_megabyte_at_most(size: int, chunks: int) -> None:
    assert chunk_count(size) == chunks
    assert blob_text(Output("a", "x/y", None, "blob", size)) == f"blob,{chunks},{size}"


def test_offers_come_back_without_their_versions() -> None:
    offers = (Offer("echo", "face", "v1"), Offer("other", "mask", "v2", 3))
    text = offers_text(offers, {offer: offer.version for offer in offers})
    assert text == ",echo@face#0!v1,other@mask#3!v2,"
    assert list(offers_of(text)) == [Offer("echo", "face", ""), Offer("other", "mask", "", 3)]
    assert list(offers_of(offers_text((), {}))) == []


FACTS = {"f1": ("1.0.0", "v1", "face"), "f2": ("1.1.0", "v2", "face2")}


def record(**fields: object) -> bytes:
    return pack({"p": "echo", "o": "ann", "s": "A", "c": 1000, "u": 1, "f": "f1", "i": "{}"} | fields)


def test_an_accepted_job_has_no_attempt_and_no_end() -> None:
    job = decode("id", record(), FACTS.__getitem__, Waiting("next"))
    assert (job.status, job.attempts, job.token, job.worker, job.end, job.started, job.finished) == (
        Status.ACCEPTED, 0, "", "", None, None, None,
    )  # fmt: skip
    assert (job.release, job.run_release, job.interface, job.priority) == ("1.0.0", "", "face", 3)
    assert job.inputs == Output("inputs", "application/json", b"{}", "", 2)
    assert job.waiting == Waiting("next")


def test_a_running_job_names_its_worker_its_token_and_the_release_that_runs_it() -> None:
    job = decode("id", record(s="R", a=2, h="worker.7", b=1500, m=1600, g=40, t="half", w="f2"), FACTS.__getitem__)
    assert (job.token, job.worker, job.started, job.updated) == ("2.worker.7", "worker", 1500, 1600)
    assert (job.run_release, job.run_process_version, job.process_version) == ("1.1.0", "v2", "v1")
    assert (job.progress, job.message) == (40, "half")


def test_the_times_of_a_finished_job_count_from_its_creation() -> None:
    job = decode("id", record(s="F", a=1, h="w.1", b=5, e=9, n="timed-out", d="too long"), FACTS.__getitem__)
    assert (job.started, job.finished, job.updated) == (1005, 1009, 1009)
    assert (job.end, job.detail, job.progress) == (End.TIMED_OUT, "too long", 0)
    assert decode("id", record(s="D", e=9), FACTS.__getitem__).started is None


def test_inputs_lie_in_the_record_or_in_a_blob() -> None:
    assert inputs_of(b"{}", "").data == b"{}"
    assert inputs_of(b"", "blob,2,1500000") == Output("inputs", "application/json", None, "blob", 1_500_000)


def test_facts_are_one_text() -> None:
    assert facts_text("1.0.0", "v1", "face") == "1.0.0|v1|face"


@pytest.mark.parametrize("end", End)
def test_every_end_can_be_read_back(end: End) -> None:
    assert decode("id", record(s="F", e=1, n=end.value), FACTS.__getitem__).end is end
