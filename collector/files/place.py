"""How far a file has been read, and by what it is known again: the text of its position.

A name says little: files are rotated, truncated, replaced and copied. So a position also holds the
inode, a digest of the first bytes, and one of the last bytes before the place. They are taken from
what has been read only, which a file that is appended to never changes.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Final

import msgspec

SAMPLE_BYTES: Final = 256  # two events or so: files that begin with the same events are the same
LAST_BYTES: Final = 64  # the end of an event, and mostly its id or attributes
_ENTRIES: Final = 20_000  # of one folder, looked through for files that were renamed


@dataclass(frozen=True, slots=True)
class Stamp:
    """How a file looks from outside: equal as long as nobody has touched it."""

    inode: str
    size: int
    mtime_ns: int
    ctime_ns: int

    @property
    def content(self) -> str:
        """What changes with the content, and not with a name or a permission."""
        return f"{self.size}:{self.mtime_ns}"


class Place(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """Up to where a file was read.

    ``at`` is a byte in a file of plain lines, and a number of payloads in one that is read as a
    whole (``content`` is how that one looked, ``damaged`` whether it ended early). ``done``: it was
    read to its very end and is no longer written to. ``life`` counts how often the file was begun
    anew under its name.
    """

    at: int = 0
    inode: str = ""
    begin: str = ""
    sample: int = 0
    last: str = ""
    content: str = ""
    damaged: bool = False
    done: bool = False
    life: int = 0

    def text(self) -> str:
        """The position as the checkpoint keeps it."""
        return msgspec.json.encode(self).decode()


def read_place(text: str | None) -> Place | None:
    """The place that a position tells, None if it is none that we wrote."""
    if text is None:
        return Place()
    try:
        return msgspec.json.decode(text, type=Place)
    except (msgspec.DecodeError, UnicodeError):
        return None


def stamp_of(found: os.stat_result) -> Stamp:
    """How a file looks."""
    return Stamp(
        f"{found.st_dev}:{found.st_ino}", found.st_size, found.st_mtime_ns, found.st_ctime_ns
    )


def placed(file: int, inode: str, at: int, life: int) -> Place:
    """The place ``at`` bytes into an open file of lines."""
    sample, last = min(at, SAMPLE_BYTES), min(at, LAST_BYTES)
    return Place(
        at=at,
        inode=inode,
        begin=digest(os.pread(file, sample, 0)),
        sample=sample,
        last=digest(os.pread(file, last, at - last)),
        life=life,
    )


def fits(file: int, place: Place) -> bool:
    """Whether an open file of lines is the one that was read up to ``place``."""
    last = min(place.at, LAST_BYTES)
    return (
        os.fstat(file).st_size >= place.at
        and digest(os.pread(file, place.sample, 0)) == place.begin
        and digest(os.pread(file, last, place.at - last)) == place.last
    )


def same(path: Path, place: Place) -> bool:
    """Whether the file at ``path`` is the one that was read up to ``place``."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        if place.content:
            return digest(os.pread(file, place.sample, 0)) == place.begin
        return fits(file, place)
    except OSError:
        return False
    finally:
        os.close(file)


def digest(text: bytes) -> str:
    """A short digest; of nothing it is nothing."""
    return blake2b(text, digest_size=8).hexdigest() if text else ""


class Folders:
    """What lies beside files that have lost their name: each folder is looked through once a look,
    however many of its files are gone. ``clear`` begins the next look."""

    def __init__(self) -> None:
        self._found: dict[Path, dict[str, Path]] = {}

    def clear(self) -> None:
        """Forgets what was found: names may have changed."""
        self._found.clear()

    def renamed(self, path: Path, inode: str) -> Path | None:
        """The file of this inode beside ``path``: what it is called after a rotation."""
        folder = path.parent
        if folder not in self._found:
            self._found[folder] = _by_inode(folder)
        found = self._found[folder].get(inode)
        return None if found == path else found


def _by_inode(folder: Path) -> dict[str, Path]:
    try:
        with os.scandir(folder) as entries:
            here = [one for one, _ in zip(entries, range(_ENTRIES), strict=False)]
        return {
            stamp_of(one.stat(follow_symlinks=False)).inode: Path(one.path)
            for one in here
            if one.is_file(follow_symlinks=False)
        }
    except OSError:  # what vanishes meanwhile is looked for again
        return {}
