"""Results over HTTP: raw, several parts, documents, references."""

import base64
import json
from email import message_from_bytes
from email.policy import HTTP

import pytest
from support.by_hand import WorkerByHand

from gristmill.job import End

ASYNC = {"Prefer": "respond-async"}
PNG = bytes(range(256)) * 17


@pytest.fixture
def worker(api) -> WorkerByHand:
    return WorkerByHand(api.services.jobs, api.services.registry.offers(api.services.release))


@pytest.fixture
def finished(api, worker):
    """Return a function that runs a job with these outputs and these members of the execute request."""

    def finish(*outputs: tuple[str, str, bytes], **request: object) -> str:
        made = api.execute(headers=ASYNC, **request)
        assert made.status_code == 201, made.text
        return worker.succeed(*outputs)

    return finish


def parts_of(response) -> dict[str, tuple[str, bytes, str]]:
    """The parts of a multipart response: type, bytes and Content-Location by Content-ID."""
    head = b"Content-Type: " + response.headers["Content-Type"].encode() + b"\r\n\r\n"
    message = message_from_bytes(head + response.data, policy=HTTP)
    return {
        part["Content-ID"].strip("<>"): (
            part.get_content_type(),
            part.get_payload(decode=True),
            part.get("Content-Location", ""),
        )
        for part in message.iter_parts()
    }


def by_reference(*names: str) -> dict[str, object]:
    return {name: {"transmissionMode": "reference"} for name in names}


# Raw


@pytest.mark.parametrize(
    ("media_type", "sent", "data"),
    [
        ("text/plain", "text/plain; charset=utf-8", b"hello"),
        ("text/csv", "text/csv; charset=utf-8", "ä\n1\n".encode()),
        ("text/csv", "text/csv; charset=utf-8", b""),
        ("text/csv; header=present", "text/csv; header=present; charset=utf-8", b"a\n1\n"),
        ("text/csv; charset=latin-1", "text/csv; charset=latin-1", b"\xe4\n"),
        ("application/json", "application/json", b'{"a":1}'),
        ("image/png", "image/png", PNG),
        ("image/png", "image/png", PNG * 800),
    ],
)
def test_one_output_is_sent_as_itself_and_a_text_says_that_it_is_utf_8(api, finished, media_type, sent, data):
    job_id = finished(("string", media_type, data))
    answer = api.get(f"/jobs/{job_id}/results", Accept="application/json")
    assert (answer.status_code, answer.data) == (200, data)
    assert answer.headers["Content-Type"] == sent
    assert answer.headers["Content-Length"] == str(len(data))


def test_several_outputs_are_parts_in_their_order(api, finished):
    job_id = finished(
        ("string", "text/plain", b"hello"), ("number", "application/json", b"1.5"), ("binary", "image/png", PNG)
    )
    answer = api.get(f"/jobs/{job_id}/results")
    assert answer.headers["Content-Type"].startswith("multipart/related; boundary=")
    assert answer.headers["Content-Length"] == str(len(answer.data))
    assert answer.data.startswith(b"--")
    assert b"Content-Type: text/plain; charset=utf-8\r\n" in answer.data
    assert list(parts_of(answer).items()) == [
        ("string", ("text/plain", b"hello", "")),
        ("number", ("application/json", b"1.5", "")),
        ("binary", ("image/png", PNG, "")),
    ]


def test_only_what_was_asked_for_is_sent_in_the_order_asked_for(api, finished):
    outputs = (
        ("string", "text/plain", b"a"),
        ("number", "application/json", b"1"),
        ("integer", "application/json", b"2"),
    )
    job_id = finished(*outputs, outputs={"integer": {}, "string": {}})
    assert list(parts_of(api.get(f"/jobs/{job_id}/results"))) == ["integer", "string"]


def test_an_output_that_the_job_lacks_is_left_out(api, finished):
    job_id = finished(("string", "text/plain", b"a"), outputs={"string": {}, "number": {}})
    assert api.get(f"/jobs/{job_id}/results").data == b"a"


def test_no_outputs_named_means_all(api, finished):
    job_id = finished(("string", "text/plain", b"a"), ("number", "application/json", b"1"), outputs={})
    assert len(parts_of(api.get(f"/jobs/{job_id}/results"))) == 2


