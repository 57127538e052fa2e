"""Running a process over HTTP."""

import json
import threading
import time

import pytest
from support import wait_until

from gristmill.api.places import Places
from gristmill.job import JobFilter, Status

ASYNC = {"Prefer": "respond-async"}
OGC = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/"


def job_of(api, response):
    return api.services.jobs.get(response.headers["Location"].rpartition("/")[2])


# How a request is answered: at once, or with the result


def test_respond_async_is_answered_at_once_with_the_jobs_status_and_its_location(api):
    response = api.execute(headers=ASYNC)
    assert response.status_code == 201
    assert response.json["status"] == "accepted"
    assert response.headers["Location"].endswith(f"/jobs/{response.json['jobID']}")
    assert response.headers["Preference-Applied"] == "respond-async"
    assert job_of(api, response).status is Status.ACCEPTED


def test_without_a_preference_the_result_is_waited_for(api, work):
    work(api)
    response = api.execute(response="document")
    assert response.status_code == 200
    assert response.json == {"string": "hello"}
    assert "Preference-Applied" not in response.headers


def test_a_waited_for_result_names_its_job(api, work):
    work(api)
    response = api.execute()
    assert "rel=monitor" in response.headers["Link"]
    assert "/jobs/" in response.headers["Link"]


def test_a_process_that_may_take_longer_than_a_request_may_wait_is_always_asynchronous(api):
    response = api.execute("long_running", inputs={})
    assert response.status_code == 201
    assert "Preference-Applied" not in response.headers


@pytest.mark.parametrize("prefer", ["respond-sync", "handling=lenient, return=minimal", "wait=x"])
def test_unknown_preferences_change_nothing(api, work, prefer):
    work(api)
    assert api.execute(headers={"Prefer": prefer}).status_code == 200


def test_when_the_wait_is_over_the_job_goes_on_and_its_location_is_told(make_api):
    api = make_api(wait_seconds=30)
    began = time.monotonic()
    response = api.execute(headers={"Prefer": "wait=1"})
    assert response.status_code == 201
    assert 0.9 < time.monotonic() - began < 10
    assert response.headers["Preference-Applied"] == "respond-async, wait=1"
    assert job_of(api, response).status is Status.ACCEPTED


def test_no_request_waits_longer_than_the_setting_allows(make_api):
    api = make_api(wait_seconds=1)
    began = time.monotonic()
    response = api.execute("quick", inputs={}, headers={"Prefer": "wait=600"})
    assert response.status_code == 201
    assert 0.9 < time.monotonic() - began < 20


def test_respond_async_with_a_wait_gives_the_result_when_it_comes_in_time(api, work):
    work(api)
    response = api.execute(headers={"Prefer": "respond-async, wait=20"})
    assert response.status_code == 200
    assert response.headers["Preference-Applied"] == "wait=20"


def test_a_failed_job_is_answered_with_what_ended_it_and_a_link_to_the_job(api, work):
    work(api)
    response = api.execute("broken", inputs={"message": "the disk is flat"})
    assert response.status_code == 500
    assert response.mimetype == "application/problem+json"
    assert response.json["type"] == "urn:gristmill:problem:process-failed"
    assert "the disk is flat" in response.json["detail"]
    assert "rel=monitor" in response.headers["Link"]


def test_a_server_that_drains_ends_the_waits(api):
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(api.execute()))
    waiting.start()
    wait_until(lambda: api.services.places.taken == 1)
    api.services.draining.set()
    waiting.join(10)
    assert answers[0].status_code == 201


@pytest.mark.slow
def test_a_waited_for_job_is_not_lost_when_redis_goes_away_meanwhile(make_api, start_server):
    server = start_server("redis")
    api = make_api(redis_url=server.url)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(api.execute(headers={"Prefer": "wait=4"})))
    waiting.start()
    wait_until(lambda: api.services.jobs.list(JobFilter()).jobs)
    server.kill()
    waiting.join(60)
    server.start()
    assert answers[0].status_code == 201
    wait_until(lambda: job_of(api, answers[0]).status is Status.ACCEPTED)


