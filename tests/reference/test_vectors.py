"""Our tests, and the peers that stand beside them in the tables, against values that other
libraries computed (see README.md beside this)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import special, stats

from analyzers.contrast import counts, gauge, normal, proportions
from analyzers.contrast.assignment import Assignments
from analyzers.contrast.shifted import Shifted
from analyzers.contrast.tmixture import log_e_one_sided
from analyzers.facts import Floats
from tests.reference import any_time, fixed_horizon

FILE = Path(__file__).with_name("vectors.json")


class Vector(msgspec.Struct, frozen=True):
    id: str
    kind: str
    library: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    rtol: float

    def of(self, *names: str) -> list[Any]:
        return [self.inputs[name] for name in names]

    def near(self, name: str) -> Any:
        """What is expected, as closely as the vector says."""
        return pytest.approx(self.expected[name], rel=self.rtol)


class Vectors(msgspec.Struct, frozen=True):
    vectors: list[Vector]


VECTORS = msgspec.json.decode(FILE.read_bytes(), type=Vectors).vectors
USED: set[str] = set()
OF_THE_FLEET = {"e_bh", "online_e", "weighted_average_e"}  # see test_fleet.py


def of_kind(kind: str) -> pytest.MarkDecorator:
    USED.add(kind)
    found = [pytest.param(v, id=v.id) for v in VECTORS if v.kind == kind]
    return pytest.mark.parametrize("vector", found)


def column(value: float) -> Floats:
    return np.array([float(value)])


# --- ours ----------------------------------------------------------------------------------------


@of_kind("t_mixture_one_sided")
def test_the_t_mixture_is_the_quadrature_of_its_definition(vector: Vector) -> None:
    n, mean, rest, phi = vector.of("n", "mean", "ss", "phi")
    found = log_e_one_sided(column(n), column(n * mean), column(rest + n * mean**2), phi)
    assert found[0] == vector.near("log_e")
    assert found[0] == pytest.approx(vector.expected["closed_form"], rel=1e-12)


@of_kind("normal_mixture")
def test_the_normal_mixture_is_that_of_confseq(vector: Vector) -> None:
    s, v, v_opt, alpha, one_sided = vector.of("s", "v", "v_opt", "alpha_opt", "one_sided")
    rho = any_time.best_rho(v_opt, alpha, one_sided=one_sided)
    kernel = normal.log_e_one_sided if one_sided else any_time.normal_two_sided

    def log_e(score: float) -> float:
        return float(kernel(column(score), column(v), rho)[0])

    assert log_e(s) == vector.near("log_e")
    assert any_time.crossing(log_e, alpha, v) == vector.near("bound_at_alpha")


@of_kind("perm_score_hist")
def test_the_rank_score_is_the_permutation_score_of_the_histogram(vector: Vector) -> None:
    both = np.column_stack(vector.of("base_counts", "canary_counts")).astype(float)
    numbers = np.arange(len(both)) + 1
    of, unshifted = np.zeros(len(both), np.int64), np.zeros(1, np.int64)
    score, variance = Shifted(1, of, numbers, both).wilcoxon(unshifted)
    # Ours are scaled to unit variance without ties: midrank / n times the root of twelve.
    assert score[0] / np.sqrt(12) == vector.near("S")
    assert variance[0] / 12 == vector.near("V")
    z = score[0] / np.sqrt(variance[0])
    assert z == vector.near("z")
    assert 2 * stats.norm.sf(abs(z)) == vector.near("scipy_p")


@of_kind("mh_score")
def test_the_score_of_proportions_is_that_of_mantel_and_haenszel(vector: Vector) -> None:
    failures = np.column_stack(vector.of("y_base", "y_canary")).astype(float)
    units = np.column_stack(vector.of("n_base", "n_canary")).astype(float)
    past = np.zeros((len(units), 4))
    score = proportions.scores(failures, units, past, np.zeros(len(units)))[0]
    assert score.sum() == vector.near("S")
    variance = proportions.information(failures, units).sum()
    assert variance == vector.near("Vsum")
    assert score.sum() ** 2 / variance == vector.near("cmh_statistic")


@of_kind("poisson_fixed")
def test_the_score_of_counts_is_that_of_two_poisson_samples(vector: Vector) -> None:
    first, second = vector.of("count1", "count2")
    exposure = tuple(vector.of("exposure1", "exposure2"))
    told = np.array([[second, first]], float)
    share = column(exposure[0] / sum(exposure))
    score, variance = counts.scores(told, share, np.ones(1))
    p = 2 * stats.norm.sf(abs(score[0]) / np.sqrt(variance[0]))
    assert p == vector.near("score")
    peer = fixed_horizon.poisson((first, second), (exposure[0], exposure[1]))
    assert peer == {name: vector.near(name) for name in vector.expected}


@of_kind("ar_prewhiten")
def test_the_autoregression_of_gauges_is_that_of_statsmodels(vector: Vector) -> None:
    series = np.array(vector.inputs["series"])
    phi, sigma = fixed_horizon.yule_walker(series, 5)
    for found in (phi, gauge.yule_walker(series, 5)):
        assert found == vector.near("phi")
        assert sigma / (1 - found.sum()) == vector.near("lrv_sd")
    assert sigma == vector.near("sigma")


@of_kind("srm_multinomial")
def test_the_test_of_assignments_is_that_of_savvi(vector: Vector) -> None:
    theta, k, windows = vector.of("theta_0", "k", "window_counts")
    ours, row = Assignments(float(k)), np.zeros(1, np.int64)
    ours.add(np.zeros(1, np.bool_))
    for counted, expected in zip(windows, vector.expected["log_bayes_factor"], strict=True):
        log_e = ours.advance(row, np.array([counted], float), column(theta[1]))
        assert log_e[0] == pytest.approx(expected, rel=vector.rtol)
    found = any_time.dirichlet_multinomial(np.cumsum(windows, axis=0), np.array(theta), k)
    assert found == vector.near("log_bayes_factor")
    running = np.minimum(np.exp(-np.maximum.accumulate(found)), 1.0)
    assert running == vector.near("running_p_value")


# --- peers that are valid at every look ----------------------------------------------------------


@of_kind("count_rate_ratio")
def test_the_peer_of_rates_is_that_of_savvi(vector: Vector) -> None:
    rho, k, alpha = vector.of("rho", "k", "alpha")
    split = np.array(rho)
    if "window_counts" in vector.inputs:
        so_far = np.cumsum(vector.inputs["window_counts"], axis=0)
        found = any_time.dirichlet_multinomial(so_far, split, k)
        assert found == vector.near("log_bayes_factor")
        for now, ends in zip(so_far, vector.expected["log_rate_ratio_ci"], strict=True):
            interval = any_time.rate_ratio_interval(now, split, k, alpha)
            assert interval == pytest.approx(ends, rel=vector.rtol, abs=1e-5)
    else:  # where the documentation's stream is stopped
        at = np.array(vector.inputs["cumulative_counts_at_stop"])
        found = any_time.dirichlet_multinomial(at, split, k)
        assert np.exp(-found) == vector.near("p_value")
        assert at.sum() == vector.expected["n"]


@of_kind("count_one_sided_beta")
def test_the_one_sided_beta_peer_is_its_quadrature(vector: Vector) -> None:
    base, canary, theta, k, upper = vector.of("base", "canary", "theta0", "k", "upper")
    found = any_time.one_sided_beta(column(base), column(canary), theta, k, upper=upper)
    assert found[0] == vector.near("log_e")


@of_kind("t_mixture_two_sided")
def test_the_two_sided_t_mixture_is_that_of_savvi(vector: Vector) -> None:
    t2, nu, phi, n = vector.of("t2", "nu", "phi", "n_eff")
    found = any_time.t_two_sided(column(t2), column(nu), column(n), phi)
    assert found[0] == vector.near("log_e")


@of_kind("beta_binomial_mixture")
def test_the_beta_binomial_mixture_is_that_of_confseq(vector: Vector) -> None:
    s, v, v_opt, g, h, alpha = vector.of("s", "v", "v_opt", "g", "h", "alpha_opt")
    one_sided = vector.inputs["one_sided"]

    def log_e(score: float) -> float:
        told = any_time.beta_binomial(score, v, v_opt, (g, h), alpha, one_sided=one_sided)
        return float(told)

    assert log_e(s) == vector.near("log_e")
    assert any_time.crossing(log_e, alpha, v / g) == vector.near("bound_at_alpha")


@of_kind("gamma_exponential_mixture")
def test_the_gamma_mixtures_are_those_of_confseq(vector: Vector) -> None:
    told = vector.of("s", "v", "v_opt", "c", "alpha_opt")
    assert any_time.gamma_exponential(*told) == vector.near("log_e_gamma_exponential")
    assert any_time.gamma_poisson(*told) == vector.near("log_e_gamma_poisson")


@of_kind("poly_stitching")
def test_the_stitched_bound_is_that_of_confseq(vector: Vector) -> None:
    assert any_time.poly_stitching(*vector.of("v", "alpha", "v_min")) == vector.near("bound")


@of_kind("ecdf_band")
def test_the_band_of_a_distribution_is_that_of_confseq(vector: Vector) -> None:
    t, alpha = vector.of("t", "alpha")
    assert any_time.cdf_band_exact(t, alpha) == vector.near("exact_C")
    assert any_time.cdf_band(t, alpha) == vector.near("closed_form")


@of_kind("quantile_uniform_band")
def test_the_band_of_all_quantiles_is_that_of_confseq(vector: Vector) -> None:
    told = vector.of("quantile_p", "t", "alpha", "t_opt")
    assert any_time.double_stitching(*told) == vector.near("bound")


@of_kind("bernoulli_cs")
def test_the_interval_of_a_rate_is_that_of_confseq(vector: Vector) -> None:
    told = vector.of("successes", "trials", "alpha", "t_opt")
    assert any_time.bernoulli_interval(*told) == vector.near("ci")


@of_kind("quantile_two_sample")
def test_the_comparison_of_quantiles_is_that_of_confseq(vector: Vector) -> None:
    first, second, p, t_opt = vector.of("a", "b", "p", "t_opt")
    found = any_time.quantile_p(np.array(first), np.array(second), p, t_opt)
    assert found == vector.near("p_value")


@of_kind("asymptotic_cs_mean_diff")
def test_the_asymptotic_sequence_is_that_of_growthbook(vector: Vector) -> None:
    n_a, n_b, var_a, var_b = vector.of("n_a", "n_b", "var_a", "var_b")
    alpha, n = vector.inputs["alpha"], n_a + n_b
    gap = vector.inputs["mean_b"] - vector.inputs["mean_a"]
    assert gap == vector.near("diff")
    sd = np.sqrt(n * (var_a / n_a + var_b / n_b))
    rho2 = any_time.asymptotic_rho2(alpha, vector.inputs["tuning"])
    width = float(any_time.asymptotic_width(column(n), rho2, alpha)[0] * sd)
    assert [gap - width, gap + width] == vector.near("ci")
    log_e = any_time.asymptotic_log_e(column(n * gap / sd) ** 2, column(n), rho2)
    assert min(1.0, float(np.exp(-log_e[0]))) == vector.near("p_value")


# --- peers that are meant to be looked at once ---------------------------------------------------


@of_kind("mann_whitney")
def test_the_peer_of_ranks_is_that_of_scipy(vector: Vector) -> None:
    x, y = (np.array([told]) for told in vector.of("x", "y"))
    z = fixed_horizon.rank_z(x, y)
    assert 2 * stats.norm.sf(abs(z[0])) == vector.near("p")
    assert (x[0][:, None] > y[0]).sum() == vector.near("U")


@of_kind("welch")
def test_the_peer_of_means_is_that_of_scipy(vector: Vector) -> None:
    x, y = (np.array(told) for told in vector.of("x", "y"))
    n = column(len(x)), column(len(y))
    mean, wide = (x.mean(), y.mean()), (x.var(ddof=1), y.var(ddof=1))
    t, df, p = fixed_horizon.welch(n, mean, wide)
    assert (t[0], df[0], p[0]) == (vector.near("t"), vector.near("df"), vector.near("p"))


@of_kind("proportion_fixed")
def test_the_peer_of_proportions_is_that_of_statsmodels(vector: Vector) -> None:
    bad, units = ([column(told) for told in both] for both in vector.of("count", "nobs"))
    z = fixed_horizon.proportion_z((bad[0], bad[1]), (units[0], units[1]))
    assert z[0] == vector.near("z")
    assert 2 * stats.norm.sf(abs(z[0])) == vector.near("p")


@of_kind("fdr_bh")
def test_the_adjustments_of_a_false_discovery_rate_are_those_of_scipy(vector: Vector) -> None:
    for method in ("bh", "by"):
        found = fixed_horizon.adjusted(np.array(vector.inputs["p"]), method)
        assert found == vector.near(method)


@of_kind("holm")
def test_the_adjustments_of_many_tests_are_those_of_statsmodels(vector: Vector) -> None:
    for name, method in (("holm", "holm"), ("bonferroni", "bonferroni"), ("fdr_bh", "bh")):
        found = fixed_horizon.adjusted(np.array(vector.inputs["p"]), method)
        assert found == vector.near(name)


@of_kind("hac")
def test_the_error_of_a_correlated_mean_is_that_of_statsmodels(vector: Vector) -> None:
    series = next(v for v in VECTORS if v.id == vector.inputs["series_ref"]).inputs["series"]
    assert np.mean(series) == vector.near("mean")
    assert fixed_horizon.hac_error(np.array(series), 10) == vector.near("se")


@of_kind("exact_conditional_or")
def test_the_conditional_likelihood_of_an_odds_ratio_is_that_of_scipy(vector: Vector) -> None:
    """The exact alternative to the block e-variable of proportions; a peer."""
    yb, y, na, nb, odds = vector.of("y_canary", "y", "n_base", "n_canary", "odds_ratio")
    at = np.arange(max(0, y - na), min(y, nb) + 1)
    log_ways = -special.betaln(nb - at + 1, at + 1) - special.betaln(na - y + at + 1, y - at + 1)
    ways = np.exp(log_ways - log_ways.max())
    ways /= ways.sum()
    told = ways * odds ** at.astype(float)
    assert yb * np.log(odds) - np.log(told.sum()) == vector.near("log_lr")
    mean = (told * at).sum() / told.sum()
    assert mean == vector.near("mean")
    assert (told * (at - mean) ** 2).sum() / told.sum() == vector.near("var")


@of_kind("kayenta_mann_whitney")
def test_the_rule_of_kayenta_is_as_its_own_tests_say(vector: Vector) -> None:
    experiment, control = (np.array([v]) for v in vector.of("experiment", "control"))
    found = fixed_horizon.kayenta(experiment, control, vector.inputs["conf"])
    told = vector.expected
    if "ci" in told:
        assert [found.low[0], found.high[0]] == vector.near("ci")
        low, high, estimate = fixed_horizon.kayenta_roots(
            experiment[0], control[0], vector.inputs["conf"]
        )
        assert ([low, high], estimate) == (vector.near("ci"), vector.near("estimate"))
        # Anywhere on the same step of ranks would do: ours is in its middle.
        assert found.estimate[0] == pytest.approx(estimate, rel=1e-3)
    else:
        assert found.low[0] == pytest.approx(told["ci_low_approx"], abs=1e-3)
        assert found.high[0] == vector.near("ci_high")
        assert found.estimate[0] == vector.near("estimate_approx")
    if "high" in told:
        assert (found.is_high[0], found.is_low[0]) == (told["high"], told["low"])


def test_every_vector_says_who_computed_it_and_is_used() -> None:
    assert {vector.kind for vector in VECTORS} == USED | OF_THE_FLEET
    assert len({vector.id for vector in VECTORS}) == len(VECTORS) == 53
    assert all(vector.library for vector in VECTORS)
