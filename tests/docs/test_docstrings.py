"""Every example in a docstring of the product does what it says."""

from __future__ import annotations

import doctest
import importlib

import pytest

from tests.tidy.sources import Source, rooms

EXAMPLES = [source for source in rooms() if ">>> " in source.text]


@pytest.mark.parametrize("source", EXAMPLES, ids=[str(source.path) for source in EXAMPLES])
def test_the_examples_in_docstrings_are_true(source: Source) -> None:
    name = ".".join(source.path.with_suffix("").parts).removesuffix(".__init__")
    result = doctest.testmod(importlib.import_module(name), optionflags=doctest.ELLIPSIS)
    assert result.attempted
    assert not result.failed, f"{result.failed} of {result.attempted} examples are not true"
