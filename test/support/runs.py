"""Runs of the built-in processes as a child makes them, without a worker."""

import json
from pathlib import Path
from typing import Any

from gristmill.fetch import Fetcher
from gristmill.processes import RunContext, load_registry
from gristmill.settings import Settings

REGISTRY = load_registry(Path(__file__).parents[2] / "processes")


def outputs_of(process_id: str, **inputs: Any) -> dict[str, Any]:
    """Outputs by name, JSON decoded. The inputs are checked first, as the API does it."""
    REGISTRY[process_id].check(inputs)
    context = RunContext(lambda *_: None, Path, Fetcher(Settings()))
    return {
        one.name: json.loads(one.data) if one.media_type == "application/json" else one.data
        for one in REGISTRY[process_id].run(inputs, context)
    }
