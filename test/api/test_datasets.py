"""Data sets through the API: uploaded, looked at, described, deleted; by whom, and with which errors."""

import io
import json

import pytest

from gristmill.datasets.reading import Readings
from gristmill.presence import CLIENT, Client
from gristmill.tokens import new_token

BIRDS = """species,mass,when
Adelie,3750,2007-11-11
Gentoo,NA,2008-01-02
Chinstrap,3800.5,2009-05-06
"""


@pytest.fixture
def api(make_api, tmp_path):
    made = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0)
    yield made
    made.services.datasets.close()


def put(api, body=BIRDS, name="birds", query="null=NA", content_type="text/csv", **headers):
    headers = {header.replace("_", "-"): value for header, value in headers.items()}
    return api.client.put(f"/datasets/{name}?{query}", data=body, content_type=content_type, headers=headers)


def test_an_upload_becomes_a_version_with_its_columns(api):
    response = put(api)
    assert response.status_code == 201
    assert response.headers["Location"].endswith("/datasets/birds")
    told = response.json
    assert told["rows"] == 3
    assert [(column["name"], column["kind"]) for column in told["columns"]] == [
        ("species", "text"), ("mass", "number"), ("when", "date"),
    ]  # fmt: skip
    mass = told["columns"][1]
    assert (mass["nulls"], mass["minimum"], mass["maximum"]) == (1, 3750.0, 3800.5)
    assert api.get("/datasets/birds").json == told
    assert [one["name"] for one in api.get("/datasets").json["datasets"]] == ["birds"]


def test_the_same_content_is_the_same_version_and_other_content_the_next(api):
    first = put(api).json
    assert put(api).status_code == 200
    second = put(api, BIRDS + "Adelie,1,2010-01-01\n")
    assert second.status_code == 201
    assert [one["version"] for one in second.json["versions"]] == [second.json["version"], first["version"]]
    old = api.get(f"/datasets/birds/versions/{first['version']}").json
    assert old["rows"] == 3
    assert old["reading"]["nulls"] == ["NA"]


def test_a_part_of_a_file_does_not_become_the_data_set(api):
    refused = put(api, BIRDS[20:], Content_Range=f"bytes 20-{len(BIRDS) - 1}/{len(BIRDS)}")
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (400, "Content-Range")
    assert "send the whole file" in refused.json["detail"]
    assert api.get("/datasets/birds").status_code == 404


def test_a_changed_data_set_is_not_overwritten_by_who_has_not_seen_the_change(api):
    etag = put(api, If_None_Match="*").headers["ETag"]
    present = put(api, BIRDS + "a,1,2010-01-01\n", If_None_Match="*")
    assert present.status_code == 412
    assert "'birds' is there already" in present.json["detail"]
    assert put(api, BIRDS + "a,1,2010-01-01\n", If_Match=etag).status_code == 201
    refused = put(api, BIRDS + "b,1,2010-01-01\n", If_Match=etag)
    assert refused.status_code == 412
    assert refused.json["type"] == "urn:gristmill:problem:precondition-failed"
    assert put(api, BIRDS, If_Match=f"W/{etag}").status_code == 412
    assert api.client.delete("/datasets/birds", headers={"If-Match": etag}).status_code == 412


class Watched(io.BytesIO):
    """A body that calls when it is read."""

    def __init__(self, body, when_read):
        super().__init__(body)
        self.when_read = when_read

    def read(self, size=-1):
        self.when_read()
        return super().read(size)

    def readinto(self, buffer):
        self.when_read()
        return super().readinto(buffer)


