"""How the daemon's parts find each other: addresses, channels, settings."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path

import httpx
import pytest

from dashboards.channels.alertmanager import Alertmanager
from dashboards.channels.webhook import Webhook
from pipeline.config.settings import Channel
from pipeline.wiring import (
    WiringError,
    address,
    channel_name,
    channels,
    configured,
    listen,
    loopback,
)

HOOK = Channel("webhook", "https://hooks.example/secret-token")
MANAGER = Channel("alertmanager", "http://alertmanager:9093")


@pytest.mark.parametrize(
    ("host", "local"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("localhost", True), ("::1", True),
     ("0.0.0.0", False), ("::", False), ("192.0.2.1", False)],
)  # fmt: skip
def test_what_only_this_machine_reaches_is_told_from_the_rest(host: str, local: bool) -> None:
    assert loopback(host) is local


def test_a_listener_names_its_protocol_so_that_answers_leave_at_once() -> None:
    async def no_delay() -> int:
        loop = asyncio.get_running_loop()
        accepted: asyncio.Future[int] = loop.create_future()

        class Answering(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                inside = transport.get_extra_info("socket")
                accepted.set_result(inside.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                transport.close()

        server = await loop.create_server(Answering, sock=listen("127.0.0.1", 0))
        async with server:
            place = server.sockets[0].getsockname()
            _, writer = await asyncio.open_connection(*place)
            writer.close()
            return await accepted

    assert asyncio.run(no_delay())


def test_the_address_of_a_listener_can_be_opened() -> None:
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert address(listener) == f"http://127.0.0.1:{port}/"


def test_a_host_that_is_no_address_is_told() -> None:
    with pytest.raises(WiringError, match="host 'no such host' is no address here"):
        listen("no such host", 0)


def test_every_channel_has_a_name_that_stays_and_hides_its_address() -> None:
    names = {channel_name(HOOK), channel_name(MANAGER)}
    assert len(names) == 2
    assert channel_name(Channel("webhook", HOOK.url, (("X-Token", "t"),))) in names
    assert not any("secret" in name for name in names)


def test_channels_are_made_by_their_kind() -> None:
    async def made() -> None:
        async with httpx.AsyncClient() as client:
            found = channels((HOOK, MANAGER), client)
            assert isinstance(found[channel_name(HOOK)], Webhook)
            assert isinstance(found[channel_name(MANAGER)], Alertmanager)

    asyncio.run(made())


def test_the_command_line_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("host: 127.0.0.2\nport: 9000\n")
    plain = configured(file, {})
    assert (plain.host, plain.port) == ("127.0.0.2", 9000)
    told = configured(file, {}, host="localhost", port=0, state=tmp_path / "s")
    assert (told.host, told.port, told.state) == ("localhost", 0, tmp_path / "s")


def test_a_faulty_file_is_told_with_every_fault(tmp_path: Path) -> None:
    file = tmp_path / "plimsoll.yml"
    file.write_text("port: 99999\nhots: x\n")
    with pytest.raises(WiringError, match=r"2 faults(?s:.*)hots(?s:.*)|2 faults(?s:.*)port"):
        configured(file, {})
