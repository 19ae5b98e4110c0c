"""All that is configured, with indexes that show contradictions; every step can be undone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Any, Final, TypeVar

from controller.model import (
    Attachment,
    Dpid,
    Mac,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
)
from controller.resources import (
    DEFAULTS,
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    Value,
)

K = TypeVar("K")
L = TypeVar("L")
V = TypeVar("V")

Spot = tuple[Vni, Dpid, int | None]
"""One VLAN of a switch in a network, None for untagged: where a static endpoint finds its
attachment."""


class State:
    """What is configured. Takes what contradicts itself too: that is for others to find."""

    def __init__(self) -> None:
        self.networks: dict[Vni, Network] = {}
        """Each with all that belongs to it, in an order that does not tell its history."""
        self.switches: dict[Dpid, SwitchConfig] = {}
        self.defaults = DEFAULTS
        self.heads: dict[Vni, Network] = {}
        """The same networks without what belongs to them."""
        self.attachments: dict[Vni, dict[tuple[Dpid, PortRef], Attachment]] = {}
        self.endpoints: dict[Vni, dict[Mac, StaticEndpoint]] = {}
        # Who says what, so that a contradiction is found without a search. No index has an
        # empty set, and no table above an empty inner one.
        self.names: dict[str, set[Vni]] = {}
        self.attached: dict[Attachment, set[Vni]] = {}
        self.ends: dict[tuple[Dpid, PortRef], set[Vni]] = {}
        self.users: dict[PortRef, set[tuple[Dpid, Vni]]] = {}
        self.offered: dict[Spot, set[PortRef]] = {}
        """The ports that are attached at a spot."""
        self.placed: dict[Spot, set[Mac]] = {}
        """The static endpoints that are at a spot."""
        self.owners: dict[VtepAddress, set[Dpid]] = {}
        self.foreign: dict[VtepAddress, set[Key]] = {}
        """The networks and endpoints that name a foreign VTEP."""
        self._undo: list[Callable[[], None]] = []

    def copy(self) -> State:
        """The same, with tables of its own. Nothing may be left to undo."""
        assert not self._undo, "a change is under way"
        copy = State()
        copy.defaults = self.defaults
        for name, table in vars(self).items():
            if isinstance(table, dict):
                setattr(copy, name, {key: _copied(inner) for key, inner in table.items()})
        return copy

    # --- questions ---------------------------------------------------------------------

    def get(self, key: Key) -> Value | None:
        match key:
            case NetworkKey(vni):
                return self.heads.get(vni)
            case AttachmentKey(vni, dpid, port):
                return self.attachments.get(vni, NOTHING).get((dpid, port))
            case EndpointKey(vni, mac):
                return self.endpoints.get(vni, NOTHING).get(mac)
            case SwitchKey(dpid):
                return self.switches.get(dpid)
            case DefaultsKey():
                return self.defaults

    def keys(self, vni: Vni) -> Iterator[Key]:
        """The keys of all that belongs to a network, without its own."""
        for dpid, port in self.attachments.get(vni, ()):
            yield AttachmentKey(vni, dpid, port)
        for mac in self.endpoints.get(vni, ()):
            yield EndpointKey(vni, mac)

    # --- changes -----------------------------------------------------------------------

    def mark(self) -> int:
        """A point to go back to."""
        return len(self._undo)

    def back(self, mark: int) -> None:
        """Undo all since a mark."""
        while len(self._undo) > mark:
            self._undo.pop()()

    def settle(self) -> None:
        """What was written stays."""
        self._undo.clear()

    def also_undo(self, step: Callable[[], None]) -> None:
        """Have something else undone with what was written until now."""
        self._undo.append(step)

    def write(self, key: Key, value: Value | None) -> None:
        """Put something under a key; None: delete. Networks concerned are to be assembled
        afterwards. Raises TypeError, and writes nothing, where the value is not of the key."""
        if not _belongs(key, value):
            raise TypeError(f"{value} is not what {key} stands for")
        old = self.get(key)
        for index, at, who in _said(key, old):
            self._forget(getattr(self, index), at, who)
        for index, at, who in _said(key, value):
            self._note(getattr(self, index), at, who)
        match key:
            case NetworkKey(vni):
                self._set(self.heads, vni, value)
            case AttachmentKey(vni, dpid, port):
                self._set_in(self.attachments, vni, (dpid, port), value)
            case EndpointKey(vni, mac):
                self._set_in(self.endpoints, vni, mac, value)
            case SwitchKey(dpid):
                self._set(self.switches, dpid, value)
            case DefaultsKey():
                assert isinstance(value, SwitchConfig)
                self._undo.append(partial(setattr, self, "defaults", old))
                self.defaults = value

    def assemble(self, vni: Vni) -> None:
        """Make a network anew from its parts."""
        head = self.heads.get(vni)
        if head is not None:
            attachments = self.attachments.get(vni, NOTHING).values()
            endpoints = self.endpoints.get(vni, NOTHING).values()
            head = replace(
                head,
                attachments=tuple(sorted(attachments, key=_end)),
                endpoints=tuple(sorted(endpoints, key=lambda endpoint: endpoint.mac)),
            )
        self._set(self.networks, vni, head)

    # --- bookkeeping, each step with its inverse -------------------------------------------

    def _set(self, table: dict[K, Any], key: K, value: Value | None) -> None:
        self._undo.append(partial(_put, table, key, table.get(key)))
        _put(table, key, value)

    def _set_in(self, table: dict[K, dict[L, Any]], key: K, inner: L, value: Value | None) -> None:
        old = table[key].get(inner) if key in table else None
        self._undo.append(partial(_put_in, table, key, inner, old))
        _put_in(table, key, inner, value)

    def _note(self, index: dict[K, set[V]], key: K, who: V) -> None:
        if who not in index.get(key, ()):
            _add(index, key, who)
            self._undo.append(partial(_drop, index, key, who))

    def _forget(self, index: dict[K, set[V]], key: K, who: V) -> None:
        if who in index.get(key, ()):
            _drop(index, key, who)
            self._undo.append(partial(_add, index, key, who))


NOTHING: Final[Mapping[Any, Any]] = MappingProxyType({})


def _copied(inner: Any) -> Any:
    """Tables within tables are copied as well; values need not be."""
    return inner.copy() if isinstance(inner, dict | set) else inner


def _belongs(key: Key, value: Value | None) -> bool:
    """Whether a value, None for none, can stand under a key."""
    match key, value:
        case NetworkKey(vni), Network():
            return value == replace(value, vni=vni, attachments=(), endpoints=())
        case AttachmentKey(_, dpid, port), Attachment():
            return (dpid, port) == (value.dpid, value.port)
        case EndpointKey(_, mac), StaticEndpoint():
            return mac == value.mac
        case (SwitchKey(), SwitchConfig()) | (DefaultsKey(), SwitchConfig()):
            return True
    return value is None and not isinstance(key, DefaultsKey)


def _said(key: Key, value: Value | None) -> Iterator[tuple[str, Any, Any]]:
    """What a value says to which index: the index, under what, and who says it."""
    match key, value:
        case NetworkKey(vni), Network():
            if value.name:
                yield "names", value.name, vni
            for vtep in value.vteps:
                yield "foreign", vtep, key
        case AttachmentKey(vni, dpid, port), Attachment():
            yield "attached", value, vni
            yield "ends", (dpid, port), vni
            yield "users", port, (dpid, vni)
            yield "offered", (vni, dpid, value.vlan), port
        case EndpointKey(vni, mac), StaticEndpoint(_, Attachment(dpid, _, vlan)):
            yield "placed", (vni, dpid, vlan), mac
        case EndpointKey(), StaticEndpoint(_, at):
            yield "foreign", at, key
        case SwitchKey(dpid), SwitchConfig(vtep) if vtep is not None:
            yield "owners", vtep, dpid


def _end(at: Attachment) -> tuple[Dpid, bool, PortRef]:
    """Sorts attachments; ports by number come before those by name."""
    return at.dpid, isinstance(at.port, str), at.port


def _put(table: dict[K, V], key: K, value: V | None) -> None:
    if value is None:
        table.pop(key, None)
    else:
        table[key] = value


def _put_in(table: dict[K, dict[L, V]], key: K, inner: L, value: V | None) -> None:
    if value is not None:
        table.setdefault(key, {})[inner] = value
    elif key in table:
        table[key].pop(inner, None)
        if not table[key]:
            del table[key]


def _add(index: dict[K, set[V]], key: K, who: V) -> None:
    index.setdefault(key, set()).add(who)


def _drop(index: dict[K, set[V]], key: K, who: V) -> None:
    index[key].discard(who)
    if not index[key]:
        del index[key]
