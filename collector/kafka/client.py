"""The connection to Kafka's brokers: who we say we are, what is asked, what their errors mean.

kafka-python is spoken to here and in ``kafka_blocks`` alone. Two clients: one reads, one asks what
there is and tells how far we have come; neither is a member of a group, so no rebalance can take
a partition away. Errors leave as SourceError (somebody must do something) or SourceBusyError.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal

from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition
from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient
from kafka.structs import OffsetAndMetadata

from collector.kafka.blocks import Appetite, hand_over
from collector.kafka.probe import tls, why_unreachable
from collector.kafka.settings import KafkaSettings
from collector.source import SourceBusyError, SourceError

_log = logging.getLogger(__name__)

# Until they answer again, brokers are asked this often: at half the load of many clients on one
# that is coming up, at double a restart that nobody needs to notice is noticed.
_RECONNECT_MS: Final = 100
_RECONNECT_MS_MAX: Final = 2_000
_UNKNOWN_TOPIC: Final = 3  # Kafka's number of the error
_DENIED: Final = (
    kafka_errors.AuthorizationError,
    kafka_errors.SaslAuthenticationFailedError,
    kafka_errors.UnsupportedSaslMechanismError,
    kafka_errors.IllegalSaslStateError,
)
_IMPOSSIBLE: Final = (
    kafka_errors.KafkaConfigurationError,
    kafka_errors.UnsupportedVersionError,
    kafka_errors.UnrecognizedBrokerVersion,
    kafka_errors.InvalidTopicError,
)

Edge = Literal["earliest", "latest"]


@dataclass(frozen=True, slots=True)
class Topic:
    """A topic as the brokers know it now; ``id`` is empty where they are too old to have one."""

    name: str
    id: str
    partitions: frozenset[int]


class Connection:
    """What is open between us and the brokers of one source."""

    def __init__(self, settings: KafkaSettings, appetite: Appetite) -> None:
        """SourceError or SourceBusyError if they do not let us in, after the time they have."""
        _quieten()
        self._settings = settings
        self._timeout_ms = settings.client.timeout_ms
        self._clients: list[Any] = []
        appetite.batch_bytes = settings.client.batch_bytes
        appetite.times = settings.form is not None
        try:
            with self.asking("connect"):
                options = self._options()
                self.admin = KafkaAdminClient(**options)
                self.consumer = KafkaConsumer(**options, **self._reading())
        except BaseException:
            self.close()
            raise
        self.blocks = hand_over(self.consumer, appetite)

    def topics(self, names: Collection[str] | None) -> dict[str, Topic]:
        """Which of the topics there are now; None asks for all but Kafka's internal ones."""
        with self.asking("list topics"):
            found = self.admin.describe_topics(None if names is None else sorted(names))
        topics = {}
        for each in found:
            if each["error_code"] not in (0, _UNKNOWN_TOPIC):
                error = kafka_errors.for_code(each["error_code"])
                if issubclass(error, _DENIED) and names is not None:
                    raise self._converted("describe topic " + each["name"], error())
            if each["error_code"] or (names is None and each["is_internal"]):
                continue  # not there, or not yet: the next look tells
            numbers = frozenset(part["partition_index"] for part in each["partitions"])
            topics[each["name"]] = Topic(each["name"], str(each["topic_id"] or ""), numbers)
        return topics

    def edges(self, wanted: Collection[TopicPartition], edge: Edge) -> dict[TopicPartition, int]:
        """The first offset of partitions, or the next one."""
        if not wanted:
            return {}
        ask = self.consumer.beginning_offsets if edge == "earliest" else self.consumer.end_offsets
        with self.asking(f"find the {edge} offsets"):
            return dict(ask(list(wanted), timeout_ms=self._timeout_ms))

    def offsets_at(
        self, wanted: Collection[TopicPartition], time_ms: int
    ) -> dict[TopicPartition, int]:
        """The first offset of each partition at or after a time; the next one if none is."""
        if not wanted:
            return {}
        with self.asking("find offsets by time"):
            found = self.consumer.offsets_for_times(
                dict.fromkeys(wanted, max(time_ms, 0)), timeout_ms=self._timeout_ms
            )
        offsets = {where: each.offset for where, each in found.items() if each is not None}
        return offsets | self.edges([each for each in wanted if each not in offsets], "latest")

    def tell(self, offsets: Mapping[TopicPartition, int]) -> int:
        """How many of the group's offsets the brokers did not take."""
        with self.asking("commit offsets"):
            answers = self.admin.alter_group_offsets(
                self._settings.group,
                {where: OffsetAndMetadata(offset, "", -1) for where, offset in offsets.items()},
            )
        return sum(error is not kafka_errors.NoError for error in answers.values())

    def close(self) -> None:
        """Ends both clients and their threads; never raises."""
        for client in self._clients:
            try:
                client.close()
            except Exception:  # noqa: BLE001  # what is thrown away may be in any state
                _log.exception("closing a Kafka client of %s failed", self._settings.name)
        self._clients.clear()

    @contextmanager
    def asking(self, what: str) -> Iterator[None]:
        """Makes kafka-python's errors into ours."""
        try:
            yield
        except kafka_errors.KafkaError as error:
            raise self._converted(what, error) from error
        except (RuntimeError, OSError) as error:  # of a client that is closed
            raise SourceBusyError(f"{self._label}: cannot {what}: {error}") from error

    @property
    def _label(self) -> str:
        return f"Kafka source {self._settings.name} at {','.join(self._settings.brokers)}"

    def _converted(self, what: str, error: Exception) -> SourceError | SourceBusyError:
        said = str(error) or type(error).__name__
        if isinstance(error, _DENIED):
            user = self._settings.security.username or "without a user name"
            return SourceError(
                f"{self._label} refuses us ({user}) to {what}: {said}; correct `security`, "
                "or give the user the right to describe and read the topics"
            )
        if isinstance(error, _IMPOSSIBLE):
            return SourceError(f"{self._label}: cannot {what}: {said}; correct the source")
        if what == "connect":
            unreachable = why_unreachable(self._settings)
            return SourceBusyError(f"{self._label} does not answer: {unreachable}")
        return SourceBusyError(f"{self._label}: cannot {what}: {said}")

    def _made(self, **options: Any) -> Any:
        """kafka-python's network client, known to us so that it ends even if what it was made for
        never comes into being."""
        self._clients.append(KafkaNetClient(**options))
        return self._clients[-1]

    def _options(self) -> dict[str, Any]:
        settings, security = self._settings, self._settings.security
        options: dict[str, Any] = {
            "bootstrap_servers": list(settings.brokers),
            "client_id": f"plimsoll-{settings.name}",
            "kafka_client": self._made,
            "security_protocol": security.protocol,
            "request_timeout_ms": self._timeout_ms,
            "bootstrap_timeout_ms": self._timeout_ms,
            "reconnect_backoff_ms": _RECONNECT_MS,
            "reconnect_backoff_max_ms": _RECONNECT_MS_MAX,
        }
        if security.encrypted:
            options["ssl_context"] = tls(settings)
        if security.authenticated:
            options["sasl_mechanism"] = security.mechanism
            options["sasl_plain_username"] = security.username
            options["sasl_plain_password"] = security.password
        return options

    def _reading(self) -> dict[str, Any]:
        client = self._settings.client
        return {
            "group_id": None,
            "enable_auto_commit": False,
            "auto_offset_reset": NO_RESET,
            "isolation_level": "read_committed",
            "allow_auto_create_topics": False,
            "check_crcs": True,
            "metrics_enabled": False,
            "fetch_max_wait_ms": client.wait_ms,
            "fetch_max_bytes": client.fetch_bytes,
            "max_partition_fetch_bytes": client.partition_bytes,
        }


# kafka-python takes any other word for a policy, but only this one for none.
NO_RESET: Final = "none"


def _quieten() -> None:
    """Keeps kafka-python from writing several lines a second while brokers are away: what matters
    of it is in our errors. Whoever wants them sets a level of their own."""
    logger = logging.getLogger("kafka")
    if logger.level == logging.NOTSET:
        logger.setLevel(logging.CRITICAL)
