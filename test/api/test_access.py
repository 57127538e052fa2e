"""Who may do what: roles, tokens, other owners' jobs."""

from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.settings import Settings
from gristmill.tokens import TokenFile, new_token

NO_SUCH_JOB = "http://www.opengis.net/def/exceptions/ogcapi-processes-1/1.0/no-such-job"
ASYNC = {"Prefer": "respond-async"}


@pytest.fixture
def tokens(make_api, tmp_path: Path) -> Callable[..., tuple[object, dict[str, dict[str, str]]]]:
    """Return a function that makes an application with a token of each name and role, and their headers."""

    def make(anonymous: str = "none", **changes: object):
        path = tmp_path / "tokens"
        roles = {"reader": "read", "alice": "run", "bob": "run", "boss": "manage"}
        headers = {
            name: {"Authorization": f"Bearer {new_token(Settings(token_file=path), name, role)}"}
            for name, role in roles.items()
        }
        api = make_api(anonymous=anonymous, token_file=path, services={"tokens": TokenFile(path)}, **changes)
        return api, headers

    return make


def submitted(api, headers: dict[str, str] | None = None) -> str:
    return api.execute(headers=ASYNC | (headers or {})).json["jobID"]


@pytest.mark.parametrize(
    ("role", "reads", "runs", "manages"),
    [
        ("none", False, False, False),
        ("read", True, False, False),
        ("run", True, True, False),
        ("manage", True, True, True),
    ],
)
def test_an_anonymous_caller_may_do_what_the_setting_says(make_api, role, reads, runs, manages):
    api = make_api(anonymous=role)
    assert (api.get("/jobs").status_code == 200) is reads
    assert (api.execute(headers=ASYNC).status_code == 201) is runs
    assert (api.get("/metrics").status_code == 200) is manages


@pytest.mark.parametrize("path", ["/", "/conformance", "/healthz", "/readyz", "/version"])
def test_some_pages_are_for_everybody(make_api, path):
    assert make_api(anonymous="none").get(path).status_code == 200


def test_without_a_needed_token_401_says_how_to_send_one(tokens):
    api, _ = tokens()
    refused = api.get("/jobs")
    assert refused.status_code == 401
    assert refused.headers["WWW-Authenticate"].startswith("Bearer")
    assert "Authorization: Bearer" in refused.json["detail"]


def test_an_unknown_token_is_401_also_where_none_is_needed(tokens):
    api, _ = tokens("manage")
    assert api.get("/jobs", Authorization="Bearer gm_wrong").status_code == 401


@pytest.mark.parametrize("given", ["Token {}", "{}", "Basic {}"])
def test_a_token_that_is_sent_otherwise_is_401_and_never_taken_for_none(tokens, given):
    api, headers = tokens("manage")
    token = headers["reader"]["Authorization"].removeprefix("Bearer ")
    refused = api.get("/jobs", Authorization=given.format(token))
    assert refused.status_code == 401
    assert "Authorization: Bearer <token>" in refused.json["detail"]
    assert token not in refused.text


def test_where_there_are_no_tokens_what_a_proxy_passes_on_is_ignored(api):
    assert api.get("/jobs", Authorization="Basic dTpw").status_code == 200


def test_a_token_where_there_are_none_is_401(api):
    assert "GRISTMILL_TOKEN_FILE" in api.get("/jobs", Authorization="Bearer gm_x").json["detail"]


def test_a_tokens_role_counts_whatever_the_anonymous_may(tokens):
    api, headers = tokens("manage")
    assert api.client.get("/metrics", headers=headers["reader"]).status_code == 403
    assert api.client.get("/metrics", headers=headers["boss"]).status_code == 200


def test_a_tokens_name_is_the_owner_of_its_jobs(tokens):
    api, headers = tokens()
    assert api.services.jobs.get(submitted(api, headers["alice"])).owner == "alice"


