"""A Kafka cluster as a configuration writes it: brokers, topics, and how they know us.

Passwords are never repeated in a fault and stand in no repr.
"""

# ruff: noqa: PLC0415 - a configuration without Kafka must not import what reads it
from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pipeline.config.document import Scalar, Unreadable
from pipeline.config.fields import (
    Key,
    Place,
    Reader,
    Section,
    choice,
    section,
    several,
    text,
    whole,
)

if TYPE_CHECKING:
    from collector.kafka.settings import KafkaSecurity, KafkaSettings, Mechanism, Protocol, Start

BROKERS_MAX: Final = 100
TOPICS_MAX: Final = 1_000
PATTERN_CHARS: Final = 500
SECRET_CHARS: Final = 4_096
_PROTOCOLS: Final[dict[str, Protocol]] = {
    "PLAINTEXT": "PLAINTEXT",
    "SSL": "SSL",
    "SASL_PLAINTEXT": "SASL_PLAINTEXT",
    "SASL_SSL": "SASL_SSL",
}
_MECHANISMS: Final[dict[str, Mechanism]] = {
    "PLAIN": "PLAIN",
    "SCRAM-SHA-256": "SCRAM-SHA-256",
    "SCRAM-SHA-512": "SCRAM-SHA-512",
}


_BEGINNINGS: Final[dict[str, Start]] = {"earliest": "earliest", "latest": "latest"}


def _as_it_is(place: Place) -> Place | None:
    return place


def _read_broker(place: Place) -> str | None:
    found = _BROKER.read(place)
    if found is None:
        return None
    port = int(found.rpartition(":")[2])
    if not 0 < port < 65_536:
        place.fault(f"names the port {port}: a port is 1 to 65535")
        return None
    return found


def _read_pattern(place: Place) -> str | None:
    found = _PATTERN.read(place)
    if found is None:
        return None
    try:
        re.compile(found)
    except (re.error, RecursionError, OverflowError) as error:
        place.fault(f"is no regular expression: {error}")
        return None
    return found


def _read_start(place: Place) -> Start | None:
    node = place.node
    if isinstance(node, Scalar):
        if node.text in _BEGINNINGS:
            return _BEGINNINGS[node.text]
        from collector.decoding.times import parse

        found = parse(node.text)
        if isinstance(found, int):
            return found
    if not isinstance(node, Unreadable):
        place.fault(f"must be {_START_FORM}, not {place.found()}")
    return None


def _read_secret(place: Place) -> str | None:
    """A text that is never shown: a fault says only that it is none."""
    node = place.node
    if isinstance(node, Scalar) and 0 < len(node.text) <= SECRET_CHARS and node.text.isprintable():
        return node.text
    if not isinstance(node, Unreadable):
        place.fault("must be one line of text; what stands here is none")
    return None


SECRET: Final = Reader("a secret, as in `${PASSWORD}`", _read_secret)
_BROKER: Final = text(
    300,
    form="a host and its port, such as kafka-1.example.com:9092",
    pattern=r"(?:[A-Za-z0-9][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\]):[0-9]{1,5}",
)
_PATTERN: Final = text(PATTERN_CHARS, form="a regular expression")
_START_FORM: Final = "earliest, latest or a time such as 2026-05-21T10:00:00Z"
_TOPIC: Final = text(249, form="the name of a topic", pattern=r"[A-Za-z0-9._-]+")
_FILE: Final = text(1_024, form="a PEM file")

BROKERS: Final = Key(
    "brokers",
    several(
        Reader(_BROKER.form, _read_broker),
        most=BROKERS_MAX,
        form="one broker or a list of them, each with its port",
    ),
    "",
    "Some brokers of the cluster; the others are found through them.",
)
TOPICS: Final = Key(
    "topics", several(_TOPIC, most=TOPICS_MAX, form="one topic or a list of them"), "none",
    "Topics by name.",
)  # fmt: skip
PATTERNS: Final = Key(
    "patterns",
    several(
        Reader(_PATTERN.form, _read_pattern),
        most=TOPICS_MAX,
        form="one regular expression or a list of them",
    ),
    "none",
    "Topics by a regular expression for the whole name; new ones are found while it runs.",
)
GROUP: Final = Key(
    "group",
    text(249, pattern=r"[A-Za-z0-9._-]+", form="the name of a group"),
    "plimsoll",
    "The group under which brokers are told how far we are; what counts is in our own state.",
)
START: Final[Key[Start]] = Key(
    "start",
    Reader(_START_FORM, _read_start),
    "earliest",
    "Where a partition begins that was never read before.",
)
SECURITY: Final = Key(
    "security",
    Reader("a mapping, as below", _as_it_is),
    "none",
    "How the brokers know us and we them.",
)
PARTITION_BYTES: Final = Key(
    "partition_bytes", whole(1_024, 1 << 30), f"{1 << 20}", "Bytes asked of a partition at once."
)
FETCH_BYTES: Final = Key(
    "fetch_bytes", whole(1_024, 1 << 30), f"{16 << 20}", "Bytes asked of a broker at once."
)
BATCH_BYTES: Final = Key(
    "batch_bytes",
    whole(1_024, 1 << 31),
    f"{64 << 20}",
    "What a compressed batch of messages may unpack to.",
)
PARTITIONS: Final = Key("partitions", whole(1, 1_000_000), "10000", "Partitions read at most.")
KAFKA_KEYS: Final[tuple[Key[Any], ...]] = (
    BROKERS, TOPICS, PATTERNS, GROUP, START, SECURITY, PARTITION_BYTES, FETCH_BYTES, BATCH_BYTES,
    PARTITIONS,
)  # fmt: skip