@pytest.mark.parametrize(
    ("headers", "size", "status", "said"),
    [
        ({"If-None-Match": "*"}, 100, 412, "there already"),
        ({"If-Match": '"1"'}, 100, 412, "its revision is now"),
        ({}, 2000, 413, "GRISTMILL_DATASET_SENT_BYTES"),
    ],
)
def test_an_upload_that_cannot_be_taken_is_refused_unread(make_api, tmp_path, headers, size, status, said):
    api = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0, dataset_sent_bytes=1000)
    put(api)
    read = []
    body = Watched(b"x" * size, lambda: read.append(1))

    refused = api.client.put("/datasets/birds", input_stream=body, content_type="text/csv", headers=headers)

    api.services.datasets.close()
    assert (refused.status_code, read) == (status, [])
    assert said in refused.json["detail"]


def test_a_change_while_an_upload_comes_in_is_noticed_at_its_end(api):
    etag = put(api).headers["ETag"]
    read = []

    def change():
        read.append(1)
        put(api, BIRDS + "faster,1,2010-01-01\n")

    body = Watched(BIRDS.encode() + b"\n", change)
    refused = api.client.put("/datasets/birds", input_stream=body, content_type="text/csv", headers={"If-Match": etag})
    assert read
    assert (refused.status_code, refused.json["type"]) == (412, "urn:gristmill:problem:precondition-failed")


@pytest.mark.parametrize(
    ("query", "content_type", "status", "said"),
    [
        ("", "", 415, "without a Content-Type"),
        ("", "application/x-www-form-urlencoded", 415, "format="),
        ("", "multipart/form-data; boundary=x", 415, "Send the file itself, with its Content-Type: curl -T FILE"),
        ("format=csv", "multipart/form-data; boundary=x", 415, "a form with the file in it"),
        (
            "",
            "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
            415,
            "Export the sheet as CSV (UTF-8)",
        ),
        ("format=xlsx", "text/csv", 400, "xlsx"),
        ("header=maybe", "text/csv", 400, "true or false"),
        ("type=mass", "text/csv", 400, "COLUMN:TYPE"),
        ("type=mass:GEOMETRY", "text/csv", 400, "GEOMETRY"),
        ("delimeter=;", "text/csv", 400, "delimiter"),
        ("", "application/json", 422, "JSON"),
    ],
)
def test_what_cannot_be_read_as_asked_says_what_would_be_right(api, query, content_type, status, said):
    response = put(api, query=query, content_type=content_type)
    assert response.status_code == status, response.json
    assert said in response.json["detail"]
    assert api.get("/datasets").json["datasets"] == []


def test_csv_that_a_browser_sends_as_excels_is_read_and_a_workbook_is_told(api):
    excel = "application/vnd.ms-excel"
    assert put(api, content_type=excel).json["version"] == put(api, content_type="text/csv").json["version"]

    workbook = put(api, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(100), content_type=excel)
    assert workbook.status_code == 422
    assert "an old Excel workbook (.xls). Export the sheet as CSV" in workbook.json["detail"]


def test_a_malformed_line_is_named_and_nothing_of_the_upload_remains(api, tmp_path):
    response = put(api, BIRDS + "one,2\n")
    assert response.status_code == 422
    assert "line 5" in response.json["detail"].lower()
    assert api.get("/datasets").json["datasets"] == []
    assert not list((tmp_path / "data" / "uploads").rglob("*.parquet"))


def test_types_and_options_can_be_given(api):
    told = put(api, "a;b\n1,5;007\n", query="delimiter=%3B&decimal=,&type=b:VARCHAR").json
    assert [(column["type"], column["minimum"]) for column in told["columns"]] == [("DOUBLE", 1.5), ("VARCHAR", "007")]


def test_the_charset_of_the_content_type_is_an_encoding(api):
    latin = "species\nMöwe€\n".encode("cp1252")

    for charset in ("ISO-8859-1", "windows-1252"):
        told = put(api, latin, content_type=f"text/csv; charset={charset}").json
        assert told["columns"][0]["minimum"] == "Möwe€"
    assert put(api, latin, content_type="text/csv; charset=utf-8").status_code == 422
    assert put(api, latin, query="encoding=utf-8", content_type="text/csv; charset=latin1").status_code == 422


