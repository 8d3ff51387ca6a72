"""Alerts: what is said to people when a verdict turns to harm, and when the harm is over."""

from __future__ import annotations

from analyzers.judging.verdict import Alert, Reason, Verdict
from analyzers.policy import Policy


def firing(verdict: Verdict, policy: Policy) -> Alert:
    """The alert for a verdict that has become degraded. It asks for what the verdict asks for: in
    the mode ``observe``, or where the evidence is indicative, never for a rollback."""
    observed = verdict.mode == "observe"
    service = policy.service(verdict.service)
    worst = next((r for r in verdict.reasons if r.state == "degraded"), None)
    annotations = {
        "verdict": verdict.verdict,
        "action": verdict.action,
        "mode": "observe" if observed else "",
        "baseline_release": verdict.replaces or "",
        "owner": verdict.owner,
        "escalation": service.escalation,
        "runbook_url": verdict.runbook,
        "rollback_criteria": "" if observed else service.rollback_criteria,
        "policy": verdict.policy,
        "since": verdict.first_degraded_at or "",
    }
    return Alert(
        deployment=verdict.deployment,
        status="firing",
        at=verdict.first_degraded_at or verdict.as_of,
        summary=f"{verdict.service} {verdict.version} harms the business: {_asked(verdict)}",
        description=_description(verdict, worst),
        labels=_labels(verdict, policy),
        annotations={name: text for name, text in annotations.items() if text},
    )


def _asked(verdict: Verdict) -> str:
    """What the people who are told are to do."""
    if verdict.mode == "observe":
        return "observed only, no action is asked for"
    if verdict.action == "rollback":
        return "rollback"
    return "look at it, the evidence is indicative" if verdict.indicative else verdict.action


def resolved(verdict: Verdict, policy: Policy, *, at: str, rolled_back: bool) -> Alert:
    """The alert that ends a firing one: the release was rolled back, or finished all the same."""
    how = "was rolled back" if rolled_back else "was finished although it was degraded"
    return Alert(
        deployment=verdict.deployment,
        status="resolved",
        at=at,
        summary=f"{verdict.service} {verdict.version} {how}",
        description=f"{verdict.why} The release {how} at {at}.",
        labels=_labels(verdict, policy),
        annotations={"verdict": verdict.verdict},
    )


def _labels(verdict: Verdict, policy: Policy) -> dict[str, str]:
    """Identity only, never values: a label that changes is another alert."""
    tier = policy.service(verdict.service).tier
    return {
        "alertname": "PlimsollReleaseDegraded",
        "service": verdict.service,
        "release": verdict.version,
        "deployment": verdict.deployment,
        "environment": verdict.environment,
        "severity": "critical" if tier == "critical" else "warning",
    }


def _description(verdict: Verdict, worst: Reason | None) -> str:
    parts = [verdict.why]
    if verdict.mode == "observe":
        parts.append("The policy observes: every gate answers wait.")
    if worst is not None and worst.effect is not None and worst.baseline is not None:
        parts.append(
            f"Baseline {worst.baseline:.4g}, canary {worst.canary:.4g} {worst.unit}, difference "
            f"{_bound(worst.low)} to {_bound(worst.high)}; evidence {worst.e_value:.3g} to 1."
        )
    if verdict.impact is not None:
        hit = verdict.impact
        parts.append(
            f"Harmed so far: {hit.events:.0f} {hit.unit} ({hit.low:.0f} to {hit.high:.0f})."
        )
    return " ".join(parts)


def _bound(value: float | None) -> str:
    return "unknown" if value is None else f"{value:+.4g}"
