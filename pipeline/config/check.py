"""Whether a configuration can be used here: ``plimsoll check``.

Reads the file, then tries what it names, whatever else is wrong with it: every channel and every
Kafka cluster must answer, paths must exist, the folder of the state must take a file. Nothing is
sent to a channel but a question that changes nothing. The command line calls ``run_check``;
everything before the last line is a value.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, TextIO

import httpx

from pipeline.config import look
from pipeline.config.faults import ConfigError, Fault, blamed
from pipeline.config.feeding import starved
from pipeline.config.notes import notes
from pipeline.config.settings import Channel, Settings
from pipeline.config.source_probes import Probe, try_sources

# Long enough for a proxy that wakes up, short enough that sixteen dead channels still end soon.
TIMEOUT_S: Final = 5.0
FORBIDDEN: Final = (401, 403, 407)
# A webhook that takes only POST answers 404, 405 or 501 to HEAD: it is there all the same.
POST_ONLY: Final = (404, 405, 501)
REDIRECTS: Final = range(300, 400)
SERVER_ERRORS: Final = range(500, 600)


@dataclass(frozen=True, slots=True)
class Report:
    """What is known of a configuration. ``settings`` is None where it has faults."""

    source: str
    faults: tuple[Fault, ...]
    settings: Settings | None
    probes: tuple[Probe, ...] = ()
    notes: tuple[Fault, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether the daemon can work with it."""
        return not self.faults and all(probe.ok for probe in self.probes)

    def lines(self) -> tuple[str, ...]:
        """The report in words, one finding a line."""
        found = [f"fault  {fault}" for fault in self.faults]
        found += [
            f"{'ok' if probe.ok else 'fault':5}  {probe.path}: {probe.found}"
            for probe in self.probes
            if not (self.faults and probe.ok)  # who has faults to mend need not hear what is well
        ]
        found += [f"note   {note}" for note in self.notes]
        wrong = len(self.faults) + sum(not probe.ok for probe in self.probes)
        if wrong:
            return (*found, f"{self.source}: {wrong} fault{'' if wrong == 1 else 's'}")
        return (*found, f"{self.source}: valid. {_summary(self.settings)}")


def check(path: Path | None, env: Mapping[str, str]) -> Report:
    """What is wrong with a configuration file and with what it names; None means the defaults."""
    source = "the built-in defaults" if path is None else str(path)
    looked = look(path, env)
    found = looked.settings
    if found is None:
        return Report(source, looked.faults, None)
    faults, without_events = looked.faults, starved(found, looked.faults, line=looked.line)
    if without_events:
        faults = tuple(sorted((*faults, *without_events), key=lambda fault: fault.line))
    # What has a fault is not tried with the rest of it: without its token a channel only refuses.
    state = () if blamed("state", faults) else (_try_state(found.state),)
    channels = [one for one in found.alerts if not blamed(one.place, faults)]
    sources = [one for one in found.sources if not blamed(one.reading_place, faults)]
    probes = (*state, *_try_channels(channels), *try_sources(sources))
    if faults:
        return Report(source, faults, None, probes)
    return Report(source, (), found, probes, notes(found))


def run_check(path: Path | None, out: TextIO, *, env: Mapping[str, str] | None = None) -> int:
    """The exit code of ``plimsoll check``: 0 if all is well, 1 if not, after saying why."""
    report = check(path, os.environ if env is None else env)
    put(report.lines(), out)
    return 0 if report.ok else 1


def faults_of(error: ConfigError) -> tuple[str, ...]:
    """What is wrong with a configuration, a line each."""
    return Report(error.source, error.faults, None).lines()


def put(lines: Iterable[str], out: TextIO) -> None:
    """Writes lines; what a terminal cannot show must not keep the rest from being seen."""
    encoding = out.encoding or "utf-8"
    out.writelines(
        line.encode(encoding, "backslashreplace").decode(encoding) + "\n" for line in lines
    )


def _summary(settings: Settings | None) -> str:
    if settings is None:
        return ""
    policy = settings.policy
    named = sum(metric.named for metric in policy.metrics)
    return (
        f"{len(policy.metrics)} metrics ({named} named here), {len(policy.services)} services, "
        f"{len(settings.sources)} sources, {len(settings.alerts)} channels, "
        f"policy {policy.digest()}"
    )


def _try_state(state: Path) -> Probe:
    """Whether the state, or the nearest folder above it that exists, takes a file."""
    folder = state.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        reason = error.strerror or type(error).__name__
        return Probe(
            "state", ok=False, found=f"{folder} takes no file ({reason}): name one you may write to"
        )
    new = "" if folder == state.absolute() else f", where {state} will be made"
    return Probe("state", ok=True, found=f"{folder} can be written{new}")


def _try_channels(channels: Sequence[Channel]) -> tuple[Probe, ...]:
    if not channels:
        return ()
    try:
        client = httpx.Client(timeout=TIMEOUT_S, follow_redirects=False)
    except ValueError as error:  # what the environment names as a proxy is none
        reason = str(error)
        return (Probe("alerts", ok=False, found=f"the proxy set here cannot be used ({reason})"),)
    with client:
        return tuple(_try_channel(client, channel.place, channel) for channel in channels)


def _try_channel(client: httpx.Client, path: str, channel: Channel) -> Probe:
    """Whether a channel answers. A webhook gets HEAD, which no receiver takes for an alert."""
    alertmanager = channel.kind == "alertmanager"
    url = f"{channel.url}/api/v2/status" if alertmanager else channel.url
    try:
        with client.stream(
            "GET" if alertmanager else "HEAD", url, headers=dict(channel.headers)
        ) as answer:
            status = answer.status_code
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        return Probe(path, ok=False, found=f"{channel.label} does not answer ({reason})")
    said = f"{channel.label} answers {status}"
    if status in FORBIDDEN:
        return Probe(path, ok=False, found=f"{said}: give it its credentials in `headers:`")
    if status in REDIRECTS:
        return Probe(path, ok=False, found=f"{said}: redirects are not followed, name the target")
    if not alertmanager and status in POST_ONLY:
        return Probe(path, ok=True, found=f"{said} to HEAD, as who takes only POST may")
    if status in SERVER_ERRORS or (alertmanager and status != 200):
        return Probe(path, ok=False, found=f"{said}: is that the right address?")
    return Probe(path, ok=True, found=said)
