"""A refused message travels as a line and comes out as a reject."""

from __future__ import annotations

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.decode import decode
from collector.decoding.faults import Fault, Reason


def _rejects(line: bytes) -> list[tuple[str, bytes, str, str, str]]:
    batch = decode([line], attributes=frozenset(), limits=Limits())
    assert not len(batch.facts)
    return [(r.reason, r.payload, r.service, r.version, r.environment) for r in batch.rejects]


def test_a_refused_message_is_a_reject_with_its_own_bytes_and_owner() -> None:
    fault = Fault(Reason.MAPPING, "field qty is missing")
    line = refused.line(fault, b"\xff\x00raw", most=99, service="erp", version="2")

    assert _rejects(line) == [("mapping", b"\xff\x00raw", "erp", "2", "production")]


def test_what_only_looks_like_a_refused_message_is_judged_like_any_other_line() -> None:
    for line in (
        b'{"type":"plimsoll.refused"}',
        b'{"type":"plimsoll.refused","reason":"mapping","what":"x","payload":"%"}',
        b'{"type":"plimsoll.refused","reason":"no_such","what":"x","payload":""}',
    ):
        assert refused.read(line) is None
        assert [reason for reason, *_ in _rejects(line)] == ["missing_field"]


def test_a_refused_message_keeps_as_much_as_its_writer_allows() -> None:
    line = refused.line(Fault(Reason.FORMAT_INVALID, "no OTLP"), b"x" * 100, most=10)

    assert [payload for _, payload, *_ in _rejects(line)] == [b"x" * 10]