def test_a_charset_that_is_not_read_is_refused_by_name(api):
    latin = "species\nMöwe\n".encode("latin-1")
    refused = put(api, latin, content_type="text/csv; charset=windows-1250")
    assert (refused.status_code, "charset=windows-1250" in refused.json["detail"]) == (400, True)
    assert put(api, latin, query="encoding=cp1252", content_type="text/csv; charset=windows-1250").status_code == 201


def test_the_content_type_says_whether_there_is_a_header(api):
    def columns(content_type, query=""):
        return [one["name"] for one in put(api, "a\nb\n", query=query, content_type=content_type).json["columns"]]

    assert columns("text/csv; header=absent") == ["column_1"]
    assert columns("text/csv; charset=utf-8; header=Present") == ["a"]
    assert columns("text/csv; header=absent", "header=true") == ["a"]
    assert put(api, "a\nb\n", query="header=", content_type="text/csv; header=absent").status_code == 400
    refused = put(api, "a\nb\n", content_type="text/csv; header=none")
    assert (refused.status_code, "header=present or header=absent" in refused.json["detail"]) == (400, True)
    assert put(api, '[{"a":1}]', content_type="application/json; header=absent").status_code == 400


def test_a_description_is_patched_without_a_new_version(api):
    version = put(api).json["version"]
    patch = {"title": "Birds", "columns": {"mass": {"unit": "g", "description": "Body mass"}}}
    told = api.client.patch("/datasets/birds", json=patch)
    assert told.status_code == 200
    assert told.json["title"] == "Birds"
    assert told.json["columns"][1]["unit"] == "g"
    assert told.json["version"] == version
    told = api.client.patch("/datasets/birds", json={"title": None, "columns": {"mass": {"unit": None}}}).json
    assert "title" not in told
    assert "unit" not in told["columns"][1]
    wrong = api.client.patch("/datasets/birds", json={"tittle": "x", "columns": {"mas": {"unit": "g"}}})
    assert wrong.status_code == 400
    assert {fault["pointer"] for fault in wrong.json["errors"]} == {"/tittle", "/columns/mas"}


def test_an_upload_whose_client_has_gone_when_it_was_read_is_dropped(api, monkeypatch):
    read, client = Readings.read, Client()

    def read_for_nobody(*args):
        facts = read(*args)
        client.is_gone = True
        return facts

    monkeypatch.setattr(Readings, "read", read_for_nobody)
    before = CLIENT.set(client)
    try:
        assert put(api).status_code == 499
    finally:
        CLIENT.reset(before)
    monkeypatch.undo()
    assert api.client.get("/datasets/birds").status_code == 404
    assert put(api).status_code == 201


def test_a_deleted_data_set_is_gone_with_its_versions(api):
    version = put(api).json["version"]
    assert api.client.delete("/datasets/birds").status_code == 200
    for path in ("/datasets/birds", f"/datasets/birds/versions/{version}", "/datasets/birds/rows"):
        response = api.get(path)
        assert response.status_code == 404
        assert response.json["type"] == "urn:gristmill:problem:no-such-data-set"
    assert api.client.delete("/datasets/birds").status_code == 404


def test_an_upload_is_answered_with_what_is_said_about_the_data_set(api):
    put(api)
    api.client.patch("/datasets/birds", json={"title": "Birds", "columns": {"mass": {"unit": "g"}}})

    for body in (BIRDS, BIRDS + "Adelie,1,2010-01-01\n"):
        told = put(api, body).json

        assert (told["title"], told["columns"][1]["unit"]) == ("Birds", "g")
        assert told == api.get("/datasets/birds").json


def test_an_upload_is_answered_as_such_though_its_data_set_is_deleted_at_once(api, monkeypatch):
    store = api.services.datasets.store
    commit = store.commit

    def commit_and_delete(*args, **options):
        stored = commit(*args, **options)
        store.delete("birds")
        return stored

    monkeypatch.setattr(store, "commit", commit_and_delete)

    response = put(api)

    assert response.status_code == 201
    assert [column["name"] for column in response.json["columns"]] == ["species", "mass", "when"]
    assert api.get("/datasets/birds").status_code == 404


