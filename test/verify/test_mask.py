"""A token is hidden in whatever form a server may tell it."""

import json

import pytest

from gristmill.verify.mask import Mask

TOKEN = "gm_aB3/x\"Z\\9-'"


@pytest.mark.parametrize(
    "told",
    [
        pytest.param(TOKEN, id="as it is"),
        pytest.param(TOKEN.upper(), id="in capitals"),
        pytest.param(json.dumps(TOKEN), id="as JSON"),
        pytest.param(repr(bytearray(TOKEN.encode())), id="as Python writes bytes"),
        pytest.param("".join(f"\\u{ord(one):04X}" for one in TOKEN), id="as JSON may write it"),
    ],
)
def test_a_token_is_hidden_in_text_and_in_bodies(told: str) -> None:
    hidden = Mask(TOKEN).text(f"<{told}>")
    assert "***" in hidden
    assert "gm" not in hidden.lower()
    assert "67" not in hidden
    assert Mask(TOKEN).body(f"<{told}>".encode()) == hidden.encode()


def test_what_stands_around_it_stays() -> None:
    text = json.dumps({"detail": "C:\\gm_token and gm_tok"})
    assert json.loads(Mask("gm_token").text(text)) == {"detail": "C:\\*** and gm_tok"}


def test_without_a_token_nothing_is_hidden() -> None:
    assert Mask("").text("Bearer gm_token") == "Bearer gm_token"
    assert Mask("").body(b"\xff gm_token") == b"\xff gm_token"
