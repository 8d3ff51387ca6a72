"""What each series of a service is to one release: in which comparisons it speaks, and as what."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import numpy as np

from analyzers.comparing.arms import NEITHER, Key, arm_of
from analyzers.comparing.names import Known
from analyzers.facts import SLICE_NS, SLICE_S, Bools, Floats, Ints
from analyzers.folding.cells import Series
from analyzers.policy import Kind, Measure, Metric, Policy
from analyzers.timeline import Deployment

TYPE: Final = "type"
_OUTCOME: Final = "outcome"
# An order follows the visit by a quarter of an hour at most, unless its metric says otherwise.
_LAG_S: Final = 900
_SECONDS: Final = {
    "us": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3_600.0, "d": 86_400.0,
}  # fmt: skip


class Role(IntEnum):
    """What a cell is in a comparison: what is compared, what it is held against."""

    OWN = 0
    EXPOSURE = 1
    DENOMINATOR = 2


@dataclass(frozen=True, slots=True)
class Part:
    """A series that speaks in a comparison of one release."""

    key: Key
    role: Role
    arm: int
    begins: int  # first slice that counts
    lag: int = 0  # slices after the start and each change of the share that do not count
    declared: bool = True  # whether the declared share says how much of it is the canary's
    quantum: float = 0.0  # of its values in the unit; 0 where its events are counted
    quantum_s: float = 0.0  # seconds of a quantum, of what took as long as its value says


@dataclass(frozen=True, slots=True)
class Columns:
    """What p parts are, in order of the series: see ``Part``. ``key`` is the place of a key among
    those of the parts, ``silence`` whether it is about an arm that goes silent."""

    key: Ints
    role: Ints
    arm: Ints
    begins: Ints
    lag: Ints
    declared: Ints
    silence: Bools
    quantum: Floats
    quantum_s: Floats


def quantum_s(metric: Metric) -> float:
    """The seconds of a duration's quantum; a unit that is not known is taken for seconds."""
    return metric.quantum * _SECONDS.get(metric.unit, 1.0)


class Parts:
    """The parts of all known series of a service in one release; found out once for each."""

    def __init__(self, deployment: Deployment, replaces: str, policy: Policy) -> None:
        self._deployment, self._replaces = deployment, replaces
        self._metrics = {metric.name: metric for metric in policy.metrics}
        self.first = deployment.started_ns // SLICE_NS + policy.bake_s // SLICE_S
        self._exposures: dict[str, list[str]] = {}  # the counts that a type is the exposure of
        self._over: dict[str, list[Metric]] = {}  # the ratios that a metric is under
        for metric in policy.metrics:
            if metric.kind is Kind.RATIO:
                self._over.setdefault(metric.over, []).append(metric)
            elif metric.exposure:
                self._exposures.setdefault(metric.exposure, []).append(metric.name)
        self._begin_names(Known())

    def _begin_names(self, known: Known) -> None:
        self._known, self._looked = known, 0
        self._parts: list[Part] = []
        self._places: list[int] = []
        self.keys: dict[Key, int] = {}
        self.edges = np.zeros(1, np.int64)  # where the parts of each series begin
        self.flows = np.empty(0, np.int64)  # the arm whose flow each series is, or NEITHER
        self._stack()

    def learn(self, known: Known) -> bool:
        """Takes in the series that have come since; whether all are numbered anew."""
        anew = known is not self._known
        if anew:
            self._begin_names(known)
        fresh = known.series[self._looked :]
        if not fresh:
            return anew
        self._looked = len(known.series)
        found = [self._found(series) for series in fresh]
        for part in (part for some in found for part in some):
            self._parts.append(part)
            self._places.append(self.keys.setdefault(part.key, len(self.keys)))
        edges = self.edges[-1] + np.cumsum([len(some) for some in found])
        self.edges = np.concatenate([self.edges, edges])
        self.flows = np.append(self.flows, [self._flow_of(series) for series in fresh])
        self._stack()
        return anew

    def _stack(self) -> None:
        parts = self._parts

        def ints(values: list[int]) -> Ints:
            return np.array(values, np.int64)

        silence = [self._metrics[part.key[0]].measure is Measure.FLOW for part in parts]
        self.columns = Columns(
            ints(self._places),
            ints([part.role for part in parts]),
            ints([part.arm for part in parts]),
            ints([part.begins for part in parts]),
            ints([part.lag for part in parts]),
            ints([part.declared for part in parts]),
            np.array(silence, np.bool_),
            np.array([part.quantum for part in parts]),
            np.array([part.quantum_s for part in parts]),
        )

    def _flow_of(self, series: Series) -> int:
        """The arm whose flow a series is, whatever its events are; NEITHER of all others."""
        metric = self._metrics.get(series.metric)
        if metric is None or metric.measure is not Measure.FLOW or series.segment:
            return NEITHER
        return arm_of(series, self._deployment, self._replaces)

    def _found(self, series: Series) -> tuple[Part, ...]:
        """The comparisons in which a series speaks."""
        arm = arm_of(series, self._deployment, self._replaces)
        metric = self._metrics.get(series.metric)
        if arm == NEITHER or metric is None:
            return ()
        begins = self.first + metric.deadline_s // SLICE_S
        quantum = metric.quantum if metric.measure is Measure.VALUE else 0.0
        segment, names = series.segment, tuple(name for name, _ in series.segment)
        found = []
        if metric.measure is Measure.FLOW:
            if names and _OUTCOME not in names:
                # By other names than the type a segment may be routed to one side on purpose.
                declared = names == (TYPE,)
                found.append(Part((metric.name, segment), Role.OWN, arm, begins, 0, declared))
            if names == (TYPE,):
                found += [
                    Part((count, ()), Role.EXPOSURE, arm, begins, self._lag(count))
                    for count in self._exposures.get(segment[0][1], ())
                ]
        elif metric.kind is not Kind.COUNT or not metric.exposure or not segment:
            # Exposure is known for the total only.
            lasted = quantum_s(metric) if metric.kind is Kind.DURATION and quantum else 0.0
            lag = self._lag(metric.name)
            found.append(
                Part((metric.name, segment), Role.OWN, arm, begins, lag, True, quantum, lasted)
            )
        found += [
            Part(
                (ratio.name, segment),
                Role.DENOMINATOR,
                arm,
                begins,
                self._lag(ratio.name),
                quantum=quantum,
            )
            for ratio in self._over.get(series.metric, ())
            if not segment or names in ratio.segments
        ]
        return tuple(found)

    def _lag(self, name: str) -> int:
        """How many slices after what it is held against an event may come: until then, after the
        start and each change of the share, one side still lacks them."""
        metric = self._metrics[name]
        against = self._metrics.get(metric.over)
        apart = metric.kind is Kind.COUNT and bool(metric.exposure)
        apart |= against is not None and against.types != metric.types
        if apart:
            return (metric.deadline_s or _LAG_S) // SLICE_S
        # A slice in which a share begins has units of before.
        return 1 if metric.measure is Measure.ASSIGNMENT else 0


def epochs(deployment: Deployment, first: int) -> Ints:
    """The first slice that counts, and those in which the declared share changed since."""
    found, known = [first], None
    for time_ns, share in deployment.shares:
        if share != known and time_ns // SLICE_NS > first:
            found.append(time_ns // SLICE_NS)
        known = share
    return np.array(found, np.int64)