def test_a_waited_for_result_comes_through_a_restart_of_redis(make_api, start_server, work):
    server = start_server("redis", appendfsync="always")
    api = make_api(redis_url=server.url)
    answers = []
    waiting = threading.Thread(target=lambda: answers.append(api.execute(response="document")))
    waiting.start()
    wait_until(lambda: api.services.jobs.list(JobFilter()).jobs)
    server.kill()
    server.start()
    work(api)
    waiting.join(60)
    assert answers[0].json == {"string": "hello"}


# Waiting has a cap


def test_above_the_cap_on_waiting_requests_503_says_when_to_come_back(make_api):
    api = make_api(services={"places": Places(0, 1)})
    response = api.execute()
    assert response.status_code == 503
    assert int(response.headers["Retry-After"]) > 0
    assert api.services.jobs.list(JobFilter()).jobs == ()


def test_the_cap_does_not_hold_up_requests_that_do_not_wait(make_api):
    api = make_api(services={"places": Places(0, 1)})
    assert api.execute(headers=ASYNC).status_code == 201


@pytest.mark.parametrize("outcome", ["result", "failure", "time-out", "refused"])
def test_a_place_is_given_back_whatever_the_end(make_api, work, outcome):
    api = make_api(queued_jobs_per_owner=1)
    if outcome == "refused":
        api.execute(headers=ASYNC)
    if outcome in {"result", "failure"}:
        work(api)
    api.execute(
        "broken" if outcome == "failure" else "echo",
        inputs={"message": "x"} if outcome == "failure" else {"string": "x"},
        headers={"Prefer": "wait=1"} if outcome == "time-out" else {},
    )
    assert api.services.places.taken == 0


# What is refused


def test_an_unknown_process_is_404_with_the_standards_problem_type(api):
    response = api.execute("nothing")
    assert response.status_code == 404
    assert response.json["type"] == f"{OGC}no-such-process"


def test_a_bad_execute_request_is_400_with_every_fault_and_its_pointer(api):
    response = api.execute(inputs={"number": "x", "integer": 1.5, "nonsense": 1})
    assert response.status_code == 400
    assert {fault["pointer"] for fault in response.json["errors"]} == {
        "/inputs/number",
        "/inputs/integer",
        "/inputs/nonsense",
        "/inputs/string",
    }


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ([], ""),
        ({"inputs": []}, "/inputs"),
        ({"inputs": {"string": "x"}, "response": "xml"}, "/response"),
        (
            {"inputs": {"string": "x"}, "outputs": {"string": {"transmissionMode": "post"}}},
            "/outputs/string/transmissionMode",
        ),
        ({"inputs": {"string": "x"}, "outputs": {"nothing": {}}}, "/outputs/nothing"),
        ({"inputs": {"string": "x"}, "subscriber": {"successUri": "file:///etc/passwd"}}, "/subscriber/successUri"),
        ({"inputs": {"string": "x"}, "subscriber": {"failedUri": "http://127.0.0.1/"}}, "/subscriber/failedUri"),
        ({"inputs": {"string": "x"}, "subscriber": {"failedUri": "HTTP://localhost:80/"}}, "/subscriber/failedUri"),
        ({"inputs": {"string": "x"}, "subscriber": {"failedUri": "http://[::1]/"}}, "/subscriber/failedUri"),
        ({"inputs": {"string": "x"}, "subscriber": {"failedUri": "http://2130706433/"}}, "/subscriber/failedUri"),
    ],
)
def test_a_malformed_execute_request_names_what_is_wrong_in_it(api, body, pointer):
    response = api.client.post("/processes/echo/execution", json=body)
    assert response.status_code == 400
    assert pointer in {fault["pointer"] for fault in response.json["errors"]}


def test_more_inputs_than_allowed_are_refused(make_api):
    api = make_api(inputs_per_job=3)
    response = api.execute(inputs={f"i{number}": 1 for number in range(4)})
    assert response.status_code == 400
    assert response.json["errors"][0]["pointer"] == "/inputs"


