"""Step 1, *read*: YAML's events become a tree whose nodes know their place.

Scalars stay their raw text, so that nothing is guessed: ``0000000000000010`` stays sixteen
digits, ``no`` a word.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, NoReturn

import yaml

MAX_ALIASED: Final = 1_000_000
"""Values that aliases may stand for: a few lines of YAML can mean billions."""
MAX_DEPTH: Final = 16
MAX_TEXT: Final = 200

Loc = tuple[str | int, ...]
"""Where in the tree: ``("networks", 0, "attachments", 2, "vlan")``."""


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One thing that is wrong in a file, and where. Lines and columns count from 1."""

    source: str
    line: int
    column: int
    path: str
    """``networks[0].attachments[2].vlan``; empty where the file as a whole is meant."""
    message: str

    def __str__(self) -> str:
        path = self.path and f"{self.path}: "
        return f"{self.source}:{self.line}:{self.column}: {path}{self.message}"


class ConfigError(Exception):
    """A configuration that cannot be used: everything that is wrong with it, by place."""

    def __init__(self, problems: list[Problem]) -> None:
        super().__init__(problems)
        self.problems = tuple(sorted(problems))

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_NULLS: Final = {"", "~", "null", "Null", "NULL"}
_NOT_YAML = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class Place(NamedTuple):
    line: int
    column: int


@dataclass(slots=True)
class Node:
    place: Place
    value: Any = None
    """A str, list[Node | None], dict[str, Node], or None for YAML's null."""
    key: Place | None = None
    """Of the key that leads here."""
    alias: bool = False
    """What is in it was written elsewhere: problems of it are reported here."""


class Tree:
    """A YAML text as nodes, and what is wrong with it.

    Built from events: no recursion deeper than MAX_DEPTH, no object that a tag asks for.
    """

    def __init__(self, text: str, source: str) -> None:
        self.problems: list[Problem] = []
        self._source = source
        self._anchors: dict[str, tuple[Node, int] | None] = {}
        self._size = self._aliased = 0
        self.cuts: set[Loc] = set()
        """The fields of networks and switches that lack something."""
        if bad := _NOT_YAML.search(text):
            self._stop(end(text[: bad.start()]), (), f"{bad[0]!a} cannot stand in YAML")
        self._events = yaml.parse(text, Loader=_Loader)
        try:
            self.root = self._document()
        except yaml.MarkedYAMLError as error:
            what = str(error.problem)
            start, place = error.context_mark, _start(error.problem_mark)
            if start and start.line + 1 != place.line:
                what += f" {error.context} that begins at line {start.line + 1}"
            if "cannot start any token" in what:
                what += " (indent with spaces, not tabs; quote text with special characters)"
            self._stop(place, (), f"not YAML: {what}")

    def place(self, loc: Loc, *, key: bool = False) -> Place:
        """Of the node at ``loc``, or of the key that leads to it."""
        node = self.root
        for part in loc:
            if node.alias:
                return node.place
            node = node.value[part]
        return node.key if key and node.key else node.place

    def report(self, place: Place, loc: Loc, message: str) -> None:
        self.problems.append(Problem(self._source, *place, _path(loc), message))

    def _stop(self, place: Place, loc: Loc, message: str) -> NoReturn:
        self.report(place, loc, message)
        raise ConfigError(self.problems)

    def cut(self, loc: Loc) -> None:
        """Remove the smallest part around ``loc`` without which the rest means the same:
        an attachment without its unreadable VLAN would be another attachment."""
        self.cuts.add(loc[:3])
        *parents, last = loc[:4]
        value: Any = self.root.value
        for part in parents:
            node = value.get(part) if isinstance(value, dict) else value[part]
            if node is None:  # cut already: an alias can lead here too
                return
            value = node.value
        if isinstance(value, list):
            value[int(last)] = None
        else:
            value.pop(last, None)

    def _document(self) -> Node:
        root = Node(Place(1, 1))
        next(self._events)
        if isinstance(next(self._events), yaml.DocumentStartEvent):
            root = self._node(next(self._events), ())
            next(self._events)
            if isinstance(more := next(self._events), yaml.DocumentStartEvent):
                self.report(_start(more.start_mark), (), "a second YAML document: have only one")
        if root.value is None:
            root.value = {}
        return root

    def _node(self, event: Any, loc: Loc) -> Node:
        place = _start(event.start_mark)
        if isinstance(event, yaml.AliasEvent):
            return self._alias(str(event.anchor), place, loc)
        if len(loc) > MAX_DEPTH:
            self._stop(place, loc[:4], f"nested deeper than {MAX_DEPTH} levels")
        if event.tag:
            self.report(place, loc, "tags are not used here: remove the word that begins with '!'")
        node = Node(place)
        before = self._size
        self._size += 1
        if event.anchor:
            self._anchors[event.anchor] = None  # until it is complete
        if isinstance(event, yaml.ScalarEvent):
            node.value = None if event.implicit[0] and event.value in _NULLS else event.value
        elif isinstance(event, yaml.SequenceStartEvent):
            node.value = []
            for item in self._until(yaml.SequenceEndEvent):
                node.value.append(self._node(item, (*loc, len(node.value))))
        else:
            node.value = {}
            for key in self._until(yaml.MappingEndEvent):
                self._entry(node.value, key, loc)
        if event.anchor:
            self._anchors[event.anchor] = node, self._size - before
        return node

    def _until(self, end: type[yaml.Event]) -> Iterator[yaml.Event]:
        while not isinstance(event := next(self._events), end):
            yield event

    def _entry(self, entries: dict[str, Node], event: Any, loc: Loc) -> None:
        place = _start(event.start_mark)
        try:
            key = single(getattr(event, "value", event))
        except ValueError as error:
            self._stop(place, loc, f"not a key: {error}")
        value = self._node(next(self._events), (*loc, key))
        value.key = place
        if key == "<<":
            self.report(place, loc, "merge keys (<<) are not supported: write the keys out")
        elif (first := entries.setdefault(key, value)) is not value and first.key:
            self.report(place, (*loc, key), f"already given at line {first.key.line}: remove one")

    def _alias(self, name: str, place: Place, loc: Loc) -> Node:
        if (known := self._anchors.get(name)) is None:
            why = "stands inside what it stands for" if name in self._anchors else "is not known"
            self._stop(place, loc, f"alias *{name} {why}: write the value out")
        node, size = known
        self._size += size
        self._aliased += size
        if self._aliased > MAX_ALIASED:
            self._stop(place, loc, f"aliases stand for more than {MAX_ALIASED} values: use fewer")
        return Node(place, node.value, alias=True)


def _start(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def end(before: str) -> Place:
    """The place after a text."""
    return Place(before.count("\n") + 1, len(before) - before.rfind("\n"))


def _path(loc: Loc) -> str:
    return "".join(
        f".{part}" if isinstance(part, str) and part.isidentifier() else f"[{part}]" for part in loc
    ).removeprefix(".")


def single(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("a single value is expected here, not a list or a mapping")
    if len(value) > MAX_TEXT:
        raise ValueError(f"{len(value)} characters are too many")
    if not value.isprintable():
        raise ValueError(f"{value!a} has characters that cannot be printed")
    return value
