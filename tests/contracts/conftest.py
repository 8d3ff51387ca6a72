"""Fixtures of the contract suites."""

from tests.kafka_broker import kafka_broker
from tests.kafka_taken import swept

__all__ = ["kafka_broker", "swept"]
