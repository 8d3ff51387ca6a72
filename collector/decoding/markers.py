"""Deployment markers: what a release did, as one JSON object of our own format.

A marker decides what is judged at all, so every field of it must make sense. Formats of other
tools are translated elsewhere; nothing here knows them.
"""

from __future__ import annotations

import math
from typing import Final

from analyzers.facts import OK, Marker
from collector.decoding import texts, times
from collector.decoding.faults import Fault, Reason, quote
from collector.decoding.said import PRODUCTION, Loose

PREFIX: Final = "deployment."
STARTED: Final = "deployment.started"
FINISHED: Final = "deployment.finished"
TYPES: Final = (STARTED, "deployment.shifted", FINISHED, "deployment.rolled_back")
STRATEGIES: Final = ("canary", "ring", "blue_green", "rolling", "flag", "migration", "emergency")
OUTCOMES: Final = (OK, "failed")

# A ring may name some thousand accounts; a marker is kept for months, so it must have an end.
_COHORT_ATTRIBUTES: Final = 32
_COHORT_VALUES: Final = 10_000
_RUNBOOK_BYTES: Final = 2_048  # longer than any address that browsers take
_NAMED: Final = ("id", "service", "environment")
_OWN: Final = ("deployment", "version", "replaces", "strategy", "outcome", "owner", "runbook")


def is_marker(event_type: str) -> bool:
    """Whether a type belongs to markers, known or not."""
    return event_type.startswith(PREFIX)


def marker(loose: Loose) -> Marker | Fault:
    """The marker that a JSON object is, or the first thing that is wrong with it."""
    fault = _fault_of_fields(loose)
    if fault is not None:
        return fault
    time_ns = times.parse(loose.time())
    if isinstance(time_ns, Fault):
        return time_ns
    share = _share(loose.fields.get("share"))
    if isinstance(share, Fault):
        return share
    cohort = _cohort(loose.fields.get("cohort"))
    if isinstance(cohort, Fault):
        return cohort
    said = Marker(
        id=loose.text("id"),
        time_ns=time_ns,
        type=loose.text("type"),
        deployment=loose.text("deployment"),
        service=loose.text("service"),
        environment=loose.text("environment") or PRODUCTION,
        version=loose.text("version"),
        replaces=loose.text("replaces"),
        strategy=loose.text("strategy") or "canary",
        share=share,
        cohort=cohort,
        outcome=loose.text("outcome") or (OK if loose.text("type") == FINISHED else ""),
        owner=loose.text("owner"),
        runbook=loose.text("runbook"),
        opens=loose.fields.get("opens") is True and bool(loose.text("version")),
    )
    return _fault_of_meaning(said) or said


def _fault_of_fields(loose: Loose) -> Fault | None:
    event_type = loose.text("type")
    if event_type not in TYPES:
        return Fault(Reason.MARKER_TYPE_UNKNOWN, f"type {quote(event_type)} is no marker's")
    for name in _NAMED:
        required = name != "environment"
        fault = loose.fault_of_text(name, required=required)
        fault = fault or texts.fault_of(name, loose.text(name))
        if fault is None and loose.option(name) == "":
            fault = Fault(Reason.FIELD_EMPTY, f"field {name} is empty")
        if fault is not None:
            return fault
    for name in _OWN:
        most = _RUNBOOK_BYTES if name == "runbook" else texts.TEXT_BYTES
        fault = loose.fault_of_text(name, required=False)
        fault = fault or texts.fault_of(name, loose.text(name), most=most)
        if fault is not None:
            return Fault(Reason.MARKER_INVALID, fault.what)
    if loose.constants:
        return Fault(Reason.NOT_JSON, f"{loose.constants[0]} is no JSON")
    return loose.fault_of_time()


def _fault_of_meaning(said: Marker) -> Fault | None:
    what = None
    if not said.deployment:
        what = "field deployment is missing"
    elif said.type == STARTED and not said.version:
        what = f"field version is missing, which {STARTED} needs"
    elif said.strategy not in STRATEGIES:
        what = f"strategy {quote(said.strategy)} is none of {', '.join(STRATEGIES)}"
    elif said.type == FINISHED and said.outcome not in OUTCOMES:
        what = f"outcome {quote(said.outcome)} is neither ok nor failed"
    return None if what is None else Fault(Reason.MARKER_INVALID, what)


def _share(share: object) -> float | Fault | None:
    if share is None:
        return None
    if isinstance(share, bool) or not isinstance(share, int | float):
        return Fault(Reason.MARKER_INVALID, "share is not a number")
    if not (math.isfinite(share) and 0 <= share <= 1):
        return Fault(Reason.MARKER_INVALID, f"share {quote(share)} is not between 0 and 1")
    return float(share)


def _cohort(cohort: object) -> dict[str, tuple[str, ...]] | Fault:
    if cohort is None:
        return {}
    if not isinstance(cohort, dict) or len(cohort) > _COHORT_ATTRIBUTES:
        what = f"cohort is not an object of at most {_COHORT_ATTRIBUTES} attributes"
        return Fault(Reason.MARKER_INVALID, what)
    chosen: dict[str, tuple[str, ...]] = {}
    for name, values in cohort.items():
        if not isinstance(values, list) or not 0 < len(values) <= _COHORT_VALUES:
            what = f"cohort {quote(name)} is not a list of 1 to {_COHORT_VALUES} texts"
            return Fault(Reason.MARKER_INVALID, what)
        for value in (name, *values):
            if not isinstance(value, str) or not value or texts.fault_of("cohort", value):
                what = f"cohort {quote(name)} holds {quote(value)}, which is no proper text"
                return Fault(Reason.MARKER_INVALID, what)
        chosen[name] = tuple(values)
    return chosen
