"""The one-sided t mixture: what it is at the null, at extremes, and by quadrature."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import integrate, special, stats

from analyzers.contrast.batched import Batches
from analyzers.contrast.mixing import log_mean
from analyzers.contrast.student import scaled_tail
from analyzers.contrast.tmixture import PHIS, both_sides, log_e, log_e_one_sided
from analyzers.facts import Floats


def test_the_mean_of_e_values_in_logs_is_that_of_scipy() -> None:
    logs = np.random.default_rng(1).normal(0, 400, (50, 7))
    logs[0, 3], logs[1] = -np.inf, -np.inf
    for axis, n in ((0, 50), (-1, 7)):
        expected = special.logsumexp(logs, axis=axis) - np.log(n)
        assert log_mean(logs, axis) == pytest.approx(expected, rel=1e-12, abs=1e-12)


def sums(u: Floats) -> tuple[Floats, Floats, Floats]:
    """n, total and square after each of the scores (last axis)."""
    n = np.broadcast_to(np.arange(1.0, u.shape[-1] + 1), u.shape)
    return n, np.cumsum(u, axis=-1), np.cumsum(u * u, axis=-1)


@pytest.mark.parametrize("phi", PHIS)
@pytest.mark.parametrize(("n", "t"), [(3, 0.7), (8, -1.5), (40, 2.4), (40, -6.0)])
def test_it_is_the_integral_over_half_normal_effects(phi: float, n: int, t: float) -> None:
    """scipy's noncentral t over its central one, averaged over effects of sd 1 / sqrt(phi)."""
    nu = n - 1

    def inside(delta: float) -> float:
        prior = 2 * stats.norm.pdf(delta, scale=1 / np.sqrt(phi))
        return float(prior * stats.nct.pdf(t, nu, np.sqrt(n) * delta) / stats.t.pdf(t, nu))

    expected, _ = integrate.quad(inside, 0, 12 / np.sqrt(phi), limit=200)
    mean = t / np.sqrt(n)  # with a sample variance of 1
    found = log_e_one_sided(
        np.array([float(n)]), np.array([n * mean]), np.array([nu + n * mean**2]), phi
    )
    assert np.exp(found[0]) == pytest.approx(expected, rel=1e-5)


def test_it_is_expected_to_be_one_at_the_null_after_any_number_of_scores() -> None:
    seed = 11
    u = np.random.default_rng(seed).standard_normal((60_000, 12))
    e = np.exp(log_e(*sums(u)))
    for place in (1, 2, 5, 11):
        mean, error = e[:, place].mean(), e[:, place].std() / np.sqrt(len(e))
        assert mean <= 1.0 + 4 * error, f"seed {seed}, {place + 1} scores: {mean}"
    inside = np.exp(log_e(*sums(u - 0.3)))
    assert inside[:, 11].mean() < 0.9


def test_it_does_not_depend_on_the_scale_of_the_scores() -> None:
    u = np.random.default_rng(2).standard_normal((5, 30)) + 0.4
    assert log_e(*sums(u * 1e-6)) == pytest.approx(log_e(*sums(u)), rel=1e-9)


def test_one_score_says_nothing() -> None:
    assert log_e(np.array([0.0, 1.0]), np.array([0.0, 9.0]), np.array([0.0, 81.0])).tolist() == [
        0.0,
        0.0,
    ]


@pytest.mark.parametrize("value", [0.0, 1.0, -1.0, 1e-150, 1e150])
def test_scores_without_any_spread_stay_finite(value: float) -> None:
    u = np.full(50, value)
    with np.errstate(over="ignore"):
        found = log_e(*sums(u))
    assert np.isfinite(found).all()
    assert (found[-1] > 0) == (value > 0)


def test_far_below_the_null_the_evidence_vanishes_without_an_underflow() -> None:
    u = np.random.default_rng(3).standard_normal(5_000) - 3.0
    found = log_e(*sums(u))
    assert np.isfinite(found).all()
    assert found[-1] < -8


def test_the_lower_tail_is_bounded_by_the_true_one() -> None:
    z = -np.geomspace(1, 1e6, 40)
    nu = np.full(40, 6.0)
    exact = special.stdtr(nu, z)
    assert (exact >= stats.norm.cdf(z)).all()


