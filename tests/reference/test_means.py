"""Gauges, ratios, assignments: against statsmodels, savvi, scipy and exact enumeration."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import integrate, stats

from analyzers.contrast.assignment import Assignments
from analyzers.contrast.gauge import ORDER, PAST, coefficients, yule_walker
from analyzers.contrast.means import EFFECTS, TAILS, Means
from analyzers.contrast.tmixture import both_sides, log_e
from analyzers.facts import Floats


class Vector(msgspec.Struct, frozen=True):
    id: str
    kind: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    rtol: float


class Vectors(msgspec.Struct, frozen=True):
    vectors: list[Vector]


def of_kind(shared: Path, kind: str) -> list[Vector]:
    text = (shared / "reference_vectors.json").read_bytes()
    return [v for v in msgspec.json.decode(text, type=Vectors).vectors if v.kind == kind]


def test_the_coefficients_are_those_of_statsmodels(shared: Path) -> None:
    (vector,) = of_kind(shared, "ar_prewhiten")
    found = yule_walker(np.array(vector.inputs["series"]), len(vector.expected["phi"]))
    assert found == pytest.approx(vector.expected["phi"], rel=vector.rtol)


def test_the_mismatch_of_a_split_is_that_of_savvi(shared: Path) -> None:
    vectors = of_kind(shared, "srm_multinomial")
    assert vectors
    for vector in vectors:
        tests, row = Assignments(vector.inputs["k"]), np.zeros(1, np.int64)
        tests.add(np.array([False]))
        share = np.array([vector.inputs["theta_0"][1]])
        found = [
            float(tests.advance(row, np.array([counts], np.float64), share)[0])
            for counts in vector.inputs["window_counts"]
        ]
        assert found == pytest.approx(vector.expected["log_bayes_factor"], rel=vector.rtol)


def test_the_coefficients_solve_the_equations_of_yule_and_walker() -> None:
    series = np.cumsum(np.random.default_rng(1).standard_normal(400)) * 0.3 + 5.0
    centred = series - series.mean()
    r = np.array([(centred[: 400 - k] * centred[k:]).sum() for k in range(ORDER + 1)])
    matrix = r[np.abs(np.subtract.outer(np.arange(ORDER), np.arange(ORDER)))]
    assert yule_walker(series, ORDER) == pytest.approx(np.linalg.solve(matrix, r[1:]), rel=1e-9)


def test_both_sides_are_the_t_mixture_of_the_scores_and_of_their_negatives() -> None:
    rng = np.random.default_rng(2)
    n = rng.integers(0, 400, 500).astype(float)
    total = rng.standard_normal(500) * np.sqrt(n) * 3
    square = total**2 / np.maximum(n, 1) + n * rng.random(500)
    above, below = both_sides(n, total, square)
    assert above == pytest.approx(log_e(n, total, square), rel=1e-9, abs=1e-9)
    assert below == pytest.approx(log_e(n, -total, square), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("past", [3, 5, 20, 400])
@pytest.mark.parametrize("effect", EFFECTS)
def test_a_late_bet_is_expected_to_win_nothing_at_the_null(past: int, effect: float) -> None:
    """scipy's densities: the next Gaussian score over the root mean square of ``past`` ones has
    Student's t distribution with as many degrees of freedom, and the bet is on at most five."""
    nu = min(float(past), TAILS)

    def inside(x: float) -> float:
        bet = np.exp(stats.t.logpdf(x - effect, nu) - stats.t.logpdf(x, nu))
        return float(bet * stats.t.pdf(x, past))

    expected = integrate.quad(inside, -60, 60, points=[0.0, effect], epsabs=1e-6)[0]
    assert expected <= 1.0 + 1e-5


def test_evidence_is_expected_to_be_one_at_most_for_scores_of_mean_zero() -> None:
    seed = 3
    rng = np.random.default_rng(seed)
    draws: dict[str, Floats] = {
        "Gaussian": rng.standard_normal((15, 5_000)),
        "inside": rng.standard_normal((15, 5_000)) - 0.3,
        "Laplace": rng.laplace(size=(15, 5_000)),
        "t3": rng.standard_t(3, (15, 5_000)),
    }
    for name, scores in draws.items():
        means, rows = Means(), np.arange(scores.shape[1])
        means.add(len(rows))
        for score in scores:
            means.advance(rows, score)
        e = np.exp(means.log_harm)
        assert e.mean() <= 1.0 + 4 * e.std() / np.sqrt(len(e)), f"seed {seed}, {name}"


@pytest.mark.parametrize(
    ("name", "series"),
    [
        ("too short", np.random.default_rng(4).standard_normal(PAST - 1)),
        ("constant", np.full(2 * PAST, 3.25)),
        ("not a number", np.where(np.arange(PAST) == 7, np.nan, 1.0 * np.arange(PAST))),
        ("infinite", np.where(np.arange(PAST) == 7, np.inf, 1.0 * np.arange(PAST))),
        ("random walk", np.cumsum(np.random.default_rng(5).standard_normal(2 * PAST))),
        ("trend", np.random.default_rng(6).standard_normal(PAST) + np.arange(PAST) / 50.0),
        ("slow cycle", np.random.default_rng(7).standard_normal(1_500)
         + 0.6 * np.sin(np.arange(1_500) / 100.0)),
    ],
)  # fmt: skip
def test_a_past_that_may_not_be_relied_on_gives_no_coefficients(name: str, series: Floats) -> None:
    assert coefficients(series) is None, name


def test_a_well_behaved_past_gives_coefficients() -> None:
    rng = np.random.default_rng(8)
    fitted = coefficients(rng.standard_normal(PAST))
    assert fitted is not None
    assert np.abs(fitted).max() < 0.15
