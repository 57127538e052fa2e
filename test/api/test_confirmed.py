"""What is answered 304 before Flask is asked: exactly what Flask would answer so."""

import pytest

from gristmill.api import confirmed
from gristmill.settings import Settings
from gristmill.tokens import new_token

CSV = "x\n1\n2\n"


def upload(api, **headers):
    told = api.client.put("/datasets/numbers", data=CSV, content_type="text/csv", headers=headers).json
    return f"/datasets/numbers/versions/{told['version']}/rows"


@pytest.fixture
def make(make_api, tmp_path):
    made = []

    def make(**changes):
        made.append(make_api(data_folder=tmp_path / "data", dataset_free_bytes=0, **changes))
        return made[-1]

    yield make
    for api in made:
        api.services.datasets.close()


def asked(api, path, **headers):
    """The answer, and whether it came without Flask."""
    seen = []
    api.app.before_request_funcs.setdefault(None, []).append(lambda: seen.append(1))
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    try:
        return api.client.get(path, headers=headers), not seen
    finally:
        api.app.before_request_funcs[None].pop()


def test_what_was_asked_for_before_is_confirmed_without_flask_and_counted(make):
    api = make()
    path = upload(api)
    etag = api.get(path).headers["ETag"]

    answer, is_quick = asked(api, path, If_None_Match=etag, X_Request_Id="mine")

    assert (answer.status_code, is_quick, answer.headers["X-Request-Id"]) == (304, True, "mine")
    assert "Content-Length" not in answer.headers
    route = "/datasets/<dataset_name>/versions/<version_id>/rows"
    line = f'gristmill_requests_total{{method="GET",route="{route}",status="304"}} 1.0'
    assert line in api.get("/metrics").text


@pytest.mark.parametrize(
    "change",
    [
        {"query": "?limit=1"}, {"Accept": "application/x-ndjson"}, {"Accept_Encoding": "gzip"},
        {"If_None_Match": '"other"'}, {"If_None_Match": "*"}, {"Host": "other.example"},
    ],
)  # fmt: skip
def test_anything_else_goes_the_ordinary_way(make, change):
    api = make(public_url="")
    path = upload(api)
    etag = api.get(path).headers["ETag"]

    answer, is_quick = asked(api, path + change.pop("query", ""), **({"If_None_Match": etag} | change))

    assert not is_quick
    assert answer.status_code == (304 if change.get("If_None_Match") == "*" else 200)


@pytest.mark.parametrize(("tags", "status"), [("*", 304), ('"other"', 412)])
def test_if_match_goes_before_what_the_client_has(make, tags, status):
    api = make()
    path = upload(api)
    etag = api.get(path).headers["ETag"]

    assert api.get(path, If_None_Match=etag, If_Match=tags).status_code == status


def test_who_may_not_read_is_not_let_in_by_what_others_have_asked_for(make, tmp_path):
    token = new_token(Settings(token_file=tmp_path / "tokens"), "ann", "manage")
    api = make(token_file=tmp_path / "tokens", anonymous="none")
    path = upload(api, Authorization=f"Bearer {token}")
    etag = api.get(path, Authorization=f"Bearer {token}").headers["ETag"]

    assert asked(api, path, If_None_Match=etag, Authorization=f"Bearer {token}")[0].status_code == 304
    assert asked(api, path, If_None_Match=etag)[0].status_code == 401
    assert asked(api, path, If_None_Match=etag, Authorization="Bearer no")[0].status_code == 401


def test_a_name_that_is_not_local_is_refused_here_too(make):
    api = make(host="127.0.0.1")
    path = upload(api)
    etag = api.get(path).headers["ETag"]

    assert asked(api, path, If_None_Match=etag, Host="evil.example")[0].status_code == 403


def test_where_requests_are_rationed_or_other_origins_allowed_flask_answers(make):
    for changes in ({"rate_per_second": 1000.0}, {"cors_origins": ("https://a.example",)}):
        api = make(**changes)
        path = upload(api)
        etag = api.get(path).headers["ETag"]
        answer, is_quick = asked(api, path, If_None_Match=etag)
        assert (answer.status_code, is_quick) == (304, False)


def test_a_long_query_is_not_remembered(make):
    api = make()
    path = upload(api) + "?filter=" + "%20OR%20".join(f"x={number}" for number in range(200))
    etag = api.get(path).headers["ETag"]

    answer, is_quick = asked(api, path, If_None_Match=etag)

    assert (answer.status_code, is_quick) == (304, False)


def test_only_so_much_is_remembered(make, monkeypatch):
    monkeypatch.setattr(confirmed, "MOST", 3)
    api = make()
    path = upload(api)
    etags = [api.get(f"{path}?limit={limit}").headers["ETag"] for limit in range(1, 6)]

    quick = [asked(api, f"{path}?limit={limit}", If_None_Match=etags[limit - 1])[1] for limit in (5, 4, 3, 2, 1)]

    assert quick == [True, True, True, False, False]
