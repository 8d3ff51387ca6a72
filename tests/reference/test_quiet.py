"""The silence e-process: its rate at the null, its speed at a stop, its arithmetic."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.contrast.quiet import LEARNED_AFTER, REST, Quiet
from analyzers.facts import Bools, Floats
from tests.reference.rounds import of_counts


def watch(quiet: Quiet, seen: Bools, share: Floats) -> Floats:
    """Log e-values (T, n) after each slice: ``seen`` (T, n) says where the second arm showed, the
    first one always did; ``share`` (T,) is declared."""
    if len(quiet) == 0:
        quiet.add(seen.shape[1])
    rows, path = np.arange(seen.shape[1]), []
    for there, declared in zip(seen, share.tolist(), strict=True):
        units = np.column_stack([np.ones(len(rows)), there])
        quiet.advance(rows, of_counts(units, np.full(len(rows), declared)))
        path.append(quiet.log_harm.copy())
    return np.array(path)


def by_hand(seen: list[bool], share: list[float]) -> list[float]:
    """The sum of all bets, one slice at a time, without logs."""
    k, wealth, path = 0, 1.0, []
    weight = 6 / np.pi**2
    for slices, (there, s) in enumerate(zip(seen, share, strict=True)):
        expected = REST * s
        learned = REST * k / slices if slices >= LEARNED_AFTER else 0.0
        theta = max(expected, learned)
        if there:
            k, wealth = k + 1, 1.0
        else:
            wealth /= 1 - theta
        path.append(weight / (k + 1) ** 2 * wealth + weight / (k + 2))
    return path


def test_it_is_the_sum_of_bets_computed_one_slice_at_a_time() -> None:
    seen = np.random.default_rng(1).random((300, 4)) < [0.0, 0.05, 0.5, 1.0]
    seen[200:] = False
    share = np.where(np.arange(300) < 150, 0.2, 0.5)
    found = np.exp(watch(Quiet(), seen, share))
    for row in range(4):
        expected = by_hand(seen[:, row].tolist(), share.tolist())
        assert found[:, row] == pytest.approx(expected, rel=1e-9)


def test_the_remaining_weights_are_never_overstated() -> None:
    weights = 6 / np.pi**2 / np.arange(1, 2_000_000) ** 2
    left = weights[::-1].cumsum()[::-1]
    for k in (0, 1, 5, 100):
        assert 6 / np.pi**2 / (k + 2) <= left[k + 1] + 1e-6


def simulated(rate: float, share: float, runs: int, slices: int, seed: int) -> Floats:
    """The largest e-value of each run with a canary seen at ``rate`` in occupied slices."""
    seen = np.random.default_rng(seed).random((slices, runs)) < rate
    return np.asarray(np.exp(watch(Quiet(), seen, np.full(slices, share)).max(axis=0)))


@pytest.mark.parametrize("share", [0.1, 0.5])
def test_at_a_third_of_its_share_the_canary_is_called_silent_at_most_at_the_promised_rate(
    share: float,
) -> None:
    seed, runs = 21, 1_500
    tops = simulated(REST * share, share, runs, 400, seed)
    for alpha in (0.1, 0.05, 0.01):
        rate = float((tops >= 1 / alpha).mean())
        error = np.sqrt(alpha * (1 - alpha) / runs)
        assert rate <= alpha + 2 * error, f"seed {seed}, alpha {alpha}: {rate}"


def test_a_canary_with_its_full_share_is_never_called_silent() -> None:
    assert simulated(0.5, 0.5, 300, 2_000, seed=22).max() < 20


def one(seen: Bools) -> Bools:
    return seen[:, None]


def test_a_stop_is_noticed_within_minutes_of_busy_slices() -> None:
    seen = np.concatenate([np.ones(100, np.bool_), np.zeros(120, np.bool_)])
    path = watch(Quiet(), one(seen), np.full(220, 0.5))[:, 0]
    noticed = int(np.argmax(path >= np.log(1_000))) - 100
    assert 0 < noticed <= 90
    assert path[:100].max() < 0


def test_a_canary_that_never_comes_is_noticed_by_its_declared_share_alone() -> None:
    seen = one(np.zeros(200, np.bool_))
    assert watch(Quiet(), seen, np.full(200, 0.5))[-1] > np.log(1e6)
    assert watch(Quiet(), seen, np.zeros(200)).max() <= 0.0


def test_a_long_silence_overflows_nothing() -> None:
    quiet = Quiet()
    path = watch(quiet, one(np.zeros(6_000, np.bool_)), np.full(6_000, 0.9))
    assert np.isfinite(path).all()
    assert path[-1] > 1_500
    assert quiet.slices(np.zeros(1, np.int64)).tolist() == [[6_000.0, 0.0]]


def test_silence_has_no_size_and_its_absence_is_no_safety() -> None:
    quiet = Quiet()
    watch(quiet, one(np.ones(500, np.bool_)), np.full(500, 0.5))
    told = quiet.told(np.zeros(1, np.int64))
    assert quiet.log_safe.tolist() == [0.0]
    assert told.score.tolist() == told.weight.tolist() == told.variance.tolist() == [0.0]


def test_a_row_alone_and_among_others_says_the_same_to_the_bit() -> None:
    chance = np.random.default_rng(8)
    seen = chance.random((500, 6)) < 0.2
    share = chance.choice([0.1, 0.3], 500)
    whole = watch(Quiet(), seen, share)
    for row in range(6):
        assert watch(Quiet(), one(seen[:, row]), share)[:, 0].tolist() == whole[:, row].tolist()


def test_a_declared_share_of_one_is_no_proof_while_the_canary_shows() -> None:
    chance = np.random.default_rng(5)
    path = watch(Quiet(), one(chance.random(2_000) < 0.5), np.ones(2_000))
    assert path.max() < np.log(20)
