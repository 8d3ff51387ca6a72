"""Peers that are valid at every look, from their published formulas: test oracles, checked against
other libraries' values in ``test_vectors.py``, and rows of the tables of ``tests.calibration``.

Nothing here is part of the product. ``k`` is a Dirichlet prior's weight, ``alpha`` an error rate,
``v`` intrinsic time (a sum of variances), ``s`` a sum of scores; arguments broadcast unless said.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from scipy import optimize, special

from analyzers.facts import Floats


def dirichlet_multinomial(counts: Floats, split: Floats, k: float) -> Floats:
    """Log Bayes factor against "events fall on the arms as ``split`` says" (Lindon and Malek 2022,
    arXiv 2011.03567); ``counts`` (..., arms) so far; netflix' savvi, SRM and counts alike."""
    prior = k * split
    normal = special.gammaln(prior).sum(-1) - special.gammaln(k)
    mixed = special.gammaln(prior + counts).sum(-1) - special.gammaln(k + counts.sum(-1))
    return np.asarray(mixed - normal - (counts * np.log(split)).sum(-1))


def rate_ratio_interval(
    counts: Floats, split: Floats, k: float, alpha: float
) -> tuple[float, float]:
    """Ends of the confidence sequence of the log rate ratio, second arm over first: the shares
    that ``dirichlet_multinomial``, prior as it is, does not reject at ``alpha``."""
    found = float(dirichlet_multinomial(counts, split, k))

    def beyond(effect: float) -> float:
        weight = split * np.array([1.0, math.exp(effect)])
        theta = weight / weight.sum()
        return found + float((counts * np.log(split / theta)).sum()) + math.log(alpha)

    best = math.log(counts[1] * split[0] / (counts[0] * split[1]))
    low = optimize.brentq(beyond, best - 10.0, best, xtol=1e-12)
    return float(low), float(optimize.brentq(beyond, best, best + 10.0, xtol=1e-12))


def one_sided_beta(
    base: Floats, canary: Floats, theta: Floats | float, k: float, *, upper: bool = True
) -> Floats:
    """Log e-value against "the canary's share of the events is at most ``theta``" (at least,
    without ``upper``): a Beta(k theta, k (1 - theta)) prior, cut off at theta."""
    if not upper:
        return one_sided_beta(canary, base, 1.0 - theta, k)
    a, b = k * theta, k * (1.0 - theta)
    two_sided = special.betaln(a + canary, b + base) - special.betaln(a, b)
    two_sided = two_sided - canary * np.log(theta) - base * np.log1p(-theta)
    inside = special.betainc(b + base, a + canary, 1.0 - theta)
    rest = np.log(np.maximum(inside, 1e-300)) - np.log(special.betainc(b, a, 1.0 - theta))
    return np.asarray(two_sided + rest)


def best_rho(v_opt: float, alpha: float, *, one_sided: bool) -> float:
    """Mixing precision that is sharpest at ``v_opt`` (Howard and others 2021, section 3.5)."""
    told = 2.0 * math.log(1.0 / (2.0 * alpha if one_sided else alpha))
    return v_opt / (told + math.log1p(told))


def normal_two_sided(s: Floats, v: Floats, rho: float) -> Floats:
    """Log of Robbins' two-sided normal mixture (Howard and others 2021, equation 14)."""
    return np.asarray(0.5 * np.log(rho / (v + rho)) + s * s / (2.0 * (v + rho)))


def t_two_sided(t2: Floats, nu: Floats, n: Floats, phi: float) -> Floats:
    """Log Bayes factor of a squared t statistic (Lindon and others 2022, arXiv 2210.08589)."""
    r = phi / (phi + n)
    told = np.log1p(t2 / nu) - np.log1p(r * t2 / nu)
    return np.asarray(0.5 * np.log(r) + 0.5 * (nu + 1.0) * told)


