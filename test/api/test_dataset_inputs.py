"""Data sets as inputs of a job to be: how many, how often Redis is asked for them, and what is kept when it fails."""

import pytest

from gristmill.api.dataset_inputs import hold
from gristmill.api.places import Places
from gristmill.datasets.store import Store
from gristmill.errors import ClientGoneError
from gristmill.presence import CLIENT, Client
from gristmill.store import connect


class CountingStore(Store):
    """A store that knows what it was asked to keep."""

    def __init__(self, *args):
        super().__init__(*args)
        self.asked = []
        self.when_asked = lambda: None

    def hold(self, name, version, job, until):
        self.asked.append((name, version))
        self.when_asked()
        return super().hold(name, version, job, until)


@pytest.fixture
def api(make_api, tmp_path):
    made = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0, fetch_allow="10.0.0.0/8")
    made.client.put("/datasets/birds", data="a,b\n1,2\n", content_type="text/csv")
    yield made
    made.services.datasets.close()


@pytest.fixture
def store(api):
    return CountingStore(connect(api.services.settings), api.services.settings)


def held(api, store, tables):
    return hold(store, api.services.settings, api.services.registry["sql"], {"query": "FROM a", "tables": tables}, "j")


def holds_in(api):
    return connect(api.services.settings).zcard(f"{api.services.settings.key_prefix}:ds:holds")


def test_a_data_set_that_stands_for_many_tables_is_kept_once(api, store):
    version = api.get("/datasets/birds").json["version"]
    tables = {f"t{number}": {"dataset": "birds"} for number in range(50)}

    holds = held(api, store, tables | {"that": {"dataset": "birds", "version": version}})

    assert store.asked == [("birds", ""), ("birds", version)]
    assert holds.inputs["tables"] == {name: {"dataset": "birds", "version": version} for name in (*tables, "that")}
    assert holds_in(api) == 1
    holds.let_go()
    assert holds_in(api) == 0


def test_what_is_kept_of_a_description_is_its_hash_and_differs_where_a_process_sees_it(api, store):
    def mark(**said):
        api.client.patch("/datasets/birds", json=said)
        return held(api, store, {"t": {"dataset": "birds"}}).mark

    marks = [
        mark(),
        mark(columns={"a": {"unit": "m"}}),
        mark(columns={"a": {"unit": "m", "description": "long" * 500}}),
        mark(columns={"a": {"unit": None, "description": None}}),
    ]

    assert {len(one) for one in marks} == {32}
    assert len(set(marks)) == 3
    assert marks[0] == marks[3]


def test_no_data_set_is_kept_for_a_client_that_has_gone(api, store):
    client = Client()
    store.when_asked = lambda: setattr(client, "is_gone", True)
    before = CLIENT.set(client)
    try:
        with pytest.raises(ClientGoneError):
            held(api, store, {"t": {"dataset": "birds"}, "u": {"dataset": "absent"}, "v": {"dataset": "absent"}})
    finally:
        CLIENT.reset(before)
    assert store.asked == [("birds", "")]
    assert holds_in(api) == 0


@pytest.mark.parametrize(("count", "status"), [(100, 201), (101, 400), (30_000, 400)])
def test_an_input_has_a_hundred_tables_at_most(api, count, status):
    tables = {f"t{number}": {"dataset": "birds"} for number in range(count)}
    inputs = {"query": "FROM t1", "tables": tables}

    answer = api.execute("sql", inputs=inputs, headers={"Prefer": "respond-async"})

    assert answer.status_code == status
    if status == 400:
        assert answer.json["errors"] == [
            {"pointer": "/inputs/tables", "detail": f"has {count:,} tables; at most 100 are allowed"}
        ]


def test_a_link_among_tables_that_would_not_be_fetched_is_refused_at_once(api):
    tables = {"good": {"href": "http://10.0.0.1/a.csv"}, "a/b": {"href": "http://127.0.0.1:22/", "type": "text/csv"}}

    answer = api.execute("sql", inputs={"query": "FROM good", "tables": tables})

    assert answer.status_code == 400
    assert [fault["pointer"] for fault in answer.json["errors"]] == ["/inputs/tables/a~1b/href"]
    assert "GRISTMILL_FETCH_ALLOW" in answer.json["detail"]


def test_no_data_set_is_kept_for_a_request_that_may_not_wait(make_api, tmp_path):
    places = Places(0, 1)
    api = make_api(data_folder=tmp_path / "data", dataset_free_bytes=0, services={"places": places})
    api.client.put("/datasets/birds", data="a,b\n1,2\n", content_type="text/csv")
    inputs = {"query": "FROM t", "tables": {"t": {"dataset": "birds"}}}

    assert api.execute("sql", inputs=inputs).status_code == 503
    assert holds_in(api) == 0
    assert api.execute("sql", inputs=inputs, headers={"Prefer": "respond-async"}).status_code == 201
    assert holds_in(api) == 1
    api.services.datasets.close()
