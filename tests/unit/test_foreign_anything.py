"""Whatever is sent: reading it raises nothing, and no marker comes out that lacks anything."""

from __future__ import annotations

import json
import os
import random
from functools import lru_cache
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from analyzers.policy import Limits
from collector.decoding.decode import decode
from collector.decoding.markers import OUTCOMES, STRATEGIES, TYPES
from collector.decoding.said import Loose
from collector.decoding.texts import TEXT_BYTES
from collector.foreign import Other, understood
from collector.foreign.kinds import KINDS
from collector.foreign.posted import form_payload, line
from tests.unit import test_foreign_github, test_foreign_rollouts
from tests.unit.test_foreign_cloudevents import envelope

LIMITS = Limits()
SHARED = Path(os.environ.get("PLIMSOLL_SHARED", Path(__file__).parents[3] / "shared"))
# Names that some reader looks for, so that a random object gets past its first question.
NAMES = (
    *("type", "service", "specversion", "source", "data", "data_base64", "context", "subject"),
    *("id", "time", "timestamp", "links", "chainId", "content", "environment", "artifactId"),
    *("deployment", "deployment_status", "repository", "full_name", "name", "sender", "action"),
    *("sha", "ref", "payload", "created_at", "state", "object_kind", "status", "project"),
    *("status_changed_at", "deployment_id", "namespace", "phase", "checksum", "metadata"),
    *("eventMessage", "apiVersion", "kind", "spec", "health", "sync", "operationState", "app"),
    *("revision", "startedAt", "finishedAt", "tags", "text", "what", "when", "kind", "labels"),
    *("annotations", "customData", "environment", "cohort", "resourceLogs", "eventType", "zen"),
)
WORDS = (
    *("dev.cdevents.service.deployed.0.2.0", "dev.cdevents.", "dev.cdevents", "1.0", "deployment"),
    *("Succeeded", "Healthy", "Synced", "success", "running", "created", "plimsoll.ignored"),
    *(
        "Advance a.b canary weight 99",
        "Rolling back x",
        "2026-05-21T12:00:00Z",
        "\ud800",
        "{",
        "[[",
    ),
    *("deployment.started", "pkg:a@", "pkg:%%%?tag=%f", "urn:", "://", "1779364800000", "unknown"),
)
leaf = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=9)
    | st.sampled_from(WORDS)
)
key = st.sampled_from(NAMES) | st.text(max_size=5)
anything = st.recursive(
    leaf, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(key, inner), max_leaves=12
)


def check(payload: bytes) -> None:
    """Nothing is raised, nothing is counted twice, and each marker is whole."""
    batch = decode([payload], attributes=frozenset(), limits=LIMITS)
    outcomes = len(batch.facts), len(batch.markers), len(batch.rejects), len(batch.ignored)
    assert sum(outcomes) == 1
    for marker in batch.markers:
        assert marker.type in TYPES
        assert marker.id
        assert marker.service
        assert marker.environment
        assert marker.deployment
        assert marker.version or marker.type != "deployment.started"
        assert marker.strategy in STRATEGIES
        assert marker.outcome in OUTCOMES or marker.type != "deployment.finished"
        assert marker.time_ns >= 946_684_800_000_000_000  # 2000
        assert len(marker.deployment.encode()) <= TEXT_BYTES
    assert {one.kind for one in batch.ignored} <= KINDS


@settings(max_examples=250)
@given(st.dictionaries(key, anything, max_size=8))
def test_any_object_is_understood_or_not_and_nothing_is_raised(fields: dict[str, Any]) -> None:
    found = understood(Loose(fields))
    assert found is None or isinstance(found, Loose | Other) or found.what
    check(json.dumps(fields).encode())


@settings(max_examples=200)
@given(st.binary(max_size=60) | st.text(alphabet='{}[]":,\\ -1eENnulaIfity', max_size=40))
def test_any_bytes_are_read(said: bytes | str) -> None:
    payload = said if isinstance(said, bytes) else said.encode()
    check(payload)
    check(line(payload, line_bytes=10))
    form_payload(b"payload=" + payload)


@lru_cache
def real(folder: Path) -> list[Any]:
    """Payloads of other tools: ours of every kind, and the shared ones where there are any."""
    own = [
        test_foreign_github.github(),
        test_foreign_github.github("success"),
        test_foreign_github.gitlab("running"),
        test_foreign_rollouts.application("Succeeded"),
        test_foreign_rollouts.flagger("Advance orders.shop canary weight 5"),
        test_foreign_rollouts.cdevent("service.deployed", test_foreign_rollouts.PLACE, chainId="c"),
        envelope(data=test_foreign_github.github("failure")),
        {"app": "orders", "revision": "a", "phase": "Running", "startedAt": "2026-05-21T12:00:00Z"},
    ]
    return own + [json.loads(path.read_bytes()) for path in sorted(folder.rglob("*.json"))]


def mutated(value: Any, luck: random.Random, *, rate: float) -> Any:
    """The value with some of its parts dropped or exchanged."""
    if luck.random() < rate:
        return luck.choice((None, "", 7, -1.5, True, [], {}, "x" * 300, "\x00", "\ud800", 10**30))
    if isinstance(value, dict):
        return {
            name: mutated(said, luck, rate=rate)
            for name, said in value.items()
            if luck.random() >= rate
        }
    if isinstance(value, list):
        return [mutated(said, luck, rate=rate) for said in value[:20]]
    return value


@settings(max_examples=150)
@given(st.integers(min_value=0, max_value=2**32))
def test_a_real_payload_with_parts_dropped_or_exchanged_is_read(seed: int) -> None:
    luck = random.Random(seed)
    payload = luck.choice(real(SHARED / "data" / "deployment_markers"))
    for rate in (0.01, 0.1):
        said = json.dumps(mutated(payload, luck, rate=rate)).encode()
        check(said)
        check(line(said, line_bytes=500))
