"""The fleet's rules against the decisions and thresholds of another library."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from analyzers.contrast.weighted import log_weighted_average
from analyzers.judging.fleet import e_bh, e_lond

FILES = [Path(__file__).with_name(name) for name in ("vectors.json", "fleet_vectors.json")]


class Vector(msgspec.Struct, frozen=True):
    id: str
    kind: str
    library: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    rtol: float


class Vectors(msgspec.Struct, frozen=True):
    vectors: list[Vector]


VECTORS = [
    vector
    for file in FILES
    for vector in msgspec.json.decode(file.read_bytes(), type=Vectors).vectors
]


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(v, id=v.id) for v in VECTORS if v.kind == kind]


@pytest.mark.parametrize("vector", of_kind("e_bh"))
def test_e_bh_decides_as_the_library_does(vector: Vector) -> None:
    found = e_bh(np.log(vector.inputs["e"]), vector.inputs["alpha"])
    assert found.tolist() == vector.expected["reject"]


@pytest.mark.parametrize("vector", of_kind("online_e"))
def test_e_lond_decides_and_asks_as_the_library_does(vector: Vector) -> None:
    found, asked = e_lond(np.log(vector.inputs["e"]), vector.inputs["alpha"])
    assert found.tolist() == vector.expected["reject"]
    if "threshold" in vector.expected:
        assert np.exp(asked) == pytest.approx(vector.expected["threshold"], rel=vector.rtol)


@pytest.mark.parametrize("vector", of_kind("weighted_average_e"))
def test_the_weighted_average_is_that_of_the_library(vector: Vector) -> None:
    log_e, weights = np.log(vector.inputs["e"]), np.array(vector.inputs["w"])
    found = math.exp(log_weighted_average(log_e, weights))
    assert found == pytest.approx(vector.expected["value"], rel=vector.rtol)


def slow_e_bh(e: list[float], rate: float) -> list[bool]:
    """The definition: the largest k for which k e-values reach n / (rate k)."""
    n = len(e)
    for k in range(n, 0, -1):
        reaching = [one >= n / (rate * k) for one in e]
        if sum(reaching) >= k:
            return reaching
    return [False] * n


def test_e_bh_is_its_definition_on_drawn_lists() -> None:
    rng = np.random.default_rng(7)
    for n in range(1, 40):
        e = np.exp(rng.normal(0.0, 4.0, n))
        assert e_bh(np.log(e), 0.1).tolist() == slow_e_bh(e.tolist(), 0.1)


def test_the_gammas_of_e_lond_never_spend_more_than_the_rate() -> None:
    n = 1_000_000
    _, asked = e_lond(np.full(n, -np.inf), 1.0)
    root = math.sqrt(math.log(n))
    beyond = 0.07720838 * 2 * math.exp(-root) * (root**3 + 3 * root**2 + 6 * root + 6)
    assert 0.97 < math.fsum(np.exp(-asked).tolist()) + beyond < 1.0
