"""Rows as they are sent: formats, codings, ETags, whole files in the cache."""

import gzip
import json
import threading
import time
import zlib

import duckdb
import pytest
import zstandard
from support import wait_until

from gristmill.datasets.known import KNOWN_SECONDS
from gristmill.datasets.store import Store

ROWS = 3000
CSV = "number,text\n" + "".join(f"{number},row {number * 7919 % 10007}\n" for number in range(ROWS))
FORMATS = {
    "json": "application/json",
    "ndjson": "application/x-ndjson",
    "csv": "text/csv",
    "parquet": "application/vnd.apache.parquet",
}


@pytest.fixture
def api(make_api, tmp_path):
    made = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0)
    made.version = put(made)
    yield made
    made.services.datasets.close()


def put(api, body=CSV, name="numbers"):
    return api.client.put(f"/datasets/{name}", data=body, content_type="text/csv").json["version"]


def get(api, query="", path="/datasets/numbers", **headers):
    with api.get(f"{path}/rows{query}", **headers) as response:
        response.get_data()
    return response


def fixed(api):
    return f"/datasets/numbers/versions/{api.version}"


def decoded(response):
    coding = response.headers.get("Content-Encoding", "")
    if coding == "zstd":
        return zstandard.ZstdDecompressor().decompressobj().decompress(response.data)
    return gzip.decompress(response.data) if coding == "gzip" else response.data


@pytest.mark.parametrize("form", list(FORMATS))
def test_the_format_is_that_of_f_or_what_accept_likes_best(api, form):
    by_f = get(api, f"?f={form}", Accept="text/html")
    by_accept = get(api, Accept=f"{FORMATS[form]}, */*;q=0.1")

    assert by_f.mimetype == by_accept.mimetype == FORMATS[form]
    assert by_f.data == by_accept.data
    assert "Accept" in by_f.headers["Vary"]


@pytest.mark.parametrize("accept", ["", "*/*", "text/html,application/xhtml+xml,*/*;q=0.8", "image/png"])
def test_what_accept_does_not_decide_is_json(api, accept):
    assert get(api, Accept=accept).mimetype == "application/json"


@pytest.mark.parametrize("form", ["json", "ndjson", "csv"])
@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("gzip", "gzip"), ("zstd", "zstd"), ("gzip, deflate, br, zstd", "zstd"), ("gzip;q=1, zstd;q=0.5", "gzip"),
        ("identity", ""), ("br", ""), ("gzip;q=0", ""), ("gzip;q=0.5, identity;q=1", ""), ("*", "zstd"),
    ],
)  # fmt: skip
def test_the_body_is_coded_as_the_client_likes_best(api, form, accepted, coding):
    plain = get(api, f"?f={form}")
    coded = get(api, f"?f={form}", Accept_Encoding=accepted)

    assert coded.headers.get("Content-Encoding", "") == coding
    assert decoded(coded) == plain.data
    assert int(coded.headers["Content-Length"]) == len(coded.data)
    assert "Accept-Encoding" in coded.headers["Vary"]
    assert (coded.headers["ETag"] == plain.headers["ETag"]) == (not coding)
    assert len(coded.data) < len(plain.data) or not coding


def test_parquet_and_short_bodies_are_sent_as_they_are(api):
    assert "Content-Encoding" not in get(api, "?f=parquet", Accept_Encoding="zstd").headers
    assert "Content-Encoding" not in get(api, "?limit=2", Accept_Encoding="zstd").headers


def test_equal_queries_have_equal_etags_and_others_others(api):
    def etag(query="", **headers):
        return get(api, query, **headers).headers["ETag"]

    assert etag() == etag("?limit=100") == etag("?shape=objects&f=json") == etag(Accept="application/json")
    assert etag("?limit=5&sortby=text") == etag("?sortby=text&limit=5")
    different = [
        etag(), etag("?limit=5"), etag("?shape=arrays"), etag("?f=ndjson"), etag("?f=csv"), etag("?f=parquet"),
        etag("?filter=number>5"), etag("?properties=text"), etag(Accept_Encoding="gzip"), etag(Accept_Encoding="zstd"),
    ]  # fmt: skip
    assert len(set(different)) == len(different)
    put(api, CSV + "9999,new\n")
    assert etag() not in different


