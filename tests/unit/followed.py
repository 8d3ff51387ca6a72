"""A source of files on the bench: time that passes when asked, and a checkpoint of positions."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq

from analyzers.policy import Limits
from collector.decoding import refused
from collector.decoding.refused import Refused
from collector.files.following import FilesSource
from collector.files.settings import FilesSettings
from collector.source import Form, RawBatch
from tests.payloads import event


@dataclass(slots=True)
class Time:
    """Seconds that pass only while somebody waits."""

    now_s: float = 100.0

    def read(self) -> float:
        return self.now_s

    def wait(self, seconds: float) -> None:
        self.now_s += seconds


@dataclass(slots=True)
class Bench:
    """What a source gave, and what the checkpoint holds of it."""

    paths: tuple[str, ...]
    follow: bool = True
    form: Form | None = None
    limits: Limits = field(default_factory=Limits)
    most: int = 10_000
    stdin: BinaryIO | None = None
    time: Time = field(default_factory=Time)
    positions: dict[str, str] = field(default_factory=dict)
    payloads: list[bytes] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    source: FilesSource | None = None

    @classmethod
    def of(cls, *paths: Path | str, **changes: object) -> Bench:
        bench = cls(tuple(map(str, paths)))
        for name, value in changes.items():
            setattr(bench, name, value)
        return bench

    def opened(self) -> FilesSource:
        """The source as it begins after a start of the process."""
        self.kill()
        settings = FilesSettings("in", self.paths, self.follow, self.form, self.most)
        self.source = FilesSource(
            settings,
            limits=self.limits,
            now_s=self.time.read,
            pause=self.time.wait,
            stdin=self.stdin,
        )
        self.source.open(dict(self.positions))
        return self.source

    def kill(self) -> None:
        """Ends the process: what was not committed is forgotten."""
        if self.source is not None:
            self.source.close()
        self.source = None

    def poll(self, events: int = 1000, wait_s: float = 0.0, *, commit: bool = True) -> RawBatch:
        """One poll; committed, unless the process is to die before."""
        batch = (self.source or self.opened()).poll(events=events, wait_s=wait_s)
        for part in batch.parts:
            assert len(part.offsets) == len(part.payloads)
        if not commit:
            return batch
        for part in batch.parts:
            # As the checkpoint does: whoever reads on from elsewhere is fenced.
            assert part.before == self.positions.get(part.source), part
            if part.after is not None:
                self.positions[part.source] = part.after
            self.payloads += part.payloads
        self.notes += batch.notes
        for why, count in batch.ignored.items():
            self.ignored[why] = self.ignored.get(why, 0) + count
        assert self.source is not None
        self.source.committed(batch.parts)
        return batch

    def drain(self, events: int = 1000) -> list[bytes]:
        """Everything that comes until nothing has come for a long time; what came now."""
        before, quiet = len(self.payloads), 0
        while quiet < 8:
            batch = self.poll(events, wait_s=0.5)
            quiet = 0 if batch.parts or batch.notes else quiet + 1
        return self.payloads[before:]


LINES = [json.dumps(event(id=f"o-{i}")).encode() for i in range(12)]


def text(lines: list[bytes]) -> bytes:
    return b"".join(line + b"\n" for line in lines)


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def append(path: Path, content: bytes) -> None:
    with path.open("ab") as file:
        file.write(content)


def parquet(path: Path, numbers: range) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = [event(id=f"o-{i}") for i in numbers]
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


def ids(payloads: list[bytes]) -> list[str]:
    return [json.loads(payload)["id"] for payload in payloads]


def refusals(bench: Bench) -> list[Refused]:
    return [told for payload in bench.payloads if (told := refused.read(payload)) is not None]
