"""A YAML text as a tree of texts, lists and mappings, read without guessing any type.

Whether ``no``, ``010`` or ``1e3`` is a word or a number is not decided here but by the place
where it stands (``pipeline.config.fields``), so a country code ``NO`` never becomes false. The text
is hostile: size, depth and number of nodes are bounded; aliases, tags, double keys and a second
document are refused. Built from parser events one by one, because composing a whole document
recurses, and lets an alias appear a billion times.

What is refused hides nothing: reading goes on behind it, and every copy of a double key is kept,
so that ``views`` can show each of them to whoever judges a tree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, TypeAlias

import yaml
from yaml.reader import Reader

from pipeline.config.faults import Faults, joined, shown

try:
    from yaml import CSafeLoader as _Loader
except ImportError:  # PyYAML built without libyaml: ten times slower, the same events
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

# A policy for a hundred services with every metric overridden is about 100 kB.
DOCUMENT_BYTES: Final = 1 << 20
# The deepest thing we understand lies at 5 (`metrics.x.segments[0][1]`); what lies deeper is passed
# over. libyaml needs time of the square of the depth, so a megabyte of "[" must be left unread.
DEPTH_MAX: Final = 16
PASSED_MAX: Final = 256
NODES_MAX: Final = 50_000
TEXT_CHARS: Final = 16_384
# Copies of one key that are judged; each costs as much as the whole file once more.
VIEWS_MAX: Final = 8
_NULLS: Final = frozenset({"~", "null", "Null", "NULL"})
# `$${X}` stays `${X}`; `${X}` is the variable X; `${X:-y}` is y where X is unset or empty.
_VARIABLE: Final = re.compile(
    r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]{0,127})(?::-(?P<else>[^}]*))?\}|\$\{"
)


@dataclass(frozen=True, slots=True)
class Scalar:
    """One text. ``written`` is how it stands in the file, before variables were put in; ``empty``
    is true for nothing, ``""``, ``~`` and ``null``, ``quoted`` for what stands in quotes."""

    text: str
    written: str
    empty: bool
    line: int
    quoted: bool = False


@dataclass(frozen=True, slots=True)
class Items:
    """A list."""

    items: tuple[Node, ...]
    line: int


@dataclass(frozen=True, slots=True)
class Fields:
    """A mapping from texts, in the order of the file; of a key that is given twice ``entries`` has
    the first value, and ``more`` those that follow."""

    entries: Mapping[str, Node]
    line: int
    more: Mapping[str, Sequence[Node]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unreadable:
    """A node whose fault has been reported already: whoever meets it stays silent."""

    line: int


Node: TypeAlias = Scalar | Items | Fields | Unreadable


@dataclass(slots=True)
class _Open:
    """A list or mapping whose end has not been met yet."""

    path: str
    line: int
    keyed: bool
    entries: dict[str, Node] = field(default_factory=dict)
    more: dict[str, list[Node]] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    key: str | None = None
    refused: bool = False  # the value that follows has a key that is no text

    def next_path(self) -> str:
        if self.keyed:
            named = self.key is not None and not self.refused
            return joined(self.path, self.key or "") if named else self.path
        return f"{self.path}[{len(self.items)}]"

    def closed(self) -> Node:
        if self.keyed:
            return Fields(self.entries, self.line, self.more)
        return Items(tuple(self.items), self.line)


def read(data: bytes, env: Mapping[str, str], faults: Faults) -> Node | None:
    """The tree of a YAML document, None for an empty one or one that cannot be read at all.

    Everything wrong with it is added to ``faults``. ``env`` fills ``${NAME}`` in values.
    """
    if len(data) > DOCUMENT_BYTES:
        faults.add("", f"is larger than {DOCUMENT_BYTES} bytes: split off what is no policy")
        return None
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        faults.add("", f"byte {error.start} is not UTF-8: save the file as UTF-8", line=line)
        return None
    try:
        return _Builder(env, faults).build(yaml.parse(text, Loader=_Loader))
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line if error.problem_mark is not None else -1
        faults.add("", _syntax(error, text, line), line=line + 1)
    except yaml.YAMLError as error:  # characters that YAML forbids carry no mark
        found = Reader.NON_PRINTABLE.search(text)
        line = text.count("\n", 0, found.start()) + 1 if found else 0
        faults.add("", f"is no YAML: {' '.join(str(error).split())}", line=line)
    except _GivenUpError as error:
        faults.add("", str(error))
    return None


def views(node: Node) -> Iterator[Node]:
    """The tree as it is with each copy of a key that is given twice, so that each can be judged.

    The first has the first copies; where no key is given twice it is the tree itself, and the only
    one. At most ``VIEWS_MAX``: of more copies the last are not looked at.
    """
    for index in range(min(_copies(node), VIEWS_MAX)):
        yield _view(node, index)


def _copies(node: Node) -> int:
    """How many trees it takes to show every copy of every key below a node."""
    if isinstance(node, Items):
        return max(map(_copies, node.items), default=1)
    if isinstance(node, Fields):
        return max((sum(map(_copies, _values(node, key))) for key in node.entries), default=1)
    return 1


def _values(node: Fields, key: str) -> tuple[Node, ...]:
    return (node.entries[key], *node.more.get(key, ()))


def _view(node: Node, index: int) -> Node:
    if isinstance(node, Items):
        return Items(tuple(_view(item, index) for item in node.items), node.line)
    if isinstance(node, Fields):
        chosen = {key: _chosen(_values(node, key), index) for key in node.entries}
        return Fields(chosen, node.line)
    return node


def _chosen(values: tuple[Node, ...], index: int) -> Node:
    """Of the copies of a key the one whose turn it is; the first again after the last."""
    for value in values if len(values) > 1 else ():
        many = _copies(value)
        if index < many:
            return _view(value, index)
        index -= many
    return _view(values[0], index)


def line_of(node: Node, parts: Sequence[str]) -> int:
    """The line where the place lies that keys lead to, or where they end leading on.

    In a list, what a key names is the item that has it as its ``name``, or is it.
    """
    for part in parts:
        inner: Node | None = None
        if isinstance(node, Fields):
            inner = node.entries.get(part)
        elif isinstance(node, Items):
            inner = next((item for item in node.items if _named(item) == part), None)
        if inner is None:
            break
        node = inner
    return node.line


def _named(item: Node) -> str:
    named = item.entries.get("name") if isinstance(item, Fields) else item
    return named.text if isinstance(named, Scalar) else ""


def _syntax(error: yaml.MarkedYAMLError, text: str, line: int) -> str:
    """What the parser says, and the remedy for its most frequent cause: a tab as indentation."""
    about = f" {error.context}" if error.context else ""
    lines = text.splitlines()
    indent = re.match(r"\s*", lines[line]) if 0 <= line < len(lines) else None
    tab = "; indent with blanks, never with tabs" if indent and "\t" in indent[0] else ""
    return f"is no YAML: {error.problem or 'cannot be read'}{about}{tab}"


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _GivenUpError(Exception):
    """The document exceeds a bound or has no sense; reading on would only cost more."""


class _Builder:
    """Puts a tree together from parser events, keeping the open lists and mappings on a stack."""

    def __init__(self, env: Mapping[str, str], faults: Faults) -> None:
        self.env = env
        self.faults = faults
        self.stack: list[_Open] = []
        self.root: Node | None = None
        self.documents = 0
        self.nodes = 0
        self.passed = 0  # lists and mappings still open that are passed over

    def build(self, events: Iterator[Any]) -> Node | None:
        """The tree; None if the document is empty."""
        for event in events:
            if isinstance(event, yaml.DocumentStartEvent):
                self.documents += 1
                if self.documents > 1:
                    line = _line(event)
                    self.faults.add("", "holds a second document: keep one, drop `---`", line=line)
                    break
            elif isinstance(event, yaml.NodeEvent):
                self._node(event)
            elif isinstance(event, yaml.CollectionEndEvent):
                if self.passed:
                    self.passed -= 1
                else:
                    closed = self.stack.pop()
                    self._place(closed.closed())
        return self.root

    def _node(self, event: Any) -> None:
        self.nodes += 1
        if self.nodes > NODES_MAX:
            raise _GivenUpError(f"holds more than {NODES_MAX} values: split off what is no policy")
        line = _line(event)
        if self.passed:
            self._pass_over(event, line)
            return
        if self.stack and self.stack[-1].keyed and self.stack[-1].key is None:
            self._key(event, line)
            return
        path = self.stack[-1].next_path() if self.stack else ""
        if isinstance(event, yaml.CollectionStartEvent):
            if len(self.stack) >= DEPTH_MAX:
                self.faults.add(path, f"is nested deeper than {DEPTH_MAX} levels", line=line)
                self._place(Unreadable(line))
                self._pass_over(event, line)
                return
            keyed = isinstance(event, yaml.MappingStartEvent)
            self._refuse_marks(event, path, line)
            self.stack.append(_Open(path, line, keyed))
        elif isinstance(event, yaml.ScalarEvent):
            clean = self._refuse_marks(event, path, line) or event.tag is None
            self._place(self._scalar(event, path, line) if clean else Unreadable(line))
        else:
            self._refuse_marks(event, path, line)
            self._place(Unreadable(line))

    def _key(self, event: Any, line: int) -> None:
        """Takes the key of the next value; a mapping must not say the same thing twice."""
        top = self.stack[-1]
        if not isinstance(event, yaml.ScalarEvent):
            message = "has a list, mapping or alias as a key: keys are plain texts"
            self.faults.add(top.path, message, line=line)
            top.key, top.refused = "", True
            self._pass_over(event, line)
            return
        top.key = event.value
        path = joined(top.path, event.value)
        if event.value in top.entries:
            first = top.entries[event.value].line
            self.faults.add(
                path, f"is given twice, first in line {first}: keep one of the two", line=line
            )
        self._refuse_marks(event, path, line)

    def _pass_over(self, event: Any, line: int) -> None:
        """Leaves a node and all that lies in it, whose fault has been reported."""
        if isinstance(event, yaml.CollectionStartEvent):
            self.passed += 1
            if self.passed > PASSED_MAX:
                raise _GivenUpError(f"line {line} is nested deeper than {PASSED_MAX} levels")

    def _refuse_marks(self, event: Any, path: str, line: int) -> bool:
        """Whether a node is plain: no alias, no anchor, no explicit tag."""
        if isinstance(event, yaml.AliasEvent):
            message = f"*{event.anchor} is an alias: write the value out, aliases are not followed"
        elif event.anchor is not None:
            message = f"&{event.anchor} is an anchor: drop it, aliases are not followed"
        elif event.tag is not None:
            message = f"the tag {shown(event.tag)} is not understood: drop it"
        else:
            return True
        self.faults.add(path, message, line=line)
        return False

    def _place(self, node: Node) -> None:
        """Hangs a finished node where it belongs."""
        if not self.stack:
            self.root = node
            return
        top = self.stack[-1]
        if not top.keyed:
            top.items.append(node)
            return
        key, refused = top.key or "", top.refused
        top.key, top.refused = None, False
        if key in top.entries and not refused:
            top.more.setdefault(key, []).append(node)
        elif not refused:
            top.entries[key] = node

    def _scalar(self, event: Any, path: str, line: int) -> Node:
        written: str = event.value
        text = self._filled(written, path, line)
        if text is None:
            return Unreadable(line)
        if len(text) > TEXT_CHARS:
            self.faults.add(path, f"is longer than {TEXT_CHARS} characters", line=line)
            return Unreadable(line)
        # Plain style is None from one parser and empty from the other.
        empty = not text or (not event.style and text in _NULLS)
        return Scalar(text, written, empty, line, quoted=bool(event.style))

    def _filled(self, written: str, path: str, line: int) -> str | None:
        """A text with its variables put in, None if one is missing."""
        missing: list[str] = []

        def value(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            name = match["name"]
            if name is None:
                missing.append("has `${` without a name: write ${NAME}, or $${ for the text itself")
                return ""
            found = self.env.get(name)
            if not found and match["else"] is not None:
                found = match["else"]
            if found is None:
                missing.append(f"{name} is not set in the environment: set it, or write ")
                missing[-1] += f"${{{name}:-something}}"
            return found or ""

        filled = _VARIABLE.sub(value, written)
        for message in missing:
            self.faults.add(path, message, line=line)
        return None if missing else filled
