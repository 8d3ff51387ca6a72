"""Asking a running daemon over HTTP, from the shell: bounded retries, one-line errors.

Commands that talk to a daemon go through here, so that they all say the same when it is not there.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Self, TypeVar
from urllib.parse import quote, urlencode, urlsplit

import httpx
import msgspec

from analyzers.judging.fleet import Fleet
from analyzers.judging.verdict import Verdict
from collector.keeping.reject_list import RejectList, Replayed, Tried

if TYPE_CHECKING:
    from collector.keeping.checkpoint import Sought

T = TypeVar("T")

DEFAULT_URL: Final = "http://127.0.0.1:8600"
# A daemon answers from memory in milliseconds; one that takes this long is not going to.
TIMEOUT_S: Final = 10.0
# 0.25 + 0.5 + 1 + 2 s: long enough for a daemon that restarts, short enough to sit through.
ATTEMPTS: Final = 5
FIRST_PAUSE_S: Final = 0.25
LONGEST_PAUSE_S: Final = 10.0


class DaemonError(Exception):
    """A daemon that cannot be asked, or that does not answer as one; says what to do."""


class UnreachableError(DaemonError):
    """A daemon that does not answer now, and may later."""


@dataclass(frozen=True, slots=True)
class Daemon:
    """A daemon at ``url``. ``sleep`` waits for some seconds; a test lets it return at once.

    Used in a ``with`` block, its connections are closed at the end.
    """

    url: str
    client: httpx.Client
    sleep: Callable[[float], None]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()

    def verdict(self, deployment: str, *, attempts: int = ATTEMPTS) -> Verdict:
        """The latest verdict of a deployment; UnreachableError if the daemon is away."""
        path = f"/v1/verdicts/{quote(deployment, safe='')}"
        response = self._ask("GET", path, None, attempts=attempts)
        try:
            return msgspec.json.decode(response.content, type=Verdict)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DaemonError(
                f"{self.url} does not answer with a verdict ({error}); "
                "is it a plimsoll daemon of this version?"
            ) from error

    def fleet(self, rate: float) -> Fleet:
        """The report on all releases, under a false discovery rate."""
        said = urlencode({"rate": rate})
        return self._read(self._ask("GET", f"/v1/fleet?{said}", None, attempts=ATTEMPTS), Fleet)

    def send_marker(self, body: bytes) -> None:
        """Sends one marker, again if need be: its id makes that harmless. DaemonError if it is
        refused or does not arrive."""
        response = self._ask("POST", "/v1/markers", body, attempts=ATTEMPTS)
        try:
            answer = msgspec.json.decode(response.content, type=_Answer)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DaemonError(
                f"{self.url} does not answer as a plimsoll daemon ({error}); look at --url"
            ) from error
        if answer.rejected:
            first = answer.rejected[0]
            raise DaemonError(f"the marker was rejected: {first.reason}: {first.detail}")

    def rejects(self, sought: Sought, *, limit: int) -> RejectList:
        """The newest rejects that the daemon keeps."""
        asked = {"reason": sought.reason, "source": sought.source, "service": sought.service}
        said = urlencode({name: value for name, value in asked.items() if value} | {"limit": limit})
        response = self._ask("GET", f"/v1/rejects?{said}", None, attempts=ATTEMPTS)
        return self._read(response, RejectList)

    def replay_rejects(self, tried: Tried) -> Replayed:
        """What became of some rejects that were tried once more; again is harmless."""
        body = msgspec.json.encode(tried)
        response = self._ask("POST", "/v1/rejects/replay", body, attempts=ATTEMPTS)
        return self._read(response, Replayed)

    def _read(self, response: httpx.Response, kind: type[T]) -> T:
        try:
            return msgspec.json.decode(response.content, type=kind)
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            raise DaemonError(
                f"{self.url} does not answer as a plimsoll daemon of this version ({error}); "
                "look at --url"
            ) from error

    def _ask(self, method: str, path: str, body: bytes | None, *, attempts: int) -> httpx.Response:
        why = ""
        for attempt in range(attempts):
            try:
                response = self.client.request(
                    method,
                    self.url + path,
                    content=body,
                    headers={"content-type": "application/json"} if body else None,
                )
            except httpx.TransportError as error:
                why = f"{str(error) or type(error).__name__}; is `plimsoll serve` running there?"
                pause = 0.0
            else:
                if response.is_success:
                    return response
                why = _problem(response)
                if response.status_code != 429 and response.status_code < 500:
                    raise DaemonError(f"{self.url} refuses: {why}")
                pause = _retry_after_s(response)
            if attempt + 1 < attempts:
                self.sleep(min(max(pause, FIRST_PAUSE_S * 2**attempt), LONGEST_PAUSE_S))
        raise UnreachableError(f"{self.url} cannot be reached: {why}")


def connect(url: str, sleep: Callable[[float], None]) -> Daemon:
    """The daemon at ``url``; DaemonError if that is no HTTP address."""
    try:
        parts = urlsplit(url)
        valid = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise DaemonError(f"{url!r} is no HTTP address; write for instance {DEFAULT_URL}")
    # A loopback daemon is never behind the proxy that the environment names for the outside.
    direct = parts.hostname in ("localhost", "127.0.0.1", "::1")
    client = httpx.Client(timeout=TIMEOUT_S, trust_env=not direct)
    return Daemon(url.rstrip("/"), client, sleep)


class _Refused(msgspec.Struct, frozen=True):
    reason: str
    detail: str = ""


class _Answer(msgspec.Struct, frozen=True):
    accepted: int
    duplicates: int
    rejected: tuple[_Refused, ...]


class _Problem(msgspec.Struct, frozen=True):
    error: str
    detail: str


def _problem(response: httpx.Response) -> str:
    try:
        problem = msgspec.json.decode(response.content, type=_Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return f"HTTP {response.status_code}, and not from plimsoll"
    return f"{problem.detail} ({problem.error}, HTTP {response.status_code})"


def _retry_after_s(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    return float(text) if text.isascii() and text.isdigit() else 0.0
