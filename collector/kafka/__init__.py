"""Kafka topics as a source, from exactly where the checkpoint says."""
