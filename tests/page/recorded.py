"""Evidence as a daemon would tell it, drawn from simulated orders with a known effect.

The sequences are real confidence sequences and e-values (normal mixture, docs of the statistics:
formula 1.4) over simulated counts, so that charts and words meet numbers that belong together.
Seeds are arguments. Nothing here serves: see ``conftest.py``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np
import numpy.typing as npt
from scipy.special import log_ndtr

from analyzers.judging.verdict import Impact, Needed, Reason, State, Status, Suspect, Verdict
from analyzers.times import rfc3339
from dashboards.api.page_data import Evidence, EvidenceMarker, EvidenceMetric, EvidenceSeries
from dashboards.snapshot import Release

Floats = npt.NDArray[np.float64]

MINUTE: Final = 60_000
HOUR: Final = 60 * MINUTE
NOW: Final = 1_779_357_600_000  # 2026-05-21 10:00 UTC
HARM_AT: Final = 1667.0
SAFE_AT: Final = 20.0
_PRIOR: Final = 60.0  # units at which the mixture is sharpest


@dataclass(frozen=True, slots=True)
class Effect:
    """One metric in one segment: its level, what the canary does to it, how many units it sees.

    ``per_hour`` units arrive in both arms together, ``share`` of them at the canary.
    """

    metric: str
    kind: Literal["proportion", "duration", "count"]
    level: float
    change: float  # absolute for proportions, relative for the rest
    margin: float
    per_hour: float
    segment: tuple[tuple[str, str], ...] = ()
    share: float = 0.1
    spread: float = 0.6  # of one unit, relative to its level, for durations
    gates: bool = True

    @property
    def worse(self) -> Literal["higher", "lower"]:
        """Which direction is harm."""
        return "higher" if self.kind == "duration" else "lower"

    @property
    def unit(self) -> str:
        """The metric's unit."""
        return {"proportion": "1", "duration": "s", "count": "orders"}[self.kind]


@dataclass(frozen=True, slots=True)
class Course:
    """How the evidence on one effect grew, and what it says at the end."""

    looks: EvidenceMetric
    reason: Reason


def course(effect: Effect, *, start: int, end: int, seed: int, step: int = 10 * MINUTE) -> Course:
    """The evidence on ``effect`` from ``start`` to ``end``, one look every ``step`` ms."""
    rng = np.random.default_rng(seed)
    at = np.arange(start + step, end + 1, step)
    hours = step / HOUR
    weight = _busy(at)
    n_a = np.cumsum(rng.poisson(effect.per_hour * hours * (1 - effect.share) * weight))
    rate = effect.per_hour * hours * effect.share * weight
    n_b = np.cumsum(rng.poisson(rate * (1 + effect.change) if effect.kind == "count" else rate))
    estimate, error, levels = _estimates(effect, n_a, n_b, rng)
    units = n_a * n_b / np.maximum(n_a + n_b, 1)
    wide = error * np.sqrt(
        (1 + _PRIOR / np.maximum(units, 1e-9)) * np.log((units / _PRIOR + 1) / 0.0025)
    )
    level = 1.0 if effect.kind == "proportion" else effect.level
    margin = effect.margin * level
    scale = level if effect.kind == "count" else 1.0  # a count is estimated relative to its level
    beyond = (estimate - margin / scale) / error if scale else np.zeros(len(at))
    beyond = beyond * (1 if effect.worse == "higher" else -1)
    estimate, wide = estimate * scale, wide * scale
    known = (n_a > 0) & (n_b > 2)
    harm = np.where(known, _mixture(beyond, units), 1.0)
    safe = np.where(known, _mixture(-beyond, units), 1.0)
    state = _state(harm, safe, bool(known.any()))
    last = -1 if known.any() else None
    relative = estimate / max(effect.level, 1e-9)
    looks = EvidenceMetric(
        metric=effect.metric, segment=dict(effect.segment), kind=effect.kind, unit=effect.unit,
        worse=effect.worse, margin=margin, state=state, gates=effect.gates, indicative=False,
        at=[int(ms) for ms in at], effect=_known(estimate, known),
        low=_known(estimate - wide, known), high=_known(estimate + wide, known),
        e_value=[float(e) for e in harm], e_safe=[float(e) for e in safe],
        harm_threshold=HARM_AT, safe_threshold=SAFE_AT,
    )  # fmt: skip
    reason = Reason(
        metric=effect.metric, segment=dict(effect.segment), state=state, worse=effect.worse,
        baseline=None if last is None else levels[0],
        canary=None if last is None else levels[1],
        effect=looks.effect[-1], low=looks.low[-1], high=looks.high[-1],
        relative_effect=None if last is None else float(relative[-1]), unit=effect.unit,
        e_value=float(harm[-1]), e_safe=float(safe[-1]), p_value=min(1.0, 1 / float(harm.max())),
        n_baseline=int(n_a[-1]), n_canary=int(n_b[-1]), margin=margin,
        method="window-stratified score, t mixture", gates=effect.gates, indicative=False,
        needed=Needed(int(units[-1] * 0.4) + 20, 5400) if state == "undecided" else None,
        detail="" if state != "no_data" else "no order of the canary has arrived",
    )  # fmt: skip
    return Course(looks, reason)


