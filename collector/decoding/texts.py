"""Texts of events and markers: which are allowed, and columns of them as codes and words."""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import Final, TypeVar

import numpy as np

from analyzers.facts import Column, Ints
from collector.decoding.faults import Fault, Reason, quote

TEXT_BYTES: Final = 256
_Word = TypeVar("_Word", bound=Hashable)
# A character is at most four bytes of UTF-8: so many characters fit whatever they are.
_SURE_CHARACTERS: Final = TEXT_BYTES // 4
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")


def fault_of(name: str, text: str, *, most: int = TEXT_BYTES) -> Fault | None:
    """What is wrong with the text of a field, if anything; empty texts are the caller's matter."""
    if not is_unicode(text):
        return Fault(Reason.ENCODING_INVALID, f"field {name} holds half a surrogate pair")
    control = _CONTROL.search(text)
    if control:
        return Fault(
            Reason.CONTROL_CHARACTER, f"field {name} is {quote(text)}, with {control.group()!r}"
        )
    if len(text) > most // 4 and len(text.encode()) > most:
        return Fault(Reason.FIELD_TOO_LONG, f"field {name} has over {most} bytes: {quote(text)}")
    return None


def is_unicode(text: str) -> bool:
    """Whether UTF-8 can write the text: JSON escapes can name half of a surrogate pair."""
    return text.isascii() or not _SURROGATE.search(text)


def all_sound(texts: Sequence[str]) -> bool:
    """Whether ``fault_of`` surely finds nothing in any of the texts: one pass over all of them.

    False may also mean that they are merely unusual, and have to be looked at one by one.
    """
    joined = "".join(texts)
    longest = max(map(len, texts), default=0)
    return joined.isprintable() and longest <= (
        TEXT_BYTES if joined.isascii() else _SURE_CHARACTERS
    )


def coded(values: Sequence[_Word]) -> tuple[Ints, tuple[_Word, ...]]:
    """The distinct values in order of first appearance, and the place of each value among them.

    The same as ``facts.code`` gives, for any hashable values: two passes inside the interpreter
    instead of a Python loop (0.09 instead of 0.16 us a value).
    """
    index = {word: place for place, word in enumerate(dict.fromkeys(values))}
    if len(index) == 1:
        return np.zeros(len(values), np.int64), tuple(index)
    return np.fromiter(map(index.__getitem__, values), np.int64, len(values)), tuple(index)


def in_order(column: Column) -> Column:
    """The same column with the words that occur, in order of first appearance.

    So columns depend on nothing but the texts in them, whichever way they were put together.
    """
    rows = len(column)
    first = np.full(len(column.words), rows, np.int64)
    # Of several writes to one place the last stays, hence backwards.
    first[column.codes[::-1]] = np.arange(rows)[::-1]
    used = np.flatnonzero(first < rows)
    used = used[np.argsort(first[used])]
    places = np.zeros(len(column.words), np.int64)
    places[used] = np.arange(len(used))
    return Column(places[column.codes], tuple(column.words[place] for place in used.tolist()))
