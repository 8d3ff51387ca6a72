"""Which form a source has by now, found by the name under which its messages were refused."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fnmatch import fnmatchcase
from pathlib import Path

from collector.files.settings import FilesSettings
from collector.source import Form
from pipeline.config.sources import SourceSettings


def form_of(sources: Sequence[SourceSettings]) -> Callable[[str], Form | None]:
    """What gives the form of ``kafka:NAME:orders/3`` or ``file:/in/a.ndjson``; None where no source
    of the configuration reads that with a mapping or a format."""
    by_name = {one.name: one.reads.form for one in sources}
    files = [one.reads for one in sources if isinstance(one.reads, FilesSettings)]

    def found(source: str) -> Form | None:
        kind, _, name = source.partition(":")
        if kind == "kafka":
            return by_name.get(name.partition(":")[0])
        if kind == "file":
            return next((one.form for one in files if _reads(one, name)), None)
        return None

    return found


def _reads(settings: FilesSettings, name: str) -> bool:
    for path in settings.paths:
        if name == path or fnmatchcase(name, path):
            return True
        absolute = str(Path(path).absolute())
        if name == absolute or fnmatchcase(name, absolute) or name.startswith(f"{absolute}/"):
            return True
    return False
