"""Documents that are rendered once."""

from gristmill.api.rendered import MOST, Rendered


def test_a_document_is_made_once():
    rendered = Rendered()
    first = rendered.get(("a",), lambda: {"n": 1})
    assert rendered.get(("a",), lambda: {"n": 2}) == first
    assert first.body == b'{"n":1}'


def test_different_documents_have_different_etags():
    rendered = Rendered()
    assert rendered.get(("a",), lambda: 1).etag != rendered.get(("b",), lambda: 2).etag


def test_hosts_without_end_do_not_fill_the_memory():
    rendered = Rendered()
    for number in range(MOST + 10):
        rendered.get((str(number),), lambda: 0)
    assert len(rendered._documents) == MOST