def test_faults_of_inputs_outputs_and_call_backs_are_told_together(api):
    response = api.execute(inputs={}, outputs={"nothing": {}}, subscriber={"successUri": "http://10.0.0.1/"})
    assert {fault["pointer"] for fault in response.json["errors"]} == {
        "/inputs/string",
        "/outputs/nothing",
        "/subscriber/successUri",
    }


def test_very_many_unknown_outputs_are_counted(api):
    body = {"inputs": {}, "outputs": {f"k{number}": {"format": "png"} for number in range(100_000)}}
    response = api.client.post("/processes/echo/execution", json=body)
    assert response.status_code == 400
    assert len(response.data) < 50_000
    assert [fault["pointer"] for fault in response.json["errors"]][:2] == ["/inputs/string", "/outputs/k0"]
    assert response.json["errors"][-1]["detail"] == "has 99,901 more faults"


@pytest.mark.parametrize("host", ["127.0.0.1", "LOCALHOST:99", "[::1]", "2130706433", "169.254.169.254"])
def test_a_reference_that_would_not_be_fetched_is_refused_at_once(make_api, host):
    inputs = {"string": "x", "binary": {"href": f"http://{host}/a", "type": "image/tiff"}}
    response = make_api().execute(inputs=inputs, headers=ASYNC)
    assert response.status_code == 400
    assert response.json["type"] == "urn:gristmill:problem:invalid-inputs"
    assert [fault["pointer"] for fault in response.json["errors"]] == ["/inputs/binary/href"]
    assert "GRISTMILL_FETCH_ALLOW" in response.json["detail"]


def test_a_reference_into_an_allowed_network_is_taken(make_api):
    inputs = {"string": "x", "binary": {"href": "http://127.0.0.1/a", "type": "image/tiff"}}
    assert make_api(fetch_allow="127.0.0.0/8").execute(inputs=inputs, headers=ASYNC).status_code == 201


def test_a_number_beyond_all_floats_is_refused(api):
    body = '{"inputs": {"string": "x"}, "other": 1e999}'
    response = api.client.post("/processes/echo/execution", data=body, content_type="application/json")
    assert response.status_code == 400


@pytest.mark.parametrize(("encoding", "status"), [("gzip", 415), ("br, gzip", 415), ("identity", 201), ("", 201)])
def test_a_compressed_body_is_refused_by_its_encoding_and_not_read_as_json(api, encoding, status):
    response = api.client.post(
        "/processes/echo/execution", json={"inputs": {"string": "x"}}, headers={**ASYNC, "Content-Encoding": encoding}
    )
    assert response.status_code == status


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/xml", "multipart/form-data", "application/x-www-form-urlencoded", ""]
)
def test_a_body_that_does_not_say_that_it_is_json_is_415(api, content_type):
    response = api.client.post(
        "/processes/echo/execution", data=b'{"inputs": {"string": "x"}}', content_type=content_type
    )
    assert response.status_code == 415
    assert response.json["type"] == "urn:gristmill:problem:unsupported-media-type"


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "application/geo+json", "Application/JSON"]
)
def test_json_is_recognised_by_its_media_type_however_written(api, content_type):
    response = api.client.post(
        "/processes/echo/execution", data=b'{"inputs": {"string": "x"}}', content_type=content_type, headers=ASYNC
    )
    assert response.status_code == 201


def test_a_body_above_the_limit_is_413(make_api):
    api = make_api(body_bytes=1000)
    assert api.execute(inputs={"string": "x" * 2000}).status_code == 413


def test_broken_json_is_400_with_line_and_column(api):
    response = api.client.post("/processes/echo/execution", data=b'{"inputs":\n {', content_type="application/json")
    assert response.status_code == 400
    assert "line 2" in response.json["detail"]


def test_no_accept_header_makes_execution_a_406(api, work):
    work(api)
    assert api.execute(headers={"Accept": "image/png"}).status_code == 200


# Idempotency-Key


