"""Requests cut into pieces that fit a turn, and their answers put together again.

A turn is bounded by its events and not only by its bytes: every event may touch dozens of cells,
and what a turn changes must fit into one transaction. A request with more events than that takes
several turns, and is answered when the last of them is committed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from collector.waiting import Answer, Rejected, Request


@dataclass(frozen=True, slots=True)
class Piece:
    """Payloads of one request from its ``begin``-th on; ``last`` if none follow."""

    request: Request
    begin: int
    payloads: list[bytes]
    last: bool


def grouped(requests: Sequence[Request], *, most: int) -> Iterator[list[Piece]]:
    """The pieces of each turn, together at most ``most`` payloads, in order; one empty turn if
    there are no requests."""
    group: list[Piece] = []
    room = most
    for request in requests:
        begin = 0
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
        )
        if piece.last:
            piece.request.settle(whole)
        else:
            self._so_far[id(piece.request)] = whole