def test_references_are_204_with_links_that_work(api, finished):
    outputs = ("string", "text/plain", b"a"), ("number", "application/json", b"1")
    job_id = finished(*outputs, outputs=by_reference("string", "number"))
    answer = api.get(f"/jobs/{job_id}/results")
    assert (answer.status_code, answer.data) == (204, b"")
    assert "Content-Type" not in answer.headers
    links = answer.headers.getlist("Link")
    assert [link.partition(">")[0] for link in links] == [
        f"<http://localhost/jobs/{job_id}/results/number",
        f"<http://localhost/jobs/{job_id}/results/string",
    ]
    assert api.get(f"/jobs/{job_id}/results/number").data == b"1"


def test_a_mixture_has_an_empty_part_with_its_location_for_a_reference(api, finished):
    outputs = ("string", "text/plain", b"a"), ("number", "application/json", b"1")
    job_id = finished(*outputs, outputs={"string": {}} | by_reference("number"))
    parts = parts_of(api.get(f"/jobs/{job_id}/results"))
    assert parts["string"] == ("text/plain", b"a", "")
    assert parts["number"][1:] == (b"", f"http://localhost/jobs/{job_id}/results/number")


def test_a_job_without_outputs_is_204(api, finished):
    assert api.get(f"/jobs/{finished()}/results").status_code == 204


# Documents


def test_a_document_holds_each_output_as_the_standard_says(api, finished):
    job_id = finished(
        ("string", "text/plain", 'é "quoted"'.encode()),
        ("number", "application/json", b"1.5"),
        ("array", "application/json", b"[1,2]"),
        ("object", "application/json", b' {"a": 1}'),
        ("binary", "image/png", PNG),
        ("table", "text/csv", b"x,y\n1,2\n"),
        ("shape", "application/geo+json", b'{"type":"Point"}'),
        ("latin", "text/plain", b"\xe9"),
        response="document",
    )
    answer = api.get(f"/jobs/{job_id}/results")
    assert answer.headers["Content-Type"] == "application/json"
    assert answer.headers["Content-Length"] == str(len(answer.data))
    document = answer.json
    binary = document.pop("binary")
    assert base64.b64decode(binary.pop("value"), validate=True) == PNG
    assert binary == {"encoding": "base64", "mediaType": "image/png"}
    assert document == {
        "string": 'é "quoted"',
        "number": 1.5,
        "array": [1, 2],
        "object": {"value": {"a": 1}},
        "table": {"value": "x,y\n1,2\n", "mediaType": "text/csv"},
        "shape": {"value": {"type": "Point"}, "mediaType": "application/geo+json"},
        "latin": {"value": "6Q==", "encoding": "base64", "mediaType": "text/plain"},
    }


