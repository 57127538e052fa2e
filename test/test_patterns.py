"""The regular expressions over what users send take time in proportion to its length, whatever it is."""

import subprocess
import sys

import pytest

from gristmill.api import bodies
from gristmill.datasets import json_files
from gristmill.processes import selects

EVIL = {
    "an unclosed string of escaped quotes": (json_files, "_OUTER", '"' + '\\"' * 32_000),
    "escaped line ends": (json_files, "_OUTER", '"\\\n' * 16_000),
    "a key and blanks": (json_files, "_OUTER", '"a":[' + " " * 64_000),
    "advice that is repeated": (selects, "_NOT_HERE", " Use SET a to increase " * 1_000),
    "advice with ends": (selects, "_NOT_HERE", " Use SET a to increase b" * 1_000 + ".x"),
    "quoted advice": (selects, "_NOT_HERE", ' Use "SET a" to increase ' * 1_000),
    "almost huge numbers": (bodies, "_HUGE", ("1" * 308 + ",") * 26_000),
}


@pytest.mark.parametrize("name", EVIL)
def test_no_text_takes_long(name: str) -> None:
    module, pattern, text = EVIL[name]
    # In a process of its own, as nothing else ends a search.
    code = (
        f"import sys, time; from {module.__name__} import {pattern} as pattern; text = sys.stdin.read(); "
        "begun = time.process_time(); sum(1 for _ in pattern.finditer(text)); print(time.process_time() - begun)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code], input=text, capture_output=True, text=True, timeout=30, check=True
    )
    assert float(ran.stdout) < 1
