"""Which of all releases that ended are counted as harmful, with a bounded false discovery rate.

Each ended release is one test: its e-value is the weighted average e-process where it was stopped
(``Verdict.e_value``), never a running maximum, which is no e-value. Both rules below hold however
the releases depend on each other: e-BH over a finished list (Wang and Ramdas 2022, "False
discovery rate control with e-values", JRSS-B 84) and e-LOND, which decides on each release once,
in the order in which they ended (Xu and Ramdas 2024, "Online multiple testing with e-values",
AISTATS; gammas of Javanmard and Montanari 2018, Annals of Statistics 46).
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Final, TypeAlias

import msgspec
import numpy as np
from numpy.typing import NDArray

from analyzers.facts import Floats
from analyzers.judging.verdict import Status, Verdict
from analyzers.times import epoch_ns

Bools: TypeAlias = NDArray[np.bool_]

RATE: Final = 0.1
# The gammas then sum to 0.976: what is left of the rate is not spent.
_GAMMA: Final = 0.07720838
_LOG_MAX: Final = 690.0  # exp of more overflows a float


class FleetError(ValueError):
    """A rate or an e-value that can be none; says what to do."""


class FleetRelease(msgspec.Struct, frozen=True, kw_only=True):
    """One release as the fleet sees it. ``counted``: it ended and its e-value is one, so that it
    is a test; ``needed_live`` is the e-value that e-LOND asked of it, None where not counted."""

    deployment: str
    service: str
    environment: str
    version: str
    verdict: Status
    ended_at: str | None
    e_value: float
    counted: bool
    harmful: bool
    harmful_live: bool
    needed_live: float | None


class Fleet(msgspec.Struct, frozen=True, kw_only=True):
    """All releases under one false discovery rate.

    ``ended`` are tests; of them ``harmful`` are found by e-BH over the list as it is now, and
    ``harmful_live`` by e-LOND, whose findings stay when more releases end. ``running`` have not
    ended, ``indicative`` rest on a comparison without an e-value, ``forgotten`` ended so long ago
    that their verdicts are not at hand: none of these is a test. ``needed`` is the e-value from
    which a release counts in the list as it is. ``releases`` stand in the order of their ends,
    those that still run last.
    """

    rate: float
    ended: int
    harmful: int
    harmful_live: int
    running: int
    indicative: int
    forgotten: int
    needed: float | None
    summary: str
    releases: list[FleetRelease]


def e_bh(log_e: Floats, rate: float) -> Bools:
    """Which of some e-values (logs, shape ``(n,)``) are discoveries.

    The k largest, for the largest k whose k-th largest is at least n / (rate k): false discovery
    rate at most ``rate`` times the share of nulls (Wang and Ramdas 2022, theorem 2).

    >>> e_bh(np.log([500.0, 2.0, 15.0]), 0.1).tolist()
    [True, False, True]
    """
    n = len(log_e)
    order = np.argsort(-log_e, kind="stable")
    asked = math.log(n / rate) - np.log(np.arange(1, n + 1)) if n else np.zeros(0)
    passed = np.flatnonzero(log_e[order] >= asked)
    found = np.zeros(n, np.bool_)
    found[order[: passed[-1] + 1 if len(passed) else 0]] = True
    return found


def e_lond(log_e: Floats, rate: float) -> tuple[Bools, Floats]:
    """Which of some e-values, in the order of their coming, are discoveries, each decided when it
    came; and the logs of what each had to reach: 1 / (rate gamma_t (discoveries before + 1)).

    >>> found, asked = e_lond(np.log([500.0, 2.0, 600.0]), 0.1)
    >>> found.tolist(), np.exp(asked).round().tolist()
    ([True, False, True], [187.0, 430.0, 504.0])
    """
    t = np.arange(1, len(log_e) + 1, dtype=np.float64)
    log_gamma = math.log(_GAMMA) + np.log(np.log(np.maximum(t, 2.0))) - np.log(t)
    alone = -math.log(rate) - log_gamma + np.sqrt(np.log(t))
    found, asked = np.zeros(len(t), np.bool_), np.zeros(len(t))
    discoveries = 0
    for i in range(len(t)):
        asked[i] = alone[i] - math.log(discoveries + 1)
        found[i] = log_e[i] >= asked[i]
        discoveries += int(found[i])
    return found, asked


def fleet(verdicts: Iterable[Verdict], *, rate: float = RATE, forgotten: int = 0) -> Fleet:
    """The report on the latest verdicts of all releases; FleetError for a rate that can be none."""
    if not 0.0 < rate < 1.0:
        raise FleetError(f"the false discovery rate {rate:g} is none: give one between 0 and 1")
    told = list(verdicts)
    for one in told:
        if not one.e_value >= 0.0:
            raise FleetError(
                f"e_value {one.e_value:g} of {one.deployment!r} is none: it is never negative; "
                "make the verdicts anew with this version"
            )
    ended = sorted((one for one in told if one.ended_at is not None), key=_end)
    tests = [one for one in ended if not one.indicative]
    with np.errstate(divide="ignore"):
        log_e = np.log(np.array([one.e_value for one in tests], np.float64))
    listed = e_bh(log_e, rate)
    live, asked = e_lond(log_e, rate)
    rows: list[FleetRelease] = []
    places = iter(range(len(tests)))
    for one in ended:
        i = None if one.indicative else next(places)
        rows.append(_row(one) if i is None else _row(one, bool(listed[i]), bool(live[i]), asked[i]))
    running = sorted((v for v in told if v.ended_at is None), key=lambda v: v.deployment)
    harmful = int(listed.sum())
    return Fleet(
        rate=rate,
        ended=len(tests),
        harmful=harmful,
        harmful_live=int(live.sum()),
        running=len(running),
        indicative=len(ended) - len(tests),
        forgotten=forgotten,
        needed=len(tests) / (rate * max(harmful, 1)) if tests else None,
        summary=_summary(len(tests), harmful, rate),
        releases=rows + [_row(one) for one in running],
    )


def _end(verdict: Verdict) -> tuple[int, str]:
    try:
        return epoch_ns(verdict.ended_at or ""), verdict.deployment
    except (ValueError, OverflowError) as error:
        raise FleetError(
            f"ended_at {verdict.ended_at!r} of {verdict.deployment!r} is no RFC 3339 time: make "
            "the verdicts anew with this version"
        ) from error


def _row(
    verdict: Verdict,
    harmful: bool = False,
    harmful_live: bool = False,
    log_needed: float | None = None,
) -> FleetRelease:
    return FleetRelease(
        deployment=verdict.deployment,
        service=verdict.service,
        environment=verdict.environment,
        version=verdict.version,
        verdict=verdict.verdict,
        ended_at=verdict.ended_at,
        e_value=verdict.e_value,
        counted=log_needed is not None,
        harmful=harmful,
        harmful_live=harmful_live,
        needed_live=None if log_needed is None else math.exp(min(log_needed, _LOG_MAX)),
    )


def _summary(ended: int, harmful: int, rate: float) -> str:
    """The report in one sentence.

    >>> _summary(212, 9, 0.1)
    'Of 212 releases that ended, 9 are counted as harmful; on average at most 10 % of such a list \
is wrong.'
    """
    if not ended:
        return "No release that can be counted has ended yet."
    many = f"Of {ended} releases" if ended > 1 else "Of 1 release"
    found = f"{harmful} is" if harmful == 1 else f"{harmful or 'none'} {'are' if harmful else 'is'}"
    promise = f"; on average at most {rate * 100:g} % of such a list is wrong" if harmful else ""
    return f"{many} that ended, {found} counted as harmful{promise}."
