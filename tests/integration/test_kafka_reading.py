"""Reading from a real Kafka broker: everything comes once, from where it was left."""

from __future__ import annotations

import threading
import time
from dataclasses import replace
from typing import Any

import msgspec
import pytest

from collector.kafka import client as kafka_client
from collector.kafka.settings import KafkaSettings
from collector.source import Formed, Message, SourceError
from tests.kafka_broker import Broker, event
from tests.kafka_taken import QUICK, SWEPT, taking

pytestmark = [pytest.mark.integration, *SWEPT]


def test_all_partitions_of_several_topics_and_a_pattern_come_whole(kafka_broker: Broker) -> None:
    sent = []
    for number, topic in enumerate(("several-a", "several-b", "eu.orders.1", "eu.orders.2")):
        kafka_broker.create(topic, 3)
        sent += kafka_broker.send_events(topic, 500, partitions=3, first=number * 500)
    kafka_broker.create("eu.stock")
    kafka_broker.send_events("eu.stock", 10, first=90_000)
    with taking(
        kafka_broker, "several", "several-a", "several-b", patterns=(r"eu\.orders\.\d+",)
    ) as taken:
        taken.to_the_end(2_000)
        taken.until(lambda: taken.once() == 0)
    assert sorted(taken.payloads) == sorted(sent)
    assert len(set(taken.places)) == 2_000
    assert not taken.notes
    assert set(taken.positions) == {"kafka:several"} | {
        f"kafka:several:{topic}/{number}"
        for topic in ("several-a", "several-b", "eu.orders.1", "eu.orders.2")
        for number in range(3)
    }


