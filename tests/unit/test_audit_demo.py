"""The demo's events as a stream: what the measured table in the docs is made of."""

from __future__ import annotations

from io import BytesIO

from collector.decoding.decode import decode
from pipeline.audit_demo import told
from pipeline.demo.play import demanded
from pipeline.demo.story import Dials, releases


def lines(dials: Dials | None = None) -> list[bytes]:
    out = BytesIO()
    told(out, dials)
    return out.getvalue().splitlines()


def test_every_line_of_the_demo_is_an_event_or_a_marker_of_its_releases() -> None:
    policy = demanded()
    found = decode(lines(), attributes=policy.attributes(), limits=policy.limits)
    assert not found.rejects
    assert len(found.facts) > 20_000
    assert {one.version for one in found.markers} == {one.version for one in releases()}


def test_the_same_seed_tells_the_same_story() -> None:
    assert lines() == lines()
    assert lines() != lines(Dials(seed=2))
