"""The two commands, run as their users run them."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from gristmill.settings import Settings

Run = Callable[..., subprocess.CompletedProcess[bytes]]


def environment(settings: Settings, **more: str) -> dict[str, str]:
    """What a command needs to reach a system."""
    return dict(os.environ) | {
        "REDIS_URL": settings.redis_url,
        "GRISTMILL_KEY_PREFIX": settings.key_prefix,
        "GRISTMILL_ENVIRONMENT": settings.environment,
        "GRISTMILL_RETENTION_SECONDS": str(settings.retention_seconds),
        "GRISTMILL_DATASET_VERSIONS": str(settings.dataset_versions),
    } | more  # fmt: skip


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "gristmill", *map(str, arguments)]


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run ``gristmill ...`` for a system: ``run(settings, "backup", "-", input=b"")``."""

    def call(settings: Settings, *arguments: str | Path, input: bytes = b"", **more: str):  # noqa: A002
        return subprocess.run(
            command(*arguments), env=environment(settings, **more), cwd=tmp_path, input=input, capture_output=True,
            timeout=120, check=False,
        )  # fmt: skip

    return call