def test_the_same_key_and_body_give_the_same_job(api):
    first = api.execute(headers=ASYNC | {"Idempotency-Key": "k-1"})
    again = api.execute(headers=ASYNC | {"Idempotency-Key": "k-1"})
    assert again.status_code == 201
    assert again.headers["Location"] == first.headers["Location"]
    assert (first.headers["Gristmill-Submission"], again.headers["Gristmill-Submission"]) == ("new", "replayed")


def test_the_body_may_be_written_differently_as_long_as_it_says_the_same(api):
    url, headers = "/processes/echo/execution", ASYNC | {"Idempotency-Key": "k-1"}
    first = api.client.post(
        url, data=b'{"inputs":{"string":"x","integer":1}}', content_type="application/json", headers=headers
    )
    again = api.client.post(
        url, data=b'{ "inputs": {"integer": 1, "string": "\\u0078"} }', content_type="application/json", headers=headers
    )
    assert again.headers["Location"] == first.headers["Location"]


def test_the_order_of_a_references_members_says_nothing(api):
    links = ['{"href": "https://a.org/x", "type": "text/csv"}', '{"type": "text/csv", "href": "https://a.org/x"}']
    bodies = [f'{{"inputs": {{"tables": {{"t": {link}}}, "query": "FROM t"}}}}' for link in links]
    bodies += [f'{{"inputs": {{"table": {link}}}}}' for link in links]

    def job(process, body, key):
        answer = api.client.post(f"/processes/{process}/execution", data=body, content_type="application/json",
                                 headers=ASYNC | {"Idempotency-Key": key})  # fmt: skip
        return answer.headers["Location"]

    assert job("sql", bodies[0], "k-1") == job("sql", bodies[1], "k-1")
    assert job("summary", bodies[2], "k-2") == job("summary", bodies[3], "k-2")


def test_the_same_key_with_another_body_is_422(api):
    api.execute(headers=ASYNC | {"Idempotency-Key": "k-1"})
    response = api.execute(inputs={"string": "other"}, headers=ASYNC | {"Idempotency-Key": "k-1"})
    assert response.status_code == 422
    assert response.json["type"] == "urn:gristmill:problem:idempotency-key-reused"


@pytest.mark.parametrize(
    ("table", "other"), [('{"a": [1], "b": [2]}', '{"b": [2], "a": [1]}'), ('[{"a": 1, "b": 2}]', '[{"b": 2, "a": 1}]')]
)
def test_a_table_with_its_columns_in_another_order_is_another_one(api, table, other):
    def ask(inputs, **headers):  # as text: Flask's client would sort the names
        url, body = "/processes/summary/execution", f'{{"inputs": {{{inputs}}}}}'
        return api.client.post(url, data=body, content_type="application/json", headers=ASYNC | headers)

    key = {"Idempotency-Key": "k-1"}
    answers = [ask(f'"table": {table}, "frequent": 1', **key), ask(f'"frequent": 1, "table": {table}')]
    answers += [ask(f'"table": {other}, "frequent": 1')]

    assert [answer.headers["Gristmill-Submission"] for answer in answers] == ["new", "joined", "new"]
    assert ask(f'"table": {other}, "frequent": 1', **key).status_code == 422


def test_a_key_counts_for_one_route_only(api):
    first = api.execute(inputs={"number": 3}, process="doubled", headers=ASYNC | {"Idempotency-Key": "k-1"})
    other = api.execute(headers=ASYNC | {"Idempotency-Key": "k-1"})
    assert other.status_code == 201
    assert other.headers["Location"] != first.headers["Location"]


def test_a_waited_for_request_that_is_repeated_waits_for_the_job_that_it_made(api, work):
    first = api.execute(headers=ASYNC | {"Idempotency-Key": "k-1"})
    work(api)
    again = api.execute(headers={"Idempotency-Key": "k-1"})
    assert again.status_code == 200
    assert first.json["jobID"] in again.headers["Link"]