@pytest.mark.parametrize("size", [0, 1, 2, 3, 2**20 - 1, 2**20, 2**20 + 1, 3 * 2**20 + 5])
def test_a_document_holds_bytes_of_any_size_whole(api, finished, size):
    data = (PNG * (size // len(PNG) + 1))[:size]
    answer = api.get(f"/jobs/{finished(('binary', 'image/png', data), response='document')}/results")
    assert base64.b64decode(answer.json["binary"]["value"], validate=True) == data
    assert answer.headers["Content-Length"] == str(len(answer.data))


def test_a_document_links_to_what_was_asked_for_by_reference(api, finished):
    job_id = finished(("string", "text/plain", b"a"), response="document", outputs=by_reference("string"))
    linked = api.get(f"/jobs/{job_id}/results").json["string"]
    assert linked["href"] == f"http://localhost/jobs/{job_id}/results/string"
    assert linked["type"] == "text/plain"


def test_f_json_is_always_the_document(api, finished):
    job_id = finished(("string", "text/plain", b"a"))
    assert api.get(f"/jobs/{job_id}/results?f=json").json == {"string": "a"}


# One output


def test_one_output_is_found_by_its_name(api, finished):
    job_id = finished(("string", "text/plain", b"a"), ("pic ture", "image/png", PNG))
    answer = api.get(f"/jobs/{job_id}/results/pic%20ture")
    assert (answer.data, answer.headers["Content-Type"]) == (PNG, "image/png")


def test_an_unknown_output_is_404_and_the_known_are_named(api, finished):
    refused = api.get(f"/jobs/{finished(('string', 'text/plain', b'a'))}/results/nope")
    assert refused.status_code == 404
    assert refused.json["type"] == "urn:gristmill:problem:no-such-output"
    assert "string" in refused.json["detail"]


def test_no_browser_runs_what_is_in_a_result(api, finished):
    headers = api.get(f"/jobs/{finished(('page', 'text/html', b'<script>'))}/results").headers
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert "sandbox" in headers["Content-Security-Policy"]


# Without a result


@pytest.mark.parametrize("below", ["/results", "/results/string", "/results?f=json"])
def test_an_unfinished_jobs_result_is_not_ready(api, below):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    refused = api.get(f"/jobs/{job_id}{below}")
    assert refused.status_code == 404
    assert refused.json["type"] == "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/result-not-ready"


@pytest.mark.parametrize("below", ["/results", "/results/string"])
def test_a_failed_job_answers_with_the_problem_that_ended_it(api, worker, below):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    worker.fail(End.TIMED_OUT, "more than 30 s")
    refused = api.get(f"/jobs/{job_id}{below}")
    assert refused.status_code == 500
    assert refused.json["type"] == "urn:gristmill:problem:timed-out"
    assert refused.json["detail"] == "more than 30 s"
    assert refused.json == api.get(f"/jobs/{job_id}").json["problem"] | {"instance": refused.json["instance"]}


def test_a_dismissed_job_has_no_result_for_good(api):
    job_id = api.execute(headers=ASYNC).json["jobID"]
    api.client.delete(f"/jobs/{job_id}")
    refused = api.get(f"/jobs/{job_id}/results")
    assert (refused.status_code, refused.json["type"]) == (410, "urn:gristmill:problem:job-dismissed")


# Conditional requests, HEAD, failures


@pytest.mark.parametrize("below", ["/results", "/results?f=json", "/results/string"])
@pytest.mark.parametrize("several", [False, True])
def test_an_unchanged_result_is_304(api, finished, below, several):
    outputs = [("string", "text/plain", b"a"), ("number", "application/json", b"1")]
    job_id = finished(*outputs[: 1 + several])
    etag = api.get(f"/jobs/{job_id}{below}").headers["ETag"]
    assert api.get(f"/jobs/{job_id}{below}", If_None_Match=etag).status_code == 304


def test_representations_have_etags_of_their_own(api, finished):
    job_id = finished(("string", "text/plain", b"a"), ("number", "application/json", b"1"))
    paths = ("/results", "/results?f=json", "/results/string", "/results/number")
    assert len({api.get(f"/jobs/{job_id}{path}").headers["ETag"] for path in paths}) == 4


@pytest.mark.parametrize("size", [10, 3 * 2**20])
def test_head_tells_the_length_and_sends_nothing(api, finished, size):
    head = api.client.head(f"/jobs/{finished(('binary', 'image/png', b'x' * size))}/results")
    assert (head.headers["Content-Length"], head.data) == (str(size), b"")


def test_a_result_whose_bytes_are_gone_is_no_empty_200(api, finished, key_prefix):
    job_id = finished(("binary", "image/png", b"x" * 3 * 2**20))
    client = api.services.jobs.client
    for key in client.scan_iter(f"{key_prefix}:b:*:0"):
        client.delete(key)
    assert api.get(f"/jobs/{job_id}/results").status_code == 404


def test_a_long_result_that_breaks_midway_breaks_the_response(api, finished, key_prefix):
    job_id = finished(("binary", "image/png", b"x" * 3 * 2**20))
    client = api.services.jobs.client
    for key in client.scan_iter(f"{key_prefix}:b:*:2"):
        client.delete(key)
    answer = api.client.get(f"/jobs/{job_id}/results", buffered=False)
    assert answer.headers["Content-Length"] == str(3 * 2**20)
    with pytest.raises(Exception, match="deleted"):
        list(answer.response)


def test_synchronous_execution_answers_as_the_results_do(api, work):
    work(api)
    sync = api.execute(response="document")
    job_id = api.get("/jobs").json["jobs"][0]["jobID"]
    assert sync.json == api.get(f"/jobs/{job_id}/results").json
    assert json.loads(sync.data)["string"] == "hello"
