"""What every request and response carries."""

import pytest
import structlog

from gristmill import __version__

PAGE = "https://app.example.org"


def test_every_response_names_the_release(api):
    for path in ("/", "/nothing"):
        assert api.get(path).headers["Gristmill-Version"] == __version__


def test_a_sane_request_id_is_kept(api):
    assert api.get("/", X_Request_Id="abc-1.2:3/4").headers["X-Request-Id"] == "abc-1.2:3/4"


@pytest.mark.parametrize("given", ["", "a b", "x" * 129, "a\u00e9", "<script>"])
def test_another_one_is_replaced(api, given):
    made = api.get("/", X_Request_Id=given).headers["X-Request-Id"]
    assert made != given
    assert len(made) == 16


def test_two_requests_have_different_ids(api):
    assert api.get("/").headers["X-Request-Id"] != api.get("/").headers["X-Request-Id"]


def test_the_request_id_stands_in_the_log(api):
    @api.app.get("/logs")
    def view():
        return dict(structlog.contextvars.get_contextvars())

    assert api.get("/logs", X_Request_Id="r-1").json == {"request_id": "r-1"}


def test_no_origin_may_use_the_api_from_a_page_by_default(api):
    assert "Access-Control-Allow-Origin" not in api.get("/", Origin=PAGE).headers


def test_a_named_origin_may(make_api):
    api = make_api(cors_origins=f"{PAGE}, https://other.example")
    response = api.get("/", Origin=PAGE)
    assert response.headers["Access-Control-Allow-Origin"] == PAGE
    assert "Location" in response.headers["Access-Control-Expose-Headers"]
    assert "Origin" in response.headers["Vary"]


def test_another_origin_may_not_and_caches_are_told_so(make_api):
    response = make_api(cors_origins=PAGE).get("/", Origin="https://evil.example")
    assert "Access-Control-Allow-Origin" not in response.headers
    assert "Origin" in response.headers["Vary"]


def test_a_star_lets_every_origin(make_api):
    assert make_api(cors_origins="*").get("/", Origin=PAGE).headers["Access-Control-Allow-Origin"] == "*"


def test_a_preflight_says_which_methods_and_headers_may_be_sent(make_api):
    api = make_api(cors_origins=PAGE, anonymous="none")
    response = api.client.options(
        "/processes/echo/execution", headers={"Origin": PAGE, "Access-Control-Request-Method": "POST"}
    )
    assert response.status_code == 200
    assert "POST" in response.headers["Access-Control-Allow-Methods"]
    assert {"Content-Type", "Prefer", "Idempotency-Key", "Authorization"} <= set(
        response.headers["Access-Control-Allow-Headers"].split(", ")
    )


def test_an_error_can_be_read_by_a_page_too(make_api):
    response = make_api(cors_origins=PAGE).get("/nothing", Origin=PAGE)
    assert response.headers["Access-Control-Allow-Origin"] == PAGE


LAPTOP = {"host": "127.0.0.1", "anonymous": "manage"}


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "localhost.evil", "h"])
def test_an_api_that_is_open_on_its_own_computer_answers_to_no_name_of_others(make_api, host):
    response = make_api(**LAPTOP).get("/jobs", Host=host)
    assert response.status_code == 403
    assert response.mimetype == "application/problem+json"
    assert "GRISTMILL_PUBLIC_URL" in response.json["detail"]


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        "127.0.0.1:8000",
        "localhost",
        "LocalHost:1",
        "mill.localhost:8000",
        "[::1]:8000",
        "[::1]",
        "192.0.2.7:80",
    ],
)
def test_it_answers_to_addresses_and_to_localhost(make_api, host):
    assert make_api(**LAPTOP).get("/jobs", Host=host).status_code == 200


def test_an_api_in_a_container_that_is_for_this_computer_alone_answers_to_no_name_of_others(make_api):
    api = make_api(host="0.0.0.0", anonymous="manage", local_names_only=True)
    assert api.get("/jobs", Host="evil.example:8000").status_code == 403
    for host in ("127.0.0.1:8000", "localhost:8000", "api.localhost:8000", "172.18.0.3"):
        assert api.get("/jobs", Host=host).status_code == 200


@pytest.mark.parametrize(
    "otherwise",
    [
        {"host": "0.0.0.0"},
        {"anonymous": "read"},
        {"public_url": "https://data.example.org"},
        {"trusted_proxies": "10.0.0.0/8"},
    ],
)
def test_an_api_that_is_meant_for_others_answers_to_any_name(make_api, otherwise):
    assert make_api(**LAPTOP | otherwise).get("/jobs", Host="data.example.org").status_code == 200


@pytest.mark.parametrize(
    ("query", "name", "near"),
    [
        ("filter=species+LIKE+'%del%'", "filter", "ilter=species+LIKE+'%del%'"),
        ("limit=3&filter=a+LIKE+'100%'", "filter", "filter=a+LIKE+'100%'"),
        ("filter=a%3E1+AND+b+LIKE+'x%'", "filter", "=a%3E1+AND+b+LIKE+'x%'"),
        ("prefix=%C3%A4%E4", "prefix", "prefix=%C3%A4%E4"),
        ("prefix=%C3%C3%A4", "prefix", "prefix=%C3%C3%A4"),
        ("prefix=%ED%A0%80", "prefix", "prefix=%ED%A0%80"),
        ("prefix=%", "prefix", "prefix=%"),
        ("%zz=1", "%zz", "%zz=1"),
    ],
)
@pytest.mark.parametrize("path", ["/datasets", "/datasets/birds/rows", "/jobs"])
def test_a_query_whose_percent_encoding_is_none_of_utf_8_is_refused_with_the_place(api, path, query, name, near):
    refused = api.get(f"{path}?{query}")
    assert refused.status_code == 400
    assert refused.json["errors"][0]["pointer"] == name
    assert repr(near) in refused.json["detail"]
    assert "a % is written %25 in a URL" in refused.json["detail"]


@pytest.mark.parametrize("prefix", ["%C3%A4", "%25", "%25de%25", "\u00e4", "%F0%9F%90%A7", "100"])
def test_a_query_in_utf_8_is_read(api, prefix):
    assert api.get(f"/datasets?prefix={prefix}").status_code == 200
