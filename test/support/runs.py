"""Runs of the built-in processes as a child makes them, without a worker."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.image import imread

from gristmill.fetch import Fetcher
from gristmill.processes import ProducedOutput, RunContext, load_registry
from gristmill.settings import Settings

REGISTRY = load_registry(Path(__file__).parents[2] / "processes")


CONTEXT = RunContext(lambda *_: None, Path, Fetcher(Settings()))


def run(process_id: str, inputs: dict[str, Any], context: RunContext = CONTEXT) -> dict[str, Any]:
    """Outputs by name, JSON and text decoded. The inputs are checked first, as the API does it."""
    REGISTRY[process_id].check(inputs)
    return {one.name: _decoded(one) for one in REGISTRY[process_id].run(inputs, context)}


def outputs_of(process_id: str, **inputs: Any) -> dict[str, Any]:
    """What ``run`` gives, of inputs by keyword."""
    return run(process_id, inputs)


def is_picture(png: bytes, svg: bytes) -> bool:
    """Whether both are pictures, and the first is not of one colour."""
    pixels = (imread(io.BytesIO(png)) * 255).astype("u1")
    colors = np.unique(np.ascontiguousarray(pixels).view("u4"))
    return pixels.shape[0] > 100 and len(colors) > 3 and b"<svg" in svg[:1000]


def _decoded(output: ProducedOutput) -> Any:
    if output.media_type == "application/json":
        return json.loads(output.data)
    return output.data.decode() if output.media_type.startswith("text/plain") else output.data
