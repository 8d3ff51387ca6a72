"""Where reading stands in Kafka: names of partitions in the checkpoint, positions as their text."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Final

import msgspec
from kafka import TopicPartition

from collector.kafka.lines import Lines
from collector.source import Part, SourceError

_ID_SHOWN: Final = 8
# Kafka allows no other topic, so a source "a" knows those of a source "a:b" for strangers.
_PARTITION: Final = re.compile(r"([A-Za-z0-9._-]{1,249})/([0-9]{1,10})")


class Position(msgspec.Struct, frozen=True, kw_only=True):
    """The next offset to read, and of which topic: one that is deleted and made anew under the
    same name has another id. Empty where the brokers are too old to give one."""

    topic_id: str
    offset: Annotated[int, msgspec.Meta(ge=0)]

    def same_topic(self, topic_id: str) -> bool:
        """Whether this may be a position in the topic of that id."""
        return not self.topic_id or not topic_id or self.topic_id == topic_id


_read: Final = msgspec.json.Decoder(Position).decode


@dataclass(slots=True)
class Reading:
    """One partition as it is read. ``kept`` is the position that the checkpoint has or is about to
    have; ``told`` is what was last said of its being behind."""

    where: TopicPartition
    topic_id: str
    offset: int
    kept: str | None
    told: bool | None = None
    said: int | None = None  # the offset of the last part
    lines: Lines = field(default_factory=Lines)

    @property
    def position(self) -> str:
        """Where it stands, as text."""
        return msgspec.json.encode(Position(topic_id=self.topic_id, offset=self.offset)).decode()

    @property
    def place(self) -> str:
        """The partition's name in the places of messages; no later topic of its name has it."""
        generation = f"~{self.topic_id[:_ID_SHOWN]}" if self.topic_id else ""
        return f"{self.where.topic}{generation}/{self.where.partition}"

    def part(self, source: str, *, behind: bool) -> Part | None:
        """What is new since the last part, None if nothing is."""
        if self.offset == self.said and behind == self.told and not self.lines.payloads:
            return None  # nearly always, where there are many partitions
        lines, self.lines = self.lines, Lines()
        before, after = self.kept, self.position
        self.said, self.told, self.kept = self.offset, behind, after
        return Part(
            source,
            lines.payloads,
            lines.places,
            before,
            None if after == before else after,
            behind,
        )


class Names:
    """The names of a source in the checkpoint: one for each partition, and its own, which is there
    once it has been opened for the first time."""

    __slots__ = ("_prefix", "own")

    def __init__(self, name: str) -> None:
        self.own = f"kafka:{name}"
        self._prefix = f"kafka:{name}:"

    def of(self, where: TopicPartition) -> str:
        """The name of a partition."""
        return f"{self._prefix}{where.topic}/{where.partition}"

    def partition(self, source: str) -> TopicPartition | None:
        """The partition of a name, None if it is none of ours."""
        if not source.startswith(self._prefix):
            return None
        found = _PARTITION.fullmatch(source.removeprefix(self._prefix))
        return TopicPartition(found[1], int(found[2])) if found else None

    def kept(self, positions: Mapping[str, str]) -> dict[TopicPartition, str]:
        """The positions of this source's partitions."""
        found = {self.partition(source): text for source, text in positions.items()}
        return {where: text for where, text in found.items() if where is not None}


def position(source: str, text: str) -> Position:
    """The position that a text tells of; SourceError if it tells of none."""
    try:
        return _read(text)
    except (msgspec.DecodeError, UnicodeEncodeError) as error:
        raise SourceError(
            f"the position {text[:60]!r} of {source} in the checkpoint cannot be read: {error}; "
            "restore the state from a backup, or give the source another name to begin anew"
        ) from error
