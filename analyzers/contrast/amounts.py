"""Running tests of mean amounts: does the second arm have more a unit than the first, by more than
a margin? One row a comparison, one stratum a round. Amounts are heavy-tailed, so values are cut at
a cap, and the test is one of capped means.

Bets need no variance and no batches. With c > 0, mu and the cap known before a stratum,

    e = prod_b (1 + c n_a / n (y - mu))  prod_a (1 - c n_b / n (y - mu))

over the units of both arms is an e-variable for "the second arm's mean is at most the first's",
whatever the two distributions are: each product is at most the exponential of its sum's mean, and
both sums together are c n_a n_b / n times the difference of the means. (Betting on bounded means as
Waudby-Smith, Ramdas 2024, "Estimating means of bounded random variables by betting", for two arms
whose common level may change in every stratum.) Factors are kept above 1 - STAKE.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from analyzers.contrast.bets import Held, Starts
from analyzers.contrast.capped import Capped
from analyzers.contrast.spread import Spread
from analyzers.contrast.strata import Rows, Strata, Told, blocks, grow, read, run, write
from analyzers.facts import Bools, Floats, Ints

# Effects bet on, in standard deviations of a capped value.
EFFECTS: Final = (0.06, 0.2, 0.6, 2.0)
_EFFECTS: Final = np.array(EFFECTS)[:, None]
STAKE: Final = 0.9
# So many strata's worth of belief that values hang together a little (as in ``durations.py``).
BELIEVED: Final = 1.3
BELIEF_STRATA: Final = 8.0
_MEMORY: Final = 4_000.0  # units that the level and the scale remember
# The cap that nobody declared: so many times the largest but one in a hundred.
CAP_TIMES: Final = 2.0


class Amounts:
    """The running tests of n comparisons of amounts; a ``Family``."""

    def __init__(self) -> None:
        self.log_harm = np.zeros(0)
        self.log_safe = np.zeros(0)
        self._margin = np.zeros((0, 4))  # cap, size, whether relative, quantum
        # Units, mean, variance of capped values, whether any was below 0.
        self._past = np.zeros((0, 4))
        self._told = np.zeros((0, 3))  # score, weight, variance: without a margin
        self._spread = Spread()
        self._harm = Starts(len(EFFECTS))
        self._safe = Held(len(EFFECTS))

    def __len__(self) -> int:
        return len(self.log_harm)

    def add(self, caps: Floats, margins: Floats, relative: Bools, quanta: Floats) -> None:
        """New rows. ``caps`` (r,) in the metric's unit, NaN to take it from the first stratum;
        ``margins`` (r,) in the metric's unit, or where ``relative`` as what the second arm may
        have more in parts of the first; ``quanta`` (r,) the unit of bucket numbers."""
        if (caps <= 0).any() or (margins < 0).any() or (quanta <= 0).any():
            raise ValueError(
                f"caps and quanta are above 0 and margins not below: got caps down to "
                f"{np.nanmin(caps)}, margins down to {margins.min()}, quanta {quanta.min()}; "
                f"swap the arms where less is worse"
            )
        rows = grow(self, len(margins))
        self._margin[rows] = np.column_stack([caps, margins, relative, quanta])

    def cap(self, rows: Ints) -> Floats:
        """The caps (k,) that values are cut at, NaN until a stratum has shown any value but 0."""
        return np.asarray(self._margin[rows, 0])

    def advance(self, rows: Ints, strata: Strata) -> None:
        """Takes in one stratum for each of the given rows (each row at most once)."""
        for some, part in blocks(rows, strata):
            self._advance(run(some), part.weighed())

    def _advance(self, rows: Rows, strata: Strata) -> None:
        cap, size, relative, quantum = read(self._margin, rows)
        past = read(self._past, rows)
        units, mean, variance, below = past
        values = Capped(len(cap), strata, quantum)
        # A first stratum says what the level, the scale and the cap are, and is not bet on.
        begun = (units > 0) & ~np.isnan(cap)
        negative = values.negative()
        if np.isnan(cap).any():
            cap = np.where(np.isnan(cap), CAP_TIMES * values.high(0.99), cap)
            self._margin[rows, 0] = np.where(cap > 0, cap, np.nan)
            cap = np.where(cap > 0, cap, 1.0)
        phi = self._compared(rows, values, cap, begun)
        values.less(np.where(relative > 0, 0.0, size), np.where(relative > 0, 1.0 + size, 1.0))
        # Beyond that scale a bet is on less than a thirtieth of the cap.
        scale = np.maximum(np.sqrt(variance), cap / 30.0)
        floor = np.where(below > 0, -cap, np.where(relative > 0, 0.0, -np.minimum(size, cap)))
        level = np.maximum(np.minimum(mean, cap), floor)
        up, down = values.log_factors(floor, cap, level, (_EFFECTS / scale).T, STAKE)
        price = np.where(begun, 1.0 / phi, 0.0)[:, None]
        self.log_harm[rows] = self._harm.advance(rows, up * price)
        self.log_safe[rows] = self._safe.advance(rows, down * price)
        _move(past, negative, *values.level(cap, level))
        write(self._past, rows, past)

    def _compared(self, rows: Rows, values: Capped, cap: Floats, begun: Bools) -> Floats:
        """Takes in what shows without a margin; how much strata have varied before, (k,)."""
        score, variance = values.score(cap)
        phi = self._spread.factor(rows, BELIEVED, BELIEF_STRATA)
        known = begun & (variance > 0)
        self._spread.advance(rows, score / np.sqrt(np.where(known, variance, 1.0)), known)
        told = read(self._told, rows)
        told[0] += score
        told[1] += values.weight()
        told[2] += variance * phi
        write(self._told, rows, told)
        return phi

    def told(self, rows: Ints) -> Told:
        """What the given rows show; ``score / weight`` is the difference of capped means, second
        arm less first, in the metric's unit."""
        return Told(*self._told[rows].T)


def _move(past: Floats, negative: Bools, n: Floats, at: Floats, spread: Floats) -> None:
    """Level and scale (4, k) after a stratum of n values, at some level and of some variance:
    running means that forget, weighted by units."""
    units, mean, variance, below = past
    np.minimum(units + n, _MEMORY, out=units)
    part = np.minimum(n / np.maximum(units, 1.0), 1.0)
    mean += part * (at - mean)
    variance += part * (spread - variance)
    np.maximum(below, negative, out=below)
