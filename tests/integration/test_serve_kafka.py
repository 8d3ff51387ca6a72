"""The daemon on a real Kafka broker: whatever is killed, every message counts exactly once."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event

import pytest

from analyzers.folding.cells import Cells, as_happened, fold, merge
from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.keeping.checkpoint import Checkpoint
from pipeline import kept
from pipeline.config import parse
from tests.integration.serving import Daemon, daemon
from tests.kafka_broker import Broker

pytestmark = pytest.mark.integration
POLICY = parse(b"", {}).policy


def configured(folder: Path, broker: Broker, topic: str, *, more: str = "") -> tuple[str, ...]:
    """The arguments of a daemon that reads a topic."""
    path = folder / "plimsoll.yml"
    path.write_text(
        f"sources:\n  - name: orders\n    kafka: {{brokers: ['{broker.address}'], "
        f"topics: [{topic}]}}\n{more}",
        encoding="utf-8",
    )
    return ("--config", str(path))


def until(true: Callable[[], bool], running: Daemon, what: str) -> None:
    pause = Event()
    for _ in range(3_000):
        if true():
            return
        assert running.process.poll() is None, running.lines
        pause.wait(0.02)
    raise AssertionError(f"{what}: {running.counts()} {running.lines[-5:]}")


def counted(running: Daemon, *, more_than: int) -> Callable[[], bool]:
    """Whether a daemon has counted more events than these."""
    return lambda: running.counts()["events"] > more_than


def folded(state: Path) -> Cells:
    """What a state directory holds, as it happened."""
    with Checkpoint.open(state, exclusive=False) as checkpoint:
        return as_happened(merge([kept.decode(body)[0] for body in checkpoint.load().cells]))


def once(payloads: list[bytes]) -> Cells:
    """One fold of distinct events."""
    batch = decode(payloads, attributes=POLICY.attributes(), limits=Limits())
    assert not batch.rejects
    return as_happened(fold(batch.facts, (), POLICY, open_from=0))


@pytest.fixture
def topic(kafka_broker: Broker, request: pytest.FixtureRequest) -> Iterator[str]:
    name = f"serve-{abs(hash(request.node.name)) % 10**9}"
    kafka_broker.create(name, partitions=3)
    yield name
    kafka_broker.delete(name)


def test_a_daemon_that_is_killed_again_and_again_counts_every_message_once(
    kafka_broker: Broker, topic: str, tmp_path: Path
) -> None:
    arguments = configured(tmp_path, kafka_broker, topic)
    state = tmp_path / "state"
    sent = kafka_broker.send_events(topic, 30_000, partitions=3)
    for kill in range(4):
        with daemon(state, *arguments) as running:
            until(counted(running, more_than=5_000 * kill), running, f"kill {kill}")
            running.kill()
        # What a producer tries once more lies in the topic twice.
        sent_again = kafka_broker.send_events(topic, 500, partitions=2, first=1_000 * kill)
        assert set(sent_again) <= set(sent)
    with daemon(state, *arguments) as running:
        until(lambda: running.counts()["events"] == 30_000, running, "all")
        until(
            lambda: running.metric('plimsoll_source_behind{source="kafka orders"}') == 0.0,
            running,
            "read to the end",
        )
        counts = running.counts()
        assert running.end() == 0
    assert (counts["events"], counts["duplicates"]) == (30_000, 2_000)
    assert folded(state).digest() == once(sent).digest()


def test_a_broker_that_is_killed_is_waited_for(
    kafka_broker: Broker, topic: str, tmp_path: Path
) -> None:
    with daemon(tmp_path / "state", *configured(tmp_path, kafka_broker, topic)) as running:
        kafka_broker.send_events(topic, 1_000, partitions=3)
        until(lambda: running.counts()["events"] == 1_000, running, "before")
        kafka_broker.kill()
        up = 'plimsoll_source_up{source="kafka orders"}'
        until(lambda: running.metric(up) == 0.0, running, "away")
        assert running.get("/v1/verdicts") is not None
        kafka_broker.start()
        kafka_broker.send_events(topic, 1_000, partitions=3, first=1_000)
        until(lambda: running.counts()["events"] == 2_000, running, "after")
        assert running.metric(up) == 1.0
        assert running.end() == 0


def test_a_topic_in_words_of_its_own_is_mapped_and_poison_is_kept_with_its_offset(
    kafka_broker: Broker, topic: str, tmp_path: Path
) -> None:
    mapping = """\
    map:
      - type: {constant: order.submitted}
        service: {constant: erp}
        id: auftrag.nr
        time: {from: auftrag.zeit, format: epoch_s}
        outcome: {from: status, table: {"10": ok, "90": abgelehnt}}
        attributes: {warehouse: lager}
"""
    messages = [
        json.dumps(
            {"auftrag": {"nr": f"A-{n}", "zeit": 1_779_357_600 + n}, "status": 10, "lager": "W1"}
        ).encode()
        for n in range(200)
    ]
    messages[70] = b"poison"
    messages[90] = messages[90].replace(b'"status": 10', b'"status": 55')
    kafka_broker.send(topic, messages, partition=1)
    state = tmp_path / "state"
    with daemon(state, *configured(tmp_path, kafka_broker, topic, more=mapping)) as running:
        until(lambda: running.counts()["events"] == 198, running, "mapped")
        assert running.counts()["rejected"] == 2
        assert running.end() == 0
    with Checkpoint.open(state, exclusive=False) as checkpoint:
        rejects = sorted(checkpoint.rejects(), key=lambda reject: reject.position)
    assert [(one.position, one.source.endswith("/1"), one.payload) for one in rejects] == [
        (70, True, messages[70]),
        (90, True, messages[90]),
    ]


def test_a_topic_of_which_most_is_poison_is_left_alone(
    kafka_broker: Broker, topic: str, tmp_path: Path
) -> None:
    kafka_broker.send_events(topic, 300, partitions=3)
    kafka_broker.send(topic, [b"poison %d" % n for n in range(2_000)], partition=2)
    with daemon(tmp_path / "state", *configured(tmp_path, kafka_broker, topic)) as running:
        until(
            lambda: any("payloads were rejected" in line for line in running.lines), running, "stop"
        )
        assert running.metric('plimsoll_source_up{source="kafka orders"}') == 0.0
        assert running.end() == 0


def test_two_daemons_never_have_one_state(kafka_broker: Broker, topic: str, tmp_path: Path) -> None:
    arguments = configured(tmp_path, kafka_broker, topic)
    with daemon(tmp_path / "state", *arguments) as running:
        kafka_broker.send_events(topic, 100, partitions=3)
        until(lambda: running.counts()["events"] == 100, running, "first")
        with (
            pytest.raises(AssertionError, match="is in use by process"),
            daemon(tmp_path / "state", *arguments),
        ):
            raise AssertionError("two daemons serve from one state")
        assert running.end() == 0