def test_what_a_client_has_of_a_version_is_confirmed_without_asking_redis(api, monkeypatch):
    answers = [get(api, query, path=fixed(api)) for query in ("", "?f=csv", "?limit=5")]
    with api.get(f"{fixed(api)}/aggregate?groupby=text") as groups:
        etag = groups.headers["ETag"]

    def refuse(*_):
        raise AssertionError("Redis was asked")

    monkeypatch.setattr(type(api.services.datasets.store._library), "call", refuse)
    monkeypatch.setattr(type(api.services.datasets.store._library), "command", refuse)
    for forget in (False, True):
        for answer, query in zip(answers, ("", "?f=csv", "?limit=5"), strict=True):
            if forget:
                api.app.confirmed._known.clear()
            again = get(api, query, path=fixed(api), If_None_Match=f'"other", {answer.headers["ETag"]}')
            assert again.status_code == 304
            assert again.data == b""
            for header in ("ETag", "Cache-Control", "Vary", "Gristmill-Version"):
                assert again.headers[header] == answer.headers[header]
            assert again.headers["X-Request-Id"]
    assert api.get(f"{fixed(api)}/aggregate?groupby=text", If_None_Match=etag).status_code == 304


def test_any_etag_confirms_only_what_is_there(api):
    assert get(api, path=fixed(api), If_None_Match="*").status_code == 304
    assert get(api, path="/datasets/absent", If_None_Match="*").status_code == 404
    assert get(api, path=f"/datasets/numbers/versions/{'0' * 64}", If_None_Match="*").status_code == 404


def test_an_etag_of_another_query_or_coding_confirms_nothing(api):
    etag = get(api, "?limit=5", path=fixed(api)).headers["ETag"]

    assert get(api, "?limit=6", path=fixed(api), If_None_Match=etag).status_code == 200
    assert get(api, "?limit=5&f=ndjson", path=fixed(api), If_None_Match=etag).status_code == 200
    zstd = get(api, path=fixed(api), Accept_Encoding="zstd").headers["ETag"]
    assert get(api, path=fixed(api), If_None_Match=zstd).status_code == 200
    assert get(api, path=fixed(api), Accept_Encoding="zstd", If_None_Match=zstd).status_code == 304


def test_a_whole_file_is_made_once_and_read_from_the_cache(api):
    cache = api.services.datasets.cache.folder
    first = get(api, "?f=csv")
    made = {path.name: path.stat().st_ino for path in cache.glob("*-*.data")}

    again = get(api, "?f=csv", path=fixed(api))
    coded = get(api, "?f=csv", Accept_Encoding="gzip")

    assert first.data == again.data == gzip.decompress(coded.data)
    assert first.data.decode().splitlines()[1:3] == ["0,row 0", "1,row 7919"]
    assert {path.name: path.stat().st_ino for path in cache.glob("*-*.data")}.items() >= made.items()
    assert len(list(cache.glob("*-*.data"))) == 2


def test_a_whole_file_larger_than_its_room_in_the_cache_is_refused_also_while_it_is_packed(api):
    cache = api.services.datasets.cache
    plain = len(get(api, "?f=csv").data)
    source = (cache.folder / f"{api.version}.data").stat().st_size

    cache.most_bytes = source + plain - 1
    too_large = get(api, "?f=csv&filter=number>=0")
    cache.most_bytes = source + plain
    packed = get(api, "?f=csv&filter=number>=0", Accept_Encoding="gzip")
    fitting = get(api, "?f=csv&filter=number>=0")

    assert (too_large.status_code, packed.status_code, fitting.status_code) == (422, 422, 200)
    assert too_large.json["type"].endswith("query-limit")
    assert f"more than {plain - 1} bytes" in too_large.json["detail"]
    assert f"more than {plain} bytes" in packed.json["detail"]
    assert not list(cache.folder.glob("*.making"))


def test_a_whole_file_of_a_filtered_and_sorted_selection_has_these_rows_alone(api):
    query = "?f=parquet&filter=number<10&sortby=-number&properties=number"

    response = get(api, query)

    path = api.services.settings.data_folder / "fetched.parquet"
    path.write_bytes(response.data)
    assert duckdb.sql(f"FROM '{path}'").fetchall() == [(number,) for number in range(9, -1, -1)]


