"""A set of names that stays small: it forgets the oldest, so whoever asks must be right, if slower, without it."""

MOST_NAMES = 100_000


class NameSet:
    """The names that were added last, at most ``most`` of them."""

    def __init__(self, most: int = MOST_NAMES) -> None:
        self._names: dict[bytes, None] = {}
        self._most = most

    def __contains__(self, name: bytes) -> bool:
        return name in self._names

    def add(self, name: bytes) -> None:
        """Add a name."""
        self._names[name] = None
        if len(self._names) > self._most:
            del self._names[next(iter(self._names))]
