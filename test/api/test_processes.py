"""Landing page, conformance, and the processes on offer."""

import json

import pytest

RELATIONS = "http://www.opengis.net/def/rel/ogc/1.0/"
DOCUMENTS = ["/", "/conformance", "/processes", "/processes/echo", "/api"]


def test_the_landing_page_leads_to_everything(api):
    links = {link["rel"]: link["href"] for link in api.get("/", Host="h").json["links"]}
    assert links["self"] == "http://h/"
    assert links[f"{RELATIONS}conformance"] == "http://h/conformance"
    assert links[f"{RELATIONS}processes"] == "http://h/processes"
    assert links[f"{RELATIONS}job-list"] == "http://h/jobs"
    assert links["service-desc"] == "http://h/api"


def test_every_link_of_the_landing_page_leads_somewhere(api):
    for link in api.get("/").json["links"]:
        response = api.get(link["href"])
        assert response.status_code == 200
        assert response.headers["Content-Type"] == link["type"]


def test_conformance_names_no_class_that_does_not_work_yet(api):
    classes = {uri.rpartition("/")[2] for uri in api.get("/conformance").json["conformsTo"]}
    assert classes == {"core", "ogc-process-description", "json", "oas30", "job-list", "callback", "dismiss"}


def test_the_list_has_every_process_with_a_link_to_its_description(api):
    listed = api.get("/processes", Host="h").json["processes"]
    assert [one["id"] for one in listed] == sorted(api.services.registry)
    (echo,) = [one for one in listed if one["id"] == "echo"]
    assert {"href": "http://h/processes/echo", "rel": "self"}.items() <= echo["links"][0].items()


def test_a_process_describes_its_inputs_and_outputs(api):
    echo = api.get("/processes/echo").json
    assert echo["inputs"]["string"]["schema"] == {"type": "string"}
    assert echo["outputs"]["string"]
    assert f"{RELATIONS}execute" in {link["rel"] for link in echo["links"]}


@pytest.mark.parametrize(
    ("process", "options"),
    [("echo", {"sync-execute", "async-execute", "dismiss"}), ("long_running", {"async-execute", "dismiss"})],
)
def test_waiting_is_offered_where_the_time_limit_is_within_the_longest_wait(api, process, options):
    assert set(api.get(f"/processes/{process}").json["jobControlOptions"]) == options
    summary = next(one for one in api.get("/processes").json["processes"] if one["id"] == process)
    assert set(summary["jobControlOptions"]) == options


def test_a_process_that_is_not_there_is_404_with_the_standards_type(api):
    response = api.get("/processes/nothing")
    assert response.status_code == 404
    assert response.json["type"].endswith("/no-such-process")


def test_the_list_is_paged_by_next_links_without_a_gap(api):
    found, url = [], "/processes?limit=3"
    while url:
        page = api.get(url)
        assert len(page.json["processes"]) <= 3
        found += [one["id"] for one in page.json["processes"]]
        url = next((link["href"] for link in page.json["links"] if link["rel"] == "next"), "")
        assert ("next" in page.headers.get("Link", "")) == bool(url)
    assert found == sorted(api.services.registry)


@pytest.mark.parametrize("limit", ["0", "-1", "10001", "x", "", "1.5", "²", "9" * 100, "0000010009999"])
def test_a_limit_out_of_range_is_400(api, limit):
    response = api.get(f"/processes?limit={limit}")
    assert response.status_code == 400
    assert response.json["errors"][0]["pointer"] == "limit"


@pytest.mark.parametrize("path", DOCUMENTS)
def test_a_client_that_holds_the_document_gets_304(api, path):
    first = api.get(path)
    again = api.get(path, If_None_Match=first.headers["ETag"])
    assert again.status_code == 304
    assert again.data == b""
    assert again.headers["ETag"] == first.headers["ETag"]
    assert api.get(path, If_None_Match='"other"').status_code == 200


@pytest.mark.parametrize("path", DOCUMENTS)
def test_json_is_given_whatever_is_accepted_and_an_unknown_format_is_400(api, path):
    assert json.loads(api.get(path, Accept="text/html").data)
    assert api.get(f"{path}?f=json").status_code == 200
    assert api.get(f"{path}?f=html").status_code == 400


@pytest.mark.parametrize("path", DOCUMENTS)
def test_head_says_what_get_would(api, path):
    head, get = api.client.head(path), api.get(path)
    assert head.status_code == 200
    assert head.data == b""
    assert head.headers["Content-Length"] == get.headers["Content-Length"]


@pytest.mark.parametrize("path", ["/processes", "/processes/echo", "/api"])
def test_without_the_role_to_read_the_processes_are_not_shown(make_api, path):
    assert make_api(anonymous="none").get(path).status_code == 403