def test_many_who_ask_for_a_whole_file_at_once_get_it_and_it_is_made_once(api):
    bodies = []

    def fetch():
        with api.app.test_client().get("/datasets/numbers/rows?f=csv") as response:
            bodies.append(response.get_data())

    threads = [threading.Thread(target=fetch) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(bodies) == 6
    assert len(set(bodies)) == 1
    assert len(list(api.services.datasets.cache.folder.glob("*-*.data"))) == 1


def test_a_file_that_is_being_sent_is_in_use_in_the_cache_until_it_has_been_sent(api):
    whole = get(api, "?f=csv").data
    cache = api.services.datasets.cache
    with api.client.get("/datasets/numbers/rows?f=csv") as response:
        pieces = response.iter_encoded()
        first = next(pieces)
        cache.drop(api.version)
        assert list(cache.folder.glob("*-*.data")), "else what it takes of the disk would count as free"
        assert first + b"".join(pieces) == whole
    assert not list(cache.folder.glob("*-*.data"))


def test_the_files_of_a_version_leave_the_cache_with_it(api):
    get(api, "?f=csv")
    get(api, "?f=parquet")
    cache = api.services.datasets.cache.folder
    assert len(list(cache.glob("*.data"))) == 3

    api.client.delete("/datasets/numbers")
    api.services.datasets.tidy()

    assert not list(cache.glob("*.data"))


def test_parts_of_a_file_are_those_of_the_coding(api):
    whole = get(api, "?f=csv", Accept_Encoding="gzip")
    part = get(api, "?f=csv", Accept_Encoding="gzip", Range="bytes=100-299")
    last = get(api, "?f=csv", Accept_Encoding="gzip", Range="bytes=-50", If_Range=whole.headers["ETag"])
    weak = get(api, "?f=csv", Accept_Encoding="gzip", Range="bytes=0-1", If_Range=f"W/{whole.headers['ETag']}")
    changed = get(api, "?f=csv", Accept_Encoding="gzip", Range="bytes=0-1", If_Range='"other"')
    beyond = get(api, "?f=csv", Range="bytes=9999999-")

    assert (part.status_code, part.data) == (206, whole.data[100:300])
    assert part.headers["Content-Range"] == f"bytes 100-299/{len(whole.data)}"
    assert part.headers["Content-Encoding"] == "gzip"
    assert (last.status_code, last.data) == (206, whole.data[-50:])
    assert (changed.status_code, changed.data) == (weak.status_code, weak.data) == (200, whole.data)
    assert (beyond.status_code, beyond.headers["Content-Range"]) == (416, f"bytes */{len(get(api, '?f=csv').data)}")
    described = api.get("/api").json["paths"]["/datasets/{datasetName}/rows"]["get"]["responses"]
    assert {str(answer.status_code) for answer in (whole, part, beyond)} <= described.keys()


def test_groups_have_a_weak_etag_which_if_match_never_matches(api):
    """Sums of doubles may differ in their last digits: DuckDB adds them in any order."""
    asked = f"{fixed(api)}/aggregate?groupby=text&metrics=mean(number)"
    etag = api.get(asked).headers["ETag"]

    assert etag.startswith('W/"')
    for path in (asked, asked.replace(f"/versions/{api.version}", "")):
        known = api.get(path).headers["ETag"]
        assert api.get(path, If_None_Match=known).status_code == 304
        assert api.get(path, If_None_Match=known.removeprefix("W/")).status_code == 304
        assert api.get(path, If_Match="*").status_code == 200
        for tag in (known, known.removeprefix("W/")):
            refused = api.get(path, If_Match=tag)
            assert (refused.status_code, "weak" in refused.json["detail"]) == (412, True)


@pytest.mark.parametrize("query", ["/rows", "/rows?f=ndjson", "/rows?f=csv", "/rows?f=parquet"])
def test_what_if_match_does_not_name_is_not_sent(api, query):
    def asked(**headers):
        with api.get(f"/datasets/numbers{query}", **headers) as answer:
            answer.get_data()
        return answer

    etag = asked().headers["ETag"]

    for tags in ("*", etag, f'"other", {etag}'):
        assert asked(If_Match=tags).status_code == 200
        assert asked(If_Match=tags, If_None_Match=etag).status_code == 304
    for tags in ('"other"', f"W/{etag}"):
        for more in ({}, {"Range": "bytes=1-2"}, {"If_None_Match": etag}):
            refused = asked(If_Match=tags, **more)
            assert (refused.status_code, refused.mimetype) == (412, "application/problem+json")
            assert etag in refused.json["detail"]
    assert asked(If_Match="").status_code == 400
    assert api.get(f"/datasets/absent{query}", If_Match="*").status_code == 404


def test_a_part_is_sent_of_what_if_match_names(api):
    whole = get(api, "?f=csv")

    part = get(api, "?f=csv", If_Match=whole.headers["ETag"], Range="bytes=100-199")

    assert (part.status_code, part.data) == (206, whole.data[100:200])


@pytest.mark.parametrize(
    ("asked", "status"),
    [("bytes=-9999999", 206), ("bytes=0-1,4-5", 200), ("lines=1-2", 200), ("bytes=5-2", 200), ("bytes=x", 200)],
)
def test_a_range_that_cannot_be_followed_gives_the_whole_file(api, asked, status):
    whole = get(api, "?f=parquet")

    answer = get(api, "?f=parquet", Range=asked)

    assert (answer.status_code, answer.data) == (status, whole.data)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "x", "", "1.5", "²", "9" * 100, "0000010009999"])
