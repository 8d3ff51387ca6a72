"""Our kernels against the values that other libraries computed (see README.md beside this)."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from scipy import stats

from analyzers.contrast import count, proportion, ranks
from analyzers.contrast.tmixture import log_e_one_sided

FILE = Path(__file__).with_name("vectors.json")


class Vector(msgspec.Struct, frozen=True):
    id: str
    kind: str
    library: str
    inputs: dict[str, Any]
    expected: dict[str, Any]
    rtol: float


class Vectors(msgspec.Struct, frozen=True):
    vectors: list[Vector]


VECTORS = msgspec.json.decode(FILE.read_bytes(), type=Vectors).vectors


def of_kind(kind: str) -> list[Any]:
    return [pytest.param(v, id=v.id) for v in VECTORS if v.kind == kind]


@pytest.mark.parametrize("vector", of_kind("t_mixture_one_sided"))
def test_the_t_mixture_is_the_quadrature_of_its_definition(vector: Vector) -> None:
    n, mean, rest, phi = (vector.inputs[name] for name in ("n", "mean", "ss", "phi"))
    found = log_e_one_sided(
        np.array([n]), np.array([n * mean]), np.array([rest + n * mean**2]), phi
    )
    assert found[0] == pytest.approx(vector.expected["log_e"], rel=vector.rtol)
    assert found[0] == pytest.approx(vector.expected["closed_form"], rel=1e-12)


@pytest.mark.parametrize("vector", of_kind("perm_score_hist"))
def test_the_rank_score_is_the_permutation_score_of_the_histogram(vector: Vector) -> None:
    counts = np.column_stack([vector.inputs["base_counts"], vector.inputs["canary_counts"]])
    numbers = np.arange(len(counts)) + 1
    of, unshifted = np.zeros(len(counts), np.int64), np.zeros(1, np.int64)
    told = ranks.scores(of, numbers, counts, 1, unshifted)
    score, variance = told[0][0], told[1][0]
    # Ours are scaled to unit variance without ties: midrank / n times the root of twelve.
    assert score[0] / np.sqrt(12) == pytest.approx(vector.expected["S"], rel=vector.rtol)
    assert variance[0] / 12 == pytest.approx(vector.expected["V"], rel=vector.rtol)
    z = score[0] / np.sqrt(variance[0])
    assert z == pytest.approx(vector.expected["z"], rel=vector.rtol)
    assert 2 * stats.norm.sf(abs(z)) == pytest.approx(vector.expected["scipy_p"], rel=vector.rtol)


@pytest.mark.parametrize("vector", of_kind("mh_score"))
def test_the_score_of_proportions_is_that_of_mantel_and_haenszel(vector: Vector) -> None:
    failures = np.column_stack([vector.inputs["y_base"], vector.inputs["y_canary"]]).astype(float)
    units = np.column_stack([vector.inputs["n_base"], vector.inputs["n_canary"]]).astype(float)
    past = np.zeros((len(units), 4))
    score = proportion.scores(failures, units, past, np.zeros(1))[0][:, 0]
    assert score.sum() == pytest.approx(vector.expected["S"], rel=vector.rtol)
    standard, told = proportion.standardised(failures, units)
    assert told.all()
    variance = ((score / standard) ** 2).sum()
    assert variance == pytest.approx(vector.expected["Vsum"], rel=vector.rtol)
    assert score.sum() ** 2 / variance == pytest.approx(
        vector.expected["cmh_statistic"], rel=vector.rtol
    )


@pytest.mark.parametrize("vector", of_kind("poisson_fixed"))
def test_the_score_of_counts_is_that_of_two_poisson_samples(vector: Vector) -> None:
    exposure = [vector.inputs["exposure2"], vector.inputs["exposure1"]]
    counts = np.array([[vector.inputs["count2"], vector.inputs["count1"]]], float)
    share = np.array([exposure[1] / sum(exposure)])
    score, variance = count.scores(counts, share, np.ones(1))
    p = 2 * stats.norm.sf(abs(score[0, 0]) / np.sqrt(variance[0, 0]))
    assert p == pytest.approx(vector.expected["score"], rel=vector.rtol)


def test_every_vector_says_who_computed_it_and_is_used() -> None:
    used = {"t_mixture_one_sided", "perm_score_hist", "mh_score", "poisson_fixed"}
    assert {vector.kind for vector in VECTORS} == used
    assert all(vector.library for vector in VECTORS)
