"""What an explanation of a flow is, and how the things in it are called."""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from controller.flows import Match
from controller.model import Mac, Vni, VtepAddress, is_unicast
from controller.pipeline.tables import NETWORK


class Owner(enum.StrEnum):
    """Who made a flow."""

    WEFT = "weft"
    SWITCH = "switch"
    """The switch itself, by learn()."""
    OTHER = "other"


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why a flow or a group is there: which part of the pipeline made it, for whom, and what it
    does, in words. ``feature`` is the module that renders it, empty where none did."""

    owner: Owner
    feature: str
    words: str
    network: Vni | None = None
    mac: Mac | None = None
    vtep: VtepAddress | None = None


@dataclass(frozen=True, slots=True)
class Names:
    """What people call the things that flows have by number; empty for what has no name."""

    network: Callable[[Vni], str] = lambda _: ""
    port: Callable[[int], str] = lambda _: ""

    def of_network(self, vni: Vni) -> str:
        """``network 100 (red)``"""
        return f"network {_named(vni, self.network(vni))}"

    def of_port(self, number: int) -> str:
        """``port 1 (h1)``"""
        return f"port {_named(number, self.port(number))}"

    def of_end(self, end: tuple[int, int | None]) -> str:
        """``port 1 (h1)``, ``port 1 (h1) with VLAN 10``"""
        number, vlan = end
        return self.of_port(number) + ("" if vlan is None else f" with VLAN {vlan}")


def _named(number: int, name: str) -> str:
    return f"{number} ({name})" if name else str(number)


def listed(words: Iterable[str], most: int = 12) -> str:
    """``a, b and c``; of many only the first, and how many more."""
    shown = list(words)
    if len(shown) > most:
        shown[most:] = [f"{len(shown) - most} more"]
    *first, last = shown
    return f"{', '.join(first)} and {last}" if first else last


def network_in(fields: Match) -> Vni | None:
    """The network that a match is about."""
    for field in fields:
        if field.name == "metadata" and (field.mask or NETWORK) & NETWORK == NETWORK:
            return Vni(field.value & NETWORK)
        if field.name == "tunnel_id" and field.mask is None:
            return Vni(field.value & NETWORK)
    return None


def mac_in(fields: Match) -> Mac | None:
    """The endpoint that a match is about, be it as sender or as receiver."""
    for field in fields:
        if field.name in ("eth_dst", "eth_src") and field.mask is None:
            mac = Mac(field.value.to_bytes(6, "big"))
            return mac if is_unicast(mac) else None
    return None


def values_of(fields: Match) -> dict[str, int]:
    """A match's values by field name, masks left out."""
    return {field.name: field.value for field in fields}
