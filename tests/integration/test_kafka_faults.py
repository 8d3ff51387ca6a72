"""Faults of a real Kafka broker, each brought about: nothing is lost silently, nothing comes twice
but where Kafka itself repeats it."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaConsumer

from collector.decoding.faults import Reason
from collector.kafka.settings import KafkaSecurity, KafkaSettings
from collector.kafka.source import KafkaSource
from collector.source import SourceBusyError, SourceError
from tests.kafka_broker import PASSWORD, SCRAM_PASSWORD, SCRAM_USER, USER, Broker, event, ports
from tests.kafka_taken import LINE_BYTES, QUICK, SWEPT, Taken, taking

pytestmark = [pytest.mark.integration, *SWEPT]


def sourced(name: str, address: str, topic: str, **how: Any) -> KafkaSource:
    settings = KafkaSettings(name, (address,), (topic,), client=replace(QUICK, timeout_ms=3_000))
    return KafkaSource(replace(settings, **how), line_bytes=LINE_BYTES, clock=time.monotonic)


def test_a_broker_killed_in_the_middle_costs_nothing(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("killed", 3)
    sent = kafka_broker.send_events(topic, 3_000, partitions=3)
    with taking(kafka_broker, "killed", topic) as taken:
        taken.until(lambda: len(taken.payloads) > 500, events=300)
        kafka_broker.kill()
        taken.until(lambda: len(taken.busy) > 2, events=300)
        assert all(taken.behind[source] for source in taken.positions if source != "kafka:killed")
        kafka_broker.start()
        sent += kafka_broker.send_events(topic, 3_000, partitions=3, first=3_000)
        taken.to_the_end(6_000)
    assert Counter(taken.payloads) == Counter(sent)
    assert len([note for note in taken.notes if "trying again" in note]) == 1


def test_a_broker_that_answers_no_more_is_waited_for(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("frozen", 2)
    sent = kafka_broker.send_events(topic, 100, partitions=2)
    with taking(kafka_broker, "frozen", topic, client=replace(QUICK, timeout_ms=2_000)) as taken:
        taken.to_the_end(100)
        with kafka_broker.frozen():
            taken.until(lambda: len(taken.busy) > 1)
            assert all(taken.behind[f"kafka:frozen:frozen/{number}"] for number in (0, 1))
        sent += kafka_broker.send_events(topic, 100, partitions=2, first=100)
        taken.to_the_end(200)
    assert Counter(taken.payloads) == Counter(sent)


def test_brokers_that_have_moved_are_found_where_the_settings_lead(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    (elsewhere,) = ports(1)
    addresses = (broker.address, f"127.0.0.1:{elsewhere.plain}")
    client = replace(QUICK, reconnect_s=1.0)
    try:
        broker.start()
        topic = broker.create("wandering")
        sent = broker.send_events(topic, 100)
        with taking(broker, "wandering", topic, brokers=addresses, client=client) as taken:
            taken.to_the_end(100)
            broker.kill()
            taken.until(lambda: bool(taken.busy))
            broker.move(elsewhere)
            broker.start()
            sent += broker.send_events(topic, 100, first=100)
            taken.to_the_end(200)
    finally:
        broker.kill()
    assert taken.payloads == sent


def test_members_of_the_same_group_take_nothing_away(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("grouped", 4)
    sent = kafka_broker.send_events(topic, 100, partitions=4)
    with taking(kafka_broker, "grouped", topic, group="others-too") as taken:
        taken.to_the_end(100)
        member = KafkaConsumer(
            topic, group_id="others-too", bootstrap_servers=kafka_broker.address,
            auto_offset_reset="earliest",
        )  # fmt: skip
        with closing(member):
            end = time.monotonic() + 60
            while len(member.assignment()) < 4:
                assert time.monotonic() < end, "the other member did not join"
                member.poll(timeout_ms=100)
            sent += kafka_broker.send_events(topic, 400, partitions=4, first=100)
            taken.to_the_end(500)
            taken.until(lambda: taken.source.untold > 0)  # a group with members is theirs
    assert Counter(taken.payloads) == Counter(sent)


def test_a_source_waits_for_a_broker_that_is_not_there(kafka_broker: Broker) -> None:
    source = sourced("absent", "127.0.0.1:1", "absent")
    with pytest.raises(SourceBusyError, match=r"does not answer: 127\.0\.0\.1:1: .*refused"):
        source.open({})
    with pytest.raises(SourceError, match="kafka absent is not open"):
        source.poll(events=1, wait_s=0)
    source.close()


def test_a_topic_made_anew_is_read_from_its_beginning(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("anew", 2)
    sent = kafka_broker.send_events(topic, 100, partitions=2)
    with taking(kafka_broker, "anew", topic) as taken:
        taken.to_the_end(100)
        kafka_broker.delete(topic)
        taken.until(lambda: any("is gone" in note for note in taken.notes))
        kafka_broker.create(topic, 2)
        sent += kafka_broker.send_events(topic, 300, partitions=2, first=100)
        taken.to_the_end(400)
        positions = taken.positions
    assert Counter(taken.payloads) == Counter(sent)
    assert sum("was deleted and made anew" in note for note in taken.notes) == 1

    kafka_broker.delete(topic)
    kafka_broker.create(topic, 2)
    sent = kafka_broker.send_events(topic, 600, partitions=2, first=400)
    with taking(kafka_broker, "anew", topic, positions=positions) as again:
        again.to_the_end(600)
    assert Counter(again.payloads) == Counter(sent)


def test_a_topic_made_anew_between_two_looks_gives_no_message_under_the_old_name(
    kafka_broker: Broker,
) -> None:
    topic = kafka_broker.create("swapped")
    kafka_broker.send_events(topic, 10)
    unlooked = replace(QUICK, refresh_s=1e9)
    with taking(kafka_broker, "swapped", topic, client=unlooked) as taken:
        taken.to_the_end(10)
        kafka_broker.delete(topic)
        kafka_broker.create(topic)
        sent = kafka_broker.send_events(topic, 50, first=100)
        taken.until(lambda: len(taken.payloads) >= 60)
    assert taken.payloads[10:] == sent
    assert [offset for _, offset in taken.places[10:]] == list(range(50))
    assert taken.notes == ["topic swapped was deleted and made anew; it is read from its beginning"]


def test_what_retention_took_before_us_is_said_kept_and_passed_over(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("retained")
    sent = kafka_broker.send_events(topic, 100)
    with taking(kafka_broker, "retained", topic) as taken:
        taken.to_the_end(100)
        positions = taken.positions
    sent += kafka_broker.send_events(topic, 300, first=100)
    kafka_broker.forget(topic, 0, 250)
    with taking(kafka_broker, "retained", topic, positions=positions) as again:
        again.to_the_end(151)
    (fault,) = again.faults
    assert fault.reason is Reason.SOURCE_LOST
    assert fault.what == (
        "offsets 100 to 249 of retained/0 were deleted by Kafka before they were read"
    )
    assert again.places[0] == ("kafka:retained:retained/0", 100)
    assert again.payloads[1:] == sent[250:]
    assert any(note.endswith("going on at 250") for note in again.notes)


def test_a_position_beyond_the_end_goes_on_at_the_end(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("cut")
    kafka_broker.send_events(topic, 10)
    with taking(kafka_broker, "cut", topic) as taken:
        taken.to_the_end(10)
        source = "kafka:cut:cut/0"
        beyond = taken.positions[source].replace('"offset":10', '"offset":99')
        positions = taken.positions | {source: beyond}
    with taking(kafka_broker, "cut", topic, positions=positions) as again:
        again.until(lambda: bool(again.notes))
        sent = kafka_broker.send_events(topic, 5, first=10)
        again.to_the_end(5)
    assert again.payloads == sent
    assert again.notes[0].startswith("cut/0 ends before offset 99")
    unnamed = positions | {source: '{"topic_id":"","offset":99}'}
    with taking(kafka_broker, "cut", topic, positions=unnamed) as again:
        again.until(lambda: bool(again.notes))


def test_aborted_transactions_give_nothing_and_open_ones_wait(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("transacted")
    with kafka_broker.producer(transactional_id="t") as producer:
        producer.init_transactions()
        for turn in range(4):
            producer.begin_transaction()
            for number in range(20):
                producer.send(topic, event(100 * turn + number), partition=0)
            producer.flush()
            if turn % 2:
                producer.commit_transaction()
            else:
                producer.abort_transaction()
        producer.begin_transaction()
        producer.send(topic, event(999), partition=0).get()
        with taking(kafka_broker, "transacted", topic) as taken:
            taken.until(lambda: len(taken.payloads) >= 40)
            assert taken.once() == 0
            assert taken.behind["kafka:transacted:transacted/0"]
            producer.commit_transaction()
            taken.to_the_end(41)
            position = taken.positions["kafka:transacted:transacted/0"]
    wanted = [event(100 * turn + number) for turn in (1, 3) for number in range(20)]
    assert taken.payloads == [*wanted, event(999)]
    # Five transactions: 81 messages and five markers, all behind us.
    assert '"offset":86' in position


def test_gaps_that_compaction_leaves_keep_their_offsets(kafka_broker: Broker) -> None:
    topic = kafka_broker.create(
        "compacted", cleanup_policy="compact", segment_ms="100", min_cleanable_dirty_ratio="0.01",
        max_compaction_lag_ms="100",
    )  # fmt: skip
    for number in range(30):
        kafka_broker.send(topic, [event(number)], key=b"same")
    kafka_broker.send(topic, [event(100)], key=b"other")

    def rest() -> Taken:
        with taking(kafka_broker, "compacted", topic) as taken:
            taken.until(lambda: event(100) in taken.payloads)
            return taken

    end = time.monotonic() + 60
    while len((taken := rest()).payloads) == 31:
        assert time.monotonic() < end, "Kafka did not compact"
        kafka_broker.send(topic, [event(100)], key=b"other")  # closes the segment before it
    offsets = [offset for _, offset in taken.places]
    assert offsets == sorted(offsets)
    kept = dict(zip(offsets, taken.payloads, strict=True))
    assert all(kept[offset] == event(offset) for offset in offsets if offset < 30)
    assert len(kept) < offsets[-1] + 1


@pytest.mark.parametrize(
    ("mechanism", "username", "password"),
    [("PLAIN", USER, PASSWORD), ("SCRAM-SHA-256", SCRAM_USER, SCRAM_PASSWORD)],
)
def test_a_user_with_the_right_password_reads_and_with_a_wrong_one_stops(
    kafka_broker: Broker, mechanism: Any, username: str, password: str
) -> None:
    topic = kafka_broker.create(f"sasl-{mechanism}")
    sent = kafka_broker.send_events(topic, 10)
    security = KafkaSecurity("SASL_PLAINTEXT", mechanism, username, password)
    address = (kafka_broker.sasl_address,)
    with taking(kafka_broker, "sasl", topic, brokers=address, security=security) as taken:
        taken.to_the_end(10)
    assert taken.payloads == sent
    unknown = replace(security, mechanism="SCRAM-SHA-512")
    with pytest.raises(SourceError, match=r"does not know SCRAM-SHA-512; correct security\.mech"):
        sourced("sasl", address[0], topic, security=unknown).open({})
    wrong = replace(security, password="wrong")
    with pytest.raises(SourceError, match=rf"refuses user {username} with {mechanism}; correct"):
        sourced("sasl", address[0], topic, security=wrong).open({})


def test_tls_is_spoken_only_with_a_broker_that_is_trusted(
    kafka_broker: Broker, tmp_path: Path
) -> None:
    topic = kafka_broker.create("tls")
    sent = kafka_broker.send_events(topic, 10)
    address = kafka_broker.tls_address
    security = KafkaSecurity("SSL", ca=kafka_broker.ca)
    with taking(kafka_broker, "tls", topic, brokers=(address,), security=security) as taken:
        taken.to_the_end(10)
    assert taken.payloads == sent
    with pytest.raises(SourceError, match=r"no TLS with .*certificate"):
        sourced("tls", address, topic, security=KafkaSecurity("SSL")).open({})
    missing = replace(security, ca=tmp_path / "missing.pem")
    with pytest.raises(SourceError, match=r"cannot use security\.ca .*missing\.pem"):
        sourced("tls", address, topic, security=missing).open({})
    torn = replace(security, certificate=kafka_broker.ca, key=kafka_broker.ca)
    with pytest.raises(SourceError, match=r"cannot use security\.certificate"):
        sourced("tls", address, topic, security=torn).open({})
    with pytest.raises(SourceBusyError, match="does not speak Kafka with PLAINTEXT"):
        sourced("tls", address, topic).open({})


def test_a_bomb_is_refused_and_the_rest_comes(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("bomb", max_message_bytes="10000000")
    with kafka_broker.producer(
        compression_type="gzip", max_request_size=50_000_000, batch_size=50_000_000, linger_ms=1_000
    ) as producer:
        for _ in range(20):
            producer.send(topic, bytes(1 << 20), partition=0)
    sent = kafka_broker.send_events(topic, 10)
    small = replace(QUICK, batch_bytes=4 << 20)
    with taking(kafka_broker, "bomb", topic, client=small) as taken:
        taken.until(lambda: sent[-1] in taken.payloads)
    assert {fault.reason for fault in taken.faults} == {Reason.TOO_LONG}
    assert [payload for payload in taken.payloads if payload.startswith(b'{"id')] == sent
