"""The files of the tree, as text and as syntax trees, for the tests that hold its style."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("analyzers", "collector", "dashboards", "pipeline")
TEXT = {
    ".py", ".md", ".toml", ".yml", ".yaml", ".json", ".sql", ".html", ".css", ".js", ".svg",
    ".lock", ".txt", ".sh", ".cfg", ".ini", "",
}  # fmt: skip

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: its path from the root, its text and its syntax tree."""

    path: PurePosixPath
    text: str
    tree: ast.Module

    @property
    def room(self) -> str:
        """The top folder it lies in."""
        return self.path.parts[0]

    def functions(self) -> Iterator[Function]:
        """Every function and method, nested ones too."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield node

    def at(self, node: ast.stmt | ast.expr | ast.excepthandler) -> str:
        """Where a node stands, as ``path:line``."""
        return f"{self.path}:{node.lineno}"


@cache
def tree() -> tuple[PurePosixPath, ...]:
    """Every file that belongs to the repository: known to git, or new and not ignored."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    names = listing.stdout.decode().split("\0")
    return tuple(PurePosixPath(name) for name in sorted(names) if (ROOT / name).is_file())


@cache
def texts() -> tuple[tuple[PurePosixPath, str], ...]:
    """Path and content of every text file."""
    return tuple(
        (path, (ROOT / path).read_text(encoding="utf-8")) for path in tree() if path.suffix in TEXT
    )


@cache
def sources() -> tuple[Source, ...]:
    """Every Python file."""
    return tuple(
        Source(path, text, ast.parse(text)) for path, text in texts() if path.suffix == ".py"
    )


def rooms() -> tuple[Source, ...]:
    """The Python files of the product itself."""
    return tuple(source for source in sources() if source.room in ROOMS)


@cache
def imported(tree: ast.Module) -> dict[str, str]:
    """Local name to dotted name of everything that a module imports.

    >>> imported(ast.parse("import time as t\\nfrom datetime import datetime"))
    {'t': 'time', 'datetime': 'datetime.datetime'}
    """
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                top = alias.name if alias.asname else alias.name.split(".")[0]
                names[alias.asname or top] = top
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def dotted(node: ast.expr, names: dict[str, str]) -> str:
    """The full dotted name that an expression means, empty if it is no plain name.

    >>> dotted(ast.parse("t.time", mode="eval").body, {"t": "time"})
    'time.time'
    """
    if isinstance(node, ast.Name):
        return names.get(node.id, node.id)
    if isinstance(node, ast.Attribute):
        left = dotted(node.value, names)
        return f"{left}.{node.attr}" if left else ""
    return ""
