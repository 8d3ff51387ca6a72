"""Kafka topics as a source: every partition, from exactly where the checkpoint says.

Partitions are assigned by us, never by a group. What is read counts once its position is in our
checkpoint; the group's offsets at the brokers are told now and then for those who watch lag. When
Kafka itself has lost or renewed something, that is said, kept as a reject, and reading goes on.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Final

from kafka import TopicPartition
from kafka import errors as kafka_errors

from collector.decoding.faults import Fault, Reason
from collector.kafka.blocks import Appetite, Block, from_records
from collector.kafka.client import Connection, Topic
from collector.kafka.group import GroupOffsets
from collector.kafka.places import Names, Reading, position
from collector.kafka.settings import KafkaSettings
from collector.source import Part, RawBatch, SourceBusyError, SourceError

# All topics of a cluster are listed for patterns only every so many looks: it may be a long list.
_LISTED_EVERY: Final = 6
_RETIRED_MAX: Final = 1_000
# One message may hold a thousand OTLP records: what is taken is bounded in bytes too. At half of
# this, batches of ordinary events are smaller than asked for; at double, packed ones are larger.
_EVENT_BYTES: Final = 1_024
_SIZE_MIN: Final = 1 << 20
_MS_PER_S: Final = 1_000
_NS_PER_MS: Final = 1_000_000
_OPENED: Final = "opened"


class KafkaSource:
    """Reads what ``settings`` name; ``clock`` gives seconds that never go back."""

    def __init__(
        self, settings: KafkaSettings, *, line_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._settings = settings
        self._line_bytes = line_bytes
        self._clock = clock
        self._patterns = [re.compile(pattern) for pattern in settings.patterns]
        self._names = Names(settings.name)
        self._appetite = Appetite()
        self._connection: Connection | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._readings: dict[TopicPartition, Reading] = {}
        self._kept: dict[TopicPartition, str] = {}
        self._topics: dict[str, Topic] = {}
        self._missing: set[str] = set()
        self._retired: set[str] = set()  # ids that brokers who lag may still tell of
        self._first = False  # nothing of this source is in the checkpoint yet
        self._looks = 0
        self._look_at = 0.0
        self._looking: Future[dict[str, Topic]] | None = None
        self._trouble = ""  # why the brokers are away
        self._anew_at = 0.0
        self._group = GroupOffsets(clock)
        self._notes: list[str] = []

    @property
    def label(self) -> str:
        """What it is called in messages."""
        return f"kafka {self._settings.name}"

    def open(self, positions: Mapping[str, str]) -> None:
        """Begins where ``positions`` say; what has none begins at ``start`` the first time that
        this source is opened and at its earliest message ever after, so that nothing is missed."""
        self.close()
        self._readings = {}
        self._topics = {}
        self._missing = set()
        self._notes = []
        self._trouble = ""
        self._kept = self._names.kept(positions)
        self._first = self._names.own not in positions and not self._kept
        self._connection = Connection(self._settings, self._appetite)
        self._worker = ThreadPoolExecutor(1, thread_name_prefix=self.label)
        try:
            self._looks = 0
            self._follow(self._connection, self._present(self._connection), opening=True)
        except (SourceError, SourceBusyError):
            self.close()
            raise
        self._look_at = self._clock() + self._settings.client.refresh_s

    def poll(self, *, events: int, wait_s: float) -> RawBatch:
        """What comes next. Of brokers that are away it tells once that all may be behind, and then
        raises SourceBusyError until they are back."""
        connection = self._connection
        if connection is None:
            raise SourceError(f"{self.label} is not open; open it before it is polled")
        known = self._trouble
        blocks: dict[TopicPartition, list[Block]] = {}
        try:
            connection = self._revived(connection)
            self._look(connection, wait_s)
            if not self._trouble:
                blocks = self._proven(connection, self._blocks(connection, events, wait_s))
        except SourceBusyError as error:
            self._rewind(connection)
            self._trouble = str(error)
        except BaseException:
            self._rewind(connection)
            raise
        if self._trouble:
            self._look_at = self._clock()  # whoever asks again is told how it is then
            if known:
                raise SourceBusyError(self._trouble)
            self._anew_at = self._clock() + self._settings.client.reconnect_s
            self._notes.append(f"{self._trouble}; trying again until it works")
        return self._batch(connection, blocks)

    def committed(self, parts: Sequence[Part]) -> None:
        """Tells the brokers now and then how far the group has come; failing is only counted."""
        if self._connection is None or self._worker is None or not self._settings.group:
            return
        self._group.note(
            {
                where: position(part.source, part.after).offset
                for part in parts
                if part.after is not None and (where := self._names.partition(part.source))
            }
        )
        self._group.tell(self._connection, self._worker)

    @property
    def untold(self) -> int:
        """How often the brokers did not take the group's offsets."""
        return self._group.failures

    def close(self) -> None:
        """Tells a last time how far the group has come, and lets go of the brokers."""
        connection, self._connection = self._connection, None
        worker, self._worker = self._worker, None
        if connection is not None and worker is not None and not self._trouble:
            self._group.end(connection, worker)
        self._group.forget()
        self._looking = None
        if connection is not None:
            connection.close()  # whatever the worker still waits for ends with it
        if worker is not None:
            worker.shutdown(wait=True, cancel_futures=True)

    # What there is

    def _revived(self, connection: Connection) -> Connection:
        """The connection; one made anew where there is trouble for long: brokers may have moved to
        where only the addresses that we were given lead, or our password may be wrong by now."""
        if not self._trouble or self._clock() < self._anew_at:
            return connection
        self._anew_at = self._clock() + self._settings.client.reconnect_s
        fresh = Connection(self._settings, self._appetite)
        connection.close()
        self._connection = fresh
        self._looking = None
        with fresh.asking("assign partitions"):
            fresh.consumer.assign(list(self._readings))
        self._rewind(fresh)
        return fresh

    def _present(self, connection: Connection) -> dict[str, Topic]:
        """The topics of ours that exist. Called by the worker too: it changes only ``_looks``."""
        names = set(self._settings.topics)
        if not self._patterns:
            return connection.topics(names)
        self._looks += 1
        if self._looks % _LISTED_EVERY != 1:
            return connection.topics(names | set(self._topics))
        return {
            name: topic
            for name, topic in connection.topics(None).items()
            if name in names or any(pattern.fullmatch(name) for pattern in self._patterns)
        }

    def _look(self, connection: Connection, wait_s: float) -> None:
        """Takes in what the worker found out of topics and brokers, and sends it again when it is
        time. Nobody waits for it, but where there is trouble anyway."""
        if self._looking is None and self._clock() >= self._look_at and self._worker is not None:
            self._look_at = self._clock() + self._settings.client.refresh_s
            self._looking = self._worker.submit(self._present, connection)
        looking = self._looking
        if looking is None or not (looking.done() or self._trouble):
            return
        wait([looking], wait_s)
        if not looking.done():
            return  # no answer yet, and the trouble stays
        self._looking = None
        present = looking.result()
        self._trouble = ""
        self._follow(connection, present)

    def _follow(
        self, connection: Connection, present: Mapping[str, Topic], *, opening: bool = False
    ) -> None:
        """Reads exactly the partitions of these topics from now on."""
        self._looking = None  # what another look is about to tell may be older than this
        present = {name: topic for name, topic in present.items() if topic.id not in self._retired}
        wanted = {
            TopicPartition(topic.name, number): topic
            for topic in present.values()
            for number in topic.partitions
        }
        if len(wanted) > self._settings.client.partitions:
            raise SourceError(
                f"{self.label} would read {len(wanted)} partitions, more than "
                f"{self._settings.client.partitions}: name fewer topics, or share them among "
                "several sources"
            )
        self._kept |= {
            where: reading.kept
            for where, reading in self._readings.items()
            if reading.kept is not None
        }
        same = {
            where: reading
            for where, reading in self._readings.items()
            if where in wanted and reading.topic_id == wanted[where].id
        }
        added = {where: topic for where, topic in wanted.items() if where not in same}
        begun = self._begun(connection, added, opening=opening)
        self._say_what_changed(present)
        changed = bool(added) or len(same) < len(self._readings)
        self._topics = dict(present)
        self._readings = same | begun
        if changed:
            with connection.asking("assign partitions"):
                connection.consumer.assign(list(same))  # what was made anew is forgotten first
                connection.consumer.assign(list(self._readings))
            self._rewind(connection)

    def _begun(
        self, connection: Connection, added: Mapping[TopicPartition, Topic], *, opening: bool
    ) -> dict[TopicPartition, Reading]:
        """Readings of new partitions, each where it must begin."""
        known: dict[TopicPartition, int] = {}
        renewed: dict[str, str] = {}
        for where, topic in added.items():
            if (text := self._kept.get(where)) is None:
                continue
            at = position(self._names.of(where), text)
            if at.same_topic(topic.id):
                known[where] = at.offset
            else:
                renewed[topic.name] = at.topic_id
        fresh = [where for where in added if where not in known]
        start = self._settings.start if opening and self._first else "earliest"
        if isinstance(start, int):
            known |= connection.offsets_at(fresh, -(-start // _NS_PER_MS))
        else:
            known |= connection.edges(fresh, start)
        for name, old_id in renewed.items():
            if len(self._retired) >= _RETIRED_MAX:
                self._retired.clear()
            self._retired.add(old_id)
            self._notes.append(
                f"topic {name} was deleted and made anew; it is read from its beginning"
            )
        return {
            where: Reading(where, topic.id, known[where], self._kept.get(where))
            for where, topic in added.items()
        }

    def _say_what_changed(self, present: Mapping[str, Topic]) -> None:
        exact = set(self._settings.topics)
        missing = (exact | set(self._topics)) - set(present)
        for name in sorted(missing - self._missing):
            gone = "is gone" if name in self._topics else "does not exist"
            self._notes.append(f"topic {name} {gone}; it is read as soon as there is one")
        self._missing = missing & exact

    # What is read

    def _blocks(
        self, connection: Connection, events: int, wait_s: float
    ) -> dict[TopicPartition, list[Block]]:
        """Blocks by partition, until there is enough or nothing more is here."""
        appetite = self._appetite
        appetite.messages = events
        appetite.size = min(
            self._settings.client.batch_bytes, max(_SIZE_MIN, events * _EVENT_BYTES)
        )
        gathered: dict[TopicPartition, list[Block]] = {}
        timeout_ms = wait_s * _MS_PER_S
        while appetite.messages > 0 and appetite.size > 0:
            try:
                with connection.asking("read"):
                    try:
                        found = connection.consumer.poll(
                            timeout_ms=timeout_ms, max_records=1 if connection.blocks else events
                        )
                    except kafka_errors.OffsetOutOfRangeError as error:
                        self._out_of_range(connection, error.args[0])
                        break
                    except kafka_errors.LogTruncationError as error:
                        self._truncated(connection, error.divergent_offsets)
                        break
            except SourceBusyError:
                if not gathered:
                    raise
                break  # what was read is good; the error will come again
            if not found:
                break
            for where, items in found.items():
                blocks = items[0] if connection.blocks else from_records(items)
                gathered.setdefault(where, []).extend(blocks)
                if not connection.blocks:
                    appetite.messages -= len(items)
                    appetite.size -= sum(len(item.value or b"") for item in items)
            timeout_ms = 0
        return gathered

    def _proven(
        self, connection: Connection, gathered: dict[TopicPartition, list[Block]]
    ) -> dict[TopicPartition, list[Block]]:
        """What was read of the topics that we mean. Fetches go by name: if a topic was made anew
        meanwhile, its messages came under the old one's offsets. An id that is still the same now
        was the same then."""
        names = {where.topic for where in gathered if self._readings[where].topic_id}
        if not names:
            return gathered
        present = connection.topics(names)
        renewed = {
            name
            for name in names
            if name not in present or present[name].id != self._topics[name].id
        }
        if not renewed:
            return gathered
        following = self._topics
        for name in renewed:
            following = _replaced(following, name, present.get(name))
        self._follow(connection, following)
        return {where: blocks for where, blocks in gathered.items() if where.topic not in renewed}

    def _out_of_range(
        self,
        connection: Connection,
        asked: Mapping[TopicPartition, int],
    ) -> None:
        """Goes on where there is something, after the brokers had nothing where we asked."""
        for where in asked:
            reading = self._readings.get(where)
            present = connection.topics({where.topic})
            topic = present.get(where.topic)
            if reading is None or topic is None or topic.id != reading.topic_id:
                self._follow(connection, _replaced(self._topics, where.topic, topic))
                continue
            first = connection.edges([where], "earliest")[where]
            following = connection.edges([where], "latest")[where]
            if reading.offset < first:
                self._lost(reading, first)
            elif reading.offset > following:
                # The log was cut, or (where topics have no id) made anew.
                self._go_on(reading, following if reading.topic_id else first)
            connection.consumer.seek(where, reading.offset)

    def _lost(self, reading: Reading, first: int) -> None:
        """Passes over what retention has deleted before we came, and keeps that it was so."""
        what = (
            f"offsets {reading.offset} to {first - 1} of {_shown(reading.where)} were deleted "
            "by Kafka before they were read"
        )
        self._notes.append(f"{what}; going on at {first}")
        reading.lines.refuse(Fault(Reason.SOURCE_LOST, what), reading.offset)
        reading.offset = first

    def _go_on(self, reading: Reading, offset: int) -> None:
        self._notes.append(
            f"{_shown(reading.where)} ends before offset {reading.offset}, up to "
            f"which it was read: its log was cut or made anew; going on at {offset}"
        )
        reading.offset = offset

    def _truncated(self, connection: Connection, places: Mapping[TopicPartition, Any]) -> None:
        """Goes on where the log that we read and the one that is there part."""
        for where, place in places.items():
            reading = self._readings.get(where)
            if reading is None:
                continue
            end = connection.edges([where], "latest")[where] if place is None else place.offset
            self._go_on(reading, min(end, reading.offset))
            connection.consumer.seek(where, reading.offset)

    def _rewind(self, connection: Connection) -> None:
        """Makes the client go on where what was handed out ends."""
        for where, reading in self._readings.items():
            connection.consumer.seek(where, reading.offset)

    def _batch(
        self, connection: Connection, blocks: Mapping[TopicPartition, Sequence[Block]]
    ) -> RawBatch:
        """What was gathered as parts. Every partition is heard of once, so that the checkpoint has
        a position of it from the first turn on."""
        parts: list[Part] = []
        ignored: Counter[str] = Counter()
        if self._first:
            parts.append(Part(self._names.own, after=_OPENED))
            self._first = False
        for where, reading in self._readings.items():
            for block in blocks.get(where, ()):
                reading.lines.add(
                    block,
                    place=reading.place,
                    form=self._settings.form,
                    most_bytes=self._line_bytes,
                )
                reading.offset = block.following
            ignored += reading.lines.ignored
            mark = connection.consumer.highwater(where)
            behind = bool(self._trouble) or mark is None or mark > reading.offset
            part = reading.part(self._names.of(where), behind=behind)
            if part is not None:
                parts.append(part)
        notes, self._notes = tuple(self._notes), []
        return RawBatch(tuple(parts), dict(ignored), notes)


def _shown(where: TopicPartition) -> str:
    return f"{where.topic}/{where.partition}"


def _replaced(topics: Mapping[str, Topic], name: str, topic: Topic | None) -> dict[str, Topic]:
    """The topics with one that is what it is now, or without it."""
    others = {each: known for each, known in topics.items() if each != name}
    return others if topic is None else others | {name: topic}
