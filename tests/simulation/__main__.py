"""``python -m tests.simulation --lives 1000 [--seed N]``: lives from a seed on, until one fails."""

from __future__ import annotations

import argparse
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from tests.simulation.life import lives

_MEMORY = Path("/dev/shm")  # a thousand lives commit a hundred thousand times


def main() -> int:
    """0 if every life ended well."""
    asked = argparse.ArgumentParser(prog="python -m tests.simulation", description=__doc__)
    asked.add_argument("--seed", type=int, default=0)
    asked.add_argument("--lives", type=int, default=1000)
    given = asked.parse_args()
    seeds = range(given.seed, given.seed + given.lives)
    lived: Counter[str] = Counter()
    number = 0
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        running = lives(seeds, Path(folder))
        for seed in seeds:
            try:
                _, life = next(running)
            except BaseException:
                print(f"this life fails: python -m tests.simulation --seed {seed} --lives 1")
                raise
            number += 1
            lived.update(asdict(life))
            if number % 100 == 0:
                print(f"{number} lives: {dict(lived)}", flush=True)
    print(f"{number} lives from seed {given.seed} ended well: {dict(lived)}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
