"""The demo's verdicts follow its dials: with a harm it is found, without one none is."""

from __future__ import annotations

from pathlib import Path

import pytest

from analyzers.judging.verdict import Verdict
from pipeline.demo.orders import shipped_orders
from pipeline.demo.play import demanded
from pipeline.demo.story import Dials, Story, releases
from pipeline.replay import replay

ORDERS = shipped_orders()
SLOW, COUNTRY = "d-102", "d-104"


def verdicts(dials: Dials, folder: Path) -> dict[str, Verdict]:
    """The verdict on each release of the story, had nobody acted on any."""
    story, lines = Story.of(ORDERS, releases(), dials), list[bytes]()
    while (batch := story.next_batch("wait")) is not None:
        lines += [*batch.markers, *batch.events]
    file = folder / "story.ndjson"
    file.write_bytes(b"\n".join(lines))
    return {verdict.deployment: verdict for verdict in replay([file], demanded()).verdicts}


@pytest.mark.slow
@pytest.mark.parametrize(("seed", "country"), [(1, "Germany"), (2, "Germany"), (1, "France")])
def test_both_injected_harms_are_found_and_no_good_release_is_blamed(
    seed: int, country: str, tmp_path: Path
) -> None:
    found = verdicts(Dials(seed=seed, country=country), tmp_path)
    degraded = {name for name, verdict in found.items() if verdict.verdict == "degraded"}
    assert degraded == {SLOW, COUNTRY}
    assert found[SLOW].reasons[0].metric == "order_confirmation_time"
    assert found[COUNTRY].reasons[0].metric == "order_submission_success"
    assert found[COUNTRY].reasons[0].segment == {"country": country}


def test_with_the_default_seed_every_good_release_is_promoted(tmp_path: Path) -> None:
    found = verdicts(Dials(), tmp_path)
    good = {name: v.verdict for name, v in found.items() if name not in (SLOW, COUNTRY)}
    assert set(good.values()) == {"healthy"}, good


def test_with_both_dials_at_zero_no_release_is_ever_degraded(tmp_path: Path) -> None:
    found = verdicts(Dials(harm_country=0.0, slow=0.0), tmp_path)
    assert {name: v.first_degraded_at for name, v in found.items()} == dict.fromkeys(found)
    assert found[SLOW].verdict == found[COUNTRY].verdict == "healthy"
