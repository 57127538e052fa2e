"""The tables that ship are whole."""

import csv
from importlib.resources import files

from gristmill import samples


def test_the_penguins_are_344_birds_with_eight_columns() -> None:
    header, *birds = csv.reader(samples.penguins().splitlines())
    assert header[:6] == ["species", "island", "bill_length_mm", "bill_depth_mm", "flipper_length_mm", "body_mass_g"]
    assert len(birds) == 344
    assert {len(bird) for bird in birds} == {8}


def test_the_source_and_the_licence_ship_with_the_table() -> None:
    told = (files(samples) / "README.md").read_text(encoding="utf-8")
    assert "CC0" in told
    assert "Gorman" in told
