"""The ways by which a deployment is reached from outside."""

from dataclasses import dataclass

import httpx


@dataclass(frozen=True)
class Door:
    """One way in, and the URL that it has."""

    name: str
    url: str

    def client(self, *, connections: int = 1, seconds: float = 60) -> httpx.Client:
        """A client of so many connections, which stay open while they are idle, until the server closes them."""
        limits = httpx.Limits(max_connections=connections, keepalive_expiry=None)
        return httpx.Client(base_url=self.url, limits=limits, timeout=seconds, trust_env=False)

    def is_open(self) -> bool:
        """Whether somebody answers who is ready."""
        try:
            with self.client(seconds=5) as http:
                return http.get("/readyz").status_code == 200
        except httpx.TransportError:
            return False
