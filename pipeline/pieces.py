"""Requests cut into pieces that fit a turn, and their answers put together again.

A turn is bounded by its events and not only by its bytes: every event may touch dozens of cells,
and what a turn changes must fit into one transaction. A request with more events than that takes
several turns, and is answered when the last of them is committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import accumulate

import msgspec
import numpy as np

from analyzers.facts import Ints
from collector.keeping.entry import Move
from collector.posted.waiting import Answer, Rejected, Request


@dataclass(frozen=True, slots=True)
class Incoming:
    """What one sender brings to a turn.

    ``source`` and ``offsets`` (n,) say where each of n payloads stood. ``move`` is how far a
    source that is read has been read with them, and ``behind`` whether more was waiting there
    (None: not a source that is read). ``ignored`` counts what gave no payload, by kind;
    ``replays`` are the rows of the rejects that are tried once more, one for each payload.
    """

    payloads: Sequence[bytes] = ()
    source: str = "http"
    offsets: Ints | None = None
    move: Move | None = None
    behind: bool | None = None
    ignored: Mapping[str, int] = field(default_factory=dict)
    replays: Sequence[int] = ()

    def offset(self, place: int) -> int:
        """Where the payload at a place stood in its source."""
        return place if self.offsets is None else int(self.offsets[place])


@dataclass(frozen=True, slots=True)
class Piece:
    """Payloads of one request from its ``begin``-th on; ``last`` if none follow."""

    request: Request
    begin: int
    payloads: list[bytes]
    last: bool

    def incoming(self) -> Incoming:
        """The piece as a turn takes it. A source has moved on once its last payload is taken."""
        request, part = self.request, self.request.part
        end = self.begin + len(self.payloads)
        here = slice(self.begin, end)
        move = None
        if part is not None and part.after is not None and self.last:
            move = Move(part.source, part.before, part.after)
        return Incoming(
            payloads=self.payloads,
            source=request.source,
            offsets=np.arange(self.begin, end) if part is None else part.offsets[here],
            move=move,
            behind=None if part is None else part.behind or not self.last,
            ignored=request.ignored if self.last else {},
            replays=request.replays[here],
        )


def retried(incoming: Sequence[Incoming]) -> tuple[int, ...]:
    """The places in the turn of payloads that had been refused before and are tried once more."""
    begins = accumulate((len(one.payloads) for one in incoming), initial=0)
    return tuple(
        begin + place
        for begin, one in zip(begins, incoming, strict=False)  # the last one is the end
        for place in range(len(one.replays))
    )


def grouped(requests: Sequence[Request], *, most: int) -> Iterator[list[Piece]]:
    """The pieces of each turn, together at most ``most`` payloads, in order; one empty turn if
    there are no requests."""
    group: list[Piece] = []
    room = most
    for request in requests:
        begin = 0
        if not request.payloads:  # a source that only says how far it has been read
            group.append(Piece(request, 0, [], last=True))
        while begin < len(request.payloads):
            if room == 0:
                yield group
                group, room = [], most
            end = min(begin + room, len(request.payloads))
            payloads = list(request.payloads[begin:end])
            group.append(Piece(request, begin, payloads, end == len(request.payloads)))
            room -= end - begin
            begin = end
    yield group


class Answers:
    """Answers of pieces, until their request has them all."""

    def __init__(self) -> None:
        self._so_far: dict[int, Answer] = {}

    def add(self, piece: Piece, answer: Answer) -> None:
        """Takes the answer of a piece in; settles its request if it was the last."""
        before = self._so_far.pop(id(piece.request), Answer())
        whole = Answer(
            accepted=before.accepted + answer.accepted,
            duplicates=before.duplicates + answer.duplicates,
            rejected=before.rejected
            + tuple(
                Rejected(piece.begin + one.index, one.reason, one.detail) for one in answer.rejected
            ),
            ignored=(before.ignored or 0) + (answer.ignored or 0) or msgspec.UNSET,
        )
        if piece.last:
            piece.request.settle(whole)
        else:
            self._so_far[id(piece.request)] = whole
