"""Placebo deployments on recorded facts: who would have been in a canary that never was.

The facts of one version are split by a keyed hash of what is independent, as a rollout tool splits
its traffic. Nothing has changed for the pseudo canary, so whatever is found against it is a false
alarm (an A/A test). No randomness: equal facts and keys give equal splits.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from analyzers.facts import NS_PER_S, Bools, Column, Facts, Floats, Ints, Reject, Words
from analyzers.timeline import Deployment

BASELINE, CANARY = "baseline", "canary"
SUBJECT, EVENT = "subject", "event"
FAILED: Final = "failed"  # the outcome with which a deployment ends badly
_CHAIN: Final = 8  # answers of answers are followed for 2 ** 8 steps
_LEFT_OUT_SHOWN: Final = 20


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Events that no split takes: those of a version while it was a canary itself."""

    version: str
    events: int


@dataclass(frozen=True, slots=True)
class Recorded:
    """n facts of one service without any release, by time, and who goes where together.

    ``unit`` (n,) is a digest of what is put on a side as one; ``root_ns`` (n,) when the event
    happened that a fact answers, its own time where it answers none; ``key`` and ``ref`` (n,) are
    digests of its identity and of what it answers (0: nothing).
    """

    facts: Facts
    unit: Words
    root_ns: Ints
    key: Words
    ref: Words
    rejects: tuple[Reject, ...] = ()

    def __len__(self) -> int:
        return len(self.facts)

    def between(self, since_ns: int, until_ns: int) -> Recorded:
        """What happened from ``since_ns`` on and before ``until_ns``."""
        first, last = np.searchsorted(self.facts.time_ns, (since_ns, until_ns)).tolist()
        rows = np.arange(first, last)
        near = tuple(r for r in self.rejects if since_ns <= (r.time_ns or 0) < until_ns)
        return replace(self.take(rows), rejects=near)

    def take(self, rows: Ints | Bools) -> Recorded:
        """Only the given facts."""
        return Recorded(
            self.facts.take(rows), self.unit[rows], self.root_ns[rows], self.key[rows],
            self.ref[rows], self.rejects,
        )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Placebo:
    """A deployment that changes nothing. ``salt`` decides who is in it; times in ns since 1970."""

    salt: int
    share: float
    started_ns: int
    until_ns: int


@dataclass(frozen=True, slots=True)
class Sides:
    """Facts whose tracks say on which side of a placebo they are; ``canary`` (n,) marks one."""

    recorded: Recorded
    canary: Bools


def recorded(
    facts: Facts,
    rejects: Sequence[Reject],
    deployments: Sequence[Deployment],
    *,
    watch_s: int,
    by: str = SUBJECT,
) -> tuple[Recorded, tuple[LeftOut, ...]]:
    """The facts of one service as if nothing had been released, and what was left out for it.

    Left out is the version of a release while it ran (from its start to its end, or to the end of
    its watch), for good if it failed, and whatever says that it is a canary: a real harm there is
    no false alarm. ``by`` says what goes to a side together: the subject (or the event itself where
    it has none), always the event, or else the name of an attribute. An answer goes with its
    question, and is left out with it.
    """
    facts = facts.take(np.argsort(facts.time_ns, kind="stable"))
    root = _roots(facts)
    root_ns = facts.time_ns[root]
    out = facts.track.equals(CANARY)
    for one in deployments:
        out |= _released(facts, root_ns, one, watch_s)
    out = out[root]
    key, ref = digests(facts.key), digests(facts.ref)
    ref[~facts.ref.any(axis=1)] = 0
    unit = _units(facts, key, by)[root]
    lost = (root == np.arange(len(facts))) & (ref != 0)  # what it answers was not recorded
    unit[lost] = ref[lost]
    whole = Recorded(facts, unit, root_ns, key, ref, tuple(rejects))
    return whole.take(~out), _told(facts, out)


def planned(
    first_ns: int, last_ns: int, *, watch_s: int, splits: int, shares: Sequence[float], seed: int
) -> tuple[Placebo, ...]:
    """The placebos of a recording: each split at each share, from a third of the recording on, as
    long as watches reach; the starts of later splits are later, while a whole watch still fits."""
    span = last_ns - first_ns
    early = first_ns + span // 3
    late = max(early, last_ns - watch_s * NS_PER_S)
    found: list[Placebo] = []
    for number in range(splits):
        started = early + (late - early) * number // max(splits - 1, 1)
        until = min(last_ns, started + watch_s * NS_PER_S) + 1
        for share in shares:
            found.append(Placebo(seed * 1_000_003 + len(found), share, started, until))
    return tuple(found)


