"""What the daemon needs beside a policy: where it listens, what it keeps where, whom it tells.

Value types, and their keys in the configuration. Nothing here opens a socket or a file.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal
from urllib.parse import SplitResult, urlsplit

from analyzers.policy import Policy
from pipeline.config.document import Fields, Scalar, Unreadable
from pipeline.config.faults import joined
from pipeline.config.fields import Key, Place, Reader, Section, choice, flag, section, text, whole
from pipeline.config.inputs import (
    DEDUPLICATION,
    OTLP,
    WEBHOOKS,
    Deduplication,
    OtlpSettings,
    deduplication,
    otlp_settings,
    webhook_secrets,
)
from pipeline.config.paths import at_home
from pipeline.config.sources import SOURCES, SourceSettings, Surroundings, sources

if TYPE_CHECKING:
    from collector.foreign.signatures import WebhookSecrets

HOST: Final = "127.0.0.1"
PORT: Final = 8600
# Every alert goes to every channel; more than this many belong behind one Alertmanager.
CHANNELS_MAX: Final = 16
HEADERS_MAX: Final = 20
HEADER_CHARS: Final = 4_096
URL_CHARS: Final = 2_000
# What the HTTP client itself writes; a second value would break the request.
_OWN_HEADERS: Final = frozenset({"content-length", "content-type", "host", "transfer-encoding"})
_ALERTMANAGER_PATHS: Final = ("/api/v2/alerts", "/api/v2")

ChannelKind = Literal["webhook", "alertmanager"]


@dataclass(frozen=True, slots=True)
class Channel:
    """Where alerts go. ``url`` of an Alertmanager is its root, without ``/api/v2/alerts``.

    Headers may hold credentials and many webhook addresses are credentials: neither is shown in
    a repr; ``label`` is what may be logged.
    """

    kind: ChannelKind
    url: str = field(repr=False)
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    place: str = field(default="", repr=False, compare=False)  # where it is written

    @property
    def label(self) -> str:
        """Kind and host, without path, query and headers."""
        parts = urlsplit(self.url)
        return f"{self.kind} {parts.scheme}://{parts.netloc}"


@dataclass(frozen=True, slots=True)
class Settings:
    """One configuration, checked: the policy and everything the daemon needs beside it."""

    policy: Policy
    state: Path
    host: str = HOST
    port: int = PORT
    alerts: tuple[Channel, ...] = ()
    unknown_services: Literal["accept", "reject"] = "accept"
    insecure: bool = False
    sources: tuple[SourceSettings, ...] = ()
    otlp: OtlpSettings = field(default_factory=OtlpSettings)
    webhooks: WebhookSecrets | None = None  # None: no signature is asked for
    deduplication: Deduplication = field(default_factory=Deduplication)
    written: Path | None = None  # the file that all this stands in, where it is one
    audit_at_s: int | None = None  # seconds after midnight UTC; None: no nightly audit

    @property
    def exposed(self) -> bool:
        """Whether others than this machine can reach it although nobody allowed that."""
        return not self.insecure and not _is_loopback(self.host)

    def knows(self, service: str) -> bool:
        """Whether events of a service are taken in."""
        if self.unknown_services == "accept" or service in self.policy.services:
            return True
        return any(service in metric.services for metric in self.policy.metrics)


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:  # another name, which may lead anywhere
        return False


def _read_url(place: Place) -> str | None:
    """An http(s) address; a faulty one is not repeated, because it may be a secret."""
    node = place.node
    if not isinstance(node, Scalar):
        if not isinstance(node, Unreadable):
            place.fault(f"must be {_URL_FORM}, not {place.found()}")
        return None
    parts = _split(node.text)
    if parts is None or len(node.text) > URL_CHARS or not parts.hostname:
        place.fault(f"must be {_URL_FORM}; what stands here is none")
        return None
    if parts.username is not None or parts.password is not None:
        place.fault("holds a user or password, which would end up in logs: use `headers:`")
        return None
    if parts.fragment:
        place.fault("has a part after `#`, which is never sent: drop it")
        return None
    return node.text


def _split(url: str) -> SplitResult | None:
    """The parts of an http(s) address, None if it is none."""
    if not re.fullmatch(r"https?://[!-~]+", url):
        return None
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:  # a port beyond 65535, or brackets that hold no address
        return None
    return None if port == 0 else parts


def _read_headers(place: Place) -> tuple[tuple[str, str], ...] | None:
    """Headers in the order of their names; values are never repeated in a fault."""
    if not isinstance(place.node, Fields):
        place.fault("must be a mapping of header names to values")
        return None
    entries = place.node.entries
    if len(entries) > HEADERS_MAX:
        place.fault(f"has {len(entries)} headers: at most {HEADERS_MAX} are sent")
    found = [
        (name, value)
        for name, node in entries.items()
        if (value := _header(Place(node, joined(place.path, name), place.faults), name)) is not None
    ]
    names = [name.lower() for name, _ in found]
    if len(set(names)) < len(names):
        place.fault("has the same header twice, written in different cases: keep one")
    return tuple(sorted(found)) if len(found) == len(entries) else None


def _header(place: Place, name: str) -> str | None:
    node = place.node
    if isinstance(node, Unreadable):
        return None
    if not re.fullmatch(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,128}", name):
        place.fault("is no name of an HTTP header")
    elif name.lower() in _OWN_HEADERS:
        place.fault("is set by the sender itself: drop it")
    elif (
        isinstance(node, Scalar)
        and len(node.text) <= HEADER_CHARS
        and re.fullmatch(r"[!-~](?:[ -~]*[!-~])?", node.text)
    ):
        return node.text
    else:
        place.fault("must be one line of ASCII without blanks at its ends")
    return None


def _read_alerts(place: Place) -> tuple[Channel, ...] | None:
    places = place.elements()
    if len(places) > CHANNELS_MAX:
        place.fault(f"has {len(places)} channels: at most {CHANNELS_MAX} are told")
        return None
    found: dict[Channel, str] = {}
    for here in places:
        channel = _channel(here)
        if channel is None:
            continue
        twin = next((path for c, path in found.items() if _same_place(c, channel)), None)
        if twin is not None:
            here.fault(f"is the same address as {twin}: every alert would arrive twice")
        else:
            found[channel] = here.path
    return tuple(found)


def _same_place(one: Channel, other: Channel) -> bool:
    return (one.kind, one.url) == (other.kind, other.url)


def _channel(place: Place) -> Channel | None:
    before = place.faults.reports
    here = section(place, CHANNEL_KEYS)
    if here is None:
        return None
    headers = HEADERS.of(here) or ()
    webhook, alertmanager = WEBHOOK.of(here), ALERTMANAGER.of(here)
    if here.has(WEBHOOK) == here.has(ALERTMANAGER):
        place.fault("must name either `webhook:` or `alertmanager:` with its address")
    if place.faults.reports > before:  # half of a channel must not be tried
        return None
    if webhook is not None:
        return Channel("webhook", webhook, headers, place.path)
    if alertmanager is None:  # from a place that the YAML already has a fault of
        return None
    root = alertmanager.rstrip("/")
    for path in _ALERTMANAGER_PATHS:
        root = root.removesuffix(path)
    return Channel("alertmanager", root, headers, place.path)


_URL_FORM: Final = "an address such as https://alerts.example.com/hook"
_HOST_TEXT: Final = text(
    253,
    form="an address or host name such as 127.0.0.1 or 0.0.0.0",
    pattern=r"[A-Za-z0-9](?:[A-Za-z0-9.-]*[A-Za-z0-9])?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*",
)


def _read_host(place: Place) -> str | None:
    """An address or the name of a host; digits and dots alone, or colons, are an address."""
    found = _HOST_TEXT.read(place)
    if found is None or not re.fullmatch(r"[0-9.]+|.*:.*", found):
        return found
    try:
        ipaddress.ip_address(found)
    except ValueError:
        place.fault(f"must be {_HOST_TEXT.form}; {place.found()} is no address that can be")
        return None
    return found


_UNKNOWN: Final[dict[str, Literal["accept", "reject"]]] = {"accept": "accept", "reject": "reject"}

WEBHOOK: Final = Key(
    "webhook", Reader(_URL_FORM, _read_url), "", "Gets every alert as JSON in a POST."
)
ALERTMANAGER: Final = Key(
    "alertmanager",
    Reader("an address such as http://alertmanager:9093", _read_url),
    "",
    "The root of an Alertmanager; `/api/v2/alerts` is added.",
)
HEADERS: Final = Key(
    "headers",
    Reader("a mapping of header names to values", _read_headers),
    "none",
    "Sent with every request, for credentials: `Authorization: Bearer ${TOKEN}`.",
)
CHANNEL_KEYS: Final[tuple[Key[Any], ...]] = (WEBHOOK, ALERTMANAGER, HEADERS)

LISTEN: Final = Key(
    "host",
    Reader(_HOST_TEXT.form, _read_host),
    HOST,
    "The address to listen on. On any other than loopback, whoever reaches it can write.",
)
INSECURE: Final = Key(
    "insecure",
    flag(),
    "false",
    "With `true`, an address that others can reach is allowed for `host`.",
)
LISTEN_PORT: Final = Key(
    "port", whole(0, 65_535), f"{PORT}", "The port to listen on; 0 takes a free one."
)
STATE: Final = Key(
    "state",
    text(1_024, form="a folder"),
    "`$XDG_STATE_HOME/plimsoll` or `~/.local/state/plimsoll`",
    "Where the state is kept. A relative path starts at the folder of this file.",
)
ALERTS: Final = Key(
    "alerts",
    Reader("a list of channels, each with `webhook:` or `alertmanager:`", _read_alerts),
    "none",
    "Where changes of a verdict are sent.",
)
UNKNOWN_SERVICES: Final = Key(
    "unknown_services",
    choice(_UNKNOWN),
    "accept",
    "What happens to events of services that neither `services:` nor a metric names.",
)
AUDIT: Final = Key(
    "audit",
    text(5, form="a time of day in UTC such as 02:30", pattern=r"(?:[01][0-9]|2[0-3]):[0-5][0-9]"),
    "never",
    "When the daemon audits itself each day, as `plimsoll audit` does, and publishes the result.",
)
DAEMON_KEYS: Final[tuple[Key[Any], ...]] = (
    LISTEN, LISTEN_PORT, INSECURE, STATE, ALERTS, UNKNOWN_SERVICES, SOURCES, OTLP, WEBHOOKS,
    DEDUPLICATION, AUDIT,
)  # fmt: skip


def settings(top: Section, policy: Policy, *, folder: Path, env: Mapping[str, str]) -> Settings:
    """The settings that a configuration in ``folder`` describes, with the policy it holds."""
    written = STATE.of(top)
    port = LISTEN_PORT.of(top)
    otlp = otlp_settings(top)
    around = Surroundings(policy.limits, otlp.rules, folder, env)
    found = Settings(
        policy=policy,
        state=_state(env) if written is None else folder / at_home(written, env),
        host=LISTEN.of(top) or HOST,
        port=PORT if port is None else port,
        alerts=ALERTS.of(top) or (),
        unknown_services=UNKNOWN_SERVICES.of(top) or "accept",
        insecure=INSECURE.of(top) or False,
        sources=sources(top, around),
        otlp=otlp,
        webhooks=webhook_secrets(top),
        deduplication=deduplication(top),
        audit_at_s=_audit_at_s(top),
    )
    named = policy.services or any(metric.services for metric in policy.metrics)
    if found.unknown_services == "reject" and not named:
        top.fault(UNKNOWN_SERVICES, "is reject and `services:` names none: all would be rejected")
    return found


def _audit_at_s(top: Section) -> int | None:
    """When the nightly audit begins, in seconds after midnight UTC."""
    written = AUDIT.of(top)
    if written is None:
        return None
    hours, minutes = written.split(":")
    return int(hours) * 3600 + int(minutes) * 60


def _state(env: Mapping[str, str]) -> Path:
    """The user's folder for state. The XDG rules say that a relative one must be ignored."""
    given = env.get("XDG_STATE_HOME", "")
    if given.startswith("/"):
        return Path(given) / "plimsoll"
    return at_home("~/.local/state/plimsoll", env)
