"""A flood of made-up names costs no memory and loses no event; who came first stays."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from analyzers.facts import Facts
from analyzers.folding import cardinality
from analyzers.folding.cardinality import OTHER
from analyzers.folding.cells import Cells, merge
from analyzers.policy import Limits, Policy
from analyzers.turn import Inbox, State, take_turn
from pipeline.config import parse
from tests.facts_of import facts_of, marker_of

# 2 judged segments keep 20 values apart.
TIGHT = replace(parse(b"", {}).policy, limits=Limits(segments=2))


def flood(begin: int, count: int, **said: object) -> Facts:
    names = [f"P{n}" for n in range(begin, begin + count)]
    ids = np.arange(begin, begin + count) + 1
    given: dict[str, object] = {"attributes": {"partner": names}, "version": "1.0"} | said
    return facts_of(np.linspace(0, 9, count), ids=ids, **given)  # type: ignore[arg-type]


def counted(cells: Cells, metric: str, names: tuple[str, ...]) -> Counter[tuple[str, ...]]:
    """Observations of a metric by the values of its segments."""
    found: Counter[tuple[str, ...]] = Counter()
    for i, series in enumerate(cells.series):
        if series.metric == metric and tuple(name for name, _ in series.segment) == names:
            count = int(cells.count[cells.of == i].sum())
            found[tuple(value for _, value in series.segment)] += count
    return found


def test_values_beyond_the_limit_are_counted_under_other_and_the_total_is_whole() -> None:
    state = State()
    first = take_turn(state, Inbox(facts=flood(0, 15)), TIGHT)
    assert (state.counts.folded, first.news) == (0, ())
    second = take_turn(state, Inbox(facts=flood(15, 100)), TIGHT)
    partners = counted(state.cells(), "order_submission_success", ("partner",))
    assert len(partners) == 21
    assert {f"P{n}" for n in range(15)} <= {value for (value,) in partners}
    assert partners[OTHER,] == 115 - 20
    assert counted(state.cells(), "order_submission_success", ())[()] == 115
    assert state.counts.events == 115
    assert state.counts.folded > 0
    assert (
        "order-api in production has too many values of partner in order_submission_success: "
        "new ones are counted under 'other' from here on"
    ) in second.news
    assert take_turn(state, Inbox(facts=flood(200, 100)), TIGHT).news == ()


def test_a_value_that_came_first_goes_on_being_told_apart() -> None:
    state = State()
    take_turn(state, Inbox(facts=flood(0, 100)), TIGHT)
    kept = {value for (value,) in counted(state.cells(), "order_throughput", ("partner",))}
    again = facts_of([1.0], ids=[10**6], version="1.1", attributes={"partner": min(kept)})
    take_turn(state, Inbox(facts=again), TIGHT)
    versions = {s.version for s in state.cells().series if ("partner", min(kept)) in s.segment}
    assert versions == {"1.0", "1.1"}


def restored(state: State, parts: list[Cells], policy: Policy) -> State:
    return State.restore(
        b"", cells=parts, waiting=[], markers=state.markers, verdicts=[], policy=policy
    )


def test_a_restart_in_the_middle_of_a_flood_decides_as_if_there_had_been_none() -> None:
    whole, parts = State(), []
    broken = State()
    for begin in range(0, 120, 8):
        types = [("order.submitted", f"made.up{n}")[n % 2] for n in range(begin, begin + 8)]
        inbox = Inbox(facts=flood(begin, 8, types=types))
        take_turn(whole, inbox, TIGHT)
        parts.append(take_turn(broken, inbox, TIGHT).cells)
        broken = restored(broken, parts, TIGHT)
    assert merge(parts).digest() == whole.cells().digest()
    assert (OTHER,) in counted(whole.cells(), "event_flow", ("type",))


def test_types_that_the_policy_names_are_told_apart_in_every_flood() -> None:
    state = State()
    for begin in range(0, 200, 50):
        types = [f"made.up{n}" for n in range(begin, begin + 50)]
        take_turn(state, Inbox(facts=flood(begin, 50, types=types, outcome="x")), TIGHT)
    late = flood(500, 2, types="edi.acknowledged", outcome=["ok", "strange"])
    take_turn(state, Inbox(facts=late), TIGHT)
    assert counted(state.cells(), "event_flow", ("type",))["edi.acknowledged",] == 2
    outcomes = counted(state.cells(), "event_flow", ("type", "outcome"))
    assert outcomes["edi.acknowledged", "ok"] == outcomes["edi.acknowledged", OTHER] == 1
    assert outcomes[OTHER, OTHER] == 200 - 20


def test_floods_of_services_and_environments_end_in_one_of_each(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cardinality, "SERVICES", 5)
    state = State()
    for begin in range(0, 60, 20):
        names = [f"s{n}" for n in range(begin, begin + 20)]
        take_turn(state, Inbox(facts=flood(begin, 20, service=names, environment=names)), TIGHT)
    news = take_turn(state, Inbox(facts=flood(100, 3, service="named")), TIGHT).news
    sources = {(s.environment, s.service) for s in state.cells().series}
    assert len(sources) == 6
    assert (OTHER, OTHER) in sources
    assert news == ()
    take_turn(state, Inbox(markers=(marker_of("deployment.started"),)), TIGHT)
    take_turn(state, Inbox(facts=flood(200, 3)), TIGHT)
    assert ("production", "order-api") in {(s.environment, s.service) for s in state.cells().series}


def test_a_flood_of_versions_shuts_out_no_release_that_a_marker_names_and_none_of_next_week(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(cardinality, "VERSIONS", 5)
    state = State()
    take_turn(state, Inbox(facts=flood(0, 50, version=[f"v{n}" for n in range(50)])), TIGHT)
    marked = Inbox(
        facts=flood(100, 2, version=["2.0.0", "unheard of"]),
        markers=(marker_of("deployment.started"),),
    )
    take_turn(state, marked, TIGHT)

    def versions() -> set[str]:
        return {series.version for series in state.cells().series}

    assert "2.0.0" in versions()
    assert not {"unheard of", "v49"} & versions()
    assert len(versions()) == 5 + 1 + 1
    later = facts_of([8 * 86_400.0], ids=[10**6], version="next month")
    take_turn(state, Inbox(facts=later, complete=True), TIGHT)
    assert "next month" in versions()


def test_the_limit_on_all_series_holds_for_whatever_is_made_up() -> None:
    policy = replace(TIGHT, limits=Limits(series=300))
    state = State()
    sizes = []
    for begin in range(0, 3_000, 100):
        names = [f"s{n % 7}" for n in range(begin, begin + 100)]
        made_up = [f"v{n}" for n in range(begin, begin + 100)]
        take_turn(state, Inbox(facts=flood(begin, 100, service=names, version=made_up)), policy)
        sizes.append(len(state.roster))
    assert sizes[-1] == sizes[1] < 2_000
    assert counted(state.cells(), "order_throughput", ())[()] == 3_000
