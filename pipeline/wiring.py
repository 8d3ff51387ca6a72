"""The daemon put together: state, engine, HTTP faces, delivery; started, and ended in order.

Every choice of which part talks to which is made here and nowhere else. The steps of starting and
of ending must keep their order; they are numbered in ``_serve``.
"""

from __future__ import annotations

import asyncio
import hashlib
import ipaddress
import signal
import socket
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.types import ASGIApp

from collector.keeping.checkpoint import Bounds, Checkpoint, CheckpointError
from collector.otlp import http as otlp_http
from collector.otlp.door import Door
from collector.posted.intake import Intake
from collector.posted.reject_routes import Rejects
from collector.posted.waiting import WaitingRoom
from collector.source import Source
from dashboards import exposition, page
from dashboards.api import fleet, openapi, page_data, probes, verdicts
from dashboards.api.answers import SafeHeaders, on_http_error, on_mistake
from dashboards.channels.alertmanager import Alertmanager
from dashboards.channels.webhook import Webhook
from dashboards.outbox import Channel, Delivered, deliver_due, keep_delivering
from pipeline import clock, config
from pipeline.audit_nightly import Child, Nightly, WithAudit
from pipeline.config.settings import Channel as Destination
from pipeline.config.settings import Settings
from pipeline.embedded import Engine, EngineError
from pipeline.forms import form_of
from pipeline.interface import ALL_OPERATIONS
from pipeline.sources import BATCH_EVENTS, Patience, Pulling
from pipeline.turns import KeptTurns

# Bodies at their limit that may wait or be read at once. At half, two large senders turn each
# other away; at double, half a gigabyte waits in memory.
WAITING_BODIES: Final = 8
# What is being answered when the daemon is told to end gets this long; a commit takes far less.
GRACE_S: Final = 10
DELIVERY_GRACE_S: Final = 3.0
CONNECTIONS_MAX: Final = 1_000
BACKLOG: Final = 1_024
_DELIVERY_PAUSE_S: Final = 5.0

Say = Callable[[str], None]


class WiringError(Exception):
    """The daemon cannot start; the message says what to do."""


def configured(
    path: Path | None,
    env: Mapping[str, str],
    *,
    state: Path | None = None,
    host: str | None = None,
    port: int | None = None,
) -> Settings:
    """The settings of a file, with what the command line says instead; WiringError if faulty."""
    try:
        found = config.load(path, env)
    except config.ConfigError as error:
        raise WiringError(str(error)) from error
    return replace(
        found,
        written=path,
        state=found.state if state is None else state,
        host=found.host if host is None else host,
        port=found.port if port is None else port,
    )


def serve(given: Settings, *, insecure: bool, version: str, announce: Say, say: Say) -> None:
    """Runs the daemon until SIGTERM or SIGINT. ``announce`` is told where it serves.

    WiringError if it cannot start, EngineError if it cannot go on.
    """
    if not (insecure or given.insecure) and not loopback(given.host):
        raise WiringError(
            f"host {given.host} can be reached by others, and anybody there could send markers; "
            "listen on 127.0.0.1 behind a proxy that checks who asks, or say --insecure"
        )
    listener = listen(given.host, given.port)
    try:
        limits = given.policy.limits
        bounds = Bounds(
            rejects=limits.rejects,
            outbox=limits.outbox,
            reject_payload_bytes=limits.reject_payload_bytes,
        )
        with Checkpoint.open(given.state, bounds=bounds) as checkpoint:
            url = address(listener)
            announce(f"plimsoll {version} serves {url} with its state in {given.state}")
            for channel in given.alerts:
                say(f"alerts go to {channel.label}")
            asyncio.run(_serve(given, checkpoint, listener, version=version, say=say))
    except CheckpointError as error:
        raise WiringError(str(error)) from error
    finally:
        listener.close()


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address; WiringError if it is none."""
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise WiringError(f"host {host!r} is no address here ({error}); try 127.0.0.1") from error
    return all(ipaddress.ip_address(str(one[4][0]).partition("%")[0]).is_loopback for one in found)


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens; WiringError if the port is taken."""
    # The protocol is named because asyncio sends small packets at once only on sockets that name
    # it (``socket.create_server`` does not): without that, every answer waits 40 ms for the
    # client's delayed acknowledgement of its headers.
    try:
        family, kind, _, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, socket.IPPROTO_TCP)
    except (OSError, UnicodeError) as error:
        raise WiringError(f"host {host!r} is no address here ({error}); try 127.0.0.1") from error
    try:
        # A port that a daemon has just left is free; one that is in use stays refused.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(place)
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise WiringError(
            f"cannot listen on {host} port {port} ({error.strerror or error}); choose another "
            "--port, or 0 for a free one"
        ) from error
    return listener


