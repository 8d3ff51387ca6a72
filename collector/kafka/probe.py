"""Why brokers do not let us in, found out step by step: address, TLS, user and password.

kafka-python may miss what a broker says before it hangs up (what comes together with the end of a
connection is dropped), and then goes on trying a password that is wrong. Here the broker is heard
out.
"""

from __future__ import annotations

import socket
import ssl
import struct
from typing import Final

from kafka.net.sasl.scram import ScramClient

from collector.kafka.settings import KafkaSecurity, KafkaSettings
from collector.source import SourceError

_PROBE_S: Final = 3.0
# Requests of Kafka's protocol: their number, and the version used here.
_HANDSHAKE: Final = (17, 1)
_AUTHENTICATE: Final = (36, 0)
# Numbers of Kafka's errors.
_MECHANISM_UNKNOWN: Final = 33
_DENIED: Final = 58
_ANSWER_BYTES_MAX: Final = 1 << 20


def tls(settings: KafkaSettings) -> ssl.SSLContext:
    """What the connection trusts and shows; SourceError if a file cannot be used."""
    security = settings.security
    try:
        context = ssl.create_default_context(cafile=security.ca)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(
            f"Kafka source {settings.name}: cannot use security.ca {security.ca}: {error}; "
            "give the PEM file of the authority that signed the brokers' certificates"
        ) from error
    if security.certificate is None:
        return context
    try:
        context.load_cert_chain(security.certificate, security.key, lambda: security.key_password)
    except (OSError, ssl.SSLError) as error:
        raise SourceError(
            f"Kafka source {settings.name}: cannot use security.certificate "
            f"{security.certificate} with its key: {error}; give both as PEM files"
        ) from error
    return context


def why_unreachable(settings: KafkaSettings) -> str:
    """Why no broker let us in, broker by broker; SourceError if trying again cannot help: no TLS
    comes about, or the broker knows no such user with that password."""
    return "; ".join(f"{broker}: {_tried(settings, broker)}" for broker in settings.brokers)


def _tried(settings: KafkaSettings, broker: str) -> str:
    security = settings.security
    host, _, port = broker.rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), _PROBE_S) as plain:
            if not security.encrypted:
                _authenticate(plain, settings, broker)
            else:
                with tls(settings).wrap_socket(plain, server_hostname=host.strip("[]")) as safe:
                    _authenticate(safe, settings, broker)
    except ssl.SSLError as error:
        raise SourceError(
            f"Kafka source {settings.name}: no TLS with {broker}: {error}; correct security.ca, "
            "security.protocol or the broker's certificate"
        ) from error
    except (OSError, ValueError, struct.error) as error:
        return str(error)
    return (
        f"it listens, but does not speak Kafka with {security.protocol}; correct "
        "security.protocol if this stays so"
    )


def _authenticate(connection: socket.socket, settings: KafkaSettings, broker: str) -> None:
    """SourceError if the broker refuses the user; nothing if it does not, or wants none."""
    security = settings.security
    if not security.authenticated or security.mechanism is None:
        return
    mechanism = security.mechanism.encode()
    answer = _asked(connection, _HANDSHAKE, struct.pack(">h", len(mechanism)) + mechanism)
    _judge(answer, settings, broker)
    if security.mechanism == "PLAIN":
        token = f"\0{security.username}\0{security.password}".encode()
        _judge(_asked(connection, _AUTHENTICATE, _sized(token)), settings, broker)
    else:
        _exchange(connection, security, settings, broker)


def _exchange(
    connection: socket.socket, security: KafkaSecurity, settings: KafkaSettings, broker: str
) -> None:
    """The two rounds of SCRAM."""
    client = ScramClient(security.username, security.password, security.mechanism)
    answer = _asked(connection, _AUTHENTICATE, _sized(client.first_message()))
    _judge(answer, settings, broker)
    (length,) = struct.unpack_from(">h", answer, 2)  # a message that is there only with an error
    at = 4 + max(length, 0)
    (size,) = struct.unpack_from(">i", answer, at)
    client.process_server_first_message(answer[at + 4 : at + 4 + size])
    _judge(_asked(connection, _AUTHENTICATE, _sized(client.final_message())), settings, broker)


def _asked(connection: socket.socket, request: tuple[int, int], body: bytes) -> bytes:
    """What the broker answers, from its error number on."""
    header = struct.pack(">hhih", *request, 1, -1)
    connection.sendall(_sized(header + body))
    (size,) = struct.unpack(">i", _read(connection, 4))
    if not 6 <= size <= _ANSWER_BYTES_MAX:
        raise ValueError("it listens, but does not answer as Kafka does")
    return _read(connection, size)[4:]


def _judge(answer: bytes, settings: KafkaSettings, broker: str) -> None:
    (error,) = struct.unpack_from(">h", answer, 0)
    security = settings.security
    if error == _MECHANISM_UNKNOWN:
        raise SourceError(
            f"Kafka source {settings.name}: {broker} does not know {security.mechanism}; correct "
            "security.mechanism"
        )
    if error == _DENIED:
        raise SourceError(
            f"Kafka source {settings.name}: {broker} refuses user {security.username} with "
            f"{security.mechanism}; correct the user name or the password under `security`"
        )
    if error:
        raise ValueError(f"it answers authentication with Kafka's error {error}")


def _sized(data: bytes) -> bytes:
    return struct.pack(">i", len(data)) + data


def _read(connection: socket.socket, size: int) -> bytes:
    parts = []
    while size:
        part = connection.recv(size)
        if not part:
            raise ConnectionError("it hangs up")
        parts.append(part)
        size -= len(part)
    return b"".join(parts)
