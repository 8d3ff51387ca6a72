"""What a plain threshold gate would say of the same release, beside our verdict.

Such a gate looks at point estimates once there are enough events. It has no error rate: looked at
often enough it is wrong sooner or later, which is what the comparison is there to show.
"""

from __future__ import annotations

from collections.abc import Iterable

from analyzers.judging.verdict import FixedRuleVerdict, Reason
from analyzers.policy import Criticality, FixedRule, Policy


def fixed_rule(reasons: Iterable[Reason], policy: Policy) -> FixedRuleVerdict | None:
    """What the policy's fixed rule says at this look; None where the policy does not ask.

    Degraded if any total that gates, or would if it could be judged, with ``min_events`` in both
    arms is estimated beyond its margin, healthy if all have them and none is, else inconclusive.
    Nothing is remembered.
    """
    rule = policy.fixed_rule
    if rule is None:
        return None
    gating = [one for one in reasons if not one.segment and _looked_at(one, policy)]
    enough = [reason for reason in gating if _enough(reason, rule)]
    crossed = sorted(reason.metric for reason in enough if _beyond(reason, policy))
    if crossed:
        return FixedRuleVerdict("degraded", crossed)
    healthy = bool(gating) and len(enough) == len(gating)
    return FixedRuleVerdict("healthy" if healthy else "inconclusive", [])


def _looked_at(reason: Reason, policy: Policy) -> bool:
    """A threshold gate does not know what cannot be judged."""
    if reason.indicative:
        return policy.metric(reason.metric).criticality is not Criticality.WATCH
    return reason.gates


def _enough(reason: Reason, rule: FixedRule) -> bool:
    fewest = min(reason.n_baseline, reason.n_canary)
    return reason.effect is not None and fewest >= rule.min_events


def _beyond(reason: Reason, policy: Policy) -> bool:
    """Whether the estimate lies beyond the margin, each in the margin's own terms."""
    margin = policy.metric(reason.metric).margin
    effect = reason.relative_effect if margin.relative else reason.effect
    sign = 1.0 if reason.worse == "higher" else -1.0
    return effect is not None and sign * effect > margin.size