@pytest.mark.parametrize("hooked", [True, False])
def test_every_compression_comes_whole_as_blocks_or_as_records(
    kafka_broker: Broker, hooked: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = kafka_broker.create(f"codecs-{hooked}")
    sent = []
    for number, codec in enumerate((None, "gzip", "snappy", "lz4", "zstd")):
        sent += kafka_broker.send_events(topic, 300, first=number * 300, compression_type=codec)
    if not hooked:
        monkeypatch.setattr(kafka_client, "hand_over", lambda *_: False)
    with taking(kafka_broker, "codecs", topic) as taken:
        taken.to_the_end(1_500, events=400)
    assert taken.payloads == sent
    assert [offset for _, offset in taken.places] == list(range(1_500))


def test_tombstones_odd_payloads_and_cloudevents_become_lines_or_are_counted(
    kafka_broker: Broker,
) -> None:
    topic = kafka_broker.create("odd")
    values = [None, b"", b'{\n"a": 1}', b"\xff\x00", b"x" * 20_000]
    kafka_broker.send(topic, values, key=b"k")
    headers = [
        ("ce_specversion", b"1.0"), ("ce_id", b"7"), ("ce_type", b"order.submitted"),
        ("ce_source", b"/shop"), ("content-type", b"application/json"),
    ]  # fmt: skip
    kafka_broker.send(topic, [b'{"outcome":"ok"}'], headers=headers)
    structured = b'{"specversion":"1.0","id":"8","data":{}}'
    kafka_broker.send(
        topic, [structured], headers=[("content-type", b"application/cloudevents+json")]
    )
    with taking(kafka_broker, "odd", topic) as taken:
        taken.to_the_end(5)
    assert taken.ignored == {"tombstone": 1, "empty": 1}
    assert taken.payloads[:3] == [b'{ "a": 1}', b"\xff\x00", b"x" * 10_001]
    assert msgspec.json.decode(taken.payloads[3]) == {
        "specversion": "1.0", "id": "7", "type": "order.submitted", "source": "/shop",
        "datacontenttype": "application/json", "data": {"outcome": "ok"},
    }  # fmt: skip
    assert taken.payloads[4] == structured
    assert [offset for _, offset in taken.places] == [2, 3, 4, 5, 6]


def test_a_form_sees_place_headers_and_time_of_each_message(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("formed")
    kafka_broker.send(topic, [b"a", b"b"], headers=[("h", b"1")])
    seen: list[Message] = []

    def form(message: Message) -> Formed:
        seen.append(message)
        return Formed((b"{}",))

    before_ms = int(time.time() * 1000) - 600_000
    with taking(kafka_broker, "formed", topic, form=form) as taken:
        taken.to_the_end(2)
    assert [message.payload for message in seen] == [b"a", b"b"]
    assert all(message.headers == {"h": b"1"} for message in seen)
    assert all(message.time_ms is not None and message.time_ms > before_ms for message in seen)
    (first, second) = (message.place for message in seen)
    assert first.startswith("formed~")
    assert first.endswith("/0@0")
    assert second == first.removesuffix("0") + "1"


def test_reading_goes_on_exactly_at_the_positions_that_were_kept(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("resumed", 2)
    sent = kafka_broker.send_events(topic, 3_000, partitions=2)
    payloads: list[bytes] = []
    positions: dict[str, str] = {}
    for _ in range(50):
        with taking(kafka_broker, "resumed", topic, positions=positions) as taken:
            taken.once(events=150, wait_s=5)
            taken.source.poll(events=150, wait_s=0)  # polled, and never committed
            positions = taken.positions
            payloads += taken.payloads
        if len(payloads) >= 3_000:
            break
    assert sorted(payloads) == sorted(sent)


def test_two_sources_in_one_process_do_not_disturb_one_another(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("shared", 4)
    sent = kafka_broker.send_events(topic, 4_000, partitions=4)
    found: dict[str, list[bytes]] = {}

    def read(name: str) -> None:
        with taking(kafka_broker, name, topic) as taken:
            taken.to_the_end(4_000, events=300)
            found[name] = taken.payloads

    threads = [threading.Thread(target=read, args=(name,)) for name in ("one", "two")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found["one"]) == sorted(found["two"]) == sorted(sent)


def test_latest_begins_with_what_comes_after_and_keeps_that_place(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("latest", 2)
    kafka_broker.send_events(topic, 50, partitions=2)
    with taking(kafka_broker, "latest", topic, start="latest") as taken:
        taken.once()
        assert taken.payloads == []
        assert len(taken.positions) == 3
        positions = taken.positions
    sent = kafka_broker.send_events(topic, 40, partitions=2, first=50)
    with taking(kafka_broker, "latest", topic, start="latest", positions=positions) as taken:
        taken.to_the_end(40)
    assert sorted(taken.payloads) == sorted(sent)


def test_a_start_time_begins_with_the_first_message_from_then_on(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("timed", 2)
    with kafka_broker.producer() as producer:
        for number in range(10):
            producer.send(
                topic, event(number), partition=number % 2, timestamp_ms=1_700_000_000_000 + number
            )
    start = 1_700_000_000_006 * 1_000_000
    with taking(kafka_broker, "timed", topic, start=start) as taken:
        taken.to_the_end(4)
    assert sorted(taken.payloads) == sorted(event(number) for number in range(6, 10))


def test_partitions_and_topics_that_appear_later_are_read_from_their_beginning(
    kafka_broker: Broker,
) -> None:
    kafka_broker.create("grown-1")
    how: dict[str, Any] = {"patterns": (r"grown-\d",), "start": "latest"}
    with taking(kafka_broker, "grown", **how) as taken:
        taken.once()
        kafka_broker.grow("grown-1", 3)
        sent = kafka_broker.send_events("grown-1", 30, partitions=3)
        kafka_broker.create("grown-2")
        sent += kafka_broker.send_events("grown-2", 20, first=30)
        taken.to_the_end(50)
        positions = taken.positions
    kafka_broker.grow("grown-2", 2)
    sent += kafka_broker.send_events("grown-2", 10, partitions=2, first=50)
    with taking(kafka_broker, "grown", positions=positions, **how) as again:
        again.to_the_end(10)
    assert sorted(taken.payloads + again.payloads) == sorted(sent)


def test_the_group_offsets_follow_so_that_others_see_the_lag(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("told", 2)
    kafka_broker.send_events(topic, 100, partitions=2)

    def told() -> dict[int, int]:
        with kafka_broker.admin() as admin:
            offsets = admin.list_group_offsets({"plimsoll-told": None})["plimsoll-told"]
        return {where.partition: each.offset for where, each in offsets.items()}

    with taking(kafka_broker, "told", topic, group="plimsoll-told") as taken:
        taken.to_the_end(100)
        taken.until(lambda: told() == {0: 50, 1: 50})  # a new cluster refuses the first ones
        kafka_broker.send_events(topic, 100, partitions=2)
        taken.to_the_end(200)
    assert told() == {0: 100, 1: 100}


def test_an_old_partition_says_whether_more_is_waiting(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("waiting")
    kafka_broker.send_events(topic, 1_000, batch_size=2_000)
    with taking(kafka_broker, "waiting", topic) as taken:
        taken.until(lambda: bool(taken.payloads), events=10)
        assert taken.behind["kafka:waiting:waiting/0"]
        assert len(taken.payloads) < 100
        taken.to_the_end(1_000)
        assert not taken.behind["kafka:waiting:waiting/0"]


def test_no_more_bytes_are_taken_at_once_than_so_many_events_may_have(
    kafka_broker: Broker,
) -> None:
    topic = kafka_broker.create("large")
    values = [b'{"n":%d,"pad":"%s"}' % (number, b"x" * 65_000) for number in range(100)]
    kafka_broker.send(topic, values)

    def form(message: Message) -> Formed:
        return Formed([b'{"line":%d}' % number for number in range(100)])

    with taking(kafka_broker, "large", topic, form=form) as taken:
        taken.until(lambda: bool(taken.payloads), events=200, wait_s=5)
        assert len(taken.payloads) <= 30 * 100
        taken.to_the_end(100 * 100, events=200)


def test_positions_of_another_source_are_not_taken_for_ones_own(kafka_broker: Broker) -> None:
    topic = kafka_broker.create("mine")
    kafka_broker.send_events(topic, 3)
    strangers = {"kafka:mine:x:mine/0": "{}", "kafka:mine:x": "opened", "kafka:mine:x/": "{}"}
    with taking(kafka_broker, "mine", topic, positions=strangers, start="latest") as taken:
        taken.once()
    assert taken.payloads == []
    assert taken.positions["kafka:mine"] == "opened"


def test_a_topic_that_does_not_exist_yet_is_waited_for(kafka_broker: Broker) -> None:
    with taking(kafka_broker, "later", "later") as taken:
        taken.once()
        assert taken.notes == ["topic later does not exist; it is read as soon as there is one"]
        kafka_broker.create("later")
        sent = kafka_broker.send_events("later", 5)
        taken.to_the_end(5)
    assert taken.payloads == sent
    assert len(taken.notes) == 1


def test_a_position_that_cannot_be_read_stops_the_source(kafka_broker: Broker) -> None:
    positions = {"kafka:torn:torn/0": '{"topic_id":"","offset":-1}'}
    kafka_broker.create("torn")
    with (
        pytest.raises(SourceError, match=r"of kafka:torn:torn/0 in the checkpoint cannot be read"),
        taking(kafka_broker, "torn", "torn", positions=positions),
    ):
        pass


def test_too_many_partitions_stop_the_source(kafka_broker: Broker) -> None:
    kafka_broker.create("wide", 4)
    with (
        pytest.raises(SourceError, match="would read 4 partitions, more than 3"),
        taking(kafka_broker, "wide", "wide", client=replace(QUICK, partitions=3)),
    ):
        pass


def test_no_secret_is_shown(kafka_broker: Broker) -> None:
    settings = KafkaSettings("secret", (kafka_broker.address,))
    shown = repr(
        replace(
            settings,
            security=replace(settings.security, password="geheim", key_password="auch geheim"),
        )
    )
    assert "geheim" not in shown
