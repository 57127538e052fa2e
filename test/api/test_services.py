"""What the views work with."""

import threading

import pytest
from support import free_port

from gristmill.api.services import build_services
from gristmill.errors import ConfigurationError
from gristmill.flask_api import create_app


def test_building_the_application_neither_connects_nor_starts_a_thread(make_settings):
    before = threading.active_count()
    services = build_services(make_settings(f"redis://127.0.0.1:{free_port()}/0"), threading.Event())
    create_app(services)
    assert threading.active_count() == before
    services.hub.close()


def test_a_broken_process_file_stops_the_start_with_its_name_and_line(make_settings, tmp_path):
    (tmp_path / "broken.py").write_text("x = 1\n\nthis is no Python\n")
    with pytest.raises(ConfigurationError, match=r"broken\.py.*3"):
        build_services(make_settings("redis://127.0.0.1:1/0", processes_folder=tmp_path), threading.Event())


def test_a_redis_url_that_is_none_stops_the_start(make_settings):
    with pytest.raises(ConfigurationError, match="REDIS_URL"):
        build_services(make_settings("http://127.0.0.1"), threading.Event())


def test_lists_in_settings_are_separated_by_commas(make_settings):
    settings = make_settings(
        "", trusted_proxies="10.0.0.0/8, fd00::/8", cors_origins="https://a.example,https://b.example"
    )
    assert [str(network) for network in settings.trusted_proxies] == ["10.0.0.0/8", "fd00::/8"]
    assert settings.cors_origins == ("https://a.example", "https://b.example")


@pytest.mark.parametrize(
    "url", ["data.example.org", "ftp://data.example.org", "https://data.example.org/?a=b", "https://"]
)
def test_a_public_url_that_is_none_is_refused(make_settings, url):
    with pytest.raises(ValueError, match="public_url"):
        make_settings("", public_url=url)
