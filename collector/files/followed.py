"""One file as it is followed: what is new in it, and whether it is still the same one.

A file under a name is read to its end. When another one takes its place (rotation), the former is
finished first, whatever it is called by then; when it was cut or written anew, it is begun anew.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from stat import S_ISREG
from typing import Final

import msgspec
import numpy as np

from analyzers.policy import Limits
from collector.files.lines import is_gzip
from collector.files.place import SAMPLE_BYTES, Folders, Place, Stamp, digest, fits, stamp_of
from collector.files.readers import Cut, Tail, Whole, spoken, unreadable
from collector.files.recorded import SNIFFED_BYTES, FilesError, ReadError, is_lines
from collector.source import Form, Message, Part

# A file that is read as a whole, and one that was rotated away, is taken to be finished when it
# has not changed for so long. At half, a copy over a slow network is read too early more often
# (and then again); at double, events come later by as much.
SETTLED_S: Final = 1.0
RETRY_S: Final = 30.0
_BEGIN_BYTES: Final = 1 << 16


@dataclass(frozen=True, slots=True)
class Way:
    """How files are read; ``folders`` is what lies beside them."""

    limits: Limits
    follow: bool
    form: Form | None
    folders: Folders


class Followed:
    """One file, from its position on. ``notes`` are lines for whoever looks on."""

    def __init__(self, path: Path, place: Place, saved: str | None, way: Way) -> None:
        self.path = path
        self.source = f"file:{spoken(path)}"
        self.place = place
        self.saved = saved
        self.over = False
        self.behind = False
        self.notes: list[str] = []
        self.ignored: Counter[str] = Counter()
        self._way = way
        self._reader: Tail | Whole | None = None
        self._stamp: Stamp | None = None
        self._since_s = self._now_s = 0.0
        self._exhausted: Stamp | None = None
        self._checked: Stamp | None = None
        self._by_line = True
        self._former = False
        self._former_size, self._former_since_s = -1, 0.0
        self._trouble, self._retry_s = "", 0.0
        self._said_behind = False

    # --- how it looks -----------------------------------------------------------------------

    @property
    def inode(self) -> str:
        """The file that was read last; empty if none was."""
        return self._reader.inode if self._reader is not None else self.place.inode

    @property
    def open(self) -> bool:
        """Whether it holds an open file that it could do without."""
        return self._reader is not None and self._reader.rested() and not self._former

    def look(self, stamp: Stamp | None, now_s: float) -> None:
        """Hears how the file under its name looks now; None: there is none."""
        if stamp != self._stamp or not self._now_s:
            self._stamp, self._since_s = stamp, now_s
        self._now_s = now_s
        reader = self._reader
        if reader is None:
            return
        if stamp is None or stamp.inode != reader.inode:
            self._former = True
        if self._former:
            size = reader.size()
            if size != self._former_size:
                self._former_size, self._former_since_s = size, now_s
        elif isinstance(reader, Tail) and stamp is not None and stamp.size < reader.read_to:
            self._begin_anew(f"was truncated after {self.place.at} bytes of it were read")

    def waits(self) -> bool:
        """Whether a reading may give something."""
        if self.over:
            return False
        if self._former or self._stamp is None:
            return True
        if self._stamp == self._exhausted:
            return bool(self._trouble) and self._now_s >= self._retry_s
        return self._by_line or self._settled(self._since_s)

    def _settled(self, since_s: float) -> bool:
        return not self._way.follow or self._now_s - since_s >= SETTLED_S

    def moved(self) -> Part | None:
        """The position of a file that was taken over, before any of it is read."""
        after = self.place.text()
        if not self.place.at or after == self.saved:
            return None
        before, self.saved = self.saved, after
        return Part(self.source, before=before, after=after, behind=self._said_behind)

    def unread(self) -> Part | None:
        """Says that more waits here than was read, unless that was said already."""
        if self._said_behind or self._former or self._stamp is None:
            return None
        self._said_behind = True
        return Part(self.source, before=self.saved, behind=True)

    # --- what is new ------------------------------------------------------------------------

    def read(self, events: int) -> Part | None:
        """What comes next, about ``events`` payloads at most; None if there is nothing."""
        try:
            cut = self._cut(events)
        except (OSError, FilesError) as error:
            return self._troubled(error)
        if cut.payloads or cut.refused:
            self._trouble = ""
        self.behind = cut.more
        return self._part(cut, moved=True)

    def _cut(self, events: int) -> Cut:
        reader = self._reader = self._reader or self._opened()
        if reader is None:
            return Cut()
        if not self._former and isinstance(reader, Tail) and self._checked != self._stamp:
            self._checked = self._stamp
            if not fits(reader.file, self.place):
                self._begin_anew("was written anew")
                return Cut(more=True)
        cut = reader.read(events)
        if cut.more:
            self.place = reader.place()
            return cut
        if self._former:
            if self._settled(self._former_since_s):
                self._add_end(cut, reader)
                self._finish(reader)
            else:
                self.place = reader.place()
            return cut
        self._exhausted = self._stamp
        if not self._way.follow:
            self._add_end(cut, reader)
        self.place = reader.place()
        if isinstance(reader, Whole):
            self.rest()
        return cut

    def _add_end(self, cut: Cut, reader: Tail | Whole) -> None:
        end = reader.end()
        cut.payloads += end.payloads
        cut.offsets += end.offsets
        cut.refused += end.refused
        cut.refused_at += end.refused_at

    def _finish(self, reader: Tail | Whole) -> None:
        """Lets go of a file that has no longer its name, and was read to its end."""
        self.place = msgspec.structs.replace(reader.place(), done=True)
        self.rest()
        if self._stamp is None:
            self.over = True

    def _troubled(self, error: OSError | FilesError) -> Part | None:
        former, self.behind = self._former, False
        self.rest()
        self._exhausted = self._stamp
        if former or self._stamp is None:
            self.place = msgspec.structs.replace(self.place, done=True)
            self.over = self._stamp is None
        lasting = not isinstance(error, OSError | ReadError)
        self._retry_s = float("inf") if lasting else self._now_s + RETRY_S
        if self._trouble == str(error):
            return None
        self._trouble = str(error)
        line = unreadable(self.path, error, self._way.limits)
        return self._part(Cut(refused=[line], refused_at=[self.place.at]), moved=False)

    def _part(self, cut: Cut, *, moved: bool) -> Part | None:
        lines, offsets = self._formed(cut)
        after = self.place.text() if moved and (self.place.at or self.place.done) else self.saved
        if not (lines or cut.refused or after != self.saved or cut.more != self._said_behind):
            return None
        self._said_behind = cut.more
        part = Part(
            self.source,
            payloads=[*lines, *cut.refused],
            offsets=np.array([*offsets, *cut.refused_at], np.int64),
            before=self.saved,
            after=None if after == self.saved else after,
            behind=cut.more,
        )
        self.saved = after
        return part

    def _formed(self, cut: Cut) -> tuple[list[bytes], list[int]]:
        form = self._way.form
        if form is None:
            return cut.payloads, cut.offsets
        lines: list[bytes] = []
        offsets: list[int] = []
        name = spoken(self.path) + (f"#{self.place.life}" if self.place.life else "")
        for offset, payload in zip(cut.offsets, cut.payloads, strict=True):
            formed = form(Message(payload, f"{name}@{offset}"))
            lines += formed.lines
            offsets += [offset] * len(formed.lines)
            if formed.ignored:
                self.ignored[formed.ignored] += 1
        return lines, offsets

    # --- which file it is -------------------------------------------------------------------

    def _opened(self) -> Tail | Whole | None:
        """A reader of the file under the name, or of the one that had it and is not finished;
        None if there is nothing to read yet."""
        stamp, place = self._stamp, self.place
        if stamp is None:
            found = self._renamed()
            self.over = found is None
            return found
        file = os.open(self.path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            begin = os.pread(file, _BEGIN_BYTES, 0)
            self._by_line = is_lines(self.path, begin)
            if not self._settled(self._since_s):
                # It may become another kind of file with its next bytes.
                self._by_line &= len(begin) >= SNIFFED_BYTES or b"\n" in begin
                if not self._by_line:
                    return None
            if not self._by_line:
                return self._whole(stamp, begin)
            if place.content:
                self._begin_anew("holds lines now")
            elif not fits(file, place):
                if place.inode != stamp.inode and not place.done:
                    found = self._renamed()
                    if found is not None:
                        return found
                self._begin_anew(self._replaced(stamp))
            self._checked = stamp
            reader, file = Tail(file, stamp.inode, self.place, self._way.limits), -1
            return reader
        finally:
            if file >= 0:
                os.close(file)

    def _replaced(self, stamp: Stamp) -> str:
        if self.place.done:
            return "is another file now"
        if self.place.inode == stamp.inode:
            return "was truncated or written anew"
        return (
            "was replaced while nobody looked, and the former one is not beside it: what that "
            f"held after byte {self.place.at}, if anything, is lost"
        )

    def _whole(self, stamp: Stamp, begin: bytes) -> Whole | None:
        place = self.place
        if place.at and not place.content:
            self._begin_anew("holds no plain lines any more")
        elif place.content == stamp.content:
            if place.done:
                self._exhausted = stamp
                return None
        elif place.content and digest(begin[: min(place.sample, SAMPLE_BYTES)]) != place.begin:
            self._begin_anew("is another file now")
        elif place.content and (place.damaged or not is_gzip(begin)):
            # The same places give the same ids: what is known already counts once.
            self.place = msgspec.structs.replace(place, at=0, done=False)
            self.notes.append(f"{self.path} has changed; it is read again")
        return Whole(self.path, stamp, self.place, self._way.limits)

    def _renamed(self) -> Tail | None:
        """The file that had the name and was not read to its end, under its new name."""
        place = self.place
        if not place.inode or place.done or place.content:
            return None
        found = self._way.folders.renamed(self.path, place.inode)
        if found is None:
            return None
        file = os.open(found, os.O_RDONLY | os.O_CLOEXEC)
        if not fits(file, place):
            os.close(file)
            return None
        self._former, self._former_size, self._former_since_s = True, -1, self._now_s
        return Tail(file, place.inode, place, self._way.limits)

    def _begin_anew(self, why: str) -> None:
        self.notes.append(f"{self.path} {why}; it is read from its beginning")
        self.rest()
        life = self.place.life + bool(self.place.at)
        self.place = Place(life=life)
        self._exhausted = None

    def rest(self) -> None:
        """Closes the file; it is opened again when there is something to read."""
        if self._reader is not None:
            self._reader.close()
        self._reader, self._former = None, False

    def take_over(self, place: Place, inode: str, *, at_least: int) -> None:
        """Goes on with a file of another name, which has this name now; ``at_least``: lives that
        this name has had."""
        self.rest()
        life = max(at_least, place.life) + 1
        self.place = msgspec.structs.replace(place, inode=inode, life=life)
        self._exhausted = self._checked = None
        self.over = False

    def taken_over(self) -> None:
        """Hears that its file goes on under another name."""
        self.rest()
        self.place = Place(life=self.place.life + 1)
        self._exhausted = self._checked = None
        self.over = self._stamp is None


def stamp(path: Path) -> Stamp | None:
    """How the file at ``path`` looks; None if there is none, or no plain file."""
    try:
        found = path.stat()
    except OSError:
        return None
    return stamp_of(found) if S_ISREG(found.st_mode) else None
