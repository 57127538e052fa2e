"""Least squares on the reference data of NIST, and against rational arithmetic; tails of t and F against SciPy."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from gristmill.processes.distributions import f_tail, t_bound, t_tails
from gristmill.processes.least_squares import CollinearError, Fit, Scale, fit

# Statistical Reference Datasets of NIST: Filip, y and x.
FILIP = """
0.8116 -6.860120914 0.9072 -4.324130045 0.9052 -4.358625055 0.9039 -4.358426747 0.8053 -6.955852379 0.8377 -6.661145254
0.8667 -6.355462942 0.8809 -6.118102026 0.7975 -7.115148017 0.8162 -6.815308569 0.8515 -6.519993057 0.8766 -6.204119983
0.8885 -5.853871964 0.8859 -6.109523091 0.8959 -5.79832982 0.8913 -5.482672118 0.8959 -5.171791386 0.8971 -4.851705903
0.9021 -4.517126416 0.909 -4.143573228 0.9139 -3.709075441 0.9199 -3.499489089 0.8692 -6.300769497 0.8872 -5.953504836
0.89 -5.642065153 0.891 -5.031376979 0.8977 -4.680685696 0.9035 -4.329846955 0.9078 -3.928486195 0.7675 -8.56735134
0.7705 -8.363211311 0.7713 -8.107682739 0.7736 -7.823908741 0.7775 -7.522878745 0.7841 -7.218819279 0.7971 -6.920818754
0.8329 -6.628932138 0.8641 -6.323946875 0.8804 -5.991399828 0.7668 -8.781464495 0.7633 -8.663140179 0.7678 -8.473531488
0.7697 -8.247337057 0.77 -7.971428747 0.7749 -7.676129393 0.7796 -7.352812702 0.7897 -7.072065318 0.8131 -6.774174009
0.8498 -6.478861916 0.8741 -6.159517513 0.8061 -6.835647144 0.846 -6.53165267 0.8751 -6.224098421 0.8856 -5.910094889
0.8919 -5.598599459 0.8934 -5.290645224 0.894 -4.974284616 0.8957 -4.64454848 0.9047 -4.290560426 0.9129 -3.885055584
0.9209 -3.408378962 0.9219 -3.13200249 0.7739 -8.726767166 0.7681 -8.66695597 0.7665 -8.511026475 0.7703 -8.165388579
0.7702 -7.886056648 0.7761 -7.588043762 0.7809 -7.283412422 0.7961 -6.995678626 0.8253 -6.691862621 0.8602 -6.392544977
0.8809 -6.067374056 0.8301 -6.684029655 0.8664 -6.378719832 0.8834 -6.065855188 0.8898 -5.752272167 0.8964 -5.132414673
0.8963 -4.811352704 0.9074 -4.098269308 0.9119 -3.66174277 0.9228 -3.2644011
"""
FILIP_COEFFICIENTS = [
    -1467.48961422980, -2772.17959193342, -2316.37108160893, -1127.97394098372, -354.478233703349, -75.1242017393757,
    -10.8753180355343, -1.06221498588947, -0.670191154593408e-01, -0.246781078275479e-02, -0.402962525080404e-04,
]  # fmt: skip
FILIP_ERRORS = [
    298.084530995537, 559.779865474950, 466.477572127796, 227.204274477751, 71.6478660875927, 15.2897178747400,
    2.23691159816033, 0.221624321934227, 0.142363763154724e-01, 0.535617408889821e-03, 0.896632837373868e-05,
]  # fmt: skip
# Longley: y, then x1 to x6.
LONGLEY = np.array(
    [
        [60323, 83.0, 234289, 2356, 1590, 107608, 1947], [61122, 88.5, 259426, 2325, 1456, 108632, 1948],
        [60171, 88.2, 258054, 3682, 1616, 109773, 1949], [61187, 89.5, 284599, 3351, 1650, 110929, 1950],
        [63221, 96.2, 328975, 2099, 3099, 112075, 1951], [63639, 98.1, 346999, 1932, 3594, 113270, 1952],
        [64989, 99.0, 365385, 1870, 3547, 115094, 1953], [63761, 100.0, 363112, 3578, 3350, 116219, 1954],
        [66019, 101.2, 397469, 2904, 3048, 117388, 1955], [67857, 104.6, 419180, 2822, 2857, 118734, 1956],
        [68169, 108.4, 442769, 2936, 2798, 120445, 1957], [66513, 110.8, 444546, 4681, 2637, 121950, 1958],
        [68655, 112.6, 482704, 3813, 2552, 123366, 1959], [69564, 114.2, 502601, 3931, 2514, 125368, 1960],
        [69331, 115.7, 518173, 4806, 2572, 127852, 1961], [70551, 116.9, 554894, 4007, 2827, 130081, 1962],
    ]
)  # fmt: skip
LONGLEY_COEFFICIENTS = [
    -3482258.63459582, 15.0618722713733, -0.358191792925910e-01, -2.02022980381683, -1.03322686717359,
    -0.511041056535807e-01, 1829.15146461355,
]  # fmt: skip
LONGLEY_ERRORS = [
    890420.383607373, 84.9149257747669, 0.334910077722432e-01, 0.488399681651699, 0.214274163161675,
    0.226073200069370, 455.478499142212,
]  # fmt: skip


def fitted(columns: np.ndarray, *, intercept: bool = True, blocks: int = 1) -> Fit:
    """Fit the last column, in so many blocks."""
    if intercept:
        deviations = columns.std(axis=0)
        scale = Scale(columns.mean(axis=0), np.where(deviations > 0, deviations, 1))
    else:
        scale = Scale(np.zeros(columns.shape[1]), np.abs(columns).max(axis=0))
    return fit(np.array_split(columns, blocks), scale, intercept=intercept)


def test_longley_s_certified_values_are_met_to_eleven_digits() -> None:
    found = fitted(np.roll(LONGLEY, -1, axis=1))

    np.testing.assert_allclose(found.coefficients, LONGLEY_COEFFICIENTS, rtol=1e-11)
    np.testing.assert_allclose(found.errors, LONGLEY_ERRORS, rtol=1e-11)
    assert found.squares * found.size**2 == pytest.approx(836424.055505915, rel=1e-11)


def test_filip_s_certified_values_are_met_to_seven_digits() -> None:
    data = np.array(FILIP.split(), "f8").reshape(-1, 2)
    powers = np.column_stack([data[:, 1] ** power for power in range(1, 11)] + [data[:, 0]])

    found = fitted(powers)

    np.testing.assert_allclose(found.coefficients, FILIP_COEFFICIENTS, rtol=1e-7)
    np.testing.assert_allclose(found.errors, FILIP_ERRORS, rtol=1e-7)


@pytest.mark.parametrize("factor", [0, 1, 100, 10_000])
def test_wampler_s_polynomials_are_found_under_noise(factor: int) -> None:
    """Wampler1, 3, 4 and 5: all coefficients are 1, however large the noise, which is orthogonal to the powers."""
    noise = [759, -2048, 2048, -2048, 2523, -2048, 2048, -2048, 1838, -2048, 2048]
    x = np.arange(21.0)
    y = sum(x**power for power in range(6)) + factor * np.array(noise + noise[-2::-1])
    found = fitted(np.column_stack([x**power for power in range(1, 6)] + [y]))

    np.testing.assert_allclose(found.coefficients, np.ones(6), rtol=1e-9 * max(1, factor))
    np.testing.assert_allclose(found.errors / max(1, factor), 2152.32624678170 * (factor > 0) * ERRORS, atol=1e-6)


ERRORS = np.array([2152.32624678170, 2363.55173469681, 779.343524331583, 101.475507550350, 5.64566512170752,
                   0.112324854679312]) / 2152.32624678170  # fmt: skip


def exact(columns: np.ndarray) -> list[float]:
    """Coefficients without an intercept, by rational arithmetic and normal equations."""
    rows = [[Fraction(one) for one in row] for row in columns.tolist()]
    width = len(rows[0])
    sums = [[sum((row[i] * row[j] for row in rows), Fraction(0)) for j in range(width)] for i in range(width - 1)]
    for i in range(width - 1):
        sums[i] = [one / sums[i][i] for one in sums[i]]
        for j in range(width - 1):
            if j != i:
                sums[j] = [one - sums[j][i] * other for one, other in zip(sums[j], sums[i], strict=True)]
    return [float(row[-1]) for row in sums]


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 6), st.integers(8, 60), st.floats(0, 1e3), st.booleans())
def test_coefficients_are_those_of_rational_arithmetic(
    seed: int, terms: int, rows: int, shift: float, intercept: bool
) -> None:
    random = np.random.default_rng(seed)
    columns = (random.normal(size=(rows, terms + 1)) + shift) * 10.0 ** random.integers(-5, 6, terms + 1)
    whole = np.column_stack([np.ones(rows), columns]) if intercept else columns

    found = fitted(columns, intercept=intercept, blocks=3)

    # Each in units of what a change of its column by its size makes of y.
    units = np.abs(columns[:, -1]).max() / np.abs(whole[:, :-1]).max(axis=0)
    np.testing.assert_allclose(found.coefficients / units, exact(whole) / units, rtol=1e-8, atol=1e-9)


def test_blocks_make_no_difference() -> None:
    columns = np.random.default_rng(1).normal(size=(20_000, 4))

    one, many = fitted(columns), fitted(columns, blocks=77)

    np.testing.assert_allclose(one.coefficients, many.coefficients, rtol=1e-12)
    np.testing.assert_allclose(one.errors, many.errors, rtol=1e-12)


def test_numbers_whose_squares_are_infinite_or_0_are_fitted() -> None:
    columns = np.random.default_rng(1).normal(size=(50, 3))
    plain, huge, tiny = (fitted_by_range(columns * factor) for factor in (1, 1e300, 1e-300))

    for found, factor in ((huge, 1e300), (tiny, 1e-300)):
        np.testing.assert_allclose(found.coefficients, plain.coefficients * [factor, 1, 1], rtol=1e-9)
        np.testing.assert_allclose(found.errors, plain.errors * [factor, 1, 1], rtol=1e-9)


def fitted_by_range(columns: np.ndarray) -> Fit:
    return fit([columns], Scale(np.zeros(3), np.abs(columns).max(axis=0)), intercept=True)


@pytest.mark.parametrize("shift", [0, 1e3, 1e6])
def test_a_column_that_follows_from_others_is_named_with_them(shift: float) -> None:
    a, b, c, y = np.random.default_rng(1).normal(size=(4, 500)) + shift

    with pytest.raises(CollinearError) as caught:
        fitted(np.column_stack([a, b, c, 2 * a - c / 3, y]))

    assert caught.value.column == 4
    assert {1, 3} <= set(caught.value.others) <= {0, 1, 3}


def test_a_constant_column_follows_from_the_intercept() -> None:
    with pytest.raises(CollinearError) as caught:
        fitted(np.column_stack([np.full(9, 0.25), np.arange(9.0)]))

    assert caught.value.column == 1


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 60), st.floats(1, 1e6))
def test_tails_of_t_are_those_of_scipy(t: float, freedom: float) -> None:
    assert t_tails(t, freedom) == pytest.approx(2 * stats.t.sf(t, freedom), rel=1e-8, abs=1e-200)
    assert t_tails(-t, freedom) == t_tails(t, freedom)


@settings(max_examples=200, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(1, 300), st.integers(1, 10**6))
def test_tails_of_f_are_those_of_scipy(f: float, numerator: int, denominator: int) -> None:
    assert f_tail(f, numerator, denominator) == pytest.approx(
        stats.f.sf(f, numerator, denominator), rel=1e-8, abs=1e-200
    )


@pytest.mark.parametrize("freedom", [1, 2, 3, 10, 100, 10_000, 10**6])
def test_bounds_of_t_are_those_of_scipy(freedom: int) -> None:
    assert t_bound(0.05, freedom) == pytest.approx(stats.t.isf(0.025, freedom), rel=1e-9)


def test_tails_end_at_0_and_1() -> None:
    assert t_tails(0, 5) == f_tail(0, 2, 5) == 1
    assert t_tails(math.inf, 5) == f_tail(math.inf, 2, 5) == 0
    assert t_tails(1e200, 5) == 0
