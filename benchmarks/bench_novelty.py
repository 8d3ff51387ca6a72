"""What it costs to remember: ids entered and found again, and the memory that they take.

Sketch, for an id: 16 bytes, and 4 bytes of an index at most 0.84 full that grows by 45 %: 21 to
23.2 bytes. To enter one: a bucket of the index, 32 bytes somewhere in 70 MB, which no cache
holds; to find one, its row as well. In arrays of 16,384 at once some thirty operations at 1 to 15
ns: 0.2 us, and as much again for the index to be made anew twice in its life.
Measured with 10 million ids on a busy machine: 0.6 us to enter one (0.35 on a quiet one), 0.35 to
find one, at most 23.9 bytes each. A set of strings takes 1.0 us and 159 bytes; what stood here
before, arrays and an index that doubles, 0.8 and 0.2 us, 36 to 51 bytes.

Run: ``python -m benchmarks.bench_novelty [--ids N]``. CPU times.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from analyzers.facts import NS_PER_S
from collector.novelty.blobs import packed
from collector.novelty.seen import Seen

BATCH = 16_384
NOON_NS = 1_779_364_800 * NS_PER_S
PER_S = 3_000  # ids a second of event time, so that ten million of them are an hour


def main() -> None:
    parser = argparse.ArgumentParser(description="Remembering ids: time and memory.")
    parser.add_argument("--ids", type=int, default=10_000_000)
    ids = parser.parse_args().ids // BATCH * BATCH
    rng = np.random.default_rng(1)
    seen = Seen(limit=ids + BATCH, salt=12345, horizon_s=3600)
    entered_s = found_s = longest_s = 0.0
    fullest = 0.0
    kept = 0
    for begin in range(0, ids, BATCH):
        keys = rng.integers(0, 2**64, (BATCH, 2), dtype=np.uint64)
        time_ns = NOON_NS + (begin + np.arange(BATCH)) * (NS_PER_S // PER_S)
        seen.begin()
        start_s = time.process_time()
        new, _ = seen.add(keys, keys[:, 0], time_ns)
        spent_s = time.process_time() - start_s
        assert new.all()
        kept += len(packed(*seen.fresh()))
        entered_s, longest_s = entered_s + spent_s, max(longest_s, spent_s)
        if len(seen) >= 1_000_000:
            fullest = max(fullest, seen.nbytes / len(seen))
        if begin % (8 * BATCH) == 0:
            start_s = time.process_time()
            new, conflicting = seen.add(keys, keys[:, 0], time_ns)
            found_s += 8 * (time.process_time() - start_s)
            assert not new.any()
            assert not conflicting.any()
    print(f"{len(seen):,} ids in batches of {BATCH:,}")
    print(f"entered      {entered_s / ids * 1e9:8.0f} ns each")
    print(f"the slowest  {longest_s * 1e3:8.0f} ms for a batch, when the index grows")
    print(f"found again  {found_s / ids * 1e9:8.0f} ns each")
    print(f"in memory    {seen.nbytes / len(seen):8.1f} bytes each, at the fullest {fullest:.1f}")
    print(f"as blobs     {kept / ids:8.1f} bytes each before compression")
    start_s = time.process_time()
    seen.forget(NOON_NS + 2 * 3600 * NS_PER_S)
    print(f"forgotten    {(time.process_time() - start_s) / ids * 1e9:8.0f} ns each")


if __name__ == "__main__":
    main()
