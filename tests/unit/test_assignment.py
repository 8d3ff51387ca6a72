"""Sample-ratio mismatch: what trips it, what does not, and what a changed share carries over."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from analyzers.contrast.assignment import Assignments, log_factor
from analyzers.facts import Floats

ONE = np.zeros(1, np.int64)


def after(counts: list[tuple[float, float]], shares: list[float], *, clustered: bool) -> Floats:
    """Log e-values after each stratum."""
    tests = Assignments()
    tests.add(np.array([clustered]))
    told = [
        tests.advance(ONE, np.array([pair]), np.array([share]))[0]
        for pair, share in zip(counts, shares, strict=True)
    ]
    return np.array(told)


def test_the_factor_is_expected_to_be_one_under_the_declared_share() -> None:
    n, share = 30, 0.2
    b = np.arange(n + 1.0)
    counts = np.column_stack([n - b, b])
    belief = np.broadcast_to([70.0, 9.0], counts.shape)
    e = np.exp(log_factor(belief, counts, np.full(n + 1, share)))
    assert (stats.binom.pmf(b, n, share) * e).sum() == pytest.approx(1.0, rel=1e-10)


def test_a_changed_share_leaves_the_product_an_e_process_in_every_outcome() -> None:
    """All outcomes of two strata of 6 and 5 units with shares .5 and .1 enumerated."""
    total = 0.0
    for x in range(7):
        for y in range(6):
            logs = after([(6 - x, x), (5 - y, y)], [0.5, 0.1], clustered=False)
            weight = stats.binom.pmf(x, 6, 0.5) * stats.binom.pmf(y, 5, 0.1)
            total += weight * np.exp(logs[-1])
    assert total == pytest.approx(1.0, rel=1e-10)


def test_what_was_learned_survives_a_change_of_share() -> None:
    wrong = [(800.0, 200.0 * 1.3)] * 5
    before = after(wrong, [0.2] * 5, clustered=False)
    odds = 1.3 * 0.25
    then = (1_000.0 * (1 - 0.5), 1_000.0 * 0.5 * odds / 0.25)
    grown = after([*wrong, then], [*[0.2] * 5, 0.5], clustered=False)
    fresh = after([then], [0.5], clustered=False)
    assert grown[-1] - before[-1] > fresh[-1] + 1.0


def test_strata_that_say_nothing_change_nothing() -> None:
    strange = [(0.0, 0.0), (5.0, 5.0), (5.0, 5.0), (np.nan, 4.0), (np.inf, 4.0), (-1.0, 4.0)]
    told = after(strange, [0.5, 0.0, 1.0, 0.5, 0.5, 0.5], clustered=False)
    assert told.tolist() == [0.0] * 6


def test_clustered_counts_of_an_untouched_split_raise_no_alarm_where_plain_ones_do() -> None:
    seed, rows = 4, 1_000
    rng = np.random.default_rng(seed)
    tests = Assignments()
    tests.add(np.repeat([True, False], rows))
    top = np.zeros(2 * rows)
    every = np.arange(2 * rows)
    for _ in range(100):
        fano_5 = rng.negative_binomial(25, 0.2, (rows, 2)).astype(float)
        logs = tests.advance(every, np.vstack([fano_5, fano_5]), np.full(2 * rows, 0.5))
        top = np.maximum(top, logs)
    crossed = top >= -np.log(0.01)
    assert crossed[:rows].mean() <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / rows), f"seed {seed}"
    assert crossed[rows:].mean() > 0.3


def test_independent_counts_hold_their_rate_and_find_a_mismatch() -> None:
    seed, rows = 5, 2_000
    rng = np.random.default_rng(seed)
    tests = Assignments()
    tests.add(np.zeros(2 * rows, np.bool_))
    every = np.arange(2 * rows)
    top = np.zeros(2 * rows)
    for _ in range(60):
        b = rng.binomial(200, np.repeat([0.1, 0.14], rows)).astype(float)
        logs = tests.advance(every, np.column_stack([200 - b, b]), np.full(2 * rows, 0.1))
        top = np.maximum(top, logs)
    crossed = top >= -np.log(0.01)
    assert crossed[:rows].mean() <= 0.01 + 2 * np.sqrt(0.01 * 0.99 / rows), f"seed {seed}"
    assert crossed[rows:].mean() > 0.99


def test_of_two_accounts_of_the_same_units_the_one_that_says_less_is_believed() -> None:
    one, two = Assignments(), Assignments()
    for tests in (one, two):
        tests.add(np.array([False]))
    share, many, few = np.array([0.5]), np.array([[400.0, 600.0]]), np.array([[450.0, 550.0]])
    told = one.advance(ONE, many, share, few)
    assert told[0] == two.advance(ONE, few, share)[0]
    # What is known by now expects more of the second arm: fewer say less.
    even = np.array([[500.0, 500.0]])
    assert one.advance(ONE, few, share, even)[0] == two.advance(ONE, even, share)[0]
    assert one.told(ONE) == two.told(ONE)


def test_the_lower_of_two_accounts_expects_at_most_one_if_either_is_right() -> None:
    """Enumerated: the first is binomial, the other any function of it."""
    n, share = 9, 0.3
    total = 0.0
    for x in range(n + 1):
        tests = Assignments(concentration=10.0)
        tests.add(np.array([False]))
        other = float(n - x) / 2.0
        pair, rival = np.array([[n - x, x]], float), np.array([[n - other, other]])
        log = tests.advance(ONE, pair, np.array([share]), rival)[0]
        total += stats.binom.pmf(x, n, share) * np.exp(log)
    assert total < 1.0


def test_clustered_counts_have_one_account_only() -> None:
    one, two = Assignments(), Assignments()
    for tests in (one, two):
        tests.add(np.array([True]))
    rng = np.random.default_rng(9)
    for _ in range(60):
        pair = rng.poisson([40.0, 20.0]).astype(float)[None]
        told = one.advance(ONE, pair, np.array([0.5]), np.array([[30.0, 30.0]]))
        assert told[0] == two.advance(ONE, pair, np.array([0.5]))[0]
    assert one.log_e[0] > 5.0


def test_few_clusters_of_a_small_arm_wait_for_more() -> None:
    told = after([(198.0, 2.0), (190.0, 10.0)] * 200, [0.01] * 400, clustered=True)
    assert not told[:140].any()
    assert told[-1] > 5.0


def test_it_tells_the_share_that_the_counts_show() -> None:
    tests = Assignments()
    tests.add(np.array([False, False]))
    for _ in range(50):
        tests.advance(ONE, np.array([[700.0, 300.0]]), np.array([0.25]))
    shown = tests.told(np.arange(2))
    assert shown[0] == pytest.approx(0.3, abs=0.002)
    assert shown[1] == 0.0


def test_one_row_alone_gets_the_bits_it_gets_among_many_in_any_order() -> None:
    rng = np.random.default_rng(8)
    n, strata = 13, 30
    counts = rng.poisson(40, (strata, n, 2)).astype(float)
    shares = rng.choice([0.3, 0.5, 0.05], (strata, n))
    clustered = rng.random(n) < 0.5
    together = Assignments()
    together.add(clustered)
    for stratum in range(strata):
        order = rng.permutation(n)
        together.advance(order, counts[stratum, order], shares[stratum, order])
    for row in range(n):
        pairs = [(a, b) for a, b in counts[:, row].tolist()]
        alone = after(pairs, shares[:, row].tolist(), clustered=bool(clustered[row]))
        assert alone[-1] == together.log_e[row]