def _busy(at: npt.NDArray[np.int64]) -> Floats:
    """How busy the hour of day is, 1 on average."""
    hour = at / HOUR % 24
    return np.asarray(1 + 0.75 * np.cos((hour - 13) / 24 * 2 * np.pi), np.float64)


def _estimates(
    effect: Effect, n_a: npt.NDArray[np.int64], n_b: npt.NDArray[np.int64], rng: np.random.Generator
) -> tuple[Floats, Floats, tuple[float, float]]:
    """Estimate and its standard error at each look, and both levels at the last."""
    a, b = np.maximum(n_a, 1).astype(np.float64), np.maximum(n_b, 1).astype(np.float64)
    if effect.kind == "count":
        odds = effect.share / (1 - effect.share)
        change = b / a / odds - 1
        return change, np.sqrt(1 / a + 1 / b), (effect.level, effect.level * float(1 + change[-1]))
    if effect.kind == "proportion":
        bad_a = np.cumsum(rng.binomial(np.diff(n_a, prepend=0), 1 - effect.level))
        bad_b = np.cumsum(rng.binomial(np.diff(n_b, prepend=0), 1 - effect.level - effect.change))
        pooled = (bad_a + bad_b + 0.5) / (a + b + 1)
        error = np.sqrt(pooled * (1 - pooled) * (1 / a + 1 / b))
        last = (1 - float(bad_a[-1] / a[-1]), 1 - float(bad_b[-1] / b[-1]))
        return bad_a / a - bad_b / b, error, last
    sd = effect.spread * effect.level
    sums = [
        np.cumsum(rng.normal(0, 1, len(n)) * np.sqrt(np.diff(n, prepend=0))) * sd
        for n in (n_a, n_b)
    ]
    means = effect.level + sums[0] / a, effect.level * (1 + effect.change) + sums[1] / b
    last = float(means[0][-1]), float(means[1][-1])
    return means[1] - means[0], sd * np.sqrt(1 / a + 1 / b), last


def _mixture(z: Floats, units: Floats) -> Floats:
    """One-sided normal mixture e-value of a standardised score with this much information."""
    v, s = units, z * np.sqrt(units)
    log_e = 0.5 * np.log(4 * _PRIOR / (v + _PRIOR)) + s**2 / (2 * (v + _PRIOR))
    return np.asarray(np.exp(np.minimum(log_e + log_ndtr(s / np.sqrt(v + _PRIOR)), 690.0)))


def _state(harm: Floats, safe: Floats, known: bool) -> State:
    if not known:
        return "no_data"
    if harm.max() >= HARM_AT:
        return "degraded"
    return "safe" if safe.max() >= SAFE_AT else "undecided"


def _known(values: Floats, known: npt.NDArray[np.bool_]) -> list[float | None]:
    return [float(v) if k else None for v, k in zip(values, known, strict=True)]