@pytest.mark.parametrize("below", ["", "/results", "/results/string", "/events", "/prov"])
def test_with_tokens_on_anothers_job_is_not_there(tokens, below):
    api, headers = tokens("run")
    job_id = submitted(api, headers["alice"])
    for other in (headers["bob"], headers["reader"], {}):
        refused = api.client.get(f"/jobs/{job_id}{below}", headers=other)
        assert (refused.status_code, refused.json["type"]) == (404, NO_SUCH_JOB)
        assert refused.json["detail"] == api.client.get("/jobs/nope", headers=other).json["detail"].replace(
            "nope", job_id
        )


def test_with_tokens_on_anothers_job_is_not_dismissed(tokens):
    api, headers = tokens()
    job_id = submitted(api, headers["alice"])
    assert api.client.delete(f"/jobs/{job_id}", headers=headers["bob"]).status_code == 404
    assert api.client.delete(f"/jobs/{job_id}", headers=headers["alice"]).json["status"] == "dismissed"


def test_manage_reads_lists_and_dismisses_everybodys_jobs(tokens):
    api, headers = tokens()
    job_id = submitted(api, headers["alice"])
    assert api.client.get(f"/jobs/{job_id}", headers=headers["boss"]).status_code == 200
    assert [job["jobID"] for job in api.client.get("/jobs", headers=headers["boss"]).json["jobs"]] == [job_id]
    assert api.client.delete(f"/jobs/{job_id}", headers=headers["boss"]).status_code == 200


def test_with_tokens_on_everybody_lists_their_own_jobs(tokens):
    api, headers = tokens("run")
    mine = submitted(api, headers["alice"])
    submitted(api, headers["bob"])
    submitted(api)
    assert [job["jobID"] for job in api.client.get("/jobs", headers=headers["alice"]).json["jobs"]] == [mine]


def test_without_tokens_everybody_sees_all_jobs_and_ends_their_own(make_api):
    api = make_api(anonymous="run")
    job_id = api.client.post(
        "/processes/echo/execution",
        json={"inputs": {"string": "x"}},
        headers=ASYNC,
        environ_base={"REMOTE_ADDR": "192.0.2.7"},
    ).json["jobID"]
    assert api.get(f"/jobs/{job_id}").status_code == 200
    assert api.client.delete(f"/jobs/{job_id}").status_code == 403
    mine = api.client.delete(f"/jobs/{job_id}", environ_base={"REMOTE_ADDR": "192.0.2.7"})
    assert mine.status_code == 200


def test_a_reader_may_not_dismiss_its_own_job(make_api):
    api = make_api(anonymous="read")
    assert api.client.delete("/jobs/any").status_code == 403


def test_behind_a_trusted_proxy_the_owner_is_the_client(make_api):
    api = make_api(trusted_proxies="127.0.0.0/8")
    job_id = submitted(api, {"X-Forwarded-For": "198.51.100.4"})
    assert api.services.jobs.get(job_id).owner == "198.51.100.4"


def test_forwarded_addresses_of_others_are_not_believed(make_api):
    api = make_api(trusted_proxies="10.0.0.0/8")
    job_id = submitted(api, {"X-Forwarded-For": "198.51.100.4"})
    assert api.services.jobs.get(job_id).owner == "127.0.0.1"


def test_above_the_rate_429_says_when_to_come_again(make_api):
    api = make_api(rate_per_second=0.1, rate_burst=2)
    answers = [api.get("/jobs") for _ in range(3)]
    assert [answer.status_code for answer in answers] == [200, 200, 429]
    assert 1 <= int(answers[2].headers["Retry-After"]) <= 10
    assert api.get("/healthz").status_code == 200


def test_the_signing_secret_is_the_callers_own(tokens):
    api, headers = tokens()
    told = {name: api.client.get("/webhook-secret", headers=headers[name]) for name in ("alice", "bob")}
    assert told["alice"].json["owner"] == "alice"
    assert told["alice"].json["secret"].startswith("whsec_")
    assert told["alice"].json["secret"] != told["bob"].json["secret"]
    assert told["alice"].headers["Cache-Control"] == "no-store"
    assert api.client.get("/webhook-secret", headers=headers["reader"]).status_code == 403
