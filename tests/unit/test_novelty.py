"""Each event, marker and reject counts once; what is kept of it can be read back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analyzers.facts import NS_PER_S, Batch, Words
from collector.novelty import ROW_BYTES, Novel, Seen, SeenDamagedError, keep_new, merged, newest
from tests.payloads import decoded, event, marker

NOON_NS = 1_779_364_800 * NS_PER_S


def kept(batch: Batch, seen: Seen | None = None) -> Novel:
    return keep_new(batch, Seen() if seen is None else seen)


def identities(count: int, *, seed: int = 0) -> tuple[Words, Words]:
    """Keys and contents of so many different things."""
    rng = np.random.default_rng(seed)
    keys = rng.integers(0, 2**64, (count, 2), dtype=np.uint64)
    return keys, rng.integers(0, 2**64, count, dtype=np.uint64)


def entered(seen: Seen, keys: Words, content: Words, *, at_ns: int = NOON_NS) -> list[bool]:
    new, _ = seen.add(keys, content, np.full(len(keys), at_ns))
    return [bool(one) for one in new]


def test_what_is_new_is_kept_as_it_is() -> None:
    batch = decoded(event(id="a"), event(id="b"), marker(), b"garbage")
    news = kept(batch)
    assert news.batch is batch
    assert (news.duplicates, news.conflicts, news.repeated, news.stale) == (0, 0, (), 0)


def test_of_a_batch_sent_twice_nothing_is_kept() -> None:
    seen, batch = Seen(), decoded(event(id="a"), event(id="b"), marker(), b"garbage")
    kept(batch, seen)
    news = kept(batch, seen)
    assert (len(news.batch.facts), news.batch.markers, news.batch.rejects) == (0, (), ())
    assert len(news.batch.rows) == 0
    assert (news.duplicates, news.conflicts, news.repeated) == (3, 0, batch.rejects)
    assert news.fresh == b""
    assert news.newest_ns == 0


def test_within_a_batch_the_first_stands_and_rows_keep_their_place() -> None:
    said = [event(id="a", value=1), event(id="b"), event(id="a", value=2), event(id="a", value=1)]
    news = kept(decoded(b"x", *said, b"x"))
    assert news.batch.rows.tolist() == [1, 2]
    assert news.batch.facts.value[0] == 1
    assert [reject.index for reject in news.batch.rejects] == [0]
    assert (news.duplicates, news.conflicts) == (2, 1)
    assert [reject.index for reject in news.repeated] == [5]


def test_equal_ids_with_other_content_are_conflicts_across_batches_too() -> None:
    seen = Seen()
    kept(decoded(event(id="a", outcome="ok")), seen)
    news = kept(decoded(event(id="a", outcome="failed")), seen)
    assert (len(news.batch.facts), news.duplicates, news.conflicts) == (0, 1, 1)


def test_the_same_event_written_otherwise_is_no_conflict() -> None:
    said = event(value=1, attributes={"a": "1", "b": "2"})
    news = kept(decoded(said, json.dumps(dict(reversed(said.items())), indent=2).encode()))
    assert (news.duplicates, news.conflicts) == (1, 0)


@pytest.mark.parametrize("change", [{"environment": "staging"}, {"service": "other"}])
def test_an_id_is_unique_per_environment_and_service_only(change: dict[str, Any]) -> None:
    news = kept(decoded(event(), event(**change), marker(), marker(**change)))
    assert (len(news.batch.facts), len(news.batch.markers), news.duplicates) == (2, 2, 0)


def test_a_marker_that_says_something_else_is_a_conflict() -> None:
    seen = Seen()
    assert len(kept(decoded(marker(share=0.1)), seen).batch.markers) == 1
    news = kept(decoded(marker(share=0.1), marker(share=0.5)), seen)
    assert (news.batch.markers, news.duplicates, news.conflicts) == ((), 2, 1)


def test_an_event_a_marker_and_a_reject_may_have_the_same_id() -> None:
    seen = Seen()
    for said in (event(id="7", value="x"), event(id="7"), marker(id="7")):
        news = kept(decoded(said), seen)
        assert (news.duplicates, news.repeated) == (0, ())


def test_a_corrected_event_counts_under_the_id_of_the_refused_one_in_either_order() -> None:
    bad, good = event(value=[]), event(value=1)
    for said in ([bad, good], [good, bad]):
        news = kept(decoded(*said))
        assert (len(news.batch.facts), len(news.batch.rejects)) == (1, 1)


def test_kept_identities_are_known_again_after_a_restart() -> None:
    before, batches = Seen(), [decoded(event(id="a"), marker()), decoded(event(id="b"), b"bad")]
    blobs = [kept(batch, before).fresh for batch in batches]
    assert [len(blob) for blob in blobs] == [2 * ROW_BYTES, 2 * ROW_BYTES]
    after = Seen()
    after.load(blobs)
    assert len(after) == 4
    news = kept(decoded(event(id="a", value=9), event(id="b"), marker(), b"bad"), after)
    assert (news.duplicates, news.conflicts, len(news.repeated)) == (3, 1, 1)


def test_loading_the_same_identities_twice_changes_nothing() -> None:
    before, after = Seen(), Seen()
    blob = kept(decoded(event(id="a"), event(id="b")), before).fresh
    after.load([blob, blob])
    assert len(after) == 2


def test_damaged_identities_are_named() -> None:
    with pytest.raises(SeenDamagedError, match="33 bytes, no multiple of 32; restore"):
        Seen().load([bytes(33)])


def test_what_was_not_committed_can_be_taken_back() -> None:
    seen = Seen()
    kept(decoded(event(id="a")), seen)
    before = len(seen)
    kept(decoded(event(id="a"), event(id="b"), event(id="c")), seen)
    seen.rewind(before)
    news = kept(decoded(event(id="a"), event(id="b")), seen)
    assert (len(news.batch.facts), news.duplicates) == (1, 1)


def test_what_is_older_than_the_horizon_is_forgotten_and_no_longer_taken() -> None:
    seen = Seen()
    old = decoded(*(event(id=f"old-{i}", time="2026-05-21T11:00:00Z") for i in range(9)))
    kept(old, seen)
    kept(decoded(event(id="new")), seen)
    assert seen.forget(NOON_NS) == 0
    assert len(seen) == 1
    assert seen.floor_ns == NOON_NS
    news = kept(decoded(event(id="old-1", time="2026-05-21T11:59:59.9Z"), event(id="new")), seen)
    assert (len(news.batch.facts), news.stale, news.duplicates) == (0, 1, 1)


def test_the_horizon_never_moves_back() -> None:
    seen = Seen()
    seen.forget(NOON_NS)
    seen.forget(NOON_NS - 10 * NS_PER_S)
    assert seen.floor_ns == NOON_NS


def test_memory_is_freed_once_an_eighth_more_has_been_entered() -> None:
    seen = Seen()
    keys, content = identities(3_000)
    entered(seen, keys[:1_000], content[:1_000], at_ns=NOON_NS)
    seen.forget()
    entered(seen, keys[1_000:1_100], content[1_000:1_100], at_ns=NOON_NS + NS_PER_S)
    seen.forget(NOON_NS + NS_PER_S)
    assert len(seen) == 1_100
    entered(seen, keys[1_100:1_200], content[1_100:1_200], at_ns=NOON_NS + NS_PER_S)
    seen.forget()
    assert len(seen) == 200


def test_above_the_limit_what_was_entered_first_is_dropped_and_counted() -> None:
    seen = Seen(limit=800)
    keys, content = identities(1_000)
    entered(seen, keys, content)
    assert seen.forget() == 300
    assert len(seen) == 700
    assert entered(seen, keys, content) == [True] * 300 + [False] * 700


def test_the_newest_time_of_kept_identities_is_told() -> None:
    news = kept(decoded(event(id="a"), event(id="b", time="2026-05-21T12:30:00.5Z"), b"bad"))
    assert news.newest_ns == newest(news.fresh) == NOON_NS + 1801 * NS_PER_S - 1
    assert newest(b"") == 0


def test_merging_leaves_out_what_is_past_the_horizon() -> None:
    seen = Seen()
    blobs = [
        kept(decoded(event(id="a", time="2026-05-21T11:00:00Z")), seen).fresh,
        kept(decoded(event(id="b")), seen).fresh,
    ]
    assert merged(blobs) == b"".join(blobs)
    assert merged(blobs, before_ns=NOON_NS) == blobs[1]
    assert merged([]) == b""


def test_many_identities_survive_growing_forgetting_and_taking_back() -> None:
    seen = Seen(salt=12345)
    keys, content = identities(30_000)
    reference: dict[bytes, int] = {}
    rng = np.random.default_rng(3)
    for _ in range(40):
        rows = rng.integers(0, len(keys), 1_500)
        expected = []
        for row in rows.tolist():
            name = keys[row].tobytes()
            expected.append(name not in reference)
            reference.setdefault(name, row)
        assert entered(seen, keys[rows], content[rows]) == expected
    assert len(seen) == len(reference)
    assert 0 < seen.nbytes / len(seen) < 80
    seen.rewind(1_000)
    again = Seen()
    again.load([seen.rows(0, 400), seen.rows(400)])
    assert again.rows(0) == seen.rows(0)
    assert not any(entered(again, *columns(seen.rows(0))))


def columns(blob: bytes) -> tuple[Words, Words]:
    words = np.frombuffer(blob, np.uint64).reshape(-1, 4)
    return words[:, :2], words[:, 2]


def test_keys_that_fall_into_one_place_are_still_told_apart() -> None:
    keys = np.zeros((500, 2), np.uint64)
    keys[:, 1] = np.arange(500)
    seen = Seen()
    assert all(entered(seen, keys, np.zeros(500, np.uint64)))
    assert not any(entered(seen, keys[::-1], np.zeros(500, np.uint64)))