@pytest.mark.parametrize("key", ["", "a b", "é", "x" * 256])
def test_a_malformed_key_is_400(api, key):
    response = api.execute(headers=ASYNC | {"Idempotency-Key": key})
    assert response.status_code == 400
    assert response.json["errors"][0]["pointer"] == "Idempotency-Key"


# Equal work


def test_equal_work_of_a_deterministic_process_is_answered_from_the_earlier_result_and_says_so(api, work):
    work(api)
    first = api.execute("doubled", inputs={"number": 21}, response="document")
    again = api.execute("doubled", inputs={"number": 21}, response="document")
    assert first.json == again.json == {"result": 42}
    assert again.headers["Gristmill-Submission"] == "copied"
    assert first.headers["Link"] != again.headers["Link"]


def test_equal_work_that_is_under_way_is_joined(api, work):
    first = api.execute("doubled", inputs={"number": 21}, headers=ASYNC)
    again = api.execute("doubled", inputs={"number": 21}, headers=ASYNC)
    assert again.headers["Gristmill-Submission"] == "joined"
    assert again.json["jobID"] != first.json["jobID"]
    work(api)
    for response in (first, again):
        wait_until(lambda response=response: job_of(api, response).status is Status.SUCCESSFUL)


def test_requests_that_wait_for_equal_work_all_get_its_result(api, work):
    answers = []
    ask = lambda: answers.append(api.execute("doubled", inputs={"number": 21}, response="document"))  # noqa: E731
    waiting = [threading.Thread(target=ask) for _ in range(4)]
    for thread in waiting:
        thread.start()
    wait_until(lambda: len(api.services.jobs.list(JobFilter()).jobs) == 4)
    work(api)
    for thread in waiting:
        thread.join(30)
    assert [answer.json for answer in answers] == [{"result": 42}] * 4
    assert sorted(answer.headers["Gristmill-Submission"] for answer in answers) == ["joined"] * 3 + ["new"]


def test_other_processes_are_run_every_time(api, work):
    work(api)
    api.execute()
    assert api.execute().headers["Gristmill-Submission"] == "new"


@pytest.mark.parametrize(
    ("process", "inputs", "how"),
    [
        ("doubled", {"number": {"href": "https://example.org/number.json"}}, "new"),
        ("how_many", {"tables": {"a": "x\n1\n", "b": {"href": "https://example.org/b.csv"}}}, "new"),
        ("how_many", {"tables": {"a": "x\n1\n"}}, "joined"),
    ],
)
def test_work_on_a_reference_is_never_equal(api, process, inputs, how):
    api.execute(process, inputs=inputs, headers=ASYNC)
    again = api.execute(process, inputs=inputs, headers=ASYNC)
    assert again.headers["Gristmill-Submission"] == how


# What the job gets


@pytest.mark.parametrize(("header", "priority"), [("u=0", 0), ("u=2, i", 2), ("u=7", 3), ("nonsense", 3)])
def test_the_priority_header_is_the_jobs_priority(api, header, priority):
    response = api.execute(headers=ASYNC | {"Priority": header})
    assert job_of(api, response).priority == priority


def test_the_job_keeps_its_inputs_as_they_came(api):
    inputs = {"string": "Grüße 😀", "object": {"z": 1, "a": [1.5, None, True]}}
    response = api.client.post(
        "/processes/echo/execution",
        data=json.dumps({"inputs": inputs}),
        content_type="application/json",
        headers=ASYNC,
    )
    kept = api.services.jobs.inputs(job_of(api, response))
    assert json.loads(kept) == inputs
    assert list(json.loads(kept)["object"]) == ["z", "a"]


def test_a_job_belongs_to_the_address_that_asked(api):
    assert job_of(api, api.execute(headers=ASYNC)).owner == "127.0.0.1"


def test_an_owner_with_too_many_unfinished_jobs_gets_429(make_api):
    api = make_api(queued_jobs_per_owner=1)
    api.execute(headers=ASYNC)
    response = api.execute(headers=ASYNC)
    assert response.status_code == 429
    assert response.headers["Retry-After"]


def test_a_role_that_only_reads_may_not_run(make_api):
    response = make_api(anonymous="read").execute(headers=ASYNC)
    assert response.status_code == 403