PROTOCOL: Final = Key(
    "protocol",
    choice(_PROTOCOLS),
    "SASL_SSL with a user name, SSL with a file, else PLAINTEXT",
    "How to connect.",
)
MECHANISM: Final = Key(
    "mechanism", choice(_MECHANISMS), "required with a user name", "How the password is shown."
)
USERNAME: Final = Key("username", text(256), "none", "Who we are.")
PASSWORD: Final = Key("password", SECRET, "none", "Its password.")
CA: Final = Key(
    "ca", _FILE, "those of the machine", "The certificates of those whom we believe, PEM."
)
CERTIFICATE: Final = Key("certificate", _FILE, "none", "Our certificate, PEM.")
KEY_FILE: Final = Key("key", _FILE, "in the file of the certificate", "Its private key, PEM.")
KEY_PASSWORD: Final = Key("key_password", SECRET, "none", "The password of that key.")
SECURITY_KEYS: Final[tuple[Key[Any], ...]] = (
    PROTOCOL, MECHANISM, USERNAME, PASSWORD, CA, CERTIFICATE, KEY_FILE, KEY_PASSWORD,
)  # fmt: skip


def kafka_settings(here: Section, path: Callable[[str], Path]) -> KafkaSettings | None:
    """The settings of a Kafka source, None after reporting what is wrong with them; its name and
    form are the caller's to give."""
    from collector.kafka.settings import KafkaClient, KafkaSecurity, KafkaSettings

    before = here.place.faults.reports
    brokers, topics, patterns = BROKERS.of(here), TOPICS.of(here), PATTERNS.of(here)
    if not here.has(BROKERS):
        here.fault(BROKERS, "is missing: name a broker, such as kafka-1.example.com:9092")
    if not here.has(TOPICS) and not here.has(PATTERNS):
        here.place.fault("names nothing to read: give `topics:` or `patterns:`")
    place = SECURITY.of(here)
    inner = None if place is None else section(place, SECURITY_KEYS)
    security = KafkaSecurity() if inner is None else _security(inner, path)
    if security is None or not brokers or here.place.faults.reports > before:
        return None
    plain = KafkaClient()
    start = START.of(here)
    return KafkaSettings(
        name="",
        brokers=brokers,
        topics=topics or (),
        patterns=patterns or (),
        group=GROUP.of(here) or GROUP.default,
        start="earliest" if start is None else start,
        security=security,
        client=KafkaClient(
            partition_bytes=PARTITION_BYTES.of(here) or plain.partition_bytes,
            fetch_bytes=FETCH_BYTES.of(here) or plain.fetch_bytes,
            batch_bytes=BATCH_BYTES.of(here) or plain.batch_bytes,
            partitions=PARTITIONS.of(here) or plain.partitions,
        ),
    )


def _security(here: Section, path: Callable[[str], Path]) -> KafkaSecurity | None:
    from collector.kafka.settings import KafkaSecurity

    before = here.place.faults.reports
    username, mechanism = USERNAME.of(here), MECHANISM.of(here)
    with_files = here.has(CA) or here.has(CERTIFICATE)
    assumed: Protocol = "SASL_SSL" if username else "SSL" if with_files else "PLAINTEXT"
    protocol = PROTOCOL.of(here) or assumed
    files = [
        None if (written := key.of(here)) is None else path(written)
        for key in (CA, CERTIFICATE, KEY_FILE)
    ]
    found = KafkaSecurity(
        protocol=protocol,
        mechanism=mechanism,
        username=username or "",
        password=PASSWORD.of(here) or "",
        ca=files[0],
        certificate=files[1],
        key=files[2],
        key_password=KEY_PASSWORD.of(here) or "",
    )
    _report(here, found)
    return None if here.place.faults.reports > before else found


def _report(here: Section, found: KafkaSecurity) -> None:
    """Reports what does not go together."""
    for key in (USERNAME, PASSWORD, MECHANISM):
        if found.authenticated and not here.has(key):
            here.fault(key, f"is missing, which {found.protocol} needs")
        elif not found.authenticated and here.has(key):
            here.fault(key, f"is never sent with {found.protocol}: use SASL_SSL, or drop it")
    for key in (CA, CERTIFICATE, KEY_FILE):
        if here.has(key) and not found.encrypted:
            here.fault(key, f"means nothing with {found.protocol}: use SSL or SASL_SSL")
    if here.has(KEY_FILE) and not here.has(CERTIFICATE):
        here.fault(KEY_FILE, "has no certificate beside it: name both")
    if here.has(KEY_PASSWORD) and not here.has(CERTIFICATE):
        here.fault(KEY_PASSWORD, "is of no key: name the certificate")
