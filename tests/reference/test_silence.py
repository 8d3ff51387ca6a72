"""The silence e-process: its rate at the null, its speed at a stop, its arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.silence import LEARNED_AFTER, REST, Quiet, watch
from analyzers.facts import Bools, Floats


def by_hand(seen: list[bool], share: list[float]) -> list[float]:
    """The sum of all bets, one slice at a time, without logs."""
    k, wealth, path = 0, 1.0, []
    weight = 6 / np.pi**2
    for slices, (there, s) in enumerate(zip(seen, share, strict=True)):
        expected = REST * s
        learned = REST * k / slices if slices >= LEARNED_AFTER else 0.0
        theta = min(max(expected, learned), 0.99)
        if there:
            k, wealth = k + 1, 1.0
        else:
            wealth /= 1 - theta
        path.append(weight / (k + 1) ** 2 * wealth + weight / (k + 2))
    return path


@pytest.mark.parametrize("rate", [0.0, 0.05, 0.5, 1.0])
def test_it_is_the_sum_of_bets_computed_one_slice_at_a_time(rate: float) -> None:
    chance = np.random.default_rng(1)
    seen = chance.random(300) < rate
    seen[200:] = False
    share = np.where(np.arange(300) < 150, 0.2, 0.5)
    _, found = watch(Quiet(), seen, share)
    assert np.exp(found) == pytest.approx(by_hand(seen.tolist(), share.tolist()), rel=1e-9)


def test_the_remaining_weights_are_never_overstated() -> None:
    weights = 6 / np.pi**2 / np.arange(1, 2_000_000) ** 2
    left = weights[::-1].cumsum()[::-1]
    for k in (0, 1, 5, 100):
        assert 6 / np.pi**2 / (k + 2) <= left[k + 1] + 1e-6


def simulated(rate: float, share: float, runs: int, slices: int, seed: int) -> Floats:
    """The largest e-value of each run with a canary seen at ``rate`` in occupied slices."""
    chance = np.random.default_rng(seed)
    tops = [
        watch(Quiet(), chance.random(slices) < rate, np.full(slices, share))[1].max()
        for _ in range(runs)
    ]
    return np.exp(tops)


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_at_a_third_of_its_share_the_canary_is_called_silent_at_most_at_the_promised_rate(
    share: float,
) -> None:
    seed, runs = 21, 1_500
    edge = REST * share
    tops = simulated(edge, share, runs, 400, seed)
    for alpha in (0.1, 0.05, 0.01):
        rate = float((tops >= 1 / alpha).mean())
        error = np.sqrt(alpha * (1 - alpha) / runs)
        assert rate <= alpha + 2 * error, f"seed {seed}, alpha {alpha}: {rate}"


def test_a_canary_with_its_full_share_is_never_called_silent() -> None:
    assert simulated(0.5, 0.5, 300, 2_000, seed=22).max() < 20


def test_a_stop_is_noticed_within_minutes_of_busy_slices() -> None:
    seen = np.concatenate([np.ones(100, np.bool_), np.zeros(120, np.bool_)])
    _, path = watch(Quiet(), seen, np.full(220, 0.5))
    noticed = int(np.argmax(path >= np.log(1_000))) - 100
    assert 0 < noticed <= 90
    assert path[:100].max() < 0


def test_a_canary_that_never_comes_is_noticed_by_its_declared_share_alone() -> None:
    seen = np.zeros(200, np.bool_)
    declared = watch(Quiet(), seen, np.full(200, 0.5))[1]
    assert declared[-1] > np.log(1e6)
    unknown = watch(Quiet(), seen, np.zeros(200))[1]
    assert unknown.max() <= 0.0


def test_a_long_silence_overflows_nothing() -> None:
    quiet, path = watch(Quiet(), np.zeros(30_000, np.bool_), np.full(30_000, 0.9))
    assert np.isfinite(path).all()
    assert path[-1] > 5_000
    assert quiet.slices == 30_000


def test_no_slice_changes_nothing() -> None:
    quiet = Quiet(3, 1, 0.5)
    assert watch(quiet, np.empty(0, np.bool_), np.empty(0))[0] is quiet


def in_blocks(seen: Bools, share: Floats, size: int) -> list[float]:
    quiet, found = Quiet(), []
    for start in range(0, len(seen), size):
        quiet, path = watch(quiet, seen[start : start + size], share[start : start + size])
        found += path.tolist()
    return found


def test_slices_in_any_blocks_give_the_same_floats() -> None:
    chance = np.random.default_rng(8)
    seen = chance.random(500) < 0.2
    share = chance.choice([0.1, 0.3], 500)
    whole = in_blocks(seen, share, 500)
    assert all(in_blocks(seen, share, size) == whole for size in (1, 3, 64))


def test_a_declared_share_of_one_is_no_proof_while_the_canary_shows() -> None:
    chance = np.random.default_rng(5)
    _, path = watch(Quiet(), chance.random(2_000) < 0.5, np.ones(2_000))
    assert path.max() < np.log(20)