def test_lists_go_on_where_a_page_ends(api):
    for name in ("a", "b1", "b2", "c"):
        put(api, "x\n1\n", name)
    page = api.get("/datasets?limit=2&prefix=b").json
    assert [one["name"] for one in page["datasets"]] == ["b1", "b2"]
    page = api.get("/datasets?limit=3").json
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    assert [one["name"] for one in api.get(following).json["datasets"]] == ["c"]


def test_only_the_owner_and_the_role_manage_change_a_data_set(make_api, make_settings, tmp_path):
    file = tmp_path / "tokens"
    tokens = {
        name: new_token(make_settings("", token_file=file), name, role)
        for name, role in (("ann", "run"), ("bob", "run"), ("eve", "read"), ("kim", "manage"))
    }
    api = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0, token_file=file, anonymous="none")

    def asked(method, who, **more):
        headers = {"Authorization": f"Bearer {tokens[who]}"} | more.pop("headers", {})
        return getattr(api.client, method)("/datasets/birds", headers=headers, **more).status_code

    csv = {"data": "x\n1\n", "content_type": "text/csv"}
    assert asked("put", "eve", **csv) == 403
    assert api.client.put("/datasets/birds", **csv).status_code == 401
    assert asked("put", "ann", **csv) == 201
    assert asked("get", "eve") == 200
    assert asked("put", "bob", **csv) == 403
    assert asked("patch", "bob", json={"title": "x"}) == 403
    assert asked("delete", "bob") == 403
    assert asked("patch", "kim", json={"title": "x"}) == 200
    assert asked("delete", "ann") == 200
    api.services.datasets.close()


# Rows


def test_rows_come_in_pages_in_each_format(api):
    put(api)
    page = api.get("/datasets/birds/rows?limit=2").json
    assert page["rows"] == [
        {"species": "Adelie", "mass": 3750.0, "when": "2007-11-11"},
        {"species": "Gentoo", "mass": None, "when": "2008-01-02"},
    ]
    assert (page["numberReturned"], page["numberMatched"]) == (2, 3)
    following = next(link["href"] for link in page["links"] if link["rel"] == "next")
    last = api.get(following).json
    assert [row["species"] for row in last["rows"]] == ["Chinstrap"]
    assert not [link for link in last["links"] if link["rel"] == "next"]
    assert api.get("/datasets/birds/rows?shape=arrays&properties=when,species").json["rows"][0] == [
        "2007-11-11", "Adelie",
    ]  # fmt: skip
    lines = api.get("/datasets/birds/rows?f=ndjson").text.splitlines()
    assert [json.loads(line)["species"] for line in lines] == ["Adelie", "Gentoo", "Chinstrap"]
    with api.get("/datasets/birds/rows?f=csv") as csv, api.get("/datasets/birds/rows?f=parquet") as parquet:
        assert csv.text == BIRDS.replace("NA", "").replace("3750", "3750.0")
        assert parquet.data[:4] == b"PAR1"


def test_rows_are_filtered_and_sorted(api):
    put(api)
    query = {"filter": "mass >= 3750", "sortby": "-mass"}
    rows = api.client.get("/datasets/birds/rows", query_string=query).json["rows"]
    assert [row["species"] for row in rows] == ["Chinstrap", "Adelie"]
    wrong = api.client.get("/datasets/birds/rows", query_string={"filter": "masss > 3750"})
    assert wrong.status_code == 400
    assert "mass" in wrong.json["detail"]


def test_groups_have_metrics(api):
    put(api, "g,x\na,1\na,3\nb,5\n", query="")
    told = api.get("/datasets/birds/aggregate?groupby=g&metrics=mean(x),count()").json
    assert told["rows"] == [{"g": "a", "mean(x)": 2.0, "count()": 2}, {"g": "b", "mean(x)": 5.0, "count()": 1}]


