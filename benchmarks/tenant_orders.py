"""The load of the path and soak benchmarks: NDJSON batches of confirmed orders over many keys.

A key is a service, a version and a tenant; five services, two versions. Event times move at an
even rate, values are lognormal seconds, two in a hundred orders fail.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass

from analyzers.policy import Criticality, Kind, Margin, Measure, Metric, Policy

SERVICES = ("order-api", "order-eu", "stock-api", "pricing", "edi-gate")
VERSIONS = ("1.41.3", "1.42.0")
TYPE = "order.confirmed"
BEGIN_S = 1_779_321_600  # 2026-05-21T00:00:00Z


@dataclass(frozen=True, slots=True)
class Load:
    """``batch`` events at a time, ``rate`` of them a second of event time, over ``keys`` keys;
    a share of ``repeated`` is sent again, and in a ``flood`` every event has its own tenant."""

    batch: int = 50_000
    keys: int = 10_000
    rate: float = 5_000.0
    repeated: float = 0.0
    flood: bool = False
    seed: int = 1

    def batches(self, first: int = 0) -> Iterator[list[bytes]]:
        """Batch after batch of lines, without end, from the ``first``-th event on."""
        chance = random.Random(self.seed)
        tenants = self.keys // (len(SERVICES) * len(VERSIONS))
        number = first
        while True:
            lines: list[bytes] = []
            for _ in range(self.batch):
                if lines and chance.random() < self.repeated:
                    lines.append(lines[chance.randrange(len(lines))])
                    continue
                tenant = number if self.flood else chance.randrange(tenants)
                lines.append(self._line(number, tenant, chance))
                number += 1
            yield lines

    def _line(self, number: int, tenant: int, chance: random.Random) -> bytes:
        ms = int(number * 1000 / self.rate)
        day, s = 21 + ms // 86_400_000, ms // 1000
        return (
            b'{"id":"order-%09d","time":"2026-05-%02dT%02d:%02d:%02d.%03dZ","type":"%s",'
            b'"service":"%s","environment":"production","version":"%s","outcome":"%s",'
            b'"value":%.3f,"subject":"customer-%d","attributes":{"country":"%s",'
            b'"warehouse":"W%d","tenant":"T%04d"}}'
        ) % (
            number, day, s // 3600 % 24, s // 60 % 60, s % 60, ms % 1000, TYPE.encode(),
            chance.choice(SERVICES).encode(), chance.choice(VERSIONS).encode(),
            b"ok" if chance.random() < 0.98 else b"rejected", chance.lognormvariate(1, 0.5),
            chance.randrange(5_000), chance.choice((b"DE", b"FR", b"IE", b"UK")),
            chance.randrange(20), tenant,
        )  # fmt: skip


def job() -> Policy:
    """Count and failures, sums and histogram of every key, and of each side's total."""
    segments = (("tenant",),)
    return Policy(
        metrics=(
            Metric(
                name="confirmation_success", kind=Kind.PROPORTION, measure=Measure.OUTCOME,
                worse="lower", margin=Margin(0.01, relative=False), unit="1",
                criticality=Criticality.CRITICAL, types=(TYPE,), segments=segments,
            ),
            Metric(
                name="confirmation_time", kind=Kind.DURATION, measure=Measure.VALUE,
                worse="higher", margin=Margin(0.1, relative=True), unit="s",
                criticality=Criticality.STANDARD, types=(TYPE,), segments=segments,
            ),
        ),
    )  # fmt: skip
