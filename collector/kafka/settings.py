"""What a Kafka source is told: where the brokers are, what is read, who we are, how much at once.

Values only; whether the brokers agree is found out by ``kafka``. Secrets are in no repr.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, TypeAlias

from collector.source import Form

Protocol: TypeAlias = Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
Mechanism: TypeAlias = Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"]
# ``earliest``, ``latest``, or the first message at or after this epoch time in nanoseconds.
Start: TypeAlias = Literal["earliest", "latest"] | int

GROUP: Final = "plimsoll"


@dataclass(frozen=True, slots=True)
class KafkaSecurity:
    """How the brokers know us and we them. Files are PEM; without ``ca`` the machine's own
    certificates are trusted; ``certificate`` and ``key`` are ours, for mutual TLS."""

    protocol: Protocol = "PLAINTEXT"
    mechanism: Mechanism | None = None
    username: str = ""
    password: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None
    key_password: str = field(default="", repr=False)

    @property
    def encrypted(self) -> bool:
        """Whether the connection is TLS."""
        return self.protocol in {"SSL", "SASL_SSL"}

    @property
    def authenticated(self) -> bool:
        """Whether a user name and password are sent."""
        return self.protocol in {"SASL_PLAINTEXT", "SASL_SSL"}


@dataclass(frozen=True, slots=True)
class KafkaClient:
    """How much is asked of the brokers at once, and how long they may take.

    A fetch is bounded on the wire only: what it unpacks to may be many times as much, and is held
    one record batch at a time. ``partition_bytes`` at half costs more requests, at double more
    memory (it is held once for each partition). A record batch larger than that still arrives.
    """

    partition_bytes: int = 1 << 20
    fetch_bytes: int = 16 << 20
    batch_bytes: int = 64 << 20  # a record batch may not unpack to more than this
    wait_ms: int = 500  # how long a broker holds a fetch when nothing is there
    timeout_ms: int = 10_000
    refresh_s: float = 5.0  # how often topics, partitions and the brokers' health are looked at
    reconnect_s: float = 30.0  # brokers that were away for so long are connected to anew
    partitions: int = 10_000


@dataclass(frozen=True, slots=True)
class KafkaSettings:
    """One Kafka source. Topics are exact names; patterns are regular expressions that must match a
    whole topic name, and never match Kafka's internal topics. ``form`` None: messages hold events
    of our own format, or a format that ``decode`` understands as it is."""

    name: str
    brokers: tuple[str, ...]
    topics: tuple[str, ...] = ()
    patterns: tuple[str, ...] = ()
    group: str = GROUP
    start: Start = "earliest"
    security: KafkaSecurity = field(default_factory=KafkaSecurity)
    client: KafkaClient = field(default_factory=KafkaClient)
    form: Form | None = None