def test_groups_beyond_the_limit_are_left_out_and_it_is_said(api):
    put(api, "g,x\na,1\na,3\nb,5\n", query="")
    cut, whole = (api.get(f"/datasets/birds/aggregate?groupby=g&limit={limit}").json for limit in (1, 2))
    assert (cut["cut"], [row["g"] for row in cut["rows"]]) == (True, ["a"])
    assert (whole["cut"], [row["g"] for row in whole["rows"]]) == (False, ["a", "b"])


def test_a_page_that_the_client_holds_is_304_and_that_of_a_version_never_changes(api):
    version = put(api).json["version"]
    newest = api.get("/datasets/birds/rows")
    assert newest.headers["Cache-Control"] == "no-cache"
    assert api.get("/datasets/birds/rows", If_None_Match=newest.headers["ETag"]).status_code == 304
    fixed = api.get(f"/datasets/birds/versions/{version}/rows")
    assert "immutable" in fixed.headers["Cache-Control"]
    put(api, BIRDS + "Adelie,1,2010-01-01\n")
    assert api.get("/datasets/birds/rows", If_None_Match=newest.headers["ETag"]).status_code == 200
    assert api.get(f"/datasets/birds/versions/{version}/rows").json["numberReturned"] == 3


def test_a_file_is_sent_in_parts_where_the_client_asks_for_some(api):
    put(api)
    with (
        api.get("/datasets/birds/rows?f=csv") as whole,
        api.get("/datasets/birds/rows?f=csv", Range="bytes=3-9") as part,
    ):
        assert int(whole.headers["Content-Length"]) == len(whole.data)
        assert part.status_code == 206
        assert part.data == whole.data[3:10]


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=x", "f=xml", "shape=round", "x=1", "cursor=nonsense", "f=csv&limit=3", "sortby=nothing"]
)
def test_a_wrong_parameter_is_named(api, query):
    put(api)
    response = api.get(f"/datasets/birds/rows?{query}")
    assert response.status_code == 400
    assert response.json["errors"][0]["pointer"] in query


@pytest.mark.parametrize(
    ("path", "name"),
    [
        ("/datasets/birds/rows?filter=mass>1&filter=mass<9", "filter"),
        ("/datasets/birds/rows?limit=1&limit=1", "limit"),
        ("/datasets/birds/rows?f=csv&f=json", "f"),
        ("/datasets/birds/aggregate?metrics=count()&metrics=sum(mass)", "metrics"),
        ("/datasets/birds?f=json&f=json", "f"),
        ("/datasets?prefix=a&prefix=b", "prefix"),
        ("/processes?limit=1&limit=2", "limit"),
        ("/jobs?datetime=2026-11-01&datetime=2026-11-02", "datetime"),
        ("/jobs?limit=1&limit=2", "limit"),
    ],
)
def test_a_parameter_of_which_one_would_be_ignored_is_refused(api, path, name):
    put(api)
    refused = api.get(path)
    assert refused.status_code == 400
    assert refused.json["errors"] == [{"pointer": name, "detail": "may stand here only once"}]


@pytest.mark.parametrize(
    ("query", "name"),
    [("decimal=,&decimal=.", "decimal"), ("header=true&header=false", "header"), ("format=csv&format=tsv", "format"),
     ("type=mass:VARCHAR&type=mass:DOUBLE", "type")],
)  # fmt: skip
def test_an_upload_that_says_two_things_of_one_is_refused(api, query, name):
    refused = put(api, query=query)
    assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (400, name)


@pytest.mark.parametrize(
    ("query", "name", "said"),
    [
        ("type=mass:GEOMETRY", "type", "mass: "),
        ("type=absent/x:DATE", "type", "absent/x: "),
        ("null='%0A'", "null", ""),
    ],
)
def test_a_wrong_option_of_reading_is_told_by_its_parameter(api, query, name, said):
    (fault,) = put(api, query=query).json["errors"]
    assert fault["pointer"] == name
    assert fault["detail"].startswith(said)


