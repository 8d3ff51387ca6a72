"""Sample-ratio mismatch where events name subjects: fair splits keep their promise at any volume,
unfair ones are found, seeds fixed.

Subjects fall into buckets as the fold counts them, and come by slices. Rows are replications.
``python -m tests.calibration.test_assignments --runs 1000`` prints the numbers of docs/MATH.md.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
import pytest

from analyzers.comparing.assigned import Assigned
from analyzers.contrast.strata import Strata
from analyzers.facts import Bools, Floats, Ints
from analyzers.folding.cells import fold
from analyzers.folding.subjects import ASSIGNED
from analyzers.judging.evidence import Evidence
from analyzers.timeline import timeline
from tests.calibration.simulated import Rate, rate
from tests.facts_of import NEW, OLD, assigned, facts_of, policy_of, started

PROMISED: Final = 0.001
SEED: Final = 11
BLOCK: Final = 250


@dataclass(frozen=True, slots=True)
class Split:
    """Subjects that come to two sides. ``volume`` new ones a slice on average, ``subjects`` in all;
    ``share`` is declared of the canary and grows by ``ramp`` each slice up to a half; its true odds
    are ``odds`` times the declared. A part ``again`` of all earlier ones returns in each slice.
    Each sends one event in a slice and a Poisson number more, by arm on average ``more``. With
    ``routed`` each event is put on a side by itself, else each subject, for good."""

    volume: float
    share: float
    subjects: float = 12_000
    odds: float = 1.0
    ramp: float = 1.0
    again: float = 0.0
    more: tuple[float, float] = (0.0, 0.0)
    routed: bool = False

    def declared(self, at: int) -> float:
        """Of the canary in that slice."""
        return min(self.share * self.ramp**at, max(self.share, 0.5))

    @property
    def slices(self) -> int:
        """How many there are."""
        return max(math.ceil(self.subjects / self.volume), 2)


class Subjects:
    """The subjects so far of many replications of a split."""

    def __init__(self, split: Split, runs: int, chance: np.random.Generator) -> None:
        self._split, self._runs, self._chance = split, runs, chance
        self._key = np.empty(0, np.int64)  # run and bucket
        self._place = np.empty(0)  # where the subject stands between the sides

    def stratum(self, at: int) -> Strata:
        """Who shows up in that slice, in all runs."""
        split, chance = self._split, self._chance
        back = np.empty(0, np.int64)
        if split.again:
            back = np.flatnonzero(chance.random(len(self._key)) < split.again)
        new = chance.poisson(split.volume, self._runs)
        run = np.repeat(np.arange(self._runs), new)
        key = run * ASSIGNED + chance.integers(0, ASSIGNED, len(run))
        key, place = np.append(self._key[back], key), np.append(self._place[back], np.empty(0))
        place = np.append(place, chance.random(len(run)))
        if split.again:
            self._key = np.append(self._key, key[len(back) :])
            self._place = np.append(self._place, place[len(back) :])
        share = split.declared(at)
        true = share * split.odds / (share * split.odds + 1.0 - share)
        canary = place < true
        events = 1 + chance.poisson(np.where(canary, split.more[1], split.more[0]))
        second = chance.binomial(events, true) if split.routed else events * canary
        return self._summed(key, events - second, second, share)

    def _summed(self, key: Ints, first: Ints, second: Ints, share: float) -> Strata:
        there, place = np.unique(key, return_inverse=True)
        size, run = len(there), there // ASSIGNED
        sent = np.column_stack([np.bincount(place, one, size) for one in (first, second)])
        counts = np.asarray(sent, np.float64)
        units = np.zeros((self._runs, 2))
        np.add.at(units, run, counts)
        none = np.zeros_like(units)
        return Strata(
            units, none, none, np.full(self._runs, share),
            run, there % ASSIGNED + 1, counts,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Found:
    """Of each run the largest log e-value, and how many subjects had come when it was found, or
    infinity; (runs,) each."""

    top: Floats
    subjects: Floats

    def crossed(self, level: float) -> Rate:
        """How many ever reach 1 / ``level``."""
        return rate((self.top >= -math.log(level)).tolist())


def found(split: Split, runs: int) -> Found:
    """What the product's test says of many replications."""
    chance = np.random.default_rng(SEED)
    parts = [_block(split, min(BLOCK, runs - at), chance) for at in range(0, runs, BLOCK)]
    return Found(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _block(split: Split, runs: int, chance: np.random.Generator) -> tuple[Floats, Floats]:
    test, subjects, rows = Assigned(), Subjects(split, runs, chance), np.arange(runs)
    test.add(np.ones(runs, np.bool_))
    top, needed = np.zeros(runs), np.full(runs, np.inf)
    for at in range(split.slices):
        test.advance(rows, subjects.stratum(at))
        top = np.maximum(top, test.log_harm)
        now: Bools = (top >= -math.log(PROMISED)) & np.isinf(needed)
        needed[now] = (at + 1) * split.volume
    return top, needed


FAIR: Final[dict[str, Split]] = {
    **{
        f"{volume:,} a slice, canary {share:.0%}": Split(volume, share)
        for share in (0.5, 0.25, 0.1, 0.05, 0.01)
        for volume in (20, 200, 1_000, 2_000, 4_000, 10_000)
    },
    "20 a slice, a tenth returns": Split(20, 0.1, again=0.1, subjects=3_000),
    "2,000 a slice, a tenth returns": Split(2_000, 0.1, again=0.1),
    "2,000 a slice, 1 % to 50 %": Split(2_000, 0.01, ramp=1.5, again=0.1),
    "500 a slice, 5 % to 50 %": Split(500, 0.05, ramp=1.1, again=0.1),
    "2,000 a slice, canary 10 %, three events each": Split(2_000, 0.1, more=(2.0, 2.0)),
    "2,000 a slice, canary 10 %, it has thrice the events": Split(2_000, 0.1, more=(0.5, 3.5)),
    "10,000 a slice, canary 50 %, it has half the events": Split(10_000, 0.5, more=(2.0, 0.5)),
    "50 a slice, canary 10 %, each event routed": Split(
        50, 0.1, more=(2.0, 2.0), routed=True, subjects=4_000
    ),
    "4,000 a slice, canary 10 %, each event routed": Split(
        4_000, 0.1, more=(0.5, 0.5), routed=True
    ),
}
UNFAIR: Final[dict[str, Split]] = {
    **{
        f"{title}, {volume:,} a slice": replace(split, volume=volume)
        for title, split in {
            "45 for 50 %": Split(1, 0.5, odds=9 / 11),
            "canary 50 % loses a tenth": Split(1, 0.5, odds=0.9),
            "canary 50 % loses a fifth": Split(1, 0.5, odds=0.8),
            "canary 10 % loses a tenth": Split(1, 0.1, odds=0.9),
            "canary 10 % loses a third": Split(1, 0.1, odds=2 / 3),
        }.items()
        for volume in (50, 500, 2_000, 4_000, 10_000)
    },
}


def assert_kept(split: Split, runs: int) -> None:
    """At most the rate and two Monte Carlo standard errors, at two levels."""
    told = found(split, runs)
    for level in (PROMISED, 0.01):
        crossed = told.crossed(level)
        assert crossed.share <= crossed.allowed(level), (level, crossed)


# What is wrong most often where buckets that both sides enter are left out: 0.9 of such runs.
CROWDED: Final = (
    Split(4_000, 0.1),
    Split(2_000, 0.05, again=0.1),
    Split(10_000, 0.01),
    Split(2_000, 0.02, ramp=2.0, again=0.1),
)


@pytest.mark.parametrize("split", CROWDED, ids=str)
def test_a_fair_split_is_not_called_unfair_however_many_come_at_once(split: Split) -> None:
    assert_kept(split, 100)


def test_how_many_events_each_side_sends_decides_nothing() -> None:
    """The release may decide that: it is an outcome."""
    assert_kept(Split(4_000, 0.1, more=(0.5, 3.5)), 100)
    assert_kept(Split(10_000, 0.5, more=(2.0, 0.5)), 50)


def test_subjects_whose_events_are_routed_one_by_one_are_split_fairly() -> None:
    assert_kept(Split(4_000, 0.1, more=(0.5, 0.5), routed=True), 100)
    assert_kept(Split(100, 0.1, more=(2.0, 2.0), routed=True, subjects=4_000), 100)


@pytest.mark.parametrize("volume", [200, 4_000, 10_000])
def test_a_canary_that_is_given_too_few_is_found(volume: float) -> None:
    for split in (Split(volume, 0.5, odds=9 / 11), Split(volume, 0.1, odds=2 / 3)):
        assert found(split, 60).crossed(PROMISED).share >= 0.75


def test_a_fair_split_of_many_customers_is_no_mismatch_of_a_release() -> None:
    """From facts to the verdict's evidence, as in the product."""
    policy = policy_of(assigned())
    deployment = timeline([started(share=0.1)]).deployments[0]
    for seed in range(6):
        chance = np.random.default_rng(seed)
        n = 12_000
        version: Sequence[str] = np.where(chance.random(n) < 0.1, NEW, OLD).tolist()
        facts = facts_of(
            np.sort(chance.uniform(10.0, 40.0, n)),
            types="order.seen",
            version=version,
            subjects=chance.integers(1, 2**63, n, np.uint64),
        )
        evidence = Evidence(deployment, OLD, policy)
        evidence.advance(fold(facts, (), policy, open_from=0))
        told = evidence.comparisons["assigned", ()]
        assert evidence.mismatch is None, (seed, told.log_harm_max)
        assert told.strata == 3


@pytest.mark.slow
@pytest.mark.parametrize("title", FAIR)
def test_fair_splits_are_called_unfair_no_more_often_than_promised(title: str) -> None:
    assert_kept(FAIR[title], 200)


def main() -> None:
    """Prints false alarms, and of unfair splits how many are found after how many subjects."""
    parser = argparse.ArgumentParser(description="Measured rates of sample-ratio mismatch.")
    parser.add_argument("--runs", type=int, default=1_000)
    runs = parser.parse_args().runs
    for title, split in FAIR.items():
        told = found(split, runs)
        rates = " ".join(f"{told.crossed(level).share:.4f}" for level in (PROMISED, 0.01))
        print(f"{title}: {rates}", flush=True)  # noqa: T201
    for title, split in UNFAIR.items():
        told = found(split, max(runs // 5, 1))
        middle = float(np.median(told.subjects))
        print(f"{title}: {told.crossed(PROMISED).share:.2f} {middle:.0f}", flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
