"""The real system is accepted, whoever asks: what can be checked is, the rest is skipped by name, nothing stays."""

import ssl
from collections.abc import Callable

import pytest
from support.acceptance import Api, Certificate, named, result_of, run
from support.meddler import Meddler

from gristmill.verify.catalogue import CHECKS
from gristmill.verify.check import NEEDED_ROLE, Outcome
from gristmill.verify.report import Report

pytestmark = pytest.mark.slow

Apis = Callable[..., Api]


def _not_right(report: Report) -> dict[str, str]:
    """What failed, was not run or warned, but for the warning that the tests' server has no memory limit."""
    found = named(report, Outcome.FAILED, Outcome.NOT_RUN, Outcome.WARNED)
    assert "maxmemory" in found.pop("service.ready", "maxmemory")
    return found


def _skipped_for(role: str) -> set[str]:
    """Checks that a caller without a token and with this role cannot do."""
    ranks = ["none", "read", "run", "manage"]
    may = {one for one in ranks if ranks.index(one) <= ranks.index(role)}
    kept = [check for check in CHECKS if check.when != "environment"]
    return {check.name for check in kept if check.needs == "token" or NEEDED_ROLE[check.needs] not in may}


@pytest.mark.parametrize("role", ["none", "read", "manage"])
def test_without_a_token_everything_is_checked_that_a_stranger_may_do_and_the_rest_is_skipped_by_name(
    apis: Apis, role: str
) -> None:
    api = apis(role, tokens=role != "manage")
    report = run(api.url)
    assert _not_right(report) == {}
    skipped = named(report, Outcome.SKIPPED)
    assert set(skipped) == _skipped_for(role) | {"access.token"} | ({"access.refused"} if role == "manage" else set())
    assert result_of(report, "access.stranger").detail == f"the role {role}"
    assert all("token" in skipped[name] for name in _skipped_for(role))
    assert report.exit_code == 0
    assert api.left() == []


@pytest.mark.parametrize(("anonymous", "role"), [("none", "run"), ("run", "manage")])
def test_with_a_token_everything_is_checked(apis: Apis, anonymous: str, role: str) -> None:
    api = apis(anonymous, tokens=True)
    report = run(api.url, token=api.tokens[role])
    assert _not_right(report) == {}
    assert named(report, Outcome.SKIPPED) == {}
    assert result_of(report, "access.token").detail == f"the role {role}"
    assert api.left() == []


def test_where_a_stranger_may_do_everything_nothing_is_said_about_somebody_elses(apis: Apis) -> None:
    api = apis("manage", tokens=True)
    report = run(api.url, "strangers.data", "strangers.end_jobs", token=api.tokens["run"])
    assert _not_right(report) == {}
    assert set(named(report, Outcome.SKIPPED)) == {"strangers.see_jobs", "strangers.end_jobs", "strangers.data"}


def test_a_token_that_may_only_read_skips_what_needs_more_and_says_so(apis: Apis) -> None:
    api = apis("none", tokens=True)
    report = run(api.url, token=api.tokens["read"])
    assert _not_right(report) == {}
    assert "the token has read" in named(report, Outcome.SKIPPED)["jobs.accepted"]


def test_behind_a_proxy_with_tls_and_a_path_prefix_everything_holds(apis: Apis, certificate: Certificate) -> None:
    api = apis("run", TRUSTED_PROXIES="127.0.0.0/8")
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate.cert, certificate.key)
    with Meddler(api.url, prefix="/mill", tls=tls) as proxy:
        report = run(proxy.url, tls=ssl.create_default_context(cafile=certificate.cert))
    assert _not_right(report) == {}
    assert result_of(report, "service.links").detail == f"links begin with {proxy.url}"


def test_links_that_lead_to_a_public_address_are_followed_here_and_told_of(apis: Apis) -> None:
    report = run(apis("run", PUBLIC_URL="https://data.example.org/mill").url, "service.links", "jobs.runs", "data.rows")
    assert set(_not_right(report)) == {"service.links"}
    warning = result_of(report, "service.links")
    assert warning.outcome is Outcome.WARNED
    assert "https://data.example.org/mill" in warning.detail
    assert report.exit_code == 0


def test_a_rate_limit_is_kept_to_and_told_and_no_failure(apis: Apis) -> None:
    api = apis("run", RATE_PER_SECOND="5", RATE_BURST="5")
    report = run(api.url, "jobs.repeated", "limits.unknown")
    assert _not_right(report) == {}
    assert "429" in report.notes[0]


def test_an_api_that_lets_all_origins_read_is_told_of(apis: Apis) -> None:
    report = run(apis("run", CORS_ORIGINS="*").url, "headers.origins")
    assert "all origins" in result_of(report, "headers.origins").detail
