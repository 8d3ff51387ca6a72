"""What is told to a source of files: which files, whether they are followed, what they hold.

Values only; what really lies there is found out by ``following``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from collector.source import Form

STDIN: Final = "-"


@dataclass(frozen=True, slots=True)
class FilesSettings:
    """One source of files. ``paths`` are files, folders (every stream in them and below them, by
    its ending), patterns such as ``/in/*/orders-?.ndjson`` (``**`` for any folders), or ``-`` alone
    for standard input. With ``follow`` new files and appended lines are found as they come; without
    it what lies there at the start is read once, up to its end. ``form`` None: lines hold events of
    our own format, or a format that ``decode`` understands as it is.
    """

    name: str
    paths: tuple[str, ...]
    follow: bool = True
    form: Form | None = None
    most: int = 10_000  # files at once; each costs a look a second and a row in the state