def split(told: Recorded, placebo: Placebo) -> Sides:
    """The facts, each on the side to which the placebo's hash puts its unit; all are the
    baseline's that happened before the start, or answer what did."""
    canary = (draws(told.unit, placebo.salt) < placebo.share) & (told.root_ns >= placebo.started_ns)
    n = len(told)
    facts = replace(
        told.facts,
        track=Column(canary.astype(np.int64), (BASELINE, CANARY)),
        version=Column(np.zeros(n, np.int64), ("",)),
    )
    return Sides(replace(told, facts=facts, rejects=_rejects(told.rejects, placebo)), canary)


def _rejects(rejects: Sequence[Reject], placebo: Placebo) -> tuple[Reject, ...]:
    """The rejects with their sides; nothing is known of them but their own digest."""
    if not rejects:
        return ()
    keys = np.array([[a & _WORD, b & _WORD] for a, b in (r.key for r in rejects)], np.uint64)
    drawn = draws(digests(keys), placebo.salt) < placebo.share
    return tuple(
        Reject(
            index=0, reason=r.reason, detail="", time_ns=r.time_ns, environment=r.environment,
            service=r.service, key=r.key,
            track=CANARY if mine and (r.time_ns or 0) >= placebo.started_ns else BASELINE,
        )
        for r, mine in zip(rejects, drawn.tolist(), strict=True)
    )  # fmt: skip


def _released(facts: Facts, root_ns: Ints, one: Deployment, watch_s: int) -> Bools:
    """Mask of the facts of a release while it was being judged."""
    watched = one.started_ns + watch_s * NS_PER_S
    ended = watched if one.ended_ns is None else one.ended_ns
    mine = facts.version.equals(one.version) & (root_ns >= one.started_ns)
    if one.rolled_back or one.outcome == FAILED:
        return mine
    return np.asarray(mine & (root_ns <= ended))


def _told(facts: Facts, out: Bools) -> tuple[LeftOut, ...]:
    """How many facts of each version were left out, most first."""
    counts = np.bincount(facts.version.codes[out], minlength=len(facts.version.words)).tolist()
    found = [
        LeftOut(word, count)
        for word, count in zip(facts.version.words, counts, strict=False)
        if count
    ]
    return tuple(sorted(found, key=lambda one: (-one.events, one.version))[:_LEFT_OUT_SHOWN])


def _roots(facts: Facts) -> Ints:
    """For each fact the row of the event that it answers, at the end of the chain; its own row
    where it answers none that is there."""
    own = np.arange(len(facts))
    if not len(facts):
        return own
    order = np.argsort(facts.key[:, 0], kind="stable")
    ranked = facts.key[order, 0]
    # A second key with the same 64 bits would have to be one in 2**64.
    found = order[np.minimum(np.searchsorted(ranked, facts.ref[:, 0]), len(own) - 1)]
    met = facts.ref.any(axis=1) & (facts.key[found] == facts.ref).all(axis=1)
    root = np.where(met, found, own)
    for _ in range(_CHAIN):
        root = root[root]
    return root


def _units(facts: Facts, key: Words, by: str) -> Words:
    """A digest for each fact of what goes to a side together with it."""
    if by == EVENT:
        return key
    unit = np.where(facts.subject != 0, _mixed(facts.subject), key)
    if by == SUBJECT or by not in facts.attributes:
        return unit
    column = facts.attributes[by]
    words = np.array([digest(word) for word in column.words], np.uint64)
    return np.where(column.equals(""), unit, words[column.codes])


# --- keyed hashing ---------------------------------------------------------------------------

_WORD: Final = (1 << 64) - 1


def digest(word: str) -> int:
    """64 bits of a word."""
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def digests(keys: Words) -> Words:
    """64 bits of each 128-bit identity: (n, 2) becomes (n,)."""
    return _mixed(keys[:, 0] ^ _mixed(keys[:, 1]))


def draws(units: Words, *keys: int) -> Floats:
    """A number in [0, 1) for each unit that looks drawn at random, the same for equal keys."""
    for key in keys:
        units = _mixed(units ^ _mixed(np.array([key & _WORD], np.uint64)))
    return np.asarray((units >> np.uint64(11)).astype(np.float64) * 2.0**-53)


def _mixed(words: Words) -> Words:
    """The finaliser of SplitMix64 (Steele, Lea and Flood 2014, OOPSLA): each bit of the input
    moves each bit of the output with a chance of a half."""
    z = words + np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return np.asarray(z ^ (z >> np.uint64(31)))
