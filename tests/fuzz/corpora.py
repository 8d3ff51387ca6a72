"""The inputs that are kept: one file for each target, one input a line, in base64."""

from __future__ import annotations

from base64 import b64decode, b64encode
from collections.abc import Iterable
from pathlib import Path

HERE = Path(__file__).parent
CORPUS = HERE / "corpus"
CRASHERS = HERE / "crashers"
# Of one target. All of them together stay below 300 kB, and are replayed in seconds.
CORPUS_BYTES = 14_000


def kept(folder: Path, target: str) -> list[bytes]:
    """The inputs of a target, none if nothing is kept."""
    path = folder / f"{target}.txt"
    if not path.exists():
        return []
    return [b64decode(line, validate=True) for line in path.read_text("ascii").splitlines()]


def keep(folder: Path, target: str, inputs: Iterable[bytes]) -> None:
    """Writes the inputs of a target, smallest first, as many as there is room for."""
    lines: list[str] = []
    size = 0
    for one in sorted(set(inputs), key=lambda one: (len(one), one)):
        line = b64encode(one).decode()
        size += len(line) + 1
        if size > CORPUS_BYTES:
            break
        lines.append(line)
    folder.mkdir(exist_ok=True)
    (folder / f"{target}.txt").write_text("\n".join(lines) + "\n", encoding="ascii")
