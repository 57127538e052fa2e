"""APIs over the real system, as strangers with each role meet them."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from support import wait_until
from support.acceptance import Api, Certificate
from support.system import RunningSystem

from gristmill.settings import Settings
from gristmill.tokens import new_token


@pytest.fixture
def apis(every_api: Callable[..., Api]) -> Iterator[Callable[..., Api]]:
    """``apis("read", tokens=True, RATE_BURST="9")`` is an API so set. What a test leaves there is gone for the next."""
    used = []

    def api(*arguments: Any, **settings: Any) -> Api:
        used.append(every_api(*arguments, **settings))
        return used[-1]

    yield api
    if used:
        every_api().clear()


@pytest.fixture(scope="session")
def every_api(running_system: RunningSystem, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Api]:
    """Return a function that starts an API, once for equal arguments."""
    started: dict[object, Api] = {}

    def api(anonymous: str = "manage", *, tokens: bool = False, **settings: str) -> Api:
        key = (anonymous, tokens, *sorted(settings.items()))
        if key not in started:
            started[key] = _start(running_system, tmp_path_factory.mktemp("api"), anonymous, settings, tokens=tokens)
        return started[key]

    return api


def _start(system: RunningSystem, folder: Path, anonymous: str, settings: dict[str, str], *, tokens: bool) -> Api:
    own = {f"GRISTMILL_{name}": value for name, value in settings.items()}
    made: dict[str, str] = {}
    if tokens:
        own["GRISTMILL_TOKEN_FILE"] = str(folder / "tokens")
        kept = Settings(token_file=folder / "tokens")
        made = {role: new_token(kept, f"{role}er", role) for role in ("read", "run", "manage")}
    part = system.run("api", GRISTMILL_PORT="0", GRISTMILL_ANONYMOUS=anonymous, **own)

    def url() -> str:
        """Where it says that it listens, once it is ready."""
        assert part.process.poll() is None, part.log
        told = re.search(r'"url": ?"(http://[0-9.:]+)"', part.log)
        return told[1] if told and httpx.get(f"{told[1]}/readyz", timeout=30).status_code == 200 else ""

    return Api(wait_until(url, 90, f"the API with anonymous={anonymous} is ready", every=0.1), made)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for 127.0.0.1, or a skip."""
    made = Certificate.make(tmp_path_factory.mktemp("certificate"))
    if made is None:
        pytest.skip("openssl is not installed")
    return made
