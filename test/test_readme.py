"""What the front page shows works."""

import re
from pathlib import Path

from gristmill.processes import load_registry

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_the_process_of_the_front_page_is_offered_once_its_file_is_dropped_in(tmp_path: Path) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in code.splitlines() if line.strip()]) <= 10
    (tmp_path / "primes.py").write_text(code)

    process = load_registry(tmp_path)["primes"]

    assert process.title.startswith("Prime numbers")
    assert process.limits.seconds == 20
    process.check({"below": 20})


def test_every_make_target_and_file_of_the_quick_start_exists() -> None:
    assert "\nmake run\n" in README
    assert "\nrun:" in (Path(__file__).parents[1] / "Makefile").read_text(encoding="utf-8")


def test_the_figures_of_speed_are_those_that_were_measured_last() -> None:
    section = README.partition("## Speed")[2].partition("\n## ")[0]
    figures = re.findall(r"[0-9][0-9,.]* (?:ms|jobs/s)", section)
    measured = (Path(__file__).parents[1] / "bench/results/latest.md").read_text("utf-8")
    assert len(figures) > 10
    assert [figure for figure in figures if f"| {figure} |" not in measured] == []
