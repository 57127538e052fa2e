"""The URLs that the API hands out."""

import pytest


def self_link(response):
    return next(link["href"] for link in response.json["links"] if link["rel"] == "self")


def test_links_begin_where_the_request_was_sent_to(api):
    assert self_link(api.get("/processes", Host="mill.example:8000")) == "http://mill.example:8000/processes"


def test_links_keep_the_prefix_that_the_application_is_mounted_at(api):
    response = api.client.get("/processes", environ_overrides={"SCRIPT_NAME": "/mill"}, headers={"Host": "h"})
    assert self_link(response) == "http://h/mill/processes"


@pytest.mark.parametrize("end", ["", "/"])
def test_the_public_url_wins_over_everything_else(make_api, end):
    api = make_api(public_url=f"https://data.example.org/mill{end}", trusted_proxies="127.0.0.0/8")
    response = api.get("/processes", Host="inside", X_Forwarded_Host="other.example", X_Forwarded_For="1.2.3.4")
    assert self_link(response) == "https://data.example.org/mill/processes"


def test_a_trusted_proxy_makes_the_links(make_api):
    api = make_api(trusted_proxies="127.0.0.0/8")
    response = api.get(
        "/processes",
        X_Forwarded_For="203.0.113.9",
        X_Forwarded_Proto="https",
        X_Forwarded_Host="data.example.org",
        X_Forwarded_Prefix="/mill",
    )
    assert self_link(response) == "https://data.example.org/mill/processes"


def test_a_proxy_that_is_not_trusted_does_not(api):
    response = api.get("/processes", Host="h", X_Forwarded_Host="evil.example", X_Forwarded_For="1.2.3.4")
    assert self_link(response) == "http://h/processes"


def test_one_hosts_links_are_never_shown_to_another(api):
    api.get("/processes", Host="one.example")
    assert "one.example" not in api.get("/processes", Host="two.example").text


def test_a_job_belongs_to_the_client_behind_the_trusted_proxy(make_api):
    api = make_api(trusted_proxies="127.0.0.0/8")
    headers = {"Prefer": "respond-async", "X-Forwarded-For": "1.2.3.4, 203.0.113.9"}
    response = api.execute(headers=headers)
    assert api.services.jobs.get(response.json["jobID"]).owner == "203.0.113.9"


def test_a_malformed_host_is_400(api):
    assert api.get("/", Host="a<b").status_code == 400