# Careless bodies


def test_a_refused_call_back_names_its_own_setting(api):
    response = api.execute(subscriber={"successUri": "http://10.0.0.1/"})
    assert "GRISTMILL_CALL_BACK_ALLOW" in response.json["detail"]


@pytest.mark.parametrize("body", ["[]", '"x"', "3", "null", "true"])
def test_a_body_that_is_no_object_is_told_what_is_expected(api, body):
    response = api.client.post("/processes/echo/execution", data=body, content_type="application/json")
    assert response.status_code == 400
    assert response.json["detail"] == 'An execute request is a JSON object: {"inputs": {...}}.'


@pytest.mark.parametrize("inputs", [[], "x", None])
def test_inputs_that_are_no_object_are_told_what_is_expected(api, inputs):
    response = api.client.post("/processes/echo/execution", json={"inputs": inputs})
    assert response.status_code == 400
    assert response.json["errors"] == [{"pointer": "/inputs", "detail": "must be an object, with the inputs by name"}]


def test_inputs_beside_where_they_belong_are_refused_and_not_ignored(api):
    response = api.client.post("/processes/echo/execution", json={"string": "x", "pause": 1, "other": 2})
    assert response.status_code == 400
    assert '{"inputs": {...}}' in response.json["detail"]
    assert response.json["errors"] == [
        {"pointer": "/pause", "detail": 'belongs into "inputs"'},
        {"pointer": "/string", "detail": 'belongs into "inputs"'},
    ]


def test_a_wait_that_is_over_tells_the_status_of_that_moment(make_api):
    api = make_api()
    api.services.jobs.pause("echo")
    response = api.execute(headers={"Prefer": "wait=1"})
    assert response.status_code == 201
    assert "paused" in response.json["message"]


@pytest.mark.parametrize(
    ("member", "value", "pointer", "said"),
    [
        ("outputs", ["string"], "/outputs", 'must be an object, with the outputs by name, such as {"plot": {}}'),
        ("outputs", "string", "/outputs", 'such as {"plot": {}}'),
        (
            "outputs",
            {"string": "text/plain"},
            "/outputs/string",
            'such as {} or {"format": {"mediaType": "image/png"}}',
        ),
        ("outputs", {"string": None}, "/outputs/string", "must be an object, such as {}"),
        ("outputs", {"string": {"format": "png"}}, "/outputs/string/format", 'such as {"mediaType": "image/png"}'),
        ("subscriber", "https://example.org", "/subscriber", 'such as {"successUri": '),
    ],
)
def test_what_is_to_be_an_object_is_told_with_one_that_is_right(api, member, value, pointer, said):
    refused = api.execute(**{member: value})
    assert refused.status_code == 400
    assert [fault["pointer"] for fault in refused.json["errors"]] == [pointer]
    assert said in refused.json["errors"][0]["detail"]


@pytest.mark.parametrize(
    ("body", "pointer", "meant"),
    [
        ({"input": {"string": "x"}}, "/input", "inputs"),
        ({"Inputs": {"string": "x"}}, "/Inputs", "inputs"),
        ({"inputs": {"string": "x"}, "output": {"string": {}}}, "/output", "outputs"),
        ({"inputs": {"string": "x"}, "reponse": "document"}, "/reponse", "response"),
        ({"inputs": {"string": "x"}, "subscribers": {}}, "/subscribers", "subscriber"),
    ],
)
def test_a_member_that_comes_near_a_known_one_is_refused_with_that_one(api, body, pointer, meant):
    refused = api.client.post("/processes/echo/execution", json=body)
    assert refused.status_code == 400
    assert refused.json["errors"] == [{"pointer": pointer, "detail": f"is not known; did you mean '{meant}'?"}]


def test_other_members_are_ignored_as_the_standard_lets_there_be_more(api):
    assert (
        api.execute(headers=ASYNC, mode="async", id="echo", note={"by": "me"}, output=None, outputs={}).status_code
        == 201
    )
