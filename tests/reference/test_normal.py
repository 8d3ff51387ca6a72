"""The one-sided normal mixture against confseq and by simulation."""

from __future__ import annotations

import math

import numpy as np
import pytest

from analyzers.contrast.normal import boundary, log_e, log_e_one_sided

# confseq 0.0.11, normal_log_mixture, one-sided: s, v, v_opt, alpha_opt, log e
CONFSEQ = [
    (-8.0, 50.0, 20.0, 0.01, -2.333281370752975),
    (40.0, 400.0, 50.0, 0.025, 0.5549982540693194),
]


@pytest.mark.parametrize(("score", "variance", "v_opt", "alpha", "expected"), CONFSEQ)
def test_the_normal_mixture_is_that_of_confseq(
    score: float, variance: float, v_opt: float, alpha: float, expected: float
) -> None:
    double = 2 * math.log(1 / (2 * alpha))
    rho = v_opt / (double + math.log(1 + double))
    assert log_e_one_sided(np.array([score]), np.array([variance]), rho)[0] == pytest.approx(
        expected, rel=1e-8
    )


def test_on_fair_scores_the_mixture_crosses_no_more_often_than_promised() -> None:
    seed = 20261122
    chance = np.random.default_rng(seed)
    steps = chance.uniform(-math.sqrt(3), math.sqrt(3), (4000, 300))
    path = log_e(np.cumsum(steps, axis=1), np.broadcast_to(np.arange(1.0, 301.0), steps.shape))
    share = float((path.max(axis=1) >= math.log(20)).mean())
    assert share <= 0.05, f"seed {seed}: {share}"


@pytest.mark.parametrize("level", [0.01, 1.0, 3.0, 7.0, 60.0, 690.0])
def test_the_boundary_is_where_the_mixture_reaches_its_level_and_never_below(level: float) -> None:
    variance = np.concatenate([[0.0], np.geomspace(1e-6, 1e15, 200)])
    at = boundary(variance, level)
    assert log_e(at, variance) == pytest.approx(np.full(201, level), rel=1e-9, abs=1e-9)
    alone = [float(boundary(variance[i : i + 1], level)[0]) for i in (0, 7, 200)]
    assert alone == at[[0, 7, 200]].tolist()
