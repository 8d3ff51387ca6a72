"""Evidence that the canary has gone silent while the baseline flows.

Silence is counted in occupied 10 s slices, not in events: a nightly import of one arm fills many
events but few slices. The null is generous: the canary still shows in a third of the slices
that its share, or its own past, lets expect (a split by customer can be off by much, but not by
that; a declared share of 1 does not make one slice without it a proof). After the k-th slice
that the canary occupies, a bet of weight 6 / (pi^2 (k + 1)^2) says that it will never be seen
again; it gains 1 / (1 - theta) with every slice only the baseline occupies and is lost when the
canary shows. The sum of all bets, those not begun at 1, is an e-process under the null.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from analyzers.facts import Bools, Floats

# At 2/3 a customer split of a distributor with a few large customers trips it; at 1/6 it needs
# twice the time to notice a stop.
REST: Final = 1 / 3
# So many slices must have been occupied before the canary's own past says how often to expect it.
LEARNED_AFTER: Final = 30
_WEIGHT: Final = 6.0 / np.pi**2
_OVERFLOW: Final = 700.0


@dataclass(frozen=True, slots=True)
class Quiet:
    """What is carried from slice to slice: slices with any event, those of the canary, and the
    log wealth of the bet that is open."""

    slices: int = 0
    seen: int = 0
    run: float = 0.0


def watch(quiet: Quiet, seen: Bools, share: Floats) -> tuple[Quiet, Floats]:
    """The carried state and the log e-value after each of J slices that some arm occupied.

    ``seen`` (J,): the canary was there; ``share`` (J,): its expected share of the events, 0
    where unknown.
    """
    if not len(seen):
        return quiet, np.empty(0)
    slices = quiet.slices + np.arange(len(seen))
    before = quiet.seen + np.cumsum(seen) - seen
    learned = np.where(slices >= LEARNED_AFTER, before / np.maximum(slices, 1), 0.0)
    theta = REST * np.maximum(share, learned)
    run = _runs(quiet.run, seen, -np.log1p(-theta))
    k = before + seen
    weight = _WEIGHT / (k + 1.0) ** 2
    unopened = _WEIGHT / (k + 2.0)  # at most the sum of the weights still to come
    e = np.log(weight * np.exp(np.minimum(run, _OVERFLOW)) + unopened)
    log_e = np.where(run > _OVERFLOW, np.log(weight) + run, e)
    return Quiet(quiet.slices + len(seen), int(k[-1]), float(run[-1])), log_e


def _runs(run: float, seen: Bools, gain: Floats) -> Floats:
    """The log wealth of the open bet after each slice: it grows until the canary shows.

    Added up one after the other: a difference of running sums would depend, in its last bit, on
    where the blocks of slices were cut.
    """
    path = []
    for there, more in zip(seen.tolist(), gain.tolist(), strict=True):
        run = 0.0 if there else run + more
        path.append(run)
    return np.array(path)