def throughput(
    metric: str, *, start: int, end: int, per_hour: float, share: float, drop: float, seed: int
) -> EvidenceSeries:
    """Orders in half-hours around a release: from the start a canary with ``share`` of them, of
    which ``drop`` go missing."""
    rng = np.random.default_rng(seed)
    step = 30 * MINUTE
    at = np.arange(start - 12 * step, end, step)
    rate = per_hour / 2 * _busy(at)
    live = at >= start
    baseline = rng.poisson(np.where(live, rate * (1 - share), rate))
    canary = rng.poisson(rate * share * (1 - drop))
    return EvidenceSeries(
        metric=metric, unit="orders", at=[int(ms) for ms in at], width_ms=step,
        baseline=[float(n) for n in baseline],
        canary=[float(n) if on else None for n, on in zip(canary, live, strict=True)],
    )  # fmt: skip


def submission_share(
    effect: Effect, *, start: int, end: int, seed: int, step: int = 30 * MINUTE
) -> EvidenceSeries:
    """The share of good ones in each half-hour, of both arms; None where an arm had none."""
    rng = np.random.default_rng(seed)
    at = np.arange(start - 12 * step, end, step)
    rate = effect.per_hour * step / HOUR * _busy(at)
    live = at >= start
    n_a = rng.poisson(np.where(live, rate * (1 - effect.share), rate))
    n_b = np.where(live, rng.poisson(rate * effect.share), 0)
    good = effect.level, effect.level + effect.change
    shares = [
        [float(rng.binomial(k, p) / k) if k else None for k in n]
        for n, p in zip((n_a, n_b), good, strict=True)
    ]
    return EvidenceSeries(effect.metric, "1", [int(ms) for ms in at], step, *shares)


@dataclass(frozen=True, slots=True)
class Story:
    """A release and everything that is told of it."""

    release: Release
    evidence: Evidence


def story(
    deployment: str,
    effects: tuple[Effect, ...],
    *,
    start: int,
    end: int,
    why: str,
    version: tuple[str, str] = ("1.42.0", "1.41.3"),
    service: str = "order-api",
    ended: int | None = None,
    markers: tuple[EvidenceMarker, ...] = (),
    impact: Impact | None = None,
    seed: int = 1,
    per_hour: float = 260,
    drop: float = 0.0,
) -> Story:
    """A release that did ``effects``, judged from ``start`` to ``end``."""
    courses = [course(e, start=start, end=end, seed=seed + i) for i, e in enumerate(effects)]
    reasons = [each.reason for each in courses]
    verdict, action = _decided(reasons)
    since = _said(_since([each.looks for each in courses if each.looks.gates], verdict, start))
    decided = since if action != "wait" else None
    judgement = Verdict(
        deployment=deployment, service=service, environment="production", version=version[0],
        replaces=version[1], strategy="canary", design="concurrent", verdict=verdict, action=action,
        indicative=False, as_of=_said(end), since=since,
        decided_at=decided, first_degraded_at=decided if verdict == "degraded" else None,
        score={"healthy": 100, "degraded": 0}.get(verdict, 50), why=why, reasons=reasons,
        impact=impact, suspects=[Suspect(deployment, 0.97)], owner="team-orders",
        runbook="https://runbooks.example/orders", policy="sha256:" + "3f9a" * 16,
    )  # fmt: skip
    share = effects[0].share
    series = [
        throughput(name, start=start, end=end, per_hour=rate, share=share, drop=lost, seed=seed)
        for name, rate, lost in (
            ("order_throughput", per_hour, 0.0),
            ("order_confirmations", per_hour * 0.96, drop),
        )
    ]
    if effects[0].kind == "proportion":
        series.insert(1, submission_share(effects[0], start=start, end=end, seed=seed))
    told = markers or (EvidenceMarker(start, "deployment.started", share),)
    looks = [each.looks for each in courses if each.reason.state != "no_data"]
    release = Release(judgement, start * 1_000_000, ended and ended * 1_000_000)
    return Story(release, Evidence(deployment, list(told), looks, series))


def _decided(reasons: list[Reason]) -> tuple[Status, Literal["promote", "rollback", "wait"]]:
    states = {reason.state for reason in reasons if reason.gates}
    if "degraded" in states:
        return "degraded", "rollback"
    if states == {"safe"}:
        return "healthy", "promote"
    return ("no_data" if states <= {"no_data", "not_observed"} else "inconclusive"), "wait"


