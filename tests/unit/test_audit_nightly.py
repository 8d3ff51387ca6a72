"""The nightly audit: when it is due, what is kept of it, what is published, and what goes wrong."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import numpy as np
import pytest

from analyzers.auditing.audit import Audit, Skipped, rate
from analyzers.policy import Policy
from dashboards.exposition import samples_of
from dashboards.snapshot import Audited, Snapshot
from pipeline import config
from pipeline.audit import Gathered, Plan, audit
from pipeline.audit_nightly import (
    FILE,
    AuditFailedError,
    Child,
    Nightly,
    WithAudit,
    keep,
    kept,
    until,
)
from tests.facts_of import OLD, facts_of, policy_of, success

HALF_PAST_TWO = 2 * 3600 + 1800
EVENING = datetime(2026, 5, 21, 22, 0, tzinfo=UTC)


def found(policy: Policy | None = None) -> Audit:
    """A small audit of events that are all in order."""
    facts = facts_of(np.arange(0.0, 3_000.0, 5.0), version=OLD)
    plan = Plan(splits=1, looks=2, harmed=1)
    return audit(Gathered(facts, (), ()), policy or policy_of(success()), plan, lambda *_: None)


@dataclass(slots=True)
class Night:
    """A clock that moves only when somebody waits; it stops the audits after so many days."""

    time: datetime = EVENING
    days: float = 2.0
    audits: list[datetime] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    trouble: str = ""

    def now(self) -> datetime:
        return self.time

    async def pause(self, seconds: float) -> None:
        self.time += timedelta(seconds=seconds)
        if self.time > EVENING + timedelta(days=self.days):
            raise asyncio.CancelledError

    async def audit(self) -> Audit:
        self.audits.append(self.time)
        self.time += timedelta(minutes=20)
        if self.trouble:
            raise AuditFailedError(self.trouble)
        return found()

    def lived(self, folder: Path, audits: Callable[[], Awaitable[Audit]] | None = None) -> Nightly:
        nightly = Nightly(
            folder, HALF_PAST_TWO, audits or self.audit, now=self.now, pause=self.pause,
            say=self.said.append,
        )  # fmt: skip
        with pytest.raises(asyncio.CancelledError):
            asyncio.run(nightly.run())
        return nightly


@pytest.mark.parametrize(
    ("now", "left_s"),
    [
        (EVENING, 4.5 * 3600),
        (datetime(2026, 5, 21, 2, 29, 59, tzinfo=UTC), 1.0),
        (datetime(2026, 5, 21, 2, 30, tzinfo=UTC), 86_400.0),
    ],
)
def test_the_next_night_is_always_ahead(now: datetime, left_s: float) -> None:
    assert until(now, HALF_PAST_TWO) == left_s


def test_every_night_has_one_audit_at_its_time(tmp_path: Path) -> None:
    night = Night()
    nightly = night.lived(tmp_path)
    assert night.audits == [datetime(2026, 5, day, 2, 30, tzinfo=UTC) for day in (22, 23)]
    assert nightly.latest is not None
    assert nightly.latest.finished_s == datetime(2026, 5, 23, 2, 50, tzinfo=UTC).timestamp()
    begun, measured, ended = night.said[:3]
    assert begun == "the nightly audit has begun"
    assert "measured false alarms 0 of 2" in measured
    assert ended == "the nightly audit has ended, 1 services audited"


def test_a_machine_that_slept_over_the_time_audits_once_it_is_awake(tmp_path: Path) -> None:
    @dataclass(slots=True)
    class Sleeper(Night):
        async def pause(self, seconds: float) -> None:
            asleep = self.time == EVENING
            await Night.pause(self, 8 * 3600 if asleep else seconds)

    night = Sleeper(days=0.5)
    night.lived(tmp_path)
    assert night.audits == [EVENING + timedelta(hours=8)]


@pytest.mark.parametrize(
    ("at", "back"),
    [
        (EVENING + timedelta(hours=1), timedelta(hours=3)),  # before it is due
        (EVENING + timedelta(hours=6), timedelta(hours=4)),  # after it was
        (EVENING + timedelta(hours=6), timedelta(minutes=70)),
    ],
)
def test_a_clock_that_is_set_back_makes_no_audit_earlier_and_none_twice(
    tmp_path: Path, at: datetime, back: timedelta
) -> None:
    night = Corrected(days=2.0, at=at, back=back)
    night.lived(tmp_path)
    assert night.audits == [datetime(2026, 5, day, 2, 30, tzinfo=UTC) for day in (22, 23)]


def test_a_clock_that_was_far_ahead_does_not_put_audits_off_for_good(tmp_path: Path) -> None:
    night = Corrected(days=40.0, at=EVENING + timedelta(days=30), back=timedelta(days=29))
    night.lived(tmp_path)
    assert night.audits[29] == datetime(2026, 6, 20, 2, 30, tzinfo=UTC)
    assert night.audits[30:32] == [datetime(2026, 5, day, 2, 30, tzinfo=UTC) for day in (24, 25)]


@dataclass(slots=True)
class Corrected(Night):
    """A clock that is set back, once."""

    at: datetime = EVENING
    back: timedelta = timedelta()

    async def pause(self, seconds: float) -> None:
        await Night.pause(self, seconds)
        if self.time >= self.at:
            self.time -= self.back
            self.at = datetime.max.replace(tzinfo=UTC)


def test_services_that_were_not_reached_are_named_and_the_others_published(tmp_path: Path) -> None:
    class Short(Night):
        async def audit(self) -> Audit:
            return replace_skipped(await Night.audit(self))

    night = Short(days=0.5)
    nightly = night.lived(tmp_path)
    assert nightly.latest is not None
    assert [one.service for one in nightly.latest.audit.services] == ["order-api"]
    assert "audit of stock-api: not reached in the time given" in night.said
    assert all("price-api" not in line for line in night.said)  # too few events, every night


def replace_skipped(audit: Audit) -> Audit:
    """The audit with one service that was not reached, and one with too few events."""
    late = Skipped("production", "stock-api", 900, "not reached in the time given", reached=False)
    few = Skipped("production", "price-api", 9, "9 events; at least 200 are needed")
    return msgspec.structs.replace(audit, skipped=[late, few])


def test_the_result_outlives_the_daemon_and_a_damaged_one_is_none(tmp_path: Path) -> None:
    first = Night(days=0.5).lived(tmp_path)
    again = Nightly(tmp_path, 0, Night().audit, now=Night().now, pause=Night().pause, say=print)
    assert again.latest == first.latest
    (tmp_path / FILE).write_bytes(b'{"finished_s":')
    assert kept(tmp_path / FILE) is None
    assert kept(tmp_path / "nowhere.json") is None


def test_a_failed_audit_is_said_and_leaves_the_last_result(tmp_path: Path) -> None:
    keep(tmp_path / FILE, Audited(1.0, found()))
    night = Night(trouble="no such policy")
    nightly = night.lived(tmp_path)
    assert nightly.latest is not None
    assert nightly.latest.finished_s == 1.0
    failed = ["the nightly audit has begun", "the nightly audit failed: no such policy"]
    assert night.said == failed * 2


def test_the_result_is_published_with_its_bounds(tmp_path: Path) -> None:
    class Still:
        def snapshot(self) -> Snapshot:
            return Snapshot()

    bare = samples_of(WithAudit(Still(), None).snapshot(), version="0")
    assert bare["plimsoll_audit_timestamp_seconds"] == []
    keep(tmp_path / FILE, Audited(7.0, found()))
    nightly = Nightly(tmp_path, 0, Night().audit, now=Night().now, pause=Night().pause, say=print)
    samples = samples_of(WithAudit(Still(), nightly).snapshot(), version="0")
    assert samples["plimsoll_audit_timestamp_seconds"] == [((), 7.0)]
    assert samples["plimsoll_audit_promised_ratio"] == [((), 0.01)]
    alarms = dict(samples["plimsoll_audit_false_alarm_ratio"])
    where = ("production", "order-api")
    assert alarms[(*where, "all", "estimate")] == 0.0
    assert alarms[(*where, "success", "high")] == rate(0, 2).high
    assert len(samples["plimsoll_audit_power_ratio"]) == 3


def test_a_child_that_has_nothing_to_audit_says_why(tmp_path: Path) -> None:
    with pytest.raises(AuditFailedError, match="does not exist"):
        asyncio.run(Child(tmp_path / "empty", None)())


def test_a_child_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    with pytest.raises(AuditFailedError, match="longer than"):
        asyncio.run(Child(tmp_path, None, limit_s=1, grace_s=-0.95)())


def test_the_time_of_the_audit_is_a_setting() -> None:
    def said(text: str) -> int | None:
        return config.parse(text.encode(), {}, source="x.yml").audit_at_s

    assert said("") is None
    assert said("audit: 02:30\n") == HALF_PAST_TWO
    with pytest.raises(config.ConfigError, match="a time of day in UTC such as 02:30"):
        said("audit: half past two\n")
