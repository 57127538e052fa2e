"""TARGET is a URL, or the name of an environment, and anything else is told what would be right."""

import pytest

from gristmill.verify.target import Target, UsageError, read_target


@pytest.mark.parametrize("text", ["http://127.0.0.1:8000", "https://data.example.org/mill", "http://[::1]:8000"])
def test_a_url_is_taken_without_the_slash_at_its_end(text: str) -> None:
    assert read_target(f"{text}/") == Target(text)


@pytest.mark.parametrize("name", ["test", "prod"])
def test_an_environment_is_its_service_in_the_cluster(name: str) -> None:
    target = read_target(name)
    assert target == Target(f"http://app-{name}-service-flask", name)
    assert target.redis_url == f"redis://app-{name}-service-redis:6379/0"
    assert f"gristmill secret {name} | kubectl apply -f -" in target.mending


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("localhost:8000", "http://localhost:8000"),
        ("data.example.org/mill", "http://data.example.org/mill"),
        ("dev", "test or prod"),
        ("ftp://data.example.org", "https://data.example.org/mill"),
        ("http://", "a URL"),
        ("http://host:port", "a URL"),
        ("http://host:99999", "a URL"),
        ("http://ada:secret@host", "--token-file"),
        ("http://host/?f=json", "begins with ?"),
        ("http://host/#top", "begins with #"),
        ("", "a URL"),
        ("http://a..b/mill", "a URL"),
        (f"http://{'a' * 64}.example.org", "a URL"),
        ("http://xn--0.com", "a URL"),
    ],
)
def test_what_is_neither_is_refused_with_what_would_be_right(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word.replace("?", r"\?")):
        read_target(text)


@pytest.mark.parametrize("text", ["http://ada:secret@host", "http://ada:secret@host:99999", "ftp://ada:secret@host"])
def test_a_password_in_a_url_is_not_repeated(text: str) -> None:
    with pytest.raises(UsageError) as refused:
        read_target(text)
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize(
    ("url", "inside"),
    [
        ("http://127.0.0.1:8000", True),
        ("http://[::1]", True),
        ("http://localhost:8000", True),
        ("http://app-prod-service-flask", True),
        ("http://app.shop.svc.cluster.local", True),
        ("http://10.0.0.7:30080", False),
        ("http://data.example.org", False),
    ],
)
def test_only_this_computer_and_names_of_the_cluster_count_as_inside(url: str, inside: bool) -> None:
    assert Target(url).is_inside == inside