def _since(looks: list[EvidenceMetric], verdict: Status, start: int) -> int:
    """When the verdict was first reached: any metric harmed, or the last of them safe."""

    def reached(metric: EvidenceMetric, values: list[float | None], threshold: float) -> int:
        passed = [at for at, e in zip(metric.at, values, strict=True) if (e or 0) >= threshold]
        return min(passed, default=NOW)

    if verdict == "degraded":
        return min(reached(metric, metric.e_value, HARM_AT) for metric in looks)
    if verdict == "healthy":
        return max(reached(metric, metric.e_safe, SAFE_AT) for metric in looks)
    return start + 10 * MINUTE


def _said(ms: int) -> str:
    return rfc3339(ms * 1_000_000)


def orders(
    *, change: float = 0.0, slower: float = 0.0, per_hour: float = 260, margin: float = -0.01
) -> tuple[Effect, ...]:
    """The three order metrics of a service, with this change of success and of time."""
    return (
        Effect("order_submission_success", "proportion", 0.991, change, margin, per_hour),
        Effect("order_confirmation_time", "duration", 4.2, slower, 0.1, per_hour * 0.96),
        Effect("order_throughput", "count", per_hour, 0.0, -0.1, per_hour, gates=False),
    )


_COUNTRIES: Final = {
    "Germany": 96.0, "France": 81.0, "EIRE": 66.0, "Spain": 49.0, "Netherlands": 38.0,
    "Belgium": 37.0,
    "Switzerland": 26.0, "Portugal": 25.0, "Australia": 14.0, "Norway": 13.0,
    "Italy": 13.0, "Sweden": 12.0, "Finland": 12.0,
}  # fmt: skip


def by_country(hurt: Mapping[str, float], margin: float = -0.03) -> tuple[Effect, ...]:
    """Order submission in each country; ``hurt`` says by how much it fell where."""
    return tuple(
        replace(
            Effect("order_submission_success", "proportion", 0.991, 0.0, margin, rate),
            segment=(("country", country),),
            change=hurt.get(country, 0.0),
        )
        for country, rate in _COUNTRIES.items()
    )


def four_releases() -> tuple[Story, ...]:
    """A degraded one, one still open, a healthy one, and one of which nothing arrived."""
    start = NOW - 14 * HOUR
    markers = (
        EvidenceMarker(start, "deployment.started", 0.1),
        EvidenceMarker(start + 5 * HOUR, "deployment.shifted", 0.25),
    )
    bad = story(
        "order-api-1.42.0",
        (
            *orders(change=-0.032, slower=0.02, per_hour=620, margin=-0.02),
            *by_country({"Germany": -0.24}),
        ),
        start=start, end=NOW, markers=markers, seed=14, impact=Impact(37.2, 24.8, 49.5, "orders"),
        why="Order submissions for country Germany fell by 24 points on the canary; the margin "
        "is 3 points.", drop=0.03, per_hour=620,
    )  # fmt: skip
    still = story(
        "pricing-2.7.1", orders(per_hour=40), start=NOW - 8 * HOUR, end=NOW, seed=23,
        service="pricing", version=("2.7.1", "2.7.0"), per_hour=40,
        why="Not enough orders yet to show that submission success is within its margin.",
    )  # fmt: skip
    good = story(
        "order-api-1.41.3", orders(per_hour=900, margin=-0.02), start=NOW - 62 * HOUR,
        end=NOW - 38 * HOUR, ended=NOW - 38 * HOUR, seed=31, version=("1.41.3", "1.41.2"),
        why="Every gating metric is shown to be no worse than its margin.", per_hour=900,
    )  # fmt: skip
    silent = story(
        "warehouse-5.0.0-rc1", orders(per_hour=0.0), start=NOW - HOUR, end=NOW, seed=41,
        service="warehouse", version=("5.0.0-rc1", "4.9.12"), per_hour=0,
        why="Neither arm has shown an order since the release started.",
    )  # fmt: skip
    return still, bad, good, silent