def test_what_may_be_repeated_is_heard_each_time(api):
    read = put(api, "a,b,c\n1,-,2\n?,3,4\n", query="null=-&null=?&type=a:VARCHAR&type=c:DOUBLE").json["columns"]
    assert [(column["type"], column["nulls"]) for column in read] == [("VARCHAR", 1), ("BIGINT", 1), ("DOUBLE", 0)]
    assert api.get("/jobs?status=failed&status=running&type=process&type=other").status_code == 200


@pytest.mark.parametrize("method", ["get", "patch", "delete"])
def test_a_version_is_no_parameter_of_a_data_set_and_the_fault_says_where_it_is(api, method):
    put(api)
    body = {"json": {"title": "Birds"}} if method == "patch" else {}
    refused = api.client.open("/datasets/birds?version=0123", method=method.upper(), **body)
    assert refused.status_code == 400
    assert refused.json["errors"][0]["pointer"] == "version"
    assert "a version is at http://localhost/datasets/birds/versions/VERSION" in refused.json["detail"]
    assert "title" not in api.get("/datasets/birds").json


def test_a_version_has_no_parameters_and_head_is_refused_as_get_is(api):
    here = f"/datasets/birds/versions/{put(api).json['version']}"
    assert api.client.get(f"{here}?limit=1").status_code == api.client.head(f"{here}?limit=1").status_code == 400
    assert api.client.head(f"{here}?f=json").status_code == 200


@pytest.mark.parametrize(
    ("method", "path", "name"),
    [
        ("get", "/datasets?q=birds", "q"),
        ("get", "/datasets/birds?limit=1", "limit"),
        ("delete", "/datasets/birds?force=true", "force"),
        ("get", "/datasets/birds/rows?version=0123", "version"),
        ("get", "/datasets/birds/aggregate?by=species", "by"),
        ("put", "/datasets/birds?version=0123", "version"),
    ],
)
def test_an_unknown_parameter_is_refused_with_those_there_are(api, method, path, name):
    put(api)
    refused = api.client.open(path, method=method.upper(), data=BIRDS.encode() if method == "put" else None)
    assert refused.status_code == 400
    assert refused.json["errors"][0]["pointer"] == name
    assert api.get("/datasets/birds").status_code == 200


@pytest.mark.parametrize("method", ["get", "put"])
def test_very_many_unknown_parameters_are_counted(api, method):
    query = "&".join(f"p{number}=" for number in range(8000))
    path = "/datasets/birds/rows" if method == "get" else "/datasets/birds"
    refused = api.client.open(f"{path}?{query}", method=method.upper(), content_type="text/csv")
    assert (refused.status_code, refused.json["errors"][-1]["detail"]) == (400, "has 7,900 more faults")
    assert len(refused.data) < 50_000


@pytest.mark.parametrize("query", ["rows?filter=", "rows?f=csv&filter=", "aggregate?filter=", "rows?filter=+"])
def test_an_empty_filter_is_refused_and_not_taken_for_none(api, query):
    version = put(api).json["version"]
    for here in ("/datasets/birds", f"/datasets/birds/versions/{version}"):
        with api.get(f"{here}/{query.partition('filter=')[0]}") as every:
            refused = api.get(f"{here}/{query}", If_None_Match=every.headers["ETag"])
        assert (refused.status_code, refused.json["errors"][0]["pointer"]) == (400, "filter")
        assert "It is empty. Leave the parameter out" in refused.json["detail"]


@pytest.mark.parametrize("name", ["brids", "No Name"])
@pytest.mark.parametrize("below", ["", "/rows", "/versions/0123"])
def test_a_data_set_that_is_not_there_is_404_with_where_to_look(api, name, below):
    missing = api.get(f"/datasets/{name}{below}")
    assert missing.status_code == 404
    assert f"There is no data set '{name}'; GET /datasets lists those there are." in missing.json["detail"]
