"""Two hundred lives with every fault that is simulated; more by ``python -m tests.simulation``.

A life that fails names its seed in the test's output, and runs alone with
``python -m tests.simulation --seed N --lives 1``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from pathlib import Path

import pytest

from tests.simulation.life import lives

LIVES = 50


@pytest.mark.parametrize("begin", range(0, 4 * LIVES, LIVES))
def test_every_life_ends_with_exact_cells_counts_notices_and_verdicts(
    tmp_path: Path, begin: int
) -> None:
    seeds = range(begin, begin + LIVES)
    running = lives(seeds, tmp_path)
    lived: Counter[str] = Counter()
    for seed in seeds:
        try:
            _, life = next(running)
        except Exception as error:
            error.add_note(f"alone: python -m tests.simulation --seed {seed} --lives 1")
            raise
        lived.update(asdict(life))
    assert lived["turns"] > 2 * LIVES
    assert {name for name, number in lived.items() if not number} <= {"notices"}
