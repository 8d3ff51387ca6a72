"""What fuzzing began with and what it found, replayed: only documented errors come of it."""

from __future__ import annotations

import pytest

from tests.fuzz.corpora import CORPUS, CORPUS_BYTES, CRASHERS, HERE, kept
from tests.fuzz.seeds import seeds
from tests.fuzz.targets import TARGETS

each_target = pytest.mark.parametrize("target", sorted(TARGETS))


@each_target
def test_sound_inputs_and_those_that_reach_every_known_branch_are_answered(target: str) -> None:
    inputs = [*seeds(target), *kept(CORPUS, target)]
    assert inputs
    for one in inputs:
        TARGETS[target](one)


@each_target
def test_what_once_broke_a_target_is_answered(target: str) -> None:
    for one in kept(CRASHERS, target):
        TARGETS[target](one)
    assert TARGETS[target] is not None


def test_the_corpora_stay_small() -> None:
    sizes = {path.name: path.stat().st_size for path in HERE.rglob("*.txt")}
    assert sum(sizes.values()) < 300_000, sizes
    assert {path.stem for path in HERE.rglob("*.txt")} <= set(TARGETS)
    assert all(size <= CORPUS_BYTES + 1 for size in sizes.values()), sizes
