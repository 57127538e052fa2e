"""Who really asked, behind proxies."""

from contextlib import suppress
from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gristmill.api.proxies import Origin, read_origin
from gristmill.errors import InvalidRequestError

TRUSTED = (ip_network("10.0.0.0/8"), ip_network("fd00::/8"))


def environ(peer: str = "10.0.0.1", **headers: str) -> dict[str, str]:
    return {
        "REMOTE_ADDR": peer,
        "wsgi.url_scheme": "http",
        "HTTP_HOST": "inside:8000",
        "SCRIPT_NAME": "",
    } | {f"HTTP_{name.upper()}": value for name, value in headers.items()}


FORGED = {
    "x_forwarded_for": "1.2.3.4",
    "x_forwarded_proto": "https",
    "x_forwarded_host": "evil.example",
    "x_forwarded_prefix": "/evil",
    "forwarded": "for=1.2.3.4;host=evil.example;proto=https",
}


@pytest.mark.parametrize("family", ["x-forwarded", "forwarded"])
def test_forwarding_headers_of_an_unknown_peer_are_not_believed(family):
    assert read_origin(environ("192.0.2.7", **FORGED), TRUSTED, family) == Origin(
        "192.0.2.7", "http", "inside:8000", ""
    )


@pytest.mark.parametrize("family", ["x-forwarded", "forwarded"])
def test_forwarding_headers_are_not_believed_when_no_proxy_is_trusted(family):
    assert read_origin(environ(**FORGED), (), family) == Origin("10.0.0.1", "http", "inside:8000", "")


def test_a_trusted_proxy_says_scheme_host_prefix_and_client():
    asked = environ(
        x_forwarded_for="203.0.113.9",
        x_forwarded_proto="https",
        x_forwarded_host="data.example.org",
        x_forwarded_prefix="/mill/",
    )
    assert read_origin(asked, TRUSTED, "x-forwarded") == Origin("203.0.113.9", "https", "data.example.org", "/mill")


def test_the_header_family_that_the_proxy_does_not_write_is_not_believed():
    asked = environ(x_forwarded_for="203.0.113.9", forwarded="for=1.2.3.4;host=evil.example")
    assert read_origin(asked, TRUSTED, "x-forwarded") == Origin("203.0.113.9", "http", "inside:8000", "")
    assert read_origin(asked, TRUSTED, "forwarded") == Origin("1.2.3.4", "http", "evil.example", "")


def test_an_address_that_the_client_itself_put_before_the_proxys_is_not_believed():
    asked = environ(x_forwarded_for="1.2.3.4, 203.0.113.9")
    assert read_origin(asked, TRUSTED, "x-forwarded").client == "203.0.113.9"


def test_a_chain_of_trusted_proxies_is_followed_to_the_first_address_outside():
    asked = environ(x_forwarded_for="1.2.3.4, 203.0.113.9, 10.0.0.3, 10.0.0.2")
    assert read_origin(asked, TRUSTED, "x-forwarded").client == "203.0.113.9"


def test_proxies_that_append_are_read_at_the_outermost_trusted_one():
    asked = environ(
        x_forwarded_for="1.2.3.4, 203.0.113.9, 10.0.0.2",
        x_forwarded_proto="ftp, https, http",
        x_forwarded_host="evil.example, data.example.org, middle",
    )
    assert read_origin(asked, TRUSTED, "x-forwarded") == Origin("203.0.113.9", "https", "data.example.org", "")


def test_forwarded_is_read_as_rfc_7239_writes_it():
    asked = environ(forwarded='for=1.2.3.4, For="[2001:db8::7]:4711";Proto=https;Host="data.example.org:8443"')
    assert read_origin(asked, TRUSTED, "forwarded") == Origin("2001:db8::7", "https", "data.example.org:8443", "")


def test_a_forwarded_header_that_is_malformed_is_not_believed():
    assert read_origin(environ(forwarded="for=1.2.3.4;=;"), TRUSTED, "forwarded").client == "10.0.0.1"


def test_the_port_that_the_proxy_names_is_part_of_the_host():
    asked = environ(x_forwarded_for="203.0.113.9", x_forwarded_host="data.example.org", x_forwarded_port="8443")
    assert read_origin(asked, TRUSTED, "x-forwarded").host == "data.example.org:8443"


def test_a_trusted_network_of_ip_version_4_is_recognised_in_mapped_addresses():
    asked = environ("::ffff:10.0.0.1", x_forwarded_for="203.0.113.9")
    assert read_origin(asked, TRUSTED, "x-forwarded").client == "203.0.113.9"


@pytest.mark.parametrize("host", ["evil.example/x", "a b", 'a"', "a<b>", "", "[::1", "user@host", "host:port"])
def test_a_malformed_host_is_refused(host):
    asked = environ() | {"HTTP_X_FORWARDED_FOR": "203.0.113.9", "HTTP_HOST": host or " "}
    with pytest.raises(InvalidRequestError):
        read_origin(asked, TRUSTED, "x-forwarded")


def test_a_prefix_that_would_break_out_of_the_path_is_refused():
    with pytest.raises(InvalidRequestError):
        read_origin(environ(x_forwarded_for="203.0.113.9", x_forwarded_prefix="//evil.example"), TRUSTED, "x-forwarded")


@given(st.text(max_size=60), st.sampled_from(["x-forwarded", "forwarded"]))
def test_no_header_text_breaks_the_reading(text, family):
    asked = environ(x_forwarded_for=text, x_forwarded_proto=text, x_forwarded_host=text, forwarded=text)
    with suppress(InvalidRequestError):
        read_origin(asked, TRUSTED, family)
