"""What every source owes the engine, whatever it reads: files, or Kafka in either way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import pytest

from analyzers.policy import Limits
from collector.files.following import FilesSource
from collector.files.settings import FilesSettings
from collector.kafka import client as kafka_client
from collector.kafka.settings import KafkaSettings
from collector.kafka.source import KafkaSource
from collector.source import Part, RawBatch, Source
from tests.kafka_broker import Broker, event
from tests.kafka_taken import PATIENCE_S, QUICK, SWEPT

pytestmark = [pytest.mark.integration, *SWEPT]
LIMITS = Limits()


@dataclass(frozen=True, slots=True)
class Stream:
    """Something to read: ``append`` puts events behind its end, ``source`` makes what reads it."""

    append: Callable[[list[bytes]], None]
    source: Callable[[], Source]


def file_stream(folder: Path) -> Stream:
    path = folder / "orders.ndjson"
    path.touch()

    def append(values: list[bytes]) -> None:
        with path.open("ab") as file:
            file.write(b"".join(value + b"\n" for value in values))

    settings = FilesSettings("orders", (str(path),))
    return Stream(append, lambda: FilesSource(settings, limits=LIMITS, now_s=time.monotonic))


def kafka_stream(broker: Broker) -> Stream:
    topic = broker.create(f"contract-{uuid.uuid4().hex}", 2)
    count = iter(range(10**9))

    def append(values: list[bytes]) -> None:
        with broker.producer(batch_size=4_000) as producer:
            for value in values:
                producer.send(topic, value, partition=next(count) % 2)

    settings = KafkaSettings(topic, (broker.address,), (topic,), client=QUICK)
    return Stream(
        append,
        lambda: KafkaSource(settings, line_bytes=LIMITS.line_bytes, clock=time.monotonic),
    )


@pytest.fixture(params=["files", "kafka, blocks", "kafka, records"])
def stream(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Stream]:
    if request.param == "files":
        yield file_stream(tmp_path)
        return
    if request.param == "kafka, records":
        monkeypatch.setattr(kafka_client, "hand_over", lambda *_: False)
    yield kafka_stream(request.getfixturevalue("kafka_broker"))


def committed(batch: RawBatch, positions: dict[str, str]) -> list[bytes]:
    """The payloads of a batch, once its positions are kept by compare and set."""
    for part in batch.parts:
        assert part.before == positions.get(part.source), part.source
        assert len(part.offsets) == len(part.payloads)
        assert (part.offsets[1:] >= part.offsets[:-1]).all()
        if part.after is not None:
            positions[part.source] = part.after
    return [payload for part in batch.parts for payload in part.payloads]


def until(source: Source, positions: dict[str, str], n: int, *, events: int = 1_000) -> list[bytes]:
    """At least ``n`` payloads, each batch committed before the next is asked for."""
    found: list[bytes] = []
    end = time.monotonic() + PATIENCE_S
    while len(found) < n:
        assert time.monotonic() < end, f"{len(found)} of {n} have come"
        batch = source.poll(events=events, wait_s=0.1)
        found += committed(batch, positions)
        source.committed(batch.parts)
    return found


def test_everything_comes_once_and_what_is_appended_later_too(stream: Stream) -> None:
    events = [event(number) for number in range(500)]
    stream.append(events[:300])
    positions: dict[str, str] = {}
    with closing(stream.source()) as source:
        source.open(positions)
        found = until(source, positions, 300)
        stream.append(events[300:])
        found += until(source, positions, 200)
        assert len(source.poll(events=100, wait_s=0.1)) == 0
    assert sorted(found) == sorted(events)


def test_reading_goes_on_at_every_position_it_ever_gave(stream: Stream) -> None:
    events = [event(number) for number in range(200)]
    stream.append(events)
    positions: dict[str, str] = {}
    stands: list[tuple[Mapping[str, str], int]] = []
    found: list[bytes] = []
    with closing(stream.source()) as source:
        source.open({})
        while len(found) < 200:
            found += until(source, positions, 1, events=40)
            stands.append((dict(positions), len(found)))
    assert len(stands) > 2
    for kept, seen in stands:
        with closing(stream.source()) as source:
            source.open(kept)
            rest = until(source, dict(kept), 200 - seen)
        assert sorted(found[:seen] + rest) == sorted(events)


def test_what_was_polled_and_not_committed_is_polled_again(stream: Stream) -> None:
    events = [event(number) for number in range(100)]
    stream.append(events)
    positions: dict[str, str] = {}
    source = stream.source()
    source.open(positions)
    found = until(source, positions, 10, events=10)
    assert source.poll(events=10, wait_s=0.5) is not None
    source.open(positions)
    with closing(source):
        found += until(source, positions, 100 - len(found))
    assert sorted(found) == sorted(events)


def test_a_poll_gives_about_as_many_as_asked_for_and_says_that_more_is_waiting(
    stream: Stream,
) -> None:
    stream.append([event(number) for number in range(2_000)])
    with closing(stream.source()) as source:
        source.open({})
        positions: dict[str, str] = {}
        behind: dict[str, bool] = {}
        seen = 0
        while seen < 2_000:
            batch = source.poll(events=100, wait_s=0.5)
            assert len(batch) < 500
            seen += len(committed(batch, positions))
            behind |= {part.source: part.behind for part in batch.parts}
            assert any(behind.values()) or not 0 < seen < 1_000
        end = time.monotonic() + PATIENCE_S
        while any(behind.values()):
            assert time.monotonic() < end, "it says for ever that more is waiting"
            behind |= {
                part.source: part.behind for part in source.poll(events=100, wait_s=0.1).parts
            }


def test_courtesies_and_closing_never_raise(stream: Stream) -> None:
    source = stream.source()
    source.committed([Part("stranger:x/0", after="7")])
    source.close()
    source.open({})
    source.committed([Part("stranger:x/0", after="7"), Part("kafka:orders:a")])
    source.close()
    source.committed([Part("stranger:x/0", after="7")])
    source.close()
    assert source.label
