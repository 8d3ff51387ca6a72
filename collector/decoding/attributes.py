"""The attributes of a batch of events, as columns.

Events share few sets of attributes, so each distinct JSON text of them is read once and the rest
is array arithmetic over the (name, value) pairs of the distinct ones.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import msgspec
import numpy as np

from analyzers.facts import Column, Ints, Words
from collector.decoding import digests, texts
from collector.decoding.faults import Fault, Reason, quote
from collector.decoding.said import UNREADABLE, Loose, fault_of_attributes, read_again
from collector.decoding.texts import coded

ATTRIBUTES: Final = 32
NAME_BYTES: Final = 64

_read: Final = msgspec.json.Decoder(dict[str, str] | None).decode


@dataclass(frozen=True, slots=True)
class Attributes:
    """The attributes of n events.

    ``sets`` (n,) is the place of each event's set of attributes among the m distinct ones;
    ``faults`` says what is wrong with a set. The pairs of all sets lie in flat arrays: pair i
    belongs to set ``owners[i]`` and says that ``names[i]`` is ``values[i]``.
    """

    sets: Ints
    count: int
    faults: Mapping[int, Fault]
    owners: Ints
    names: Column
    values: Column

    def content(self) -> Words:
        """A digest of each event's attributes, uint64 (n,), whatever order they stand in."""
        pairs = digests.columns(
            [
                digests.words(self.names.words)[self.names.codes],
                digests.words(self.values.words)[self.values.codes],
            ]
        )
        total = np.zeros(self.count, np.uint64)
        np.add.at(total, self.owners, pairs)  # wraps around; addition forgets the order
        return total[self.sets]

    def columns(self, asked: frozenset[str]) -> dict[str, Column]:
        """A column of n rows for each name asked for that occurs, in alphabetic order."""
        return {
            name: self._column(place)
            for name, place in sorted((name, i) for i, name in enumerate(self.names.words))
            if name in asked
        }

    def _column(self, name: int) -> Column:
        pairs = self.names.codes == name
        codes = np.zeros(self.count, np.int64)  # 0: the set does not have it
        codes[self.owners[pairs]] = self.values.codes[pairs] + 1
        vocabulary = ("", *self.values.words)
        codes[np.array([not word for word in vocabulary])[codes]] = 0  # an empty text is absent
        return texts.in_order(Column(codes[self.sets], vocabulary))


def attributes(raws: Sequence[bytes]) -> Attributes:
    """What n JSON texts, each the attributes of one event, say."""
    sets, distinct = coded(raws)
    read: list[dict[str, str]] = []
    faults: dict[int, Fault] = {}
    for place, raw in enumerate(distinct):
        try:
            said = _read(raw) or {}
        except UNREADABLE:
            again = _read_again(raw)
            if isinstance(again, Fault):
                faults[place] = again
                again = {}
            said = again
        read.append(said)
    names = Column(*coded(list(chain.from_iterable(read))))
    values = Column(*coded(list(chain.from_iterable(said.values() for said in read))))
    if not _all_sound(names, values) or max(map(len, read), default=0) > ATTRIBUTES:
        found = ((place, _fault_of_pairs(said)) for place, said in enumerate(read))
        faults.update({place: fault for place, fault in found if fault is not None})
    lengths = np.fromiter(map(len, read), np.int64, len(read))
    owners = np.repeat(np.arange(len(read)), lengths)
    return Attributes(sets, len(read), faults, owners, names, values)


def _read_again(raw: bytes) -> dict[str, str] | Fault:
    loose = read_again(raw)
    if not isinstance(loose, Loose):
        return Fault(Reason.ATTRIBUTES_INVALID, f"attributes cannot be used: {loose.what}")
    fault = fault_of_attributes(loose.fields)
    return fault or {name: loose.text(name) for name in loose.fields}


def _all_sound(names: Column, values: Column) -> bool:
    return (
        texts.all_sound(names.words)
        and texts.all_sound(values.words)
        and all(0 < len(name.encode()) <= NAME_BYTES for name in names.words)
    )


def _fault_of_pairs(said: Mapping[str, str]) -> Fault | None:
    if len(said) > ATTRIBUTES:
        return Fault(Reason.ATTRIBUTES_INVALID, f"{len(said)} attributes are over {ATTRIBUTES}")
    for name, value in said.items():
        if not name:
            return Fault(Reason.ATTRIBUTES_INVALID, "an attribute has an empty name")
        fault = texts.fault_of("attributes", name, most=NAME_BYTES)
        fault = fault or texts.fault_of(f"attributes {quote(name)}", value)
        if fault is not None:
            return Fault(Reason.ATTRIBUTES_INVALID, fault.what)
    return None