def test_a_limit_out_of_range_is_400(api, limit):
    response = get(api, f"?limit={limit}")

    assert response.status_code == 400
    assert response.json["errors"][0]["pointer"] == "limit"


def test_equal_etags_stand_for_equal_bytes(api):
    for queries in (("", "?limit=100", "?shape=objects"), ("?limit=5&sortby=text", "?sortby=text&f=json&limit=5")):
        answers = [get(api, query) for query in queries]
        assert len({(answer.headers["ETag"], answer.data, answer.headers["Link"]) for answer in answers}) == 1


def test_the_next_page_has_the_format_that_accept_asked_for(api):
    first = get(api, "?limit=2", Accept="application/x-ndjson")

    link = first.headers["Link"].split(">")[0].strip("<")
    with api.client.get(link) as following:
        lines = following.text.splitlines()

    assert [json.loads(line)["number"] for line in lines] == [2, 3]


def test_a_gzip_body_ends_properly(api):
    inflate = zlib.decompressobj(wbits=zlib.MAX_WBITS | 16)

    inflate.decompress(get(api, "?f=csv", Accept_Encoding="gzip").data)

    assert inflate.eof


def asked_of_redis(api):
    stats = api.services.jobs.client.info("commandstats")
    return sum(value["calls"] for name, value in stats.items() if name.startswith("cmdstat_fcall"))


def test_who_reads_page_by_page_asks_redis_once_a_second_at_most(api):
    get(api, path=fixed(api))
    before = asked_of_redis(api)
    began = time.monotonic()
    pages = [get(api, f"?limit=10&filter=number>{number}", fixed(api)) for number in range(20)]
    most = 1 + int((time.monotonic() - began) / KNOWN_SECONDS)
    assert {page.status_code for page in pages} == {200}
    assert asked_of_redis(api) - before <= most


def test_what_is_deleted_here_is_gone_at_once_and_what_is_deleted_elsewhere_within_seconds(api):
    assert get(api, path=fixed(api)).status_code == 200
    api.client.delete("/datasets/numbers")
    assert get(api, path=fixed(api)).status_code == 404
    put(api)
    assert get(api, "?limit=7", fixed(api)).status_code == 200
    Store(api.services.jobs.client, api.services.settings).delete("numbers")
    wait_until(lambda: get(api, "?limit=7", fixed(api)).status_code == 404, 5, "the version is gone")


def test_the_newest_version_is_the_newest_at_once(api):
    assert get(api, "?limit=1").json["rows"] == [{"number": 0, "text": "row 0"}]
    Store(api.services.jobs.client, api.services.settings).delete("numbers")
    assert get(api, "?limit=1").status_code == 404
    put(api, "a\n5\n")
    assert get(api, "?limit=1").json["rows"] == [{"a": 5}]
