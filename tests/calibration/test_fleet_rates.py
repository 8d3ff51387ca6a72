"""The fleet report on simulated fleets: 500 releases, 5 % of them bad, seeds fixed.

Each release has eight metrics whose noise is correlated (0.3), each judged by a t mixture at every
look; its e-value is their average where it was stopped: some looks after it crossed 1 / error rate
(a rollback), else when its watch ended. Of a bad release one metric is worse by one standard
deviation a look. ``python -m tests.calibration.test_fleet_rates`` prints the table of docs/MATH.md.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import Final

import numpy as np
import pytest

from analyzers.contrast.tmixture import log_e
from analyzers.facts import Floats, Ints
from analyzers.judging.fleet import Bools, e_bh, e_lond

RELEASES: Final = 500
BAD: Final = 25
METRICS: Final = 8
LOOKS: Final = 150
ERROR_RATE: Final = 0.01
RATE: Final = 0.1


@dataclass(frozen=True, slots=True)
class Paths:
    """One drawn fleet: the e-value of each release at each look, where its watch ends, and
    whether it is bad."""

    e: Floats
    ends: Ints
    bad: Bools


@dataclass(frozen=True, slots=True)
class Drawn:
    """A fleet in the order of its ends: log e-values where stopped, whether each ever crossed its
    own threshold, and whether it is bad."""

    stopped: Floats
    crossed: Bools
    bad: Bools


@cache
def paths(seed: int) -> Paths:
    """A fleet drawn with a seed."""
    rng = np.random.default_rng(seed)
    bad = rng.permutation(RELEASES) < BAD
    shared = rng.normal(size=(RELEASES, 1, LOOKS))
    noise = math.sqrt(0.3) * shared + math.sqrt(0.7) * rng.normal(size=(RELEASES, METRICS, LOOKS))
    noise[bad, 0] += 1.0
    n = np.broadcast_to(np.arange(1.0, LOOKS + 1), noise.shape)
    each = log_e(n, noise.cumsum(axis=-1), (noise**2).cumsum(axis=-1))
    e = np.exp(np.minimum(each, 690.0)).mean(axis=1)
    return Paths(e, rng.integers(LOOKS // 2, LOOKS, RELEASES), bad)


def fleet_of(seed: int, *, looks_after: int) -> Drawn:
    """A drawn fleet whose rollbacks come some looks after the crossing."""
    drawn = paths(seed)
    over = drawn.e >= 1.0 / ERROR_RATE
    over &= np.arange(LOOKS) <= drawn.ends[:, None]
    crossed: Bools = np.asarray(over.any(axis=1))
    rollbacks = np.minimum(over.argmax(axis=1) + looks_after, drawn.ends)
    stops = np.where(crossed, rollbacks, drawn.ends)
    return Drawn(np.log(drawn.e[np.arange(RELEASES), stops]), crossed, drawn.bad)


@dataclass(frozen=True, slots=True)
class Measured:
    """Mean false discovery proportion with its standard error, and mean power, over fleets."""

    fdr: float
    error: float
    power: float


def measured(found: list[Bools], fleets: list[Drawn]) -> Measured:
    """What a rule's findings in some fleets come to."""
    wrong = np.array(
        [(f & ~d.bad).sum() / max(f.sum(), 1) for f, d in zip(found, fleets, strict=True)]
    )
    right = [(f & d.bad).sum() / BAD for f, d in zip(found, fleets, strict=True)]
    return Measured(
        float(wrong.mean()), float(wrong.std() / math.sqrt(len(wrong))), float(np.mean(right))
    )


def rules(fleets: list[Drawn]) -> dict[str, Measured]:
    """Each rule on the same fleets."""
    return {
        "each by itself": measured([d.crossed for d in fleets], fleets),
        "e-BH": measured([e_bh(d.stopped, RATE) for d in fleets], fleets),
        "e-LOND": measured([e_lond(d.stopped, RATE)[0] for d in fleets], fleets),
    }


@pytest.mark.slow
@pytest.mark.parametrize("looks_after", [0, 20, LOOKS])
def test_the_share_of_wrong_findings_is_at_most_the_promised_rate(looks_after: int) -> None:
    told = rules([fleet_of(seed, looks_after=looks_after) for seed in range(8)])
    for rule in ("e-BH", "e-LOND"):
        assert told[rule].fdr <= RATE + 2 * told[rule].error


@pytest.mark.slow
def test_bad_releases_are_found_once_their_evidence_has_grown_past_the_crossing() -> None:
    told = rules([fleet_of(seed, looks_after=20) for seed in range(8)])
    assert told["e-BH"].power >= 0.95
    assert told["e-BH"].power >= told["e-LOND"].power >= 0.8


@pytest.mark.slow
def test_a_rollback_at_the_very_crossing_leaves_too_little_evidence_for_a_list() -> None:
    told = rules([fleet_of(seed, looks_after=0) for seed in range(8)])
    assert told["each by itself"].power >= 0.95
    assert told["e-BH"].power <= 0.1


if __name__ == "__main__":
    for after in (0, 5, 10, 20, LOOKS):
        for rule, one in rules([fleet_of(seed, looks_after=after) for seed in range(40)]).items():
            print(f"{after:3} {rule:15} {one.fdr:.4f} +- {one.error:.4f}  {one.power:.3f}")  # noqa: T201
