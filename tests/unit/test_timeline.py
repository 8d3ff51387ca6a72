"""The timeline is a function of the set of markers, in whatever order and number they came."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.facts import Marker
from analyzers.timeline import Deployment, Timeline, timeline
from tests.facts_of import NEW, OLD, at_ns, finished, marker_of, rolled_back, shifted, started

STORY = (
    started(0.0, share=0.1, owner="team-orders", cohort={"warehouse": ("W1",)}),
    shifted(600.0, 0.5, cohort={"warehouse": ("W1", "W2")}),
    shifted(900.0, 0.8),
    finished(1_200.0),
)


def only(found: Timeline) -> Deployment:
    assert len(found.deployments) == 1
    return found.deployments[0]


def test_a_deployment_is_what_its_markers_tell() -> None:
    deployment = only(timeline(STORY))
    assert (deployment.name, deployment.service, deployment.environment) == (
        "d-1",
        "order-api",
        "production",
    )
    assert (deployment.version, deployment.replaces, deployment.strategy) == (NEW, OLD, "canary")
    assert (deployment.started_ns, deployment.ended_ns) == (at_ns(0), at_ns(1_200))
    assert (deployment.rolled_back, deployment.outcome) == (False, "ok")
    assert deployment.shares == ((at_ns(0), 0.1), (at_ns(600), 0.5), (at_ns(900), 0.8))
    assert deployment.cohort == (("warehouse", ("W1", "W2")),)
    assert deployment.owner == "team-orders"


def test_any_order_of_markers_gives_the_same_timeline() -> None:
    expected = timeline(STORY)
    assert all(timeline(order) == expected for order in itertools.permutations(STORY))


def test_markers_that_come_twice_change_nothing() -> None:
    assert timeline(STORY * 2) == timeline(STORY)


def test_no_markers_make_an_empty_timeline() -> None:
    assert timeline(()) == Timeline((), ())


def test_a_finish_without_a_start_is_an_orphan_until_the_start_comes() -> None:
    early = timeline([finished(1_200.0)])
    assert early.deployments == ()
    assert early.orphans == (finished(1_200.0),)
    late = timeline([finished(1_200.0), started(0.0)])
    assert late.orphans == ()
    assert only(late).ended_ns == at_ns(1_200)


def test_a_finish_from_before_the_start_ends_nothing() -> None:
    deployment = only(timeline([started(100.0), finished(50.0), rolled_back(60.0)]))
    assert deployment.ended_ns is None
    assert not deployment.rolled_back


def test_a_rollback_ends_a_deployment() -> None:
    deployment = only(timeline([started(0.0), rolled_back(300.0)]))
    assert deployment.ended_ns == at_ns(300)
    assert deployment.rolled_back


def test_a_rollback_after_the_finish_is_still_told() -> None:
    deployment = only(timeline([started(0.0), finished(200.0), rolled_back(300.0)]))
    assert deployment.ended_ns == at_ns(200)
    assert deployment.rolled_back


def test_the_first_start_counts() -> None:
    again = started(50.0, version="9.9.9")
    deployment = only(timeline([again, started(0.0)]))
    assert (deployment.started_ns, deployment.version) == (at_ns(0), NEW)


def test_a_share_that_is_not_said_stays_unknown() -> None:
    deployment = only(timeline([started(0.0), shifted(60.0, 0.3), marker_of("deployment.shifted")]))
    assert deployment.shares == ((at_ns(0), None), (at_ns(60), 0.3))


def test_deployments_are_told_by_start_and_then_by_name() -> None:
    names = ["d-3", "d-1", "d-2"]
    starts = [started(5.0, deployment=name, id=name) for name in names]
    starts.append(started(1.0, deployment="d-9", id="d-9"))
    assert [d.name for d in timeline(starts).deployments] == ["d-9", "d-1", "d-2", "d-3"]


def test_a_marker_id_is_unique_only_within_its_environment_and_service() -> None:
    markers = [
        started(0.0, id="m", deployment="a"),
        started(0.0, id="m", deployment="b", service="stock"),
        started(0.0, id="m", deployment="c", environment="staging"),
    ]
    assert [d.name for d in timeline(markers).deployments] == ["a", "b", "c"]


def test_two_services_under_one_deployment_name_never_mix() -> None:
    markers = [
        started(0.0, id="a", share=0.1),
        started(10.0, id="b", service="stock", version="7", share=0.9),
        finished(60.0, id="c", service="stock"),
    ]
    found = timeline(markers)
    assert only(found).service == "order-api"
    assert only(found).ended_ns is None
    assert only(found).shares == ((at_ns(0), 0.1),)
    assert found.orphans == tuple(markers[1:])


def test_one_name_in_staging_and_production_is_the_release_that_started_first() -> None:
    staged = started(0.0, id="a", environment="staging")
    found = timeline([started(10.0, id="b"), staged])
    assert only(found).environment == "staging"
    assert [marker.environment for marker in found.orphans] == ["production"]


kinds = st.sampled_from(["started", "shifted", "finished", "rolled_back"])
markers = st.builds(
    lambda kind, time_s, id_, deployment, service, version, share: marker_of(
        f"deployment.{kind}", time_s, id=id_, deployment=deployment, service=service,
        version=version, share=share,
    ),
    kind=kinds,
    time_s=st.sampled_from([0.0, 1.0, 2.0]),
    id_=st.sampled_from(["m-1", "m-2", "m-3"]),
    deployment=st.sampled_from(["d-1", "d-2"]),
    service=st.sampled_from(["order-api", "stock"]),
    version=st.sampled_from(["1", "2"]),
    share=st.sampled_from([None, 0.1, 0.5]),
)  # fmt: skip


@settings(max_examples=50)
@given(st.lists(markers, max_size=8), st.randoms(use_true_random=False))
def test_even_contradicting_markers_give_one_timeline_in_any_order(
    told: list[Marker], chance: Any
) -> None:
    shuffled = list(told)
    chance.shuffle(shuffled)
    assert timeline(shuffled) == timeline(told)


def test_an_end_whose_tool_may_tell_no_start_is_a_release_until_the_start_comes() -> None:
    end = finished(60.0, opens=True)
    (release,) = timeline([end]).deployments
    assert (release.started_ns, release.ended_ns) == (end.time_ns, end.time_ns)
    start = started(0.0)
    (release,) = timeline([end, start]).deployments
    assert (release.started_ns, release.ended_ns) == (start.time_ns, end.time_ns)


@pytest.mark.parametrize("kind", ["shifted", "finished", "rolled_back"])
def test_an_orphan_of_any_kind_is_kept_aside(kind: str) -> None:
    lonely = marker_of(f"deployment.{kind}")
    assert timeline([lonely]).orphans == (lonely,)
