"""Each event, marker and reject counts once; what is kept of it can be read back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from analyzers.facts import NS_PER_S, Batch, Words
from collector.novelty.blobs import ROW_BYTES, packed, rows_of, unpacked
from collector.novelty.novel import Novel, Seen, SeenDamagedError, keep_new, merged, newest
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
    assert [len(blob) for blob in blobs] == [8 + 2 * ROW_BYTES, 8 + 2 * ROW_BYTES]
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


def test_an_id_that_came_again_after_the_horizon_is_known_by_its_new_time_after_a_restart() -> None:
    before, after = Seen(), Seen()
    blobs = [kept(decoded(event(id="a", time="2026-05-20T12:00:00Z")), before).fresh]
    before.forget(NOON_NS - NS_PER_S)
    blobs.append(kept(decoded(event(id="a")), before).fresh)
    after.load([merged(blobs)])
    after.forget(NOON_NS - NS_PER_S)
    assert len(after) == len(before) == 1


def test_damaged_identities_are_named() -> None:
    blob = kept(decoded(event(id="a"))).fresh
    for damaged in (bytes(33), blob[:-1], blob[1:]):
        with pytest.raises(SeenDamagedError, match=f"{len(damaged)} bytes, no whole.*restore"):
            Seen().load([damaged])


def test_identities_kept_in_the_first_form_are_known_again() -> None:
    batch = decoded(event(id="a"), event(id="b"))
    facts, rows = batch.facts, np.empty((2, 4), "<u8")
    rows[:, :2], rows[:, 2], rows[:, 3] = facts.key, facts.content, 832_680_000
    seen = Seen()
    seen.load([rows.tobytes()])
    again = kept(decoded(event(id="a"), event(id="b", value=9)), seen)
    assert (again.duplicates, again.conflicts, len(again.batch.facts)) == (2, 1, 0)
    assert newest(rows.tobytes()) == newest(merged([rows.tobytes()]))


def test_what_was_not_committed_can_be_taken_back() -> None:
    seen = Seen()
    kept(decoded(event(id="a")), seen)
    kept(decoded(event(id="a"), event(id="b"), event(id="c")), seen)
    seen.rewind()
    seen.rewind()
    assert len(seen) == 1
    news = kept(decoded(event(id="a"), event(id="b")), seen)
    assert (len(news.batch.facts), news.duplicates) == (1, 1)


def test_what_is_older_than_the_horizon_is_forgotten_and_no_longer_taken() -> None:
    seen = Seen(horizon_s=3_600)
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


def test_whole_slices_of_the_horizon_are_forgotten_and_their_memory_used_again() -> None:
    seen = Seen(horizon_s=6_400)
    keys, content = identities(40_000)
    sizes = []
    for turn in range(40):
        part = slice(turn * 1_000, turn * 1_000 + 1_000)
        now_ns = NOON_NS + turn * 1_000 * NS_PER_S
        seen.forget(now_ns - 6_400 * NS_PER_S)
        assert all(entered(seen, keys[part], content[part], at_ns=now_ns))
        assert not any(entered(seen, keys[part], content[part], at_ns=now_ns))
        sizes.append(seen.nbytes)
    assert 7_000 <= len(seen) <= 8_000
    assert sizes[-1] == sizes[10]
    assert seen.bound == "time"
    assert seen.dropped == 0


def test_above_the_limit_the_oldest_slices_are_dropped_and_older_events_are_stale() -> None:
    seen = Seen(limit=800, horizon_s=64)
    keys, content = identities(1_000)
    for second in range(10):
        part = slice(second * 100, second * 100 + 100)
        entered(seen, keys[part], content[part], at_ns=NOON_NS + second * NS_PER_S)
    assert seen.bound == "time"
    assert seen.forget() == 300
    assert seen.forget() == 0
    assert (len(seen), seen.bound, seen.dropped) == (700, "ids", 300)
    assert seen.floor_ns == NOON_NS + 3 * NS_PER_S


def test_a_limit_reached_within_one_slice_drops_what_came_first_and_refuses_nothing() -> None:
    seen = Seen(limit=800)
    keys, content = identities(1_000)
    entered(seen, keys, content)
    assert seen.forget() == 304
    assert (len(seen), seen.bound, seen.floor_ns) == (696, "ids", 0)
    assert entered(seen, keys, content) == [True] * 304 + [False] * 696


def test_the_number_is_bounded_without_being_asked_to_forget() -> None:
    seen = Seen(limit=1_000)
    keys, content = identities(300_000)
    entered(seen, keys, content)
    assert len(seen) <= 1_000 + 2**16
    assert seen.nbytes < 3_000_000


def test_the_horizon_in_time_is_in_force_again_once_it_is_the_nearer_one() -> None:
    seen = Seen(limit=800, horizon_s=64)
    keys, content = identities(1_000)
    for second in range(10):
        part = slice(second * 100, second * 100 + 100)
        entered(seen, keys[part], content[part], at_ns=NOON_NS + second * NS_PER_S)
    seen.forget()
    seen.forget(NOON_NS + 9 * NS_PER_S)
    assert (seen.bound, seen.floor_ns) == ("time", NOON_NS + 9 * NS_PER_S)


def test_times_far_ahead_neither_take_memory_for_ever_nor_push_others_out() -> None:
    seen = Seen(horizon_s=6_400)
    keys, content = identities(1_100)
    seen.forget(NOON_NS)
    entered(seen, keys[:100], content[:100], at_ns=NOON_NS)
    ahead = NOON_NS + np.arange(1_000) * 3600 * NS_PER_S
    seen.add(keys[100:], content[100:], ahead)
    assert not any(entered(seen, keys[:100], content[:100]))
    assert seen.nbytes < 20_000_000
    seen.forget(NOON_NS + 3 * 6_400 * NS_PER_S)
    assert len(seen) == 0


def test_a_flood_from_far_ahead_does_not_push_out_what_is_of_now() -> None:
    seen = Seen(limit=800, horizon_s=64)
    keys, content = identities(2_000)
    seen.forget(NOON_NS - 64 * NS_PER_S)
    entered(seen, keys[:500], content[:500])
    entered(seen, keys[500:], content[500:], at_ns=NOON_NS + 10**6 * NS_PER_S)
    seen.forget()
    assert seen.floor_ns == NOON_NS - 64 * NS_PER_S
    assert not any(entered(seen, keys[:500], content[:500]))


def test_many_slices_without_a_horizon_are_joined_and_nothing_is_forgotten() -> None:
    seen = Seen(horizon_s=64)
    keys, content = identities(1_000)
    seen.add(keys, content, NOON_NS + np.arange(1_000) * NS_PER_S)
    new, _ = seen.add(keys, content, NOON_NS + np.arange(1_000) * NS_PER_S)
    assert not new.any()


def test_more_identities_than_can_be_told_apart_are_refused() -> None:
    with pytest.raises(ValueError, match=r"200000000 identities are more than .* take fewer"):
        Seen(limit=200_000_000)


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
    words, seconds = zip(*map(unpacked, blobs), strict=True)
    assert merged(blobs) == packed(np.concatenate(words), np.concatenate(seconds))
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
    again = Seen()
    again.load([packed(rows_of(keys, content), np.full(len(keys), 832_680_000, np.uint32))])
    assert len(again) == len(keys)
    assert not any(entered(again, keys, content))


def test_keys_that_fall_into_one_place_are_still_told_apart() -> None:
    keys = np.zeros((500, 2), np.uint64)
    keys[:, 1] = np.arange(500) << 32
    seen = Seen()
    assert all(entered(seen, keys, np.zeros(500, np.uint64)))
    assert not any(entered(seen, keys[::-1], np.zeros(500, np.uint64)))
