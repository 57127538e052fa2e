"""What several tests of data sets start from."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from support.tables import LIMITS, Read

from gristmill.datasets.facts import Facts
from gristmill.datasets.ingest import ingest
from gristmill.datasets.options import ReadingOptions


@pytest.fixture
def read(tmp_path: Path) -> Read:
    """Reads bytes as a file into ``tmp_path / "table"``."""

    def read(data: bytes, form: Any = "csv", limits: dict[str, Any] | None = None, **options: Any) -> Facts:
        source = tmp_path / "source"
        source.write_bytes(data)
        changed = dataclasses.replace(LIMITS, **(limits or {}))
        return ingest(source, tmp_path / "table", ReadingOptions(form, **options), changed)

    return read
