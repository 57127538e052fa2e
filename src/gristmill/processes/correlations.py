"""Correlations of all pairs of columns, each over the rows that have both values."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Counts = npt.NDArray[np.int64]
# Of the sum of squares around the column's own mean. With less, the rows of the pair have kept too few digits.
_DOUBTFUL = 1e-8


@dataclass(frozen=True, slots=True)
class Correlations:
    """r: NaN where it is not defined. n: rows that have both values. doubtful: pairs to be computed on their own."""

    r: Floats
    n: Counts
    doubtful: Sequence[tuple[int, int]] = ()


def pearson(blocks: Iterable[tuple[Floats, Bools]], width: int) -> Correlations:
    """Pearson's correlations. blocks: an array a column, shifted and scaled to about mean 0 and deviation 1 (0 where
    there is no value), and which values are there.
    """
    products, sums, squares = (np.zeros((width, width)) for _ in range(3))
    counts = np.zeros((width, width))
    for values, there in blocks:
        products += values @ values.T
        if there.all():
            sums += values.sum(axis=1)[:, None]
            squares += np.square(values).sum(axis=1)[:, None]
            counts += values.shape[1]
            continue
        mask = there.astype(float)
        sums += values @ mask.T
        squares += np.square(values) @ mask.T
        counts += mask @ mask.T
    n = np.maximum(counts, 1)
    covariance = products - sums * sums.T / n
    variance = squares - np.square(sums) / n
    enough = counts >= 2
    doubtful = enough & ((variance <= _DOUBTFUL * squares) | (variance <= _DOUBTFUL * squares).T)
    with np.errstate(invalid="ignore", divide="ignore"):
        r = np.clip(covariance / (np.sqrt(variance) * np.sqrt(variance.T)), -1, 1)
    r[~enough | doubtful] = np.nan
    pairs = [(int(i), int(j)) for i, j in np.argwhere(np.triu(doubtful, 1))]
    diagonal = np.diag_indices(width)
    r[diagonal] = np.where(np.isnan(r[diagonal]), np.nan, 1.0)
    return Correlations(r, counts.astype(np.int64), pairs)


def pearson_of_pair(x: npt.NDArray[np.generic], y: npt.NDArray[np.generic]) -> float:
    """Pearson's correlation of two columns that are complete; NaN where one is constant."""
    if len(x) < 2 or x.min() == x.max() or y.min() == y.max():
        return float("nan")
    left, right = _standard(x), _standard(y)
    return float(np.clip(left @ right / np.sqrt((left @ left) * (right @ right)), -1, 1))


def spearman(columns: Sequence[npt.NDArray[np.generic]], there: Sequence[Bools]) -> Correlations:
    """Spearman's correlations: Pearson's of the ranks among the rows of each pair; equal values share a mean rank."""
    width = len(columns)
    r, n = np.full((width, width), np.nan), np.zeros((width, width), np.int64)
    groups = _alike(there)
    for place, first in enumerate(groups):
        for second in groups[place:]:
            rows = there[first[0]] & there[second[0]]
            n[np.ix_(first, second)] = n[np.ix_(second, first)] = count = int(rows.sum())
            if count < 2:
                continue
            left = np.array([_standard_ranks(columns[one][rows]) for one in first])
            right = left if first is second else np.array([_standard_ranks(columns[one][rows]) for one in second])
            found = np.clip(left @ right.T, -1, 1)
            r[np.ix_(first, second)], r[np.ix_(second, first)] = found, found.T
    diagonal = np.diag_indices(width)
    r[diagonal] = np.where(np.isnan(r[diagonal]), np.nan, 1.0)
    return Correlations(r, n)


def rankings(there: Sequence[Bools]) -> int:
    """How many columns ``spearman`` has to rank."""
    groups = _alike(there)
    return sum(len(one) for one in groups) * len(groups)


def ranks(values: npt.NDArray[np.generic]) -> Floats:
    """The rank of each value, from 1; the mean of theirs for values that are equal."""
    order = np.argsort(values, kind="stable")
    ordered = values[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]]))
    ends = np.append(starts[1:], len(values))
    found = np.empty(len(values))
    found[order] = np.repeat((starts + ends + 1) / 2, ends - starts)
    return found


def _alike(there: Sequence[Bools]) -> list[list[int]]:
    """The columns whose values are there in the same rows, together."""
    groups: dict[bytes, list[int]] = {}
    for place, one in enumerate(there):
        groups.setdefault(np.packbits(one).tobytes(), []).append(place)
    return list(groups.values())


def _standard_ranks(values: npt.NDArray[np.generic]) -> Floats:
    """Ranks of mean 0 and length 1; NaN where all are equal."""
    centred = ranks(values) - (len(values) + 1) / 2
    length = np.linalg.norm(centred)
    return np.asarray(centred / length) if length else np.full(len(values), np.nan)


def _standard(values: npt.NDArray[np.generic]) -> Floats:
    """Bring to a largest absolute value of about 1 and to mean 0."""
    numbers: Floats = (_from_zero(values) if values.dtype.kind in "iu" else values).astype(float)
    low, high = numbers.min(), numbers.max()
    scaled = (numbers - (low / 2 + high / 2)) / (high / 2 - low / 2 or 1.0)
    return np.asarray(scaled - scaled.mean())


def _from_zero(values: npt.NDArray[Any]) -> npt.NDArray[np.uint64]:
    """Whole numbers of 64 bits, less the least of them: exactly, before doubles round them."""
    wrapped = values.astype(values.dtype.str.replace("i", "u"))
    return np.asarray(wrapped - wrapped[values.argmin()], np.uint64)
