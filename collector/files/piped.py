"""Standard input as a stream that is read while it comes.

It cannot be read twice, so nothing can be resumed: what was read and not committed when the process
ends is lost, and the sender must send it again. Its position is the number of the run and of the
lines seen in it.
"""

from __future__ import annotations

import os
import queue
import sys
from threading import Event, Thread
from typing import BinaryIO, Final, cast

import numpy as np

from analyzers.policy import Limits
from collector.files import recorded as files
from collector.files.readers import refusals, unreadable
from collector.files.recorded import Chunk, FilesError
from collector.source import Form, Message, Part, RawBatch

NAME: Final = "file:-"
# Chunks that wait between the reading thread and the engine; each is at most one block of lines.
_WAITING: Final = 4
_LOOK_S: Final = 0.1


class Piped:
    """Standard input, or what stands for it, from now on."""

    def __init__(self, saved: str | None, limits: Limits, form: Form | None, pipe: BinaryIO | None):
        self.over = False
        self._saved = saved
        self._run = _run_of(saved) + 1
        self._limits = limits
        self._form = form
        self._lines = 0
        self._left: list[bytes] = []
        self._queue: queue.Queue[Chunk | FilesError | None] = queue.Queue(_WAITING)
        self._closed = Event()
        self._thread = Thread(
            target=self._pump, args=(pipe or _unbuffered(),), name="stdin", daemon=True
        )
        self._thread.start()

    def poll(self, events: int, wait_s: float) -> RawBatch:
        """What came since the last time, after ``wait_s`` at most if nothing did."""
        ignored: dict[str, int] = {}
        refused: list[bytes] = []
        patience = wait_s
        while not self.over and len(self._left) < events:
            try:
                came = self._queue.get(timeout=patience) if patience else self._queue.get_nowait()
            except queue.Empty:
                break
            patience = 0.0
            if came is None:
                self.over = True
            elif isinstance(came, FilesError):
                refused.append(unreadable(files.STDIN, came, self._limits))
            else:
                self._left += came.payloads
                refused += refusals(came, files.STDIN, self._limits)
        given, self._left = self._left[:events], self._left[events:]
        if not given and not refused:
            return RawBatch()
        return RawBatch((self._part(given, refused, ignored),), ignored)

    def close(self) -> None:
        """Reads no more; the thread ends with the process if its pipe never does."""
        self._closed.set()

    def _part(self, given: list[bytes], refused: list[bytes], ignored: dict[str, int]) -> Part:
        lines, offsets = given, list(range(self._lines, self._lines + len(given)))
        if self._form is not None:
            lines, offsets = [], []
            for place, payload in enumerate(given, self._lines):
                formed = self._form(Message(payload, f"-#{self._run}@{place}"))
                lines += formed.lines
                offsets += [place] * len(formed.lines)
                if formed.ignored:
                    ignored[formed.ignored] = ignored.get(formed.ignored, 0) + 1
        self._lines += len(given)
        before, self._saved = self._saved, f"{self._run}:{self._lines}"
        return Part(
            NAME,
            payloads=[*lines, *refused],
            offsets=np.array([*offsets, *[self._lines] * len(refused)], np.int64),
            before=before,
            after=self._saved if self._saved != before else None,
            behind=bool(self._left) or not self._queue.empty(),
        )

    def _pump(self, pipe: BinaryIO) -> None:
        chunks = files.read([files.STDIN], limits=self._limits, stdin=pipe, eager=True)
        try:
            for chunk in chunks:
                self._put(chunk)
                if self._closed.is_set():
                    return
        except FilesError as error:
            self._put(error)
        self._put(None)

    def _put(self, came: Chunk | FilesError | None) -> None:
        while not self._closed.is_set() and not self._taken(came):
            pass  # each try waits for a while

    def _taken(self, came: Chunk | FilesError | None) -> bool:
        try:
            self._queue.put(came, timeout=_LOOK_S)
        except queue.Full:
            return False
        return True


def _unbuffered() -> BinaryIO:
    # Not sys.stdin.buffer: its lock, held by a thread that waits for input, would keep the process
    # from ending, and it gives nothing out before its buffer is full.
    return cast("BinaryIO", os.fdopen(os.dup(sys.stdin.fileno()), "rb", buffering=0))


def _run_of(saved: str | None) -> int:
    run = (saved or "").partition(":")[0]
    return int(run) if run.isascii() and run.isdigit() else 0
