"""Host names that nobody but this process knows, as lines in /etc/hosts would make them."""

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest


class Names:
    """Leads names to addresses or other names; the rest goes its usual way."""

    def __init__(self) -> None:
        self._led: dict[str, str] = {}

    def lead(self, name: str, address: str) -> None:
        """From now on, connections to ``name`` go to ``address``."""
        self._led[name] = address

    @contextmanager
    def known(self) -> Iterator[None]:
        """Make this process look here first."""
        usual = socket.getaddrinfo

        def getaddrinfo(host: Any, *rest: Any, **options: Any) -> Any:
            name = host.decode() if isinstance(host, bytes) else host
            return usual(self._led.get(name, host), *rest, **options)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(socket, "getaddrinfo", getaddrinfo)
            yield
