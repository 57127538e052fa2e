"""Reading docstrings."""

from gristmill.processes.docstring import parse_docstring


def test_the_first_line_is_the_title_and_the_rest_the_description() -> None:
    parsed = parse_docstring("Mean of a column.\n\n    Adds up.\n\n    Divides.\n    ")

    assert parsed.title == "Mean of a column"
    assert parsed.description == "Adds up.\n\nDivides."


def test_no_docstring_is_empty() -> None:
    parsed = parse_docstring(None)

    assert (parsed.title, parsed.description, parsed.items) == ("", "", {})


def test_google_style_describes_parameters() -> None:
    parsed = parse_docstring(
        """Title

        Text.

        Args:
            first: The first,
                on two lines.
            second (int): The second: with a colon.
            **others: The rest.

        Returns:
            Something.

        More text.
        """
    )

    assert parsed.items == {
        "first": "The first, on two lines.",
        "second": "The second: with a colon.",
        "others": "The rest.",
    }
    assert parsed.description == "Text.\n\nMore text."


def test_numpy_style_describes_parameters() -> None:
    parsed = parse_docstring(
        """Title

        Text.

        Parameters
        ----------
        first : int
            The first,
            on two lines.
        second
            The second.

        Returns
        -------
        int
            Something.
        """
    )

    assert parsed.items == {"first": "The first, on two lines.", "second": "The second."}
    assert parsed.description == "Text."


def test_parameters_may_share_a_description() -> None:
    numpy, google = "Parameters\n----------\nx, y : int\n    Both.\nz\n    One.", "Args:\n    x, y: Both.\n    z: One."
    for section in (numpy, google):
        parsed = parse_docstring(f"Title\n\n{section}")

        assert parsed.items == {"x": "Both.", "y": "Both.", "z": "One."}
        assert parsed.parameters == ["x", "y", "z"]


def test_a_note_among_parameters_is_none_of_them() -> None:
    parsed = parse_docstring("Title\n\nArgs:\n    first: The first.\n    Note: It is long.\n    note: A note.")

    assert parsed.items == {"first": "The first. Note: It is long.", "note": "A note."}
    assert parsed.parameters == ["first", "note"]


def test_attributes_are_read_too() -> None:
    assert parse_docstring("Title\n\nAttributes:\n    mean: The mean.").items == {"mean": "The mean."}
