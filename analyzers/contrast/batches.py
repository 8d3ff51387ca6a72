"""Information batches: scores are summed until there is enough in them to look normal.

A score from a few rare events is skewed, and a t mixture on skewed scores raises false alarms
(measured: 37 % with half an event a window and a tenth of the traffic). A batch closes by totals
only, never by what it shows, which keeps the test valid.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analyzers.contrast.tmixture import log_e
from analyzers.facts import Floats


@dataclass(slots=True)
class Batches:
    """The t mixture over batches of scores, one column for each of G hypotheses."""

    total: Floats
    square: Floats
    score: Floats
    variance: Floats
    log_up: Floats
    log_down: Floats
    closed: int = 0
    information: float = 0.0
    baseline: float = 0.0
    canary: float = 0.0

    @classmethod
    def empty(cls, hypotheses: int) -> Batches:
        """No score yet."""
        none = np.zeros(hypotheses)
        return cls(none, none, none, none, none, none)

    def advance(
        self, score: Floats, variance: Floats, information: Floats, units: Floats
    ) -> tuple[Floats, Floats]:
        """Log e-values after each of J strata that the mean score is above, and below, zero.

        ``score`` and ``variance`` (J, G); ``information`` (J,), the variance that decides when a
        batch closes; ``units`` (J, 2). Both results have shape (J, G).
        """
        batch_of = np.zeros(len(score), np.int64)
        totals, squares = [], []
        for j in range(len(score)):
            self.score = self.score + score[j]
            self.variance = self.variance + variance[j]
            self.information += float(information[j])
            self.baseline += float(units[j, 0])
            self.canary += float(units[j, 1])
            if self._enough():
                u = self.score / np.sqrt(np.maximum(self.variance, 1e-12))
                self.total = self.total + u
                self.square = self.square + u * u
                totals.append(self.total)
                squares.append(self.square)
                self._open()
            batch_of[j] = len(totals)
        up, down = self.log_up[None], self.log_down[None]
        if totals:
            total, square = np.array(totals), np.array(squares)
            n = np.zeros_like(total) + (self.closed + 1.0 + np.arange(len(totals)))[:, None]
            up = np.concatenate([up, log_e(n, total, square)])
            down = np.concatenate([down, log_e(n, -total, square)])
            self.closed += len(totals)
            self.log_up, self.log_down = up[-1], down[-1]
        return up[batch_of], down[batch_of]

    def _enough(self) -> bool:
        """Enough information that the batch's score is not skewed: 12 (1 - 2 theta)^2, theta the
        canary's share of the units (measured on sparse counts)."""
        units = self.baseline + self.canary
        if self.information < 1.0 or units <= 0:
            return False
        theta = self.canary / units
        return self.information >= 12.0 * (1.0 - 2.0 * theta) ** 2

    def _open(self) -> None:
        self.score = np.zeros_like(self.score)
        self.variance = np.zeros_like(self.variance)
        self.information = self.baseline = self.canary = 0.0
