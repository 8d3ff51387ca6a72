"""What the test server tells: a snapshot and evidence that a test sets, and trouble if it wants."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

import uvicorn
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send

from dashboards import page
from dashboards.api import page_data
from dashboards.api.page_data import Evidence
from dashboards.snapshot import EventTally, Snapshot, Tallies
from tests.page.recorded import NOW, Story, four_releases


@dataclass(frozen=True, slots=True)
class Fault:
    """An answer that is no answer."""

    status: int
    body: bytes = b""


class Stage:
    """A ``Reader`` whose snapshot can be changed while the page looks at it."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        """Nothing has arrived."""
        self._snapshot = Snapshot()
        self._evidence: dict[str, Evidence] = {}
        self.fault: Fault | None = None
        self.asked: list[str] = []

    def snapshot(self) -> Snapshot:
        return self._snapshot

    async def evidence_of(self, deployment: str) -> Evidence:
        self.asked.append(deployment)
        return self._evidence.get(deployment, Evidence(deployment))

    def change(self, **fields: object) -> None:
        """Replaces fields of the snapshot."""
        self._snapshot = replace(self._snapshot, **fields)  # type: ignore[arg-type]

    def show(self, stories: Iterable[Story], *, arrivals: bool = True) -> None:
        """Puts releases on, with the traffic around them."""
        stories = tuple(stories)
        newest = sorted(stories, key=lambda told: -told.release.started_ns)
        self._evidence = {told.evidence.deployment: told.evidence for told in stories}
        self.change(releases={t.release.verdict.deployment: t.release for t in newest})
        if arrivals:
            self.show_arrivals()

    def show_four_releases(self) -> None:
        self.show(four_releases())

    def show_arrivals(self) -> None:
        """Orders of two services have arrived, some of them unreadable."""
        now = NOW * 1_000_000
        kinds = (
            ("order-api", "order.submitted", "ok", 118_204, ("1.41.3", "1.42.0")),
            ("order-api", "order.submitted", "rejected", 1_311, ("1.41.3", "1.42.0")),
            ("order-api", "order.confirmed", "ok", 112_870, ("1.41.3", "1.42.0")),
            ("pricing", "price.computed", "ok", 64_551, ("2.7.0", "2.7.1")),
        )
        self.change(
            tallies=Tallies(
                events=296_936, duplicates=1_482, conflicts=2, late=317, rejected=41, markers=9
            ),
            rejected_by_reason={"not_json": 3, "time_without_zone": 37, "too_long": 1},
            events=tuple(
                EventTally("production", service, kind, outcome, events, now - 4_000_000_000)
                for service, kind, outcome, events, _ in kinds
            ),
            versions={
                ("production", service, kind): versions for service, kind, _, _, versions in kinds
            },
            watermark_ns=now - 30_000_000_000,
            now_ns=now,
            quiet_s=1.2,
        )


class _Fault:
    """Answers as the stage wants trouble to look, before any route."""

    def __init__(self, app: ASGIApp, *, stage: Stage) -> None:
        self.app = app
        self.stage = stage

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        fault = self.stage.fault
        if fault is None or not str(scope.get("path", "")).startswith("/v1/"):
            await self.app(scope, receive, send)
            return
        start = {"type": "http.response.start", "status": fault.status, "headers": []}
        await send(start)
        await send({"type": "http.response.body", "body": fault.body})


@contextmanager
def serving(stage: Stage) -> Iterator[tuple[str, Stage]]:
    """The page and its data on a free port of loopback: its address, and what it tells."""
    app = Starlette(
        routes=[*page.routes(), *page_data.routes(stage, stage.evidence_of, version="0.1.0")],
        middleware=[Middleware(_Fault, stage=stage)],
    )
    config = uvicorn.Config(app, host="127.0.0.1", port=0, lifespan="off", log_level="error")
    socket = config.bind_socket()
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [socket]})
    thread.start()
    host, port = socket.getsockname()[:2]
    try:
        yield f"http://{host}:{port}/", stage
    finally:
        server.should_exit = True
        thread.join()
        socket.close()
