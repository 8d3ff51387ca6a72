"""Argo CD notifications: an Application as it is, or a body that somebody's template made of one.

Argo CD has no fixed body for webhooks. A template that writes the whole application says
everything; one of its own is understood where it names the application, a revision and how far it
has come in Argo CD's words. The catalogue's cards for chat rooms name no time, so they are no
markers. Source: Argo CD's notification documentation and catalogue.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from collector.decoding.said import Loose
from collector.foreign.kinds import Other, other
from collector.foreign.release import FAILED, FINISHED, OK, STARTED, environment_of, marker
from collector.foreign.values import inner, name, text, value

_ANNOTATION: Final = "plimsoll/"
_GROUP: Final = "argoproj.io/"
_APPS: Final = ("app", "application", "appName", "app_name", "applicationName", "application_name")
_REVISIONS: Final = ("revision", "syncRevision", "sync_revision", "targetRevision", "commit")
_PHASES: Final = ("phase", "operationPhase", "operation_phase", "operationState", "operation_state",
                  "syncPhase", "sync_phase", "operation")  # fmt: skip
_SYNCS: Final = ("status", "syncStatus", "sync_status", "sync")
_HEALTHS: Final = ("health", "healthStatus", "health_status", "appHealth", "app_health")
_BEGAN: Final = ("startedAt", "started_at", "operationStartedAt")
_ENDED: Final = ("finishedAt", "finished_at", "operationFinishedAt")
_WHEN: Final = ("time", "timestamp", "ts", "at", "date")
_PHASE_WORDS: Final = frozenset(("Running", "Succeeded", "Failed", "Error", "Terminating"))
_HEALTH_WORDS: Final = frozenset(
    ("Healthy", "Progressing", "Degraded", "Suspended", "Missing", "Unknown")
)
_SYNC_WORDS: Final = frozenset(("Synced", "OutOfSync", "Unknown"))
_CARD_BEGINS: Final = (
    "Application ",
    "New version of an application ",
    "Failed to sync application ",
    "Start syncing application ",
)
_NO_VALUE: Final = "<no value>"  # what a Go template writes where there is nothing


@dataclass(frozen=True, slots=True, kw_only=True)
class _Told:
    """What a notification tells of an application; empty where it says nothing. ``changed`` is
    when its health became what it is, ``when`` a time that the template gave no meaning."""

    app: str
    namespace: str
    revision: str
    phase: str
    health: str
    began: str
    ended: str
    changed: str
    when: str = ""
    environment: str


def understood(fields: Mapping[str, object]) -> Loose | Other | None:
    """What a notification says; None if the object is none."""
    for whole in (fields, inner(fields, "app"), inner(fields, "application")):
        if _is_application(whole):
            return _of_application(whole, fields if whole is not fields else {})
    if text(fields, "context").startswith("continuous-delivery/") and "state" in fields:
        return other("argocd", "commit_status")
    if _is_card(fields):
        return other("argocd", "card")
    app = _of(fields, _APPS) or text(fields, "app", "name") or text(fields, "application", "name")
    whole = {"metadata": {"name": app}, "status": fields.get("status")}
    if app and _is_application(whole):
        return _of_application(whole, fields)
    parts = {**inner(fields, "app"), **inner(fields, "application")}
    return _of_body({**parts, **fields}, app)


def _is_application(fields: Mapping[str, object]) -> bool:
    if version := text(fields, "apiVersion"):
        return version.startswith(_GROUP) and text(fields, "kind") == "Application"
    status = inner(fields, "status")
    known = isinstance(status.get("sync"), dict) or isinstance(status.get("operationState"), dict)
    return bool(text(fields, "metadata", "name")) and known


def _of_application(app: Mapping[str, object], around: Mapping[str, object]) -> Loose | Other:
    """The marker of a whole Application; ``around`` is the body that it stands in."""
    state = inner(app, "status", "operationState")
    revision = (
        text(state, "syncResult", "revision")
        or _first(value(state, "syncResult", "revisions"))
        or text(state, "operation", "sync", "revision")
        or text(app, "status", "sync", "revision")
        or _first(value(app, "status", "sync", "revisions"))
    )
    labels = inner(app, "metadata", "labels")
    notes = inner(app, "metadata", "annotations")
    own: dict[str, object] = dict(around)
    own |= {
        one.removeprefix(_ANNOTATION): said
        for one, said in notes.items()
        if one.startswith(_ANNOTATION)
    }
    return _marker(
        _Told(
            app=text(app, "metadata", "name"),
            namespace=text(app, "metadata", "namespace"),
            revision=revision,
            phase=text(state, "phase"),
            health=text(app, "status", "health", "status"),
            began=text(state, "startedAt"),
            ended=text(state, "finishedAt"),
            changed=text(app, "status", "health", "lastTransitionTime"),
            environment=text(labels, "environment")
            or text(labels, "env")
            or environment_of(
                text(app, "spec", "destination", "namespace"), text(app, "spec", "project")
            ),
        ),
        own,
    )


def _of_body(fields: Mapping[str, object], app: str) -> Loose | Other | None:
    """The marker of a body that a template wrote, which has the words of Argo CD in its fields."""
    revision = _of(fields, _REVISIONS) or text(fields, "sync", "revision")
    phase = _in(fields, (*_PHASES, *_SYNCS), _PHASE_WORDS)
    health = _in(fields, _HEALTHS, _HEALTH_WORDS)
    synced = _in(fields, _SYNCS, _SYNC_WORDS)
    if not app and (health or synced):
        app = text(fields, "name")
    if not app or not (phase or health or synced):
        return None
    if not revision:
        return (
            other("argocd", "sync_status")
            if bool(phase) + bool(health) + bool(synced) > 1
            else None
        )
    if not phase and synced == "Synced":
        phase = "Succeeded"
    when = _of(fields, _WHEN)
    ended = _of(fields, _ENDED)
    return _marker(
        _Told(
            app=app,
            namespace="",
            revision=revision,
            phase=phase,
            health=health,
            began=_of(fields, _BEGAN),
            ended=ended or when,
            changed=ended or when,
            when=when,
            environment=_of(fields, ("environment", "env"))
            or environment_of(_said(fields, "namespace"), _said(fields, "project")),
        ),
        {one: said for one, said in fields.items() if one != "environment" and said != _NO_VALUE},
    )


def _marker(told: _Told, own: Mapping[str, object]) -> Loose | Other:
    """A sync that runs, or whose new pods do not all answer yet, is a start; one that is over and
    healthy is a good end; one that failed, or left the application degraded, a bad one."""
    end = told.ended or told.began or told.when
    match (told.phase, told.health):
        case ("Running", _):
            said, outcome, time = STARTED, "", told.began or told.when
        case ("Failed" | "Error", _):
            said, outcome, time = FINISHED, FAILED, end
        case ("Succeeded" | "", "Degraded" | "Missing"):
            said, outcome, time = FINISHED, FAILED, told.changed or end
        case ("Succeeded", "Progressing"):
            said, outcome, time = STARTED, "", told.began or end
        case ("Succeeded", "Healthy" | ""):
            said, outcome, time = FINISHED, OK, end
        case _:  # never synced, stopped half way, suspended: nothing that a release did
            return other("argocd", "sync_status" if told.phase or told.health else "application")
    return marker(
        said,
        id=name("argocd", told.namespace, told.app, told.revision, said, outcome, time),
        time=time,
        deployment=_deployment(told),
        service=told.app,
        version=told.revision,
        environment=told.environment,
        outcome=outcome,
        own=own,
    )


def _deployment(told: _Told) -> str:
    """One name for one sync: the same revision may be synced again, weeks later."""
    if not told.revision:
        return ""
    parts = (told.namespace, told.app, told.revision, told.began)
    return name("argocd", *(part for part in parts if part))


def _is_card(fields: Mapping[str, object]) -> bool:
    if text(fields, "@type") == "MessageCard" or isinstance(fields.get("attachments"), list):
        return True
    title = text(fields, "title")
    if "title_link" in fields and isinstance(fields.get("fields"), list):
        return True
    return title.startswith(_CARD_BEGINS) and ("facts" in fields or "potentialAction" in fields)


def _in(fields: Mapping[str, object], names: tuple[str, ...], words: frozenset[str]) -> str:
    return next((said for one in names if (said := _said(fields, one)) in words), "")


def _of(fields: Mapping[str, object], names: tuple[str, ...]) -> str:
    return next((said for one in names if (said := _said(fields, one))), "")


def _said(fields: Mapping[str, object], one: str) -> str:
    """A field as a text, or the status or the phase in it; nothing where the template had none."""
    said = text(fields, one) or text(fields, one, "status") or text(fields, one, "phase")
    return "" if said == _NO_VALUE else said


def _first(revisions: object) -> str:
    found = revisions[0] if isinstance(revisions, list) and revisions else ""
    return found if isinstance(found, str) else ""
