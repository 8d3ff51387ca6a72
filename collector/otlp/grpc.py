"""OTLP over gRPC: a server on the event loop, with the three services of the specification.

Requests arrive as bytes and are parsed by ``Door``, not by the generated servicers: those answer
what they cannot parse with an internal error, for which senders would try again. They arrive packed
as they were sent, too: most versions of the library unpack a message whole before they compare it
with the limit, so that a megabyte could become a gigabyte here.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, NoReturn

import grpc
import grpc.aio

from collector.otlp import replies
from collector.otlp.door import Door
from collector.otlp.records import MalformedError, TooManyError
from collector.otlp.rules import Encoding, Signal
from collector.posted.bodies import BodyError, BodyTooLargeError, Unpacker
from collector.posted.waiting import RETRY_AFTER_S, BusyError, ClosedError

_SERVICES: Final = {
    Signal.LOGS: "opentelemetry.proto.collector.logs.v1.LogsService",
    Signal.METRICS: "opentelemetry.proto.collector.metrics.v1.MetricsService",
    Signal.TRACES: "opentelemetry.proto.collector.trace.v1.TraceService",
}
# Requests of one connection that are under way at once; further ones wait at their sender.
_STREAMS: Final = 16
# The library's numbers of what it may pass on: as it is, and gzip. (A bit each of its enumeration.)
_PACKINGS: Final = 1 << 0 | 1 << 2
# No request in protobuf begins so: it would be a field of a wire type that does not exist.
_GZIP: Final = b"\x1f\x8b"
# Unpacking more than this goes to a thread.
_INLINE_BYTES: Final = 32 << 10
_DETAILS: Final = "grpc-status-details-bin"

_Context = grpc.aio.ServicerContext[bytes, bytes]


class GrpcError(Exception):
    """The server cannot listen where it should."""


async def start(door: Door, host: str, port: int) -> tuple[grpc.aio.Server, int]:
    """A server that takes requests, and the port where it does (of use if ``port`` is 0).

    GrpcError if the port is taken.
    """
    server = grpc.aio.server(
        options=(
            ("grpc.max_receive_message_length", door.body_bytes),
            ("grpc.max_concurrent_streams", _STREAMS),
            ("grpc.per_message_decompression", 0),
            ("grpc.compression_enabled_algorithms_bitset", _PACKINGS),
            ("grpc.so_reuseport", 0),  # two daemons on one port would share the requests by chance
        )
    )
    server.add_generic_rpc_handlers(
        [
            grpc.method_handlers_generic_handler(
                service, {"Export": grpc.unary_unary_rpc_method_handler(_taker(door, signal))}
            )
            for signal, service in _SERVICES.items()
        ]
    )
    place = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        found = server.add_insecure_port(place)
    except RuntimeError as error:
        raise GrpcError(
            f"cannot listen on {place} for OTLP over gRPC; choose another port, or 0 for a free one"
        ) from error
    await server.start()
    return server, found


async def stop(server: grpc.aio.Server, *, grace_s: float) -> None:
    """Takes no further requests, and lets those under way end within ``grace_s``."""
    await server.stop(grace_s)


async def _unpacked(body: bytes, limit: int) -> bytes:
    def unpack() -> bytes:
        unpacker = Unpacker(limit=limit, gzip=True)
        unpacker.feed(body)
        return unpacker.finish()

    return unpack() if len(body) <= _INLINE_BYTES else await asyncio.to_thread(unpack)


def _taker(door: Door, signal: Signal) -> Callable[[bytes, _Context], Awaitable[bytes]]:
    async def take(body: bytes, context: _Context) -> bytes:
        async def refuse(
            code: grpc.StatusCode, word: str, error: Exception, *, retry_after_s: int = 0
        ) -> NoReturn:
            door.refused[word] += 1
            number: int = code.value[0]
            details = replies.status(
                number, str(error), Encoding.PROTO, retry_after_s=retry_after_s
            )
            await context.abort(code, str(error), ((_DETAILS, details),))

        try:
            with door.room.reading() as reading:
                reading.resize(len(body))
                if body.startswith(_GZIP):
                    body = await _unpacked(body, door.body_bytes)
                    reading.resize(len(body))
                outcome = await door.take(body, signal, Encoding.PROTO, reading)
        except BodyTooLargeError as error:
            await refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "body_too_large", error)
        except BodyError as error:
            await refuse(grpc.StatusCode.INVALID_ARGUMENT, "bad_compression", error)
        except MalformedError as error:
            await refuse(grpc.StatusCode.INVALID_ARGUMENT, "malformed", error)
        except TooManyError as error:  # without a delay: trying again is of no use
            await refuse(grpc.StatusCode.RESOURCE_EXHAUSTED, "too_many_records", error)
        except BusyError as error:
            await refuse(
                grpc.StatusCode.RESOURCE_EXHAUSTED, "busy", error, retry_after_s=RETRY_AFTER_S
            )
        except ClosedError as error:
            await refuse(
                grpc.StatusCode.UNAVAILABLE, "unavailable", error, retry_after_s=RETRY_AFTER_S
            )
        return replies.accepted(signal, Encoding.PROTO, outcome)

    return take