def address(listener: socket.socket) -> str:
    """The URL under which the socket is reached."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def application(
    engine: Engine,
    intake: Intake,
    otlp: Door,
    rejects: Rejects,
    nightly: Nightly | None = None,
    *,
    version: str,
) -> ASGIApp:
    """Every HTTP face of the daemon."""
    app = Starlette(
        routes=[
            *intake.routes(),
            *rejects.routes(),
            *otlp_http.routes(otlp),
            *verdicts.routes(engine),
            *fleet.routes(engine),
            *page_data.routes(engine, engine.evidence, version=version),
            *probes.routes(engine, version=version),
            *exposition.routes(WithAudit(engine, nightly), version=version),
            *openapi.routes(ALL_OPERATIONS, version=version),
            *page.routes(),
        ],
        exception_handlers={HTTPException: on_http_error, Exception: on_mistake},
    )
    app.router.redirect_slashes = False
    return SafeHeaders(app)


def sources(given: Settings, room: WaitingRoom, *, say: Say) -> list[Pulling]:
    """What is read beside what is posted, each with its patience."""
    # Imported here: a daemon that only listens needs no Kafka client.
    from collector.files.following import FilesSource  # noqa: PLC0415
    from collector.kafka.settings import KafkaSettings  # noqa: PLC0415
    from collector.kafka.source import KafkaSource  # noqa: PLC0415

    limits = given.policy.limits
    found = []
    for one in given.sources:
        source: Source
        if isinstance(one.reads, KafkaSettings):
            source = KafkaSource(one.reads, line_bytes=limits.line_bytes, clock=clock.monotonic_s)
        else:
            source = FilesSource(one.reads, limits=limits, now_s=clock.monotonic_s)
        # All of a batch may be refused, and must then fit into the rejects that are kept.
        most = min(BATCH_EVENTS, max(limits.rejects * 4 // 5, 1))
        patience = Patience(reject_ratio=one.reject_ratio, batch_events=most)
        found.append(Pulling(source, room, now_s=clock.monotonic_s, say=say, patience=patience))
    return found


def channels(given: tuple[Destination, ...], client: httpx.AsyncClient) -> dict[str, Channel]:
    """The ways out, by the names under which notices wait for them."""
    found: dict[str, Channel] = {}
    for one in given:
        headers = dict(one.headers)
        match one.kind:
            case "webhook":
                found[channel_name(one)] = Webhook(one.url, client, headers=headers)
            case "alertmanager":
                found[channel_name(one)] = Alertmanager(one.url, client, headers=headers)
    return found


def channel_name(channel: Destination) -> str:
    """A name that stays when other channels come and go, and does not show the address."""
    return f"{channel.kind}-{hashlib.sha256(channel.url.encode()).hexdigest()[:16]}"


class _Server(uvicorn.Server):
    """uvicorn, with signals left to us: it would end the process by the signal it was sent,
    while a daemon that ends in order has the exit code 0."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """No handler of its own."""
        yield

    def end(self) -> None:
        """Stops accepting and finishes what is being answered; at the second call at once."""
        self.force_exit = self.should_exit
        self.should_exit = True


def _nightly(given: Settings, say: Say) -> Nightly | None:
    """The audit of every night, where one is asked for."""
    if given.audit_at_s is None:
        return None
    child = Child(given.state, given.written)
    return Nightly(
        given.state, given.audit_at_s, child, now=clock.wall_time, pause=asyncio.sleep, say=say
    )


async def _ended(tasks: Sequence[asyncio.Task[None]]) -> None:
    """Cancels tasks that would go on for ever, and waits for their end."""
    for task in tasks:
        task.cancel()
        with suppress(asyncio.CancelledError):  # it is we who cancelled it
            await task


async def _serve(
    given: Settings, checkpoint: Checkpoint, listener: socket.socket, *, version: str, say: Say
) -> None:
    limits = given.policy.limits
    # 1. Whatever arrives before the state is loaded is told to come back.
    room = WaitingRoom(
        events=limits.queued_events,
        size=WAITING_BODIES * limits.body_bytes,
        closed="the daemon is loading its state; send it again in a moment",
    )
    intake = Intake(room, limits=limits, now_s=clock.monotonic_s, webhooks=given.webhooks)
    otlp = Door(room, rules=given.otlp.rules, limits=limits, now_s=clock.monotonic_s)
    names = tuple(channel_name(channel) for channel in given.alerts)
    reading = sources(given, room, say=say)
    engine = Engine(
        room=room,
        load=lambda: KeptTurns.load(
            checkpoint, given, channels=names, unheard=[one.label for one in reading]
        ),
        clock=clock.StreamClock(),
        limits=limits,
        now_s=clock.monotonic_s,
        say=say,
        refused=lambda: dict(intake.refused + otlp.refused),
        sources=reading,
    )
    rejects = Rejects(room, checkpoint, form_of(given.sources), now_s=clock.monotonic_s)
    nightly = _nightly(given, say)
    server = _Server(
        uvicorn.Config(
            application(engine, intake, otlp, rejects, nightly, version=version),
            log_config=None,
            access_log=False,
            lifespan="off",
            server_header=False,
            limit_concurrency=CONNECTIONS_MAX,
            timeout_graceful_shutdown=GRACE_S,
        )
    )
    # 2. Signals end the server, and so does an engine that cannot go on.
    loop = asyncio.get_running_loop()

    def end() -> None:
        engine.leave()
        server.end()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, end)
    running = asyncio.create_task(engine.run(), name="engine")
    running.add_done_callback(lambda _: server.end())
    async with httpx.AsyncClient() as client:
        ways = channels(given.alerts, client)
        beside = [asyncio.create_task(_deliver(checkpoint, ways, say), name="delivery")]
        if nightly is not None:
            beside.append(asyncio.create_task(nightly.run(), name="audit"))
        # 3. Serve until one of them ends it; the last answers go out here.
        async with _grpc(given, otlp, say):
            await server.serve(sockets=[listener])
        # 4. What was taken in before the end has its turn.
        engine.stop()
        await _ended(beside)
        await running
        # 5. What can be told at once is told; the rest waits in the outbox for the next start.
        with suppress(TimeoutError):
            async with asyncio.timeout(DELIVERY_GRACE_S):
                await deliver_due(checkpoint, ways, clock.wall_ns(), clock=clock.wall_ns)
    say("plimsoll has stopped; everything that was acknowledged is kept")


@asynccontextmanager
async def _grpc(given: Settings, door: Door, say: Say) -> AsyncIterator[None]:
    """OTLP over gRPC, where a port is configured for it."""
    if given.otlp.grpc_port is None:
        yield
        return
    from collector.otlp import grpc as otlp_grpc  # noqa: PLC0415 - half a second of imports

    try:
        server, port = await otlp_grpc.start(door, given.host, given.otlp.grpc_port)
    except otlp_grpc.GrpcError as error:
        raise WiringError(str(error)) from error
    say(f"OTLP over gRPC is taken on {given.host} port {port}")
    try:
        yield
    finally:
        await otlp_grpc.stop(server, grace_s=GRACE_S)


async def _deliver(checkpoint: Checkpoint, ways: Mapping[str, Channel], say: Say) -> None:
    """Delivers notices until cancelled; a store that does not answer is asked again later."""

    def tell(done: Delivered) -> None:
        if done.given_up:
            say(f"alerts: {done.given_up} could not be delivered and were given up")

    while True:
        try:
            await keep_delivering(
                checkpoint,
                ways,
                clock=clock.wall_ns,
                sleep=asyncio.sleep,
                told=tell,
            )
        except CheckpointError as error:
            say(f"alerts wait: {error}")
            await asyncio.sleep(_DELIVERY_PAUSE_S)


__all__ = ["EngineError", "Settings", "WiringError", "configured", "serve"]
