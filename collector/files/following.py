"""Files, folders and standard input as a source: read on where the checkpoint stands, and followed.

One position per file, named ``file:<path>``. Files are read one after another in the order of
their paths, each up to where it ended when it was looked at. Standard input cannot be resumed.
"""

from __future__ import annotations

import glob
import os
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePath
from threading import Event
from typing import BinaryIO, Final

from analyzers.policy import Limits
from collector.files import recorded as files
from collector.files.followed import Followed, Way, stamp
from collector.files.piped import NAME, Piped
from collector.files.place import Folders, Place, Stamp, read_place, same
from collector.files.readers import POLL_BYTES, spoken
from collector.files.recorded import MissingError
from collector.files.settings import STDIN, FilesSettings
from collector.source import Part, RawBatch, SourceError

# What is new is looked for as often as this. At half, ten thousand files cost a tenth of a core
# for nothing; at double, events come later by as much.
LOOK_S: Final = 0.5
_LOOK_SHARE: Final = 10.0  # a look that takes long is followed by so many times its length without
_OPEN_FILES: Final = 128  # kept open because they may be rotated away; others are opened again
_PREFIX: Final = "file:"


class FilesSource:
    """The source of one ``FilesSettings``. ``now_s`` gives seconds of a monotonic clock; ``pause``
    waits for some of them; ``stdin`` stands for standard input."""

    def __init__(
        self,
        settings: FilesSettings,
        *,
        limits: Limits,
        now_s: Callable[[], float],
        pause: Callable[[float], object] | None = None,
        stdin: BinaryIO | None = None,
    ) -> None:
        self._settings = settings
        self._limits = limits
        self._way = Way(limits, settings.follow, settings.form, Folders())
        self._now_s = now_s
        self._pause = pause or Event().wait
        self._stdin = stdin
        self._piped: Piped | None = None
        self._saved: dict[str, str] = {}
        self._files: dict[Path, Followed] = {}
        self._round: deque[Followed] = deque()
        self._looked_s: float | None = None
        self._next_look_s = 0.0
        self._moved: list[Followed] = []
        self._notes: list[str] = []
        self._told: set[str] = set()

    @property
    def label(self) -> str:
        """What it is called in messages and metrics."""
        return f"files {self._settings.name}"

    @property
    def done(self) -> bool:
        """Whether nothing will come any more: never while files are followed."""
        if self._piped is not None:
            return self._piped.over
        if self._settings.follow or self._looked_s is None:
            return False
        return not self._round and not any(file.waits() for file in self._files.values())

    def open(self, positions: Mapping[str, str]) -> None:
        """Begins where ``positions`` say; SourceError for what can never be read."""
        self.close()
        self._saved = {name: text for name, text in positions.items() if name.startswith(_PREFIX)}
        paths = self._settings.paths
        if not paths:
            raise SourceError(f"{self.label} names no paths: name a file, a folder, or -")
        if STDIN in paths:
            if len(paths) > 1:
                raise SourceError(f"{self.label} names - and {len(paths) - 1} more: - stands alone")
            if self._piped is None:
                self._piped = Piped(
                    self._saved.get(NAME), self._limits, self._settings.form, self._stdin
                )
            return
        found = self._found()
        if len(found) > self._settings.most:
            raise SourceError(
                f"{self.label} stands for {len(found)} files, the limit is {self._settings.most}: "
                "move away what is old, or name fewer"
            )
        if not self._settings.follow:
            self._check_presence()
        here = {f"{_PREFIX}{spoken(path)}" for path in found}
        for name, text in self._saved.items():
            path = Path(name.removeprefix(_PREFIX))
            if name not in here and self._is_ours(path):
                self._add(path, text)

    def poll(self, *, events: int, wait_s: float) -> RawBatch:
        """What comes next, about ``events`` payloads at most, after ``wait_s`` at most if nothing
        waits."""
        if self._piped is not None:
            return self._piped.poll(events, wait_s)
        until_s = self._now_s() + wait_s
        while True:
            batch = self._gather(events)
            left_s = until_s - self._now_s()
            if batch.parts or batch.notes or batch.ignored or left_s <= 0:
                return batch
            if not self._round:
                self._pause(min(left_s, LOOK_S))

    def committed(self, parts: Sequence[Part]) -> None:
        """Files have no use for it."""

    def close(self) -> None:
        """Lets go of every file. What standard input gave and nobody polled stays for the next
        ``open`` of this source."""
        for file in self._files.values():
            file.rest()
        self._files.clear()
        self._round.clear()
        self._moved.clear()
        self._looked_s = None

    # --- one poll ---------------------------------------------------------------------------

    def _gather(self, events: int) -> RawBatch:
        if not self._round:
            self._look()
        # Before what is new under a name its former file must be known under its new one.
        parts = [told for file in self._moved if (told := file.moved()) is not None]
        self._moved.clear()
        ignored: Counter[str] = Counter()
        count = size = 0
        while self._round and count < events and size < POLL_BYTES:
            file = self._round[0]
            part = file.read(events - count)
            ignored.update(file.ignored)
            file.ignored.clear()
            self._notes += file.notes
            file.notes.clear()
            if part is not None:
                parts.append(part)
                count += len(part.payloads)
                size += sum(map(len, part.payloads))
            if not file.behind:
                self._round.popleft()
                self._settle(file)
            elif part is None:  # in the midst of a line that is far too long
                break
        parts += [told for file in self._waiting(parts) if (told := file.unread()) is not None]
        notes, self._notes = tuple(self._notes), []
        return RawBatch(tuple(parts), dict(ignored), notes)

    def _waiting(self, parts: Sequence[Part]) -> Iterator[Followed]:
        read = {part.source for part in parts if part.payloads}
        return (file for file in self._round if file.source not in read)

    def _settle(self, file: Followed) -> None:
        """Closes what can be closed, and forgets what is over."""
        if file.saved is not None:
            self._saved[file.source] = file.saved
        if file.over:
            file.rest()
            self._files.pop(file.path, None)
            return
        # The file read last goes to the end, so that those at rest for longest are closed.
        self._files[file.path] = self._files.pop(file.path)
        open_files = [file for file in self._files.values() if file.open]
        for idle in open_files[: max(0, len(open_files) - _OPEN_FILES)]:
            idle.rest()

    # --- which files there are --------------------------------------------------------------

    def _look(self) -> None:
        now_s = self._now_s()
        if self._looked_s is not None and now_s < self._next_look_s:
            return
        if self._looked_s is not None and not self._settings.follow:
            paths = set(self._files)  # what lay there at the start, and nothing else
        else:
            paths = self._found()
        self._looked_s = now_s
        self._way.folders.clear()
        stamps = self._alone({path: stamp(path) for path in paths | self._files.keys()})
        for path in sorted(stamps):
            if path not in self._files and stamps[path] is not None:
                if len(self._files) >= self._settings.most:
                    self._say(f"{self.label} has more than {self._settings.most} files: move away "
                              "what is old, or name fewer; the others wait")  # fmt: skip
                    break
                self._add(path, self._saved.get(f"{_PREFIX}{spoken(path)}"))
        for path, file in self._files.items():
            file.look(stamps.get(path), now_s)
        self._follow_renamed(stamps)
        for file in [file for file in self._files.values() if file.over]:
            self._settle(file)
        waiting = [file for file in self._files.values() if file.waits()]
        self._round.extend(sorted(waiting, key=lambda file: file.path))
        ended_s = self._now_s()
        self._next_look_s = ended_s + max(LOOK_S, _LOOK_SHARE * (ended_s - now_s))

    def _alone(self, stamps: dict[Path, Stamp | None]) -> dict[Path, Stamp | None]:
        """The files without those that are one of the others under a second name."""
        first: dict[str, Path] = {}
        for path in sorted(stamps, key=lambda one: (one not in self._files, one)):
            found = stamps[path]
            if found is None:
                continue
            other = first.setdefault(found.inode, path)
            if other != path and path not in self._files:
                self._say(f"{path} is {other} under another name; it is read once")
                stamps[path] = None
        return stamps

    def _follow_renamed(self, stamps: Mapping[Path, Stamp | None]) -> None:
        """Files that have another of our names now go on under it, from where they were."""
        here = {found.inode: path for path, found in stamps.items() if found is not None}
        moved: list[tuple[Followed, Followed]] = []
        for path, file in self._files.items():
            found = stamps.get(path)
            there = here.get(file.inode) if file.inode else None
            if there is None or there == path or (found is not None and found.inode == file.inode):
                continue
            other = self._files.get(there)
            if other is not None and other.inode != file.inode and same(there, file.place):
                moved.append((file, other))
        # A chain of renames (a to a.1, a.1 to a.2) moves at once.
        was = [(old.place, old.inode, new.place.life) for old, new in moved]
        taken = {new.source for _, new in moved}
        for (old, new), (place, inode, life) in zip(moved, was, strict=True):
            self._notes.append(f"{old.path} is {new.path} now; it is read on there")
            new.take_over(place, inode, at_least=life)
            self._moved.append(new)
        for old, _ in moved:
            if old.source not in taken:
                old.taken_over()

    def _add(self, path: Path, saved: str | None) -> None:
        place = read_place(saved)
        if place is None:
            self._notes.append(f"the position of {path} cannot be understood; it is read anew")
        self._files[path] = Followed(path, place or Place(), saved, self._way)

    def _found(self) -> set[Path]:
        """The files that the settings stand for, present or, if named by themselves, to come."""
        found: set[Path] = set()
        for name in self._settings.paths:
            path = Path(name)
            if path.is_dir():
                found.update(self._inside(path))
            elif glob.has_magic(name) and not path.exists():
                found.update(Path(one) for one in glob.iglob(name, recursive=True))  # noqa: PTH207
            else:
                found.add(path)
        return found

    def _inside(self, folder: Path) -> Iterator[Path]:
        def refused(error: OSError) -> None:
            self._say(f"{error.filename} cannot be read ({error.strerror}); check its permissions")

        for inside, _, names in os.walk(folder, onerror=refused):
            yield from (Path(inside, name) for name in names if files.is_stream(name))

    def _check_presence(self) -> None:
        for name in self._settings.paths:
            if not glob.has_magic(name):
                try:
                    files.found([Path(name)])
                except MissingError as error:
                    raise SourceError(f"{self.label}: {error}") from error

    def _is_ours(self, path: Path) -> bool:
        """Whether a file that is no longer there was one of this source."""
        for name in self._settings.paths:
            if path == Path(name):
                return True
            if glob.has_magic(name):
                alike = len(path.parts) == len(PurePath(name).parts) and "**" not in name
                if alike and path.match(name):
                    return True
            elif path.is_relative_to(name) and files.is_stream(path.name):
                return True
        return False

    def _say(self, note: str) -> None:
        """A note that is said once."""
        if note not in self._told and len(self._told) < self._settings.most:
            self._told.add(note)
            self._notes.append(note)
