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


def test_attributes_are_read_too() -> None:
    assert parse_docstring("Title\n\nAttributes:\n    mean: The mean.").items == {"mean": "The mean."}