def beta_binomial(
    s: Floats | float,
    v: float,
    v_opt: float,
    ends: tuple[float, float],
    alpha: float,
    *,
    one_sided: bool,
) -> Floats:
    """Log mixture for sums of steps in [-g, h] around a mean of zero, ``ends`` (g, h) (Howard and
    others 2021, proposition 7, in confseq's parametrisation)."""
    g, h = ends
    r = max(best_rho(v_opt, alpha, one_sided=one_sided) - g * h, 1e-3 * g * h)
    both = g + h

    def log_incomplete(a: Floats | float, b: Floats | float) -> Floats:
        part = special.betainc(a, b, h / both) if one_sided else 1.0
        return np.asarray(special.betaln(a, b) + np.log(part))

    above, below = (v + h * s) / (h * both), (v - g * s) / (g * both)
    start = log_incomplete(r / (g * both), r / (h * both))
    now = log_incomplete(r / (g * both) + below, r / (h * both) + above)
    scale = v / (g * h) * math.log(both) - above * math.log(g) - below * math.log(h)
    return np.asarray(scale + now - start)


def gamma_exponential(s: float, v: float, v_opt: float, c: float, alpha: float) -> float:
    """Log mixture for sub-exponential sums of scale ``c`` (Howard and others 2021, prop. 9)."""
    rho = best_rho(v_opt, alpha, one_sided=True) / c**2
    w, x = v / c**2, (c * s + v) / c**2
    start = rho * math.log(rho) - special.gammaln(rho) - math.log(special.gammainc(rho, rho))
    end = special.gammaln(w + rho) + math.log(special.gammainc(w + rho, x + rho))
    return float(start + end - (w + rho) * math.log(x + rho) + x)


def gamma_poisson(s: float, v: float, v_opt: float, c: float, alpha: float) -> float:
    """Log mixture for sub-Poisson sums of scale ``c`` (Howard and others 2021, prop. 10)."""
    rho = best_rho(v_opt, alpha, one_sided=True) / c**2
    w, x = v / c**2 + rho, s / c + v / c**2 + rho
    start = rho * math.log(rho) - special.gammaln(rho) - math.log(special.gammaincc(rho, rho))
    end = special.gammaln(x) + math.log(special.gammaincc(x, w)) - x * math.log(w)
    return float(start + end + v / c**2)


def crossing(log_e: Callable[[float], float], alpha: float, top: float) -> float:
    """The smallest sum of scores in [0, top] that reaches ``1 / alpha``."""
    return float(optimize.brentq(lambda s: log_e(s) + math.log(alpha), 0.0, top, xtol=1e-12))


def poly_stitching(v: float, alpha: float, v_min: float, s: float = 1.4, eta: float = 2.0) -> float:
    """Upper bound of a sub-Gaussian sum at every v (Howard and others 2021, theorem 1, c = 0)."""
    k1 = (eta**0.25 + eta**-0.25) / math.sqrt(2.0)
    at = max(v, v_min)
    told = s * math.log(math.log(eta * at / v_min)) - math.log(alpha)
    told += math.log(float(special.zeta(s)) / math.log(eta) ** s)
    return float(k1 * math.sqrt(at * told))


def cdf_band(t: float, alpha: float) -> float:
    """Half width of a band around an empirical distribution function at every t, rounded as
    printed (Howard and Ramdas 2022, arXiv 1906.09712, corollary 2)."""
    told = math.log(1.0 + math.log(t)) + 0.8 * math.log(1612.0 / alpha)
    return 0.85 * math.sqrt(told / t)


def cdf_band_exact(t: float, alpha: float, a: float = 0.85) -> float:
    """The same with the constant of theorem 2 found by optimising over its eta."""

    def error(eta: float, c: float) -> float:
        gamma = 2.0 / eta * (a - math.sqrt(2.0 * (eta - 1.0) / c)) ** 2
        if gamma <= 1.0:
            return math.inf
        return 4.0 * math.exp(-gamma * c) * (1.0 + 1.0 / ((gamma - 1.0) * math.log(eta)))

    def least(log_c: float) -> float:
        c = math.exp(log_c)
        end = optimize.brentq(
            lambda eta: math.sqrt(eta / 2.0) + math.sqrt(2.0 * (eta - 1.0) / c) - a, 1.0, 2.0 * a**2
        )
        found = optimize.minimize_scalar(
            error, bounds=(1.0 + 1e-12, end), args=(c,), method="bounded", options={"xatol": 1e-12}
        )
        return math.log(float(found.fun)) - math.log(alpha)

    c = math.exp(float(optimize.brentq(least, math.log(3.0), math.log(100.0), xtol=1e-12)))
    return a * math.sqrt((math.log(1.0 + math.log(t)) + c) / t)


