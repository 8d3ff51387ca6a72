"""Habits inside functions: exceptions, output, sleeping, tests that assert."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from tests.tidy.sources import Function, Source, dotted, imported, rooms, sources

QUIET = (ast.Pass, ast.Continue, ast.Break)
# That there is no more is an answer, not an error: leaving is all there is to do.
NO_MORE = {"asyncio.QueueEmpty", "queue.Empty", "StopIteration"}
ASSERTING = ("assert", "check", "expect", "raises", "warns", "fail")


def swallows(handler: ast.ExceptHandler) -> bool:
    """Whether a handler drops what it caught: it neither re-raises, nor converts, nor counts."""
    if handler.type is not None and dotted(handler.type, {}) in NO_MORE:
        return False
    return all(
        isinstance(statement, QUIET)
        or (isinstance(statement, ast.Return) and statement.value is None)
        or (isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant))
        for statement in handler.body
    )


def handlers(text: ast.Module) -> Iterator[ast.ExceptHandler]:
    """Every exception handler."""
    return (node for node in ast.walk(text) if isinstance(node, ast.ExceptHandler))


def asserts(function: Function) -> bool:
    """Whether a test states anything: an assert, an expected error, or a call of what asserts."""
    for node in ast.walk(function):
        if isinstance(node, ast.Assert):
            return True
        if isinstance(node, ast.Call):
            name = dotted(node.func, {}).rsplit(".", 1)[-1]
            if name.lstrip("_").startswith(ASSERTING):
                return True
    return False


def sleeps_outside_a_loop(source: Source) -> list[str]:
    """Where a file sleeps other than between two looks at something it waits for."""
    names = imported(source.tree)
    looping = {
        id(inner)
        for loop in ast.walk(source.tree)
        if isinstance(loop, ast.While | ast.For | ast.AsyncFor)
        for inner in ast.walk(loop)
    }
    return [
        source.at(node)
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and dotted(node.func, names) in {"time.sleep", "asyncio.sleep"}
        and id(node) not in looping
    ]


def test_every_except_re_raises_converts_or_counts() -> None:
    swallowed = [
        source.at(handler)
        for source in rooms()
        for handler in handlers(source.tree)
        if swallows(handler)
    ]
    assert not swallowed, f"an error vanishes here without a trace: {swallowed}"


def test_nothing_suppresses_every_error() -> None:
    broad = [
        source.at(node)
        for source in rooms()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call)
        and dotted(node.func, imported(source.tree)) == "contextlib.suppress"
        and {dotted(arg, {}) for arg in node.args} & {"Exception", "BaseException"}
    ]
    assert not broad, f"name the errors that may be ignored, and say why: {broad}"


def test_the_product_prints_only_through_its_terminal() -> None:
    prints = [
        source.at(node)
        for source in rooms()
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Call) and dotted(node.func, {}) == "print"
    ]
    assert not prints, f"use click or rich: {prints}"


def test_every_test_asserts_something() -> None:
    hollow = [
        f"{source.at(function)} {function.name}"
        for source in sources()
        if source.room == "tests"
        for function in source.functions()
        if function.name.startswith("test_") and not asserts(function)
    ]
    assert not hollow, f"these tests cannot fail: {hollow}"


def test_no_test_sleeps_and_hopes() -> None:
    sleepy = [at for s in sources() if s.room == "tests" for at in sleeps_outside_a_loop(s)]
    assert not sleepy, f"wait for something, not for some time: {sleepy}"


@pytest.mark.parametrize(
    ("body", "lost"),
    [
        ("pass", True),
        ("continue", True),
        ("return", True),
        ("'a reason in words only'", True),
        ("raise", False),
        ("raise ValueError('x') from error", False),
        ("lost += 1", False),
        ("return None, 'unreadable'", False),
    ],
)
def test_a_handler_that_loses_its_error_is_told_from_one_that_does_not(
    body: str, lost: bool
) -> None:
    code = f"for _ in ():\n try:\n  x()\n except OSError as error:\n  {body}\n"
    if "return" in body:
        code = "def f():\n" + "".join(f" {line}\n" for line in code.splitlines())
    assert [swallows(handler) for handler in handlers(ast.parse(code))] == [lost]
