"""What the payloads of one turn say and which of it is new: the same live and in replay."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from analyzers.facts import NS_PER_S, Batch, Ints, Reject
from analyzers.inbox import Inbox
from analyzers.policy import Policy
from collector.decoding.decode import decode
from collector.novelty.novel import Novel, Seen, keep_new
from pipeline.config.inputs import HORIZON_S
from pipeline.request_answers import stale
from pipeline.strangers import refuse_strangers

Knows = Callable[[str], bool]


@dataclass(frozen=True, slots=True)
class Read:
    """A turn's payloads as ``batch``, what of it was new, and what is too old to tell."""

    batch: Batch
    news: Novel
    lost: tuple[Reject, ...]

    def inbox(
        self,
        *,
        clock_ns: int | None,
        hold_ns: int | None,
        ignored: Mapping[str, int] | None = None,
        retried: Collection[int] = (),
    ) -> Inbox:
        """What the turn is given; ``ignored`` counts what was left out before it was read, and
        ``retried`` are the places of rejects that were tried once more: they have been counted."""
        kinds = Counter(one.kind for one in self.batch.ignored)
        kinds.update(ignored or {})
        return Inbox(
            facts=self.news.batch.facts,
            markers=self.news.batch.markers,
            rejects=tuple(
                reject
                for reject in (*self.news.batch.rejects, *self.lost)
                if reject.index not in retried
            ),
            duplicates=self.news.duplicates,
            conflicts=self.news.conflicts,
            clock_ns=clock_ns,
            hold_ns=hold_ns,
            ignored=kinds,
        )


class Reader:
    """Reads turn after turn; ``seen`` is what has counted before, remembered for ``horizon_s`` of
    event time. ``knows`` says which services may send events, None lets all of them."""

    def __init__(
        self, policy: Policy, seen: Seen, *, knows: Knows | None, horizon_s: int = HORIZON_S
    ) -> None:
        self.seen = seen
        self._policy = policy
        self._knows = knows
        self.horizon_ns = horizon_s * NS_PER_S

    def batch(self, payloads: Sequence[bytes]) -> Batch:
        """What the payloads say."""
        limits = self._policy.limits
        batch = decode(payloads, attributes=self._policy.attributes(), limits=limits)
        if self._knows is None:
            return batch
        return refuse_strangers(batch, payloads, knows=self._knows, limits=limits)

    def read(self, payloads: Sequence[bytes], stream_ns: int | None, hold_ns: int | None) -> Read:
        """The next turn's payloads, in a stream that stands at ``stream_ns``. No identity is
        forgotten that a source which catches up, and has come to ``hold_ns``, may bring once more.
        """
        if stream_ns is not None:
            known_ns = stream_ns if hold_ns is None else min(stream_ns, hold_ns)
            self.seen.forget(known_ns - self.horizon_ns)
        batch = self.batch(payloads)
        floor_ns = self.seen.floor_ns
        lost = stale(batch, floor_ns, len(payloads)) if floor_ns else []
        return Read(batch, keep_new(batch, self.seen), tuple(lost))

    def remembered(self, read: Read, ahead: Ints) -> Novel:
        """What is to be remembered of a turn that has refused the new facts in the rows ``ahead``:
        not these, so that they count when they come again at their time."""
        if not len(ahead):
            return read.news
        self.seen.rewind()
        batch, refused = read.batch, read.news.batch.facts.key[ahead]
        # Two words as one item, so that whole identities are compared.
        item = np.dtype((np.void, refused.dtype.itemsize * 2))
        keys = np.ascontiguousarray(batch.facts.key).view(item).ravel()
        rest = ~np.isin(keys, np.ascontiguousarray(refused).view(item).ravel())
        kept = replace(batch, facts=batch.facts.take(rest), rows=batch.rows[rest])
        return keep_new(kept, self.seen)
