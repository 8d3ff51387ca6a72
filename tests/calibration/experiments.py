"""Real experiments that were watched while they ran: how often a test that is looked at again and
again alarms on streams that show nothing at their end.

The ASOS digital experiments dataset (Liu, Cardoso, Couturier and McCoy 2021, CC BY 4.0): for every
experiment, variant and metric checkpoints of both arms' cumulative counts, means and variances.
``python -m tests.calibration.experiments FOLDER`` prints the table.
"""

from __future__ import annotations

import argparse
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import pandas as pd

from analyzers.contrast.means import Means
from analyzers.facts import Bools, Floats
from tests.reference import any_time, fixed_horizon

ALPHA: Final = 0.05
FILE: Final = "asos_experiments/asos_half.csv.gz"  # below the folder of the shared data
_CHECKPOINTS: Final = 5  # a stream of fewer is not one that anybody watched


@dataclass(frozen=True, slots=True)
class Stream:
    """One metric of one variant: cumulative count, mean and variance of both arms, (looks, 2)."""

    n: Floats
    mean: Floats
    variance: Floats

    @property
    def p(self) -> Floats:
        """Welch's p-value at each checkpoint."""
        told = ((both[:, 1], both[:, 0]) for both in (self.n, self.mean, self.variance))
        return fixed_horizon.welch(*told)[2]

    @property
    def scores(self) -> Floats:
        """What each checkpoint adds to the difference: the growth of the treatment's score beyond
        the control's, over the root of the growth of its information. Users come back and go on
        buying, so that its variance must be learned."""
        units = self.n[:, 0] * self.n[:, 1] / self.n.sum(axis=1)
        error = np.sqrt((self.variance / self.n).sum(axis=1))
        score = (self.mean[:, 1] - self.mean[:, 0]) * np.sqrt(units) / error
        grown, more = np.diff(units, prepend=0.0), np.diff(score, prepend=0.0)
        return np.asarray((more / np.sqrt(np.maximum(grown, 1e-9)))[grown > 0])


def streams(file: Path) -> list[Stream]:
    """All streams with enough checkpoints at which both arms vary."""
    told = pd.read_csv(file).dropna().sort_values("time_since_start")
    found = []
    for _, one in told.groupby(["experiment_id", "variant_id", "metric_id"]):
        n, mean, variance = (
            one[[f"{name}_c", f"{name}_t"]].to_numpy(np.float64)
            for name in ("count", "mean", "variance")
        )
        usable = (n > 1).all(axis=1) & (variance.sum(axis=1) > 0)
        if usable.sum() >= _CHECKPOINTS:
            found.append(Stream(n[usable], mean[usable], variance[usable]))
    return found


def ours(told: list[Stream]) -> Bools:
    """Whether our always-valid test of means, for either side, ever reaches 1 / alpha; (streams,),
    all of them side by side."""
    count = len(told)
    means, top = Means(), np.full(count, -math.inf)
    means.add(2 * count)  # the scores, and their negatives
    scores = [one.scores for one in told]
    for look in range(max(len(one) for one in scores)):
        rows = np.flatnonzero([look < len(one) for one in scores])
        now = np.array([scores[row][look] for row in rows.tolist()])
        means.advance(np.concatenate([rows, rows + count]), np.concatenate([now, -now]))
        both = np.logaddexp(means.log_harm[:count], means.log_harm[count:]) - math.log(2.0)
        top = np.maximum(top, both)
    return top >= -math.log(ALPHA)


def growthbook(stream: Stream) -> bool:
    """Whether GrowthBook's asymptotic confidence sequence ever excludes 0."""
    n = stream.n.sum(axis=1)
    gap = stream.mean[:, 1] - stream.mean[:, 0]
    score2 = n * gap**2 / (stream.variance / stream.n).sum(axis=1)
    log_e = any_time.asymptotic_log_e(score2, n, any_time.asymptotic_rho2(ALPHA, 5_000.0))
    return bool((log_e >= -math.log(ALPHA)).any())


@dataclass(frozen=True, slots=True)
class Shares:
    """Shares of some streams that alarm."""

    streams: int
    ours: float
    growthbook: float
    repeated: float


def alarms(told: list[Stream], *, null: bool) -> Shares:
    """Of the streams that are null at their last checkpoint (Welch's p above 5 %), or are not."""
    chosen = [one for one in told if (one.p[-1] > ALPHA) == null]
    others = np.array([(growthbook(one), bool((one.p <= ALPHA).any())) for one in chosen])
    return Shares(len(chosen), float(ours(chosen).mean()), *others.mean(axis=0).tolist())


def found(folder: Path) -> Path | None:
    """The dataset's file, in the folder itself or in ``asos_experiments`` below it."""
    places = (folder / FILE, folder / Path(FILE).name)
    return next((place for place in places if place.is_file()), None)


def main() -> None:
    """Prints the shares as a table."""
    parser = argparse.ArgumentParser(description="Alarms on real experiments.")
    parser.add_argument("folder", type=Path, help=f"holds {FILE}, or {Path(FILE).name}")
    folder = parser.parse_args().folder
    file = found(folder)
    if file is None:
        parser.error(f"{folder} holds neither {FILE} nor {Path(FILE).name}")
    told = streams(file)
    head = "| streams | ours | asymptotic sequence (GrowthBook) | Welch, repeated |"
    print(f"{head}\n|---|---|---|---|")  # noqa: T201
    for null, name in ((True, "null at their end"), (False, "significant at their end")):
        s = alarms(told, null=null)
        cells = f"{s.ours:.3f} | {s.growthbook:.3f} | {s.repeated:.3f}"
        print(f"| {s.streams} {name} | {cells} |")  # noqa: T201


if __name__ == "__main__":
    main()
