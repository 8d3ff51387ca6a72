"""The daemon audits itself once a day: in a process of its own, so that no verdict waits for it.

The child reads the state beside the daemon (SQLite lets it) at a low priority and within a time
limit; its result is kept in a file beside the state and published as metrics.
"""

from __future__ import annotations

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL, PIPE, Process
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Final

import msgspec

from analyzers.auditing.audit import SCHEMA, Audit, verdict_line
from dashboards.snapshot import Audited, Reader, Snapshot

FILE: Final = "audit.json"
# A night; an audit of a million events takes minutes. What is done by then is published, and the
# process gets a little longer to say it.
LIMIT_S: Final = 4 * 3600
_GRACE_S: Final = 900.0
FILE_BYTES: Final = 32 << 20
_NICENESS: Final = 15
_DAY_S: Final = 86_400
_HALF_A_DAY: Final = timedelta(hours=12)
# A clock that is set, or a machine that slept, is noticed so soon.
_LOOK_S: Final = 300.0

Audits = Callable[[], Awaitable[Audit]]


class AuditFailedError(Exception):
    """The audit did not come to a result; says why."""


@dataclass(frozen=True, slots=True)
class Child:
    """An audit of the state in ``state`` as a process of its own, under the policy in ``config``
    (None: the built-in one), with so many splits. After ``limit_s`` it tells what is done by then;
    if it has not ``grace_s`` later, it is ended."""

    state: Path
    config: Path | None
    splits: int = 20
    limit_s: int = LIMIT_S
    grace_s: float = _GRACE_S

    async def __call__(self) -> Audit:
        """The result; AuditFailedError if there is none. Cancelled, it ends the process."""
        policy = [] if self.config is None else ["--config", str(self.config)]
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "pipeline", "audit", "--state", str(self.state),
                "--format", "json", "--splits", str(self.splits),
                "--within", f"{self.limit_s}s", *policy,
                stdin=DEVNULL, stdout=PIPE, stderr=PIPE,
            )  # fmt: skip
        except OSError as error:
            raise AuditFailedError(f"it could not be started: {error}") from error
        with suppress(ProcessLookupError, PermissionError, AttributeError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        try:
            async with asyncio.timeout(self.limit_s + self.grace_s):
                said, trouble = await process.communicate()
        except TimeoutError as error:
            longest_s = self.limit_s + self.grace_s
            raise AuditFailedError(f"it took longer than {longest_s:g} s") from error
        finally:
            await _end(process)
        if process.returncode not in (0, 1) or not said:
            lines = trouble.decode(errors="replace").strip().splitlines()
            raise AuditFailedError(lines[-1][:500] if lines else f"exit code {process.returncode}")
        try:
            return msgspec.json.decode(said, type=Audit)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise AuditFailedError(f"its result cannot be read: {error}") from error


async def _end(process: Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Nightly:
    """Audits at a time of day, one at a time; ``latest`` is the newest result.

    ``at_s`` is seconds after midnight UTC; ``now`` gives the date and time, ``pause`` waits so
    many seconds.
    """

    def __init__(
        self,
        directory: Path,
        at_s: int,
        audits: Audits,
        *,
        now: Callable[[], datetime],
        pause: Callable[[float], Awaitable[None]],
        say: Callable[[str], None],
    ) -> None:
        self._file = directory / FILE
        self._at_s = at_s
        self._audits = audits
        self._now = now
        self._pause = pause
        self._say = say
        self.latest = kept(self._file)

    async def run(self) -> None:
        """Audits night after night, until cancelled."""
        due = self._next(self._now())
        while True:
            due = await self._until(due)
            await self._audit()
            # From when it was due: a clock that is set back meanwhile makes no second one.
            due = self._next(max(due, self._now()))

    def _next(self, after: datetime) -> datetime:
        """When the next audit is due."""
        return after + timedelta(seconds=until(after, self._at_s))

    async def _until(self, due: datetime) -> datetime:
        """Waits for a date and time, however the clock is set meanwhile; when it was due at last.

        A clock that stands days before it was far ahead when that was planned: then it is the next
        time of day, though not the very next hours, in which it may have been already.
        """
        while (left := due - self._now()) > timedelta():
            if left > 4 * _HALF_A_DAY:
                due = self._next(self._now() + _HALF_A_DAY)
                continue
            await self._pause(min(left.total_seconds(), _LOOK_S))
        return due

    async def _audit(self) -> None:
        self._say("the nightly audit has begun")
        try:
            found = await self._audits()
        except AuditFailedError as error:
            self._say(f"the nightly audit failed: {error}")
            return
        self.latest = Audited(self._now().timestamp(), found)
        for one in found.services:
            self._say(f"audit of {one.service}: {verdict_line(one, found.error_rate)}")
        for other in found.skipped:
            if not other.reached:
                self._say(f"audit of {other.service}: {other.why}")
        self._say(f"the nightly audit has ended, {len(found.services)} services audited")
        try:
            keep(self._file, self.latest)
        except OSError as error:
            self._say(f"the audit could not be kept in {self._file}: {error}")


def until(now: datetime, at_s: int) -> float:
    """Seconds from ``now`` to the next time of day, more than 0 and at most a day."""
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    left_s = (at_s - (now - midnight).total_seconds()) % _DAY_S
    return left_s or float(_DAY_S)


def kept(file: Path) -> Audited | None:
    """The audit in a file; None if there is none that can be read."""
    try:
        if file.stat().st_size > FILE_BYTES:
            return None
        found = msgspec.json.decode(file.read_bytes(), type=Audited)
    except (OSError, msgspec.DecodeError, UnicodeDecodeError):
        return None
    return found if found.audit.schema == SCHEMA else None


def keep(file: Path, audited: Audited) -> None:
    """Puts an audit into a file, whole or not at all."""
    beside = file.with_suffix(".part")
    beside.write_bytes(msgspec.json.encode(audited))
    beside.replace(file)


@dataclass(frozen=True, slots=True)
class WithAudit:
    """What a reader says, and the newest audit."""

    reader: Reader
    nightly: Nightly | None

    def snapshot(self) -> Snapshot:
        """What the committed state said last, with the newest audit."""
        said = self.reader.snapshot()
        return said if self.nightly is None else replace(said, audit=self.nightly.latest)
