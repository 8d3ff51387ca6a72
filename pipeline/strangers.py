"""Events of services that nobody has named, where the configuration says to refuse them.

A misspelt service would otherwise make a stream of its own that no release is judged by. Markers
are let through: a marker without events has no data and says so.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from analyzers.facts import Batch, Reject
from analyzers.policy import Limits

UNKNOWN_SERVICE = "unknown_service"


def refuse_strangers(
    batch: Batch, payloads: Sequence[bytes], *, knows: Callable[[str], bool], limits: Limits
) -> Batch:
    """The batch with events of unknown services as rejects; ``payloads`` are what was decoded."""
    facts = batch.facts
    strange = np.array([not knows(word) for word in facts.service.words], np.bool_)
    if not strange.any():
        return batch
    refused = strange[facts.service.codes]
    left = facts.take(refused)
    fields = zip(
        batch.rows[refused].tolist(),
        left.time_ns.tolist(),
        left.environment.strings(),
        left.service.strings(),
        left.key.tolist(),
        strict=True,
    )
    rejects = [
        Reject(
            index=row,
            reason=UNKNOWN_SERVICE,
            detail=f"service {service!r} is not named in the configuration; name it in services:, "
            "or set unknown_services to accept",
            payload=payloads[row][: limits.reject_payload_bytes],
            time_ns=time_ns,
            environment=environment,
            service=service,
            key=(key[0], key[1]),
        )
        for row, time_ns, environment, service, key in fields
    ]
    return replace(
        batch,
        facts=facts.take(~refused),
        rows=batch.rows[~refused],
        rejects=tuple(sorted((*batch.rejects, *rejects), key=lambda reject: reject.index)),
    )
