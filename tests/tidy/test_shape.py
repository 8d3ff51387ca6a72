"""How large files and functions are, what they are called, where they lie."""

from __future__ import annotations

import ast

from tests.tidy.sources import ROOMS, rooms, sources, tree

FILE_LINES = 450
FUNCTION_LINES = 70
FORBIDDEN_NAMES = {
    "utils", "util", "helpers", "helper", "common", "base", "core", "misc", "manager", "handler",
    "managers", "handlers",
}  # fmt: skip
TOP_LEVEL = {
    *ROOMS, "tests", "benchmarks", "docs", "deploy",
    ".ci", ".gitignore", ".dockerignore", "CHANGELOG.md", "LICENSE", "README.md",
    "docker-compose.yml", "pyproject.toml", "requirements.lock", "requirements-dev.lock",
}  # fmt: skip


def test_the_top_level_holds_only_what_is_meant_to_be_there() -> None:
    strangers = {path.parts[0] for path in tree()} - TOP_LEVEL
    assert not strangers, f"not meant to lie at the top: {sorted(strangers)}"


def test_files_stay_short_enough_to_be_read_in_one_sitting() -> None:
    long = [f"{s.path}: {n}" for s in sources() if (n := s.text.count("\n")) > FILE_LINES]
    assert not long, f"split these files, more than {FILE_LINES} lines: {long}"


def test_functions_stay_short_enough_to_be_seen_at_once() -> None:
    long = [
        f"{source.at(function)} {function.name}: {lines}"
        for source in sources()
        for function in source.functions()
        if (lines := (function.end_lineno or function.lineno) - function.lineno + 1)
        > FUNCTION_LINES
    ]
    assert not long, f"split these functions, more than {FUNCTION_LINES} lines: {long}"


def test_files_and_folders_are_named_after_what_they_know() -> None:
    empty = [
        str(path)
        for path in tree()
        if FORBIDDEN_NAMES & {part.split(".")[0].removeprefix("test_") for part in path.parts}
    ]
    assert not empty, f"these names say nothing: {empty}"


def test_every_module_says_what_lives_in_it() -> None:
    silent = [str(s.path) for s in sources() if s.text.strip() and not ast.get_docstring(s.tree)]
    assert not silent, f"no module docstring: {silent}"


def test_every_package_of_the_product_says_what_it_is() -> None:
    silent = [s.path.parent for s in rooms() if s.path.name == "__init__.py" and not s.text.strip()]
    assert not silent, f"no package docstring: {sorted(map(str, silent))}"