def double_stitching(p: float, t: float, alpha: float, t_opt: float) -> float:
    """Bound of an empirical quantile process at every t and p (Howard and Ramdas 2022, theorem 3),
    with confseq's delta 0.5, s 1.4 and eta 2."""
    delta, s, eta = 0.5, 1.4, 2.0
    k1, k2 = (eta**0.25 + eta**-0.25) / math.sqrt(2.0), (math.sqrt(eta) + 1.0) / 2.0
    at = max(t, t_opt)
    moved = special.expit(special.logit(p) + 2.0 * delta * math.sqrt(t_opt * eta / at))
    r = p if p >= 0.5 else min(0.5, float(moved))
    wide = r * (1.0 - r)
    j = math.sqrt(at / t_opt) * abs(float(special.logit(p))) / (2.0 * delta) + 1.0
    zeta = float(special.zeta(s))
    told = s * math.log(math.log(eta * at / t_opt)) + s * math.log(j)
    told += math.log(2.0 * zeta * (2.0 * zeta + 1.0) / (alpha * math.log(eta) ** s))
    skew = k2 * (1.0 - 2.0 * p) / 3.0 * told
    first = delta * math.sqrt(eta * at * wide / t_opt)
    return first + math.sqrt(k1**2 * wide * at * told + skew**2) + skew


def bernoulli_interval(
    successes: float, trials: float, alpha: float, t_opt: float
) -> tuple[float, float]:
    """Ends of the confidence sequence of a success rate: inverted two-sided beta-binomial."""
    rate = successes / trials

    def beyond(p: float) -> float:
        wide = p * (1.0 - p)
        score = (rate - p) * trials
        log_e = beta_binomial(
            score, wide * trials, wide * t_opt, (p, 1.0 - p), 0.05, one_sided=False
        )
        return float(log_e) + math.log(alpha)

    low = optimize.brentq(beyond, 1e-12, rate, xtol=1e-14) if rate > 0.0 else 0.0
    high = optimize.brentq(beyond, max(rate, 1e-12), 1.0 - 1e-12, xtol=1e-14) if rate < 1.0 else 1.0
    return float(low), float(high)


def quantile_p(first: Floats, second: Floats, p: float, t_opt: float) -> float:
    """Always-valid p-value of "both samples have one p-quantile": the least, over all x, of the
    sum of both arms' log mixtures of how many values lie below x (Howard and Ramdas 2022)."""
    wide = p * (1.0 - p)
    at = np.union1d(first, second)
    total = np.zeros(len(at))
    for sample in (first, second):
        n, ordered = len(sample), np.sort(sample)

        def log_e(below: Floats | float, n: int = n) -> Floats:
            return beta_binomial(
                (below - p) * n, wide * n, wide * t_opt, (p, 1.0 - p), 0.05, one_sided=False
            )

        least = optimize.minimize_scalar(
            lambda below, log_e=log_e: float(log_e(below)), bounds=(0.0, 1.0), method="bounded"
        ).x
        under = np.searchsorted(ordered, at, "left") / n
        upto = np.searchsorted(ordered, at, "right") / n
        total += log_e(np.clip(least, under, upto))
    return float(min(1.0, math.exp(-total.min())))


def asymptotic_rho2(alpha: float, tuning: float) -> float:
    """GrowthBook's mixing precision for asymptotic confidence sequences, sharpest at ``tuning``
    units (Waudby-Smith and others 2024, arXiv 2103.06476, equation 161 of its version 7)."""
    told = -2.0 * math.log(alpha)
    return (told + math.log1p(told)) / tuning


def asymptotic_log_e(score2: Floats, t: Floats, rho2: float) -> Floats:
    """Log e-value of a squared sum of t standardised observations (same source, equation 155)."""
    return np.asarray(rho2 * score2 / (2.0 * (t * rho2 + 1.0)) - 0.5 * np.log1p(t * rho2))


def asymptotic_width(t: Floats, rho2: float, alpha: float) -> Floats:
    """Half width of the asymptotic confidence sequence in standard deviations (equation 9)."""
    grown = t * rho2 + 1.0
    return np.sqrt(2.0 * grown / (t * t * rho2) * np.log(np.sqrt(grown) / alpha))
