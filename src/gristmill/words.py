"""Words in messages and pictures."""


def counted(count: int, what: str) -> str:
    """A number of things: `1 row`, `1,200 rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"