@pytest.mark.parametrize("n", [2, 3, 7, 40, 255, 256, 257, 400, 5_000, 1_000_000])
def test_both_sides_have_the_exact_mixture_from_no_effect_to_one_beyond_any_doubt(n: int) -> None:
    """Up to sixteen standard deviations, beyond which nothing else is as exact to compare with."""
    t = np.concatenate([np.linspace(-15.0, 15.0, 301), [0.0]])
    many = np.full(len(t), float(n))
    square = (n - 1.0) + t * t  # of n scores with a sample variance of 1
    above, below = both_sides(many, t * np.sqrt(n), square)
    assert above == pytest.approx(log_e(many, t * np.sqrt(n), square), rel=1e-10, abs=1e-10)
    assert below == pytest.approx(log_e(many, -t * np.sqrt(n), square), rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("n", [257, 1_000, 50_000])
@pytest.mark.parametrize("part", [0.05, 0.5, 0.95])
def test_far_out_the_lesser_side_is_what_the_series_of_its_tail_adds_up_to(
    n: int, part: float
) -> None:
    """Gauss's hypergeometric series: terms are positive, so that nothing cancels nor underflows."""
    most = 0.5 * n * n / (n + PHIS[0])
    zeta = np.sqrt(127.0 + part * (most - 127.0)) if most > 127.0 else np.sqrt(most)
    v2 = 2.0 * zeta * zeta / n
    steps = np.arange(200_000.0)
    ratios = (1.0 - v2) * (n + 1.0 + 2.0 * steps) / (n + 2.0 + 2.0 * steps)
    series = 1.0 + np.exp(np.cumsum(np.log(ratios))).sum()
    factor = special.poch(n / 2.0, 0.5) / np.sqrt(np.pi) / n
    found = scaled_tail(np.array([float(n)]), np.array([[zeta]]))[0, 0]
    assert found == pytest.approx(np.sqrt(v2) * factor * series, rel=1e-9)


def test_few_and_many_scores_side_by_side_say_what_each_says_alone_to_the_last_bit() -> None:
    chance = np.random.default_rng(9)
    n = chance.choice([0.0, 1.0, 2.0, 9.0, 256.0, 257.0, 4_000.0], 400)
    total = chance.standard_normal(400) * np.sqrt(n) * chance.choice([1.0, 30.0], 400)
    square = total**2 / np.maximum(n, 1.0) + n * chance.random(400)
    together = both_sides(n, total, square)
    for row in range(0, 400, 7):
        one = slice(row, row + 1)
        for side, alone in zip(together, both_sides(n[one], total[one], square[one]), strict=True):
            assert side[row] == alone[0]


def advanced(score: Floats, variance: Floats, information: Floats, units: Floats) -> list[Floats]:
    """Log e-values after each of the strata (T, n, ...), and at last the batches that closed."""
    batches, rows = Batches(score.shape[2]), np.arange(score.shape[1])
    batches.add(len(rows))
    found = [
        batches.advance(rows, score[at], variance[at], information[at], units[at])
        for at in range(len(score))
    ]
    return [np.array(found), batches.closed]


def test_batches_close_by_information_whatever_the_scores_show() -> None:
    chance = np.random.default_rng(4)
    units = np.tile([9.0, 1.0], (400, 2, 1))
    information = np.full((400, 2), 0.31)
    # The rows differ in the scale of their scores only.
    score = chance.standard_normal((400, 1, 2)) * np.array([1.0, 50.0])[None, :, None]
    _, closed = advanced(score, np.ones((400, 2, 2)), information, units)
    # theta is a tenth: 12 (1 - 2 theta)^2 = 7.68 must come together, which takes 25 strata.
    assert closed.tolist() == [400 // 25] * 2


def test_a_row_of_batches_alone_and_among_others_says_the_same_to_the_last_bit() -> None:
    chance = np.random.default_rng(5)
    score, variance = chance.standard_normal((90, 4, 3)), chance.uniform(0.5, 2.0, (90, 4, 3))
    information, units = chance.uniform(0, 1, (90, 4)), chance.uniform(1, 9, (90, 4, 2))
    whole, closed = advanced(score, variance, information, units)
    assert (closed > 5).all()
    for row in range(4):
        mine = slice(row, row + 1)
        alone, _ = advanced(score[:, mine], variance[:, mine], information[:, mine], units[:, mine])
        assert alone[:, 0].tolist() == whole[:, row].tolist()
