"""Three real Kafka brokers, of which one at a time is killed: reading moves to the others."""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import pytest

from tests.kafka_broker import START_S, Broker, cluster, event
from tests.kafka_taken import SWEPT, taking

pytestmark = [pytest.mark.integration, *SWEPT]


def leader(broker: Broker, topic: str) -> int:
    """The broker that partition 0 is read from."""
    with broker.admin() as admin:
        (told,) = admin.describe_topics([topic])
    return int(
        next(each["leader_id"] for each in told["partitions"] if not each["partition_index"])
    )


def in_step(broker: Broker, topic: str) -> bool:
    """Whether all brokers have all of a topic."""
    with broker.admin() as admin:
        (told,) = admin.describe_topics([topic])
    return all(len(each["isr_nodes"]) == 3 for each in told["partitions"])


def test_every_message_comes_once_though_one_leader_after_the_other_is_killed(
    tmp_path: Path,
) -> None:
    with cluster(tmp_path) as brokers:
        topic = brokers[0].create("moved", 3, min_insync_replicas="2")
        addresses = tuple(broker.address for broker in brokers)
        sent: list[bytes] = []
        with taking(brokers[0], "moved", topic, brokers=addresses) as taken:
            for turn in range(2):
                killed = brokers[leader(brokers[0], topic) - 1]
                alive = next(each for each in brokers if each is not killed)
                events = [event(turn * 2_000 + number) for number in range(2_000)]
                with alive.producer(bootstrap_servers=list(addresses)) as producer:
                    for number, value in enumerate(events):
                        producer.send(topic, value, partition=number % 3)
                        if number == 1_000:
                            taken.at_least(turn * 2_000 + 100, events=50)
                            killed.kill()
                sent += events
                taken.to_the_end(len(sent))
                killed.start()
                end = time.monotonic() + START_S
                while not in_step(alive, topic):
                    assert time.monotonic() < end, "the brokers do not agree again"
                    time.sleep(0.2)
        assert Counter(taken.payloads) == Counter(sent)
        assert len(set(taken.places)) == len(sent)
