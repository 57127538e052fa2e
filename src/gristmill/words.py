"""Words in messages, pictures and results."""

import math


def counted(count: int, what: str) -> str:
    """A number of things: `1 row`, `1,200 rows`."""
    return f"{count:,} {what}{'' if count == 1 else 's'}"


def not_finite(value: float) -> str:
    """What JSON has no number for, as we write it: `NaN`, `Infinity` or `-Infinity`."""
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def without_formulas(text: str) -> str:
    """A text that Matplotlib draws letter by letter: it takes what stands between two `$` for a formula."""
    return text.replace("$", r"\$")
