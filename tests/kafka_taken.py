"""What a Kafka source gives, taken as the engine takes it: batch by batch, with its positions."""

from __future__ import annotations

import gc
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from collector.decoding import refused
from collector.decoding.faults import Fault
from collector.kafka.settings import KafkaClient, KafkaSettings
from collector.kafka.source import KafkaSource
from collector.source import SourceBusyError
from tests.kafka_broker import Broker

LINE_BYTES = 10_000
# Whatever has not come by then will not; nothing here needs more than a second on a quiet machine.
PATIENCE_S = 60.0
# kafka-python leaves sockets that it was opening or that a broker cut to the garbage collector,
# which warns of each: they are collected within the test that made them, and that is all.
SWEPT = (
    pytest.mark.usefixtures("swept"),
    pytest.mark.filterwarnings(
        r"ignore:Exception ignored in. <(socket|ssl)\.:pytest.PytestUnraisableExceptionWarning"
    ),
)
QUICK = KafkaClient(refresh_s=0.2, wait_ms=100, timeout_ms=5_000)


@pytest.fixture
def swept() -> Iterator[None]:
    """Leaves no socket for the garbage collector of a later test."""
    yield
    gc.collect()


class Taken:
    """Everything that came so far; ``positions`` is what a checkpoint would hold."""

    def __init__(self, source: KafkaSource, positions: Mapping[str, str]) -> None:
        self.source = source
        self.positions = dict(positions)
        self.payloads: list[bytes] = []
        self.places: list[tuple[str, int]] = []
        self.behind: dict[str, bool] = {}
        self.ignored: Counter[str] = Counter()
        self.notes: list[str] = []
        self.busy: list[str] = []

    def once(self, *, events: int = 10_000, wait_s: float = 0.1) -> int:
        """How many payloads one more poll gave; each part must begin where the last one ended."""
        try:
            batch = self.source.poll(events=events, wait_s=wait_s)
        except SourceBusyError as error:
            self.busy.append(str(error))
            return 0
        for part in batch.parts:
            assert part.before == self.positions.get(part.source), part.source
            assert len(part.payloads) == len(part.offsets)
            if part.after is not None:
                self.positions[part.source] = part.after
            self.behind[part.source] = part.behind
            self.payloads += part.payloads
            self.places += [(part.source, int(offset)) for offset in part.offsets]
        self.ignored += Counter(batch.ignored)
        self.notes += batch.notes
        self.source.committed(batch.parts)
        return len(batch)

    def until(self, done: Callable[[], bool], **how: Any) -> None:
        """Polls until ``done``."""
        end = time.monotonic() + PATIENCE_S
        while not done():
            if self.busy:
                time.sleep(0.05)  # as the engine pauses
            if time.monotonic() > end:
                pytest.fail(
                    f"waited in vain: {len(self.payloads)} payloads, ignored {self.ignored}, "
                    f"notes {self.notes}, busy {self.busy[-1:]}, {self.positions}"
                )
            self.once(**how)

    def at_least(self, n: int, **how: Any) -> None:
        """Polls until ``n`` payloads have come."""
        self.until(lambda: len(self.payloads) >= n, **how)

    def to_the_end(self, n: int, **how: Any) -> None:
        """Polls until ``n`` payloads have come and nothing more is known to be waiting."""
        self.until(lambda: len(self.payloads) >= n and not any(self.behind.values()), **how)

    @property
    def faults(self) -> list[Fault]:
        """What was refused."""
        found = [refused.read(payload) for payload in self.payloads]
        return [each.fault for each in found if each is not None]


@contextmanager
def taking(
    broker: Broker, name: str, *topics: str, positions: Mapping[str, str] | None = None, **how: Any
) -> Iterator[Taken]:
    """An open source on a broker; ``how`` are fields of its settings."""
    settings = KafkaSettings(name, (broker.address,), topics, client=QUICK)
    source = KafkaSource(replace(settings, **how), line_bytes=LINE_BYTES, clock=time.monotonic)
    try:
        source.open(positions or {})
        yield Taken(source, positions or {})
    finally:
        source.close()
