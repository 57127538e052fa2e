"""Ordinary least squares by an orthogonal decomposition (QR) that takes the rows in blocks.

The matrix of sums of squares is never formed: it would square the condition number, and so lose half of the digits.
Columns are shifted and scaled before, which takes the rest of the harm out of large means and different units.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
_DEPENDENT = 1e-12  # of a column's length: what is left of it beside the columns before it
_FEW_ROWS = 4096  # of one decomposition: they stay in the processor's cache


class CollinearError(ValueError):
    """A column follows from those before it. column: its place; others: places of those that it follows from."""

    def __init__(self, column: int, others: Sequence[int]) -> None:
        super().__init__(f"column {column} is a linear combination of {list(others)}")
        self.column = column
        self.others = tuple(others)


@dataclass(frozen=True, slots=True)
class Scale:
    """How columns are brought to a common size: (value - shift) / size; the last one is that of y."""

    shifts: Floats
    sizes: Floats

    def applied(self, columns: Floats) -> Floats:
        """The columns, scaled; a copy."""
        scaled: Floats = (columns - self.shifts) / self.sizes
        return scaled


@dataclass(frozen=True, slots=True)
class Fit:
    """Coefficients in the order of the columns, the intercept first if there is one, and their standard errors.

    squares: sum of the squared residuals; explained: what the sum of the squares of y around its mean (around 0 without
    an intercept) has more. Both are of y divided by ``size``, because the squares of huge numbers would be infinite.
    """

    coefficients: Floats
    errors: Floats
    squares: float
    explained: float
    size: float
    rows: int

    @property
    def freedom(self) -> int:
        """Degrees of freedom of the residuals."""
        return self.rows - len(self.coefficients)


def fit(blocks: Iterable[Floats], scale: Scale, *, intercept: bool) -> Fit:
    """Fit the last column of the blocks to those before it.

    blocks: rows, not scaled. scale: its shifts are 0 without an intercept. There must be more rows than coefficients.
    Raises CollinearError.
    """
    width = len(scale.sizes) + intercept
    triangle = np.zeros((0, width))
    rows = 0
    for block in blocks:
        rows += len(block)
        for start in range(0, len(block), max(_FEW_ROWS, 4 * width)):
            part = scale.applied(block[start : start + max(_FEW_ROWS, 4 * width)])
            if intercept:
                part = np.concatenate([np.ones((len(part), 1)), part], axis=1)
            triangle = np.asarray(np.linalg.qr(np.concatenate([triangle, part]), mode="r"))
    terms = width - 1
    upper, aim = triangle[:terms, :terms], triangle[:terms, terms]
    _refuse_collinear(upper, scale, intercept=intercept)
    squares = float(triangle[terms, terms] ** 2)
    explained = float(np.sum(triangle[int(intercept) : terms, terms] ** 2))
    inverse = np.linalg.solve(upper, np.eye(terms))
    back = _unscaled(scale, terms, intercept=intercept)
    coefficients = back @ np.linalg.solve(upper, aim)
    if intercept:
        coefficients[0] += scale.shifts[-1] / scale.sizes[-1]
    spread = np.sqrt(squares / (rows - terms))
    errors = spread * _lengths(back @ inverse)
    size = float(scale.sizes[-1])
    return Fit(coefficients * size, errors * size, squares, explained, size, rows)


def _lengths(rows: Floats) -> Floats:
    """The length of each row, also where the squares of its numbers are too small or too large."""
    largest = np.abs(rows).max(axis=1)
    divisors = np.where(largest > 0, largest, 1.0)
    lengths: Floats = divisors * np.linalg.norm(rows / divisors[:, None], axis=1)
    return lengths


def _unscaled(scale: Scale, terms: int, *, intercept: bool) -> Floats:
    """The matrix that makes coefficients of the columns out of those of the scaled columns."""
    back = np.zeros((terms, terms))
    sizes, shifts = scale.sizes[:-1], scale.shifts[:-1]
    first = int(intercept)
    back[range(first, terms), range(first, terms)] = 1 / sizes
    if intercept:
        back[0, 0] = 1
        back[0, 1:] = -shifts / sizes
    return back


def _refuse_collinear(upper: Floats, scale: Scale, *, intercept: bool) -> None:
    lengths = np.linalg.norm(upper, axis=0)
    # Large numbers that differ little have lost digits already as they were stored.
    coarseness = np.abs(scale.shifts[:-1]) / scale.sizes[:-1]
    coarseness = np.concatenate([np.zeros(int(intercept)), coarseness])
    # Of each column and those before it: one behind it is not its fault.
    limits = _DEPENDENT + 8 * np.finfo(float).eps * np.maximum.accumulate(coarseness)
    for place in range(len(upper)):
        if abs(upper[place, place]) > limits[place] * lengths[place]:
            continue
        shares = np.linalg.solve(upper[:place, :place], upper[:place, place]) if place else np.zeros(0)
        weights = np.abs(shares) * lengths[:place]
        others = np.flatnonzero(weights > 1e-6 * lengths[place]) if lengths[place] else np.zeros(0, int)
        raise CollinearError(place, [int(one) for one in others])


def predicted(block: Floats, found: Fit, *, intercept: bool) -> Floats:
    """The values of the fit at rows of the columns without y."""
    slopes = found.coefficients[int(intercept) :]
    values: Floats = block @ slopes + (found.coefficients[0] if intercept else 0.0)
    return values
