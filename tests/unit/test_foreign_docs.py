"""The page on markers of other tools is true: what it says is sent becomes what it says."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import yaml

from analyzers.facts import Marker
from analyzers.timeline import timeline
from collector.decoding.times import parse
from tests.payloads import decoded

PAGE = (Path(__file__).parents[2] / "docs" / "markers.md").read_text(encoding="utf-8")
NO_VALUE = "<no value>"


def blocks(info: str) -> list[str]:
    """The fenced blocks that begin with some words, in order."""
    return re.findall(rf"^```{info}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)


def only(said: bytes) -> Marker:
    """The one marker that a payload is."""
    batch = decoded(said)
    assert (batch.rejects, batch.ignored) == ((), ())
    (marker,) = batch.markers
    return marker


def test_each_payload_becomes_the_marker_that_stands_below_it() -> None:
    sent, markers = blocks("json sent"), blocks("json marker")
    assert len(sent) == len(markers) == 8
    assert len(re.findall("^```json", PAGE, re.MULTILINE)) == 16
    for payload, said in zip(sent, markers, strict=True):
        marker = only(payload.encode())
        fields = json.loads(said)
        assert marker.time_ns == parse(fields.pop("time"))
        assert {name: getattr(marker, name) for name in fields} == fields


def rendered(template: str, app: dict[str, Any]) -> bytes:
    """A Go template, of which only paths into ``.app`` are needed, as Argo CD would write it."""

    def value(match: re.Match[str]) -> str:
        found: Any = app
        for name in match.group(1).split("."):
            found = found.get(name, NO_VALUE) if isinstance(found, dict) else NO_VALUE
        return str(found)

    body = re.sub(r"\{\{\.app\.([\w.]+)\}\}", value, template)
    assert "{{" not in body
    return body.encode()


def test_the_template_for_argo_cd_tells_start_and_end_of_a_sync() -> None:
    (manifest,) = blocks("yaml argocd")
    data = yaml.safe_load(manifest)["data"]
    body = yaml.safe_load(data["template.plimsoll"])["webhook"]["plimsoll"]["body"]
    triggers = yaml.safe_load(data["trigger.plimsoll"])
    assert {name for trigger in triggers for name in trigger["send"]} == {"plimsoll"}
    state = {
        "phase": "Running",
        "startedAt": "2026-05-21T07:59:00Z",
        "syncResult": {"revision": "53e28ff2"},
    }
    app: dict[str, Any] = {
        "metadata": {"name": "order-api"},
        "status": {"operationState": state, "health": {"status": "Progressing"}},
    }
    began = only(rendered(body, app))
    state |= {"phase": "Succeeded", "finishedAt": "2026-05-21T08:04:00Z"}
    app["status"]["health"] = {"status": "Healthy"}
    ended = only(rendered(body, app))
    (release,) = timeline([began, ended]).deployments
    assert (release.started_ns, release.ended_ns) == (
        parse("2026-05-21T07:59:00Z"),
        parse("2026-05-21T08:04:00Z"),
    )
    assert (release.outcome, release.version) == ("ok", "53e28ff2")


def test_every_other_block_of_yaml_can_be_read() -> None:
    found = [yaml.safe_load(block) for block in blocks("yaml")]
    assert [sorted(one) for one in found] == [["webhooks"], ["webhooks"], ["analysis"]]
