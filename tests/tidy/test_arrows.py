"""What may be imported where, and who may read the clock.

The import contracts in pyproject.toml say which rooms may know each other; here is what they
cannot say: analyzers import from a short list and call nothing that reaches outside, and one file
alone reads the clock.
"""

from __future__ import annotations

import ast

from tests.tidy.sources import Source, dotted, imported, rooms, sources

PURE = {
    "__future__", "abc", "analyzers", "array", "bisect", "collections", "dataclasses", "datetime",
    "decimal", "enum", "fractions", "functools", "hashlib", "heapq", "itertools", "math", "msgspec",
    "numbers", "numpy", "operator", "re", "scipy", "string", "struct", "types", "typing", "zlib",
}  # fmt: skip
REACHES_OUT = {"open", "print", "input", "exec", "eval", "breakpoint", "__import__", "id", "hash"}
CLOCK_FILE = "pipeline/clock.py"
CLOCKS = {
    "datetime.date.today", "datetime.datetime.now", "datetime.datetime.today",
    "datetime.datetime.utcnow", "pandas.Timestamp.now", "pandas.Timestamp.today",
    "pandas.Timestamp.utcnow", "uuid.uuid1",
    *(
        f"time.{name}{suffix}"
        for name in ("time", "monotonic", "perf_counter", "process_time", "thread_time",
                     "clock_gettime")
        for suffix in ("", "_ns")
    ),
    "time.gmtime", "time.localtime", "time.ctime", "time.asctime",
}  # fmt: skip


def clock_readings(source: Source) -> list[str]:
    """Where a file names a clock, as ``path:line name``."""
    names = imported(source.tree)
    return [
        f"{source.at(node)} {name}"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute | ast.Name) and (name := dotted(node, names)) in CLOCKS
    ]


def test_analyzers_import_only_from_the_short_list() -> None:
    strangers = [
        f"{source.path}: {name}"
        for source in rooms()
        if source.room == "analyzers"
        for name in imported(source.tree).values()
        if name.split(".")[0] not in PURE
    ]
    assert not strangers, f"analyzers are pure, these imports are not on the list: {strangers}"


def test_analyzers_draw_no_random_numbers() -> None:
    draws = [
        f"{source.at(node)} {name}"
        for source in rooms()
        if source.room == "analyzers"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute)
        and (name := dotted(node, imported(source.tree))).startswith("numpy.random")
    ]
    assert not draws, f"a verdict is a function of its facts: {draws}"


def test_analyzers_call_nothing_that_reaches_outside_or_differs_between_runs() -> None:
    calls = [
        f"{source.at(node)} {node.func.id}"
        for source in rooms()
        if source.room == "analyzers"
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in REACHES_OUT
    ]
    assert not calls, f"analyzers neither read nor write: {calls}"


def test_one_file_alone_reads_the_clock() -> None:
    readings = [
        reading
        for source in rooms()
        if str(source.path) != CLOCK_FILE
        for reading in clock_readings(source)
    ]
    assert not readings, f"take the time as an argument; {CLOCK_FILE} reads it: {readings}"


def test_a_clock_under_another_name_is_found_too() -> None:
    text = "from time import monotonic as m\nimport datetime as d\nm()\nd.datetime.now(d.UTC)\n"
    source = Source(sources()[0].path, text, ast.parse(text))
    assert [reading.split()[1] for reading in clock_readings(source)] == [
        "time.monotonic",
        "datetime.datetime.now",
    ]
