"""Kept rejects over HTTP: ``GET /v1/rejects`` lists them, ``POST /v1/rejects/replay`` tries them
once more.

What is tried goes through the waiting room like any request, with the row of each payload. The
turn that takes a payload lets its row go in the same transaction, so a crash leaves each reject
either kept or counted, and never both.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

import msgspec
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from collector.keeping.checkpoint import Checkpoint, CheckpointError, KeptReject, Sought
from collector.keeping.reject_list import Named, Replayed, Tried, listed
from collector.keeping.reject_rows import IDS_MAX
from collector.posted.intake import Problem
from collector.posted.waiting import RETRY_AFTER_S, Answer, BusyError, ClosedError, WaitingRoom
from collector.source import Form, Message

FormOf = Callable[[str], Form | None]

# One call tries so many: two megabytes of payloads, well within one turn.
TRIED_AT_ONCE: Final = 500
_LISTED: Final = 100
_BODY_BYTES: Final = 64 << 10


@dataclass(slots=True)
class _Tally:
    """Answers so far."""

    accepted: int = 0
    duplicates: int = 0
    ignored: int = 0
    rejected: list[Named] = field(default_factory=list)
    hindered: list[Named] = field(default_factory=list)

    def add(self, answer: Answer, rows: Sequence[int]) -> None:
        """Takes in what became of payloads; ``rows`` has the row of each."""
        self.accepted += answer.accepted
        self.duplicates += answer.duplicates
        self.ignored += answer.ignored or 0
        self.rejected += [
            Named(id=rows[one.index], reason=one.reason, detail=one.detail)
            for one in answer.rejected
        ]


class Rejects:
    """The two routes. ``form_of`` gives the form that a source has by now, None for one whose
    messages are lines of our own already."""

    def __init__(
        self,
        room: WaitingRoom,
        checkpoint: Checkpoint,
        form_of: FormOf,
        *,
        now_s: Callable[[], float],
    ) -> None:
        self._room = room
        self._checkpoint = checkpoint
        self._form_of = form_of
        self._now_s = now_s

    def routes(self) -> list[Route]:
        """What to serve."""
        return [
            Route("/v1/rejects", self._list, methods=["GET"], name="rejects"),
            Route("/v1/rejects/replay", self._take, methods=["POST"], name="replay_rejects"),
        ]

    async def _list(self, request: Request) -> Response:
        asked = request.query_params
        limit = asked.get("limit", str(_LISTED))
        if not (limit.isascii() and limit.isdigit() and 1 <= int(limit[:9]) <= 10_000):
            return _problem(400, "bad_limit", f"limit {limit[:40]!r}: give a number to 10000")
        sought = Sought(
            reason=asked.get("reason", ""),
            source=asked.get("source", ""),
            service=asked.get("service", ""),
        )
        try:
            found = await asyncio.to_thread(
                lambda: listed(self._checkpoint, sought, limit=int(limit))
            )
        except CheckpointError as error:
            return _problem(503, "unavailable", str(error))
        return _json(200, found)

    async def _take(self, request: Request) -> Response:
        # A page of another origin cannot send this type without asking first, and is not answered.
        if request.headers.get("content-type", "").partition(";")[0].strip() != "application/json":
            return _problem(415, "unsupported_content_type", "send application/json")
        try:
            tried = await _asked(request)
        except ClientDisconnect:
            return _problem(400, "disconnected", "the client left before the end")
        except (msgspec.DecodeError, ValueError) as error:
            return _problem(400, "bad_request", f"{error}; send an object such as {{}}")
        try:
            return _json(200, await self._replay(tried))
        except BusyError as error:
            return _problem(429, "busy", f"{error}; send it again in a second")
        except (ClosedError, CheckpointError) as error:
            return _problem(503, "unavailable", str(error))

    async def _replay(self, tried: Tried) -> Replayed:
        sought = Sought(
            tried.reason, tried.source, tried.service, tried.ids, tried.after, tried.until
        )
        found = await asyncio.to_thread(
            lambda: self._checkpoint.kept_rejects(sought, limit=TRIED_AT_ONCE)
        )
        tally = _Tally()
        alike: dict[str, list[tuple[int, bytes]]] = {}
        unwanted: list[int] = []
        for kept in found:
            why = kept.hindrance or self._unformed(kept)
            if why:
                tally.hindered.append(Named(id=kept.row, reason=kept.reject.reason, detail=why))
                continue
            lines = self._lines(kept)
            if not lines:
                unwanted.append(kept.row)
            elif len(lines) == 1:
                alike.setdefault(kept.reject.source, []).append((kept.row, lines[0]))
            else:
                await self._try_many(kept, lines, tally)
        for source, pairs in alike.items():
            rows = [row for row, _ in pairs]
            payloads = [line for _, line in pairs]
            tally.add(await self._submit(payloads, source, rows), rows)
        if unwanted:
            tally.ignored += await asyncio.to_thread(self._checkpoint.drop_rejects, unwanted)
        return Replayed(
            accepted=tally.accepted,
            duplicates=tally.duplicates,
            ignored=tally.ignored,
            rejected=tuple(tally.rejected),
            hindered=tuple(tally.hindered),
            next=found[-1].row if len(found) == TRIED_AT_ONCE else 0,
        )

    async def _try_many(self, kept: KeptReject, lines: Sequence[bytes], tally: _Tally) -> None:
        """Tries a message that becomes several lines. Its row goes with the last of them: each of
        the others is known again by its id, or becomes a reject of its own."""
        source, row = kept.reject.source, kept.row
        before = await self._submit(lines[:-1], source, ())
        tally.add(before, [row] * (len(lines) - 1))
        tally.add(await self._submit(lines[-1:], source, [row]), [row])

    async def _submit(self, payloads: Sequence[bytes], source: str, rows: Sequence[int]) -> Answer:
        return await self._room.submit(
            payloads, now_s=self._now_s(), source=source or "http", replays=rows
        )

    def _unformed(self, kept: KeptReject) -> str:
        if kept.reject.original and self._form_of(kept.reject.source) is None:
            return f"no mapping reads {kept.reject.source!r} any more: name it under sources again"
        return ""

    def _lines(self, kept: KeptReject) -> Sequence[bytes]:
        """What the payload becomes: itself, or what its source's form makes of it by now."""
        reject = kept.reject
        form = self._form_of(reject.source) if reject.original else None
        if form is None:
            # In JSON a line break is a blank; within the intake log it would end the line.
            return (reject.payload.replace(b"\r", b" ").replace(b"\n", b" "),)
        message = Message(
            reject.payload,
            _place(reject.source, reject.position),
            dict(reject.headers),
            reject.sent_ms,
        )
        return form(message).lines


def _place(source: str, position: int) -> str:
    """The name that the source gave the message, from which an event without an id gets one."""
    kind, _, name = source.partition(":")
    if kind == "kafka":  # kafka:NAME:orders/3
        name = name.partition(":")[2]
    return f"{name}@{position}"


async def _asked(request: Request) -> Tried:
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > _BODY_BYTES:
            raise ValueError(f"the body is over {_BODY_BYTES} bytes")
    tried = msgspec.json.decode(body or b"{}", type=Tried)
    if len(tried.ids) > IDS_MAX:
        raise ValueError(f"{len(tried.ids)} ids are named, at most {IDS_MAX} at once")
    return tried


def _json(status: int, value: msgspec.Struct) -> Response:
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def _problem(status: int, error: str, detail: str) -> Response:
    response = _json(status, Problem(error, detail))
    if status in (429, 503):
        response.headers["retry-after"] = str(RETRY_AFTER_S)
    return response
