"""What is remembered beside where things are: since when, how often moved, which IP addresses;
and what happened that people want to hear of.

Nothing here decides anything: no flow depends on it. Times are those of the engine's callers.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import Any, Final

from controller.model import Local, Location, Mac, Remote, Vni, VtepAddress

MAX_IPS: Final = 8
"""IP addresses remembered of one endpoint: the first ones heard."""


class Why(enum.Enum):
    """Why an endpoint was placed, or is no longer known."""

    HEARD = "heard"
    READ_BACK = "read back"
    AGED = "aged"
    PORT_GONE = "its port is gone"
    NOT_HEARD = "no switch hears it any more"
    NOT_LEARNING = "the network does not learn any more"
    UNCONFIRMED = "read back and not confirmed"
    FORGOTTEN = "forgotten on request"
    NO_NETWORK = "its network is gone"
    STATIC = "configuration places it"


@dataclass(frozen=True, slots=True)
class EndpointLearned:
    vni: Vni
    mac: Mac
    location: Location


@dataclass(frozen=True, slots=True)
class EndpointMoved:
    vni: Vni
    mac: Mac
    origin: Location
    location: Location


@dataclass(frozen=True, slots=True)
class EndpointExpired:
    vni: Vni
    mac: Mac
    location: Location
    """Where it was."""
    why: Why


@dataclass(frozen=True, slots=True)
class VtepDiscovered:
    vni: Vni
    vtep: VtepAddress


@dataclass(frozen=True, slots=True)
class VtepExpired:
    vni: Vni
    vtep: VtepAddress


News = EndpointLearned | EndpointMoved | EndpointExpired | VtepDiscovered | VtepExpired


class History:
    """Since when and how often; kept of what is there, forgotten with it."""

    def __init__(self) -> None:
        self._since: dict[Vni, dict[Mac, float]] = {}
        self._moves: dict[Vni, dict[Mac, int]] = {}
        self._ips: dict[Vni, dict[Mac, tuple[bytes, ...]]] = {}
        self._heard: dict[Vni, dict[VtepAddress, tuple[float, float]]] = {}

    def since(self, vni: Vni, mac: Mac) -> float | None:
        """Since when an endpoint is where it is; None: it is not known."""
        return self._since.get(vni, {}).get(mac)

    def moves(self, vni: Vni, mac: Mac) -> int:
        """How often an endpoint has moved since it is known."""
        return self._moves.get(vni, {}).get(mac, 0)

    def ips(self, vni: Vni, mac: Mac) -> tuple[bytes, ...]:
        """The IP addresses an endpoint was heard with, 4 or 16 bytes each, in that order."""
        return self._ips.get(vni, {}).get(mac, ())

    def vtep(self, vni: Vni, vtep: VtepAddress) -> tuple[float, float] | None:
        """When a foreign VTEP was heard in a network for the first and for the last time."""
        return self._heard.get(vni, {}).get(vtep)

    def placed(
        self, vni: Vni, mac: Mac, old: Location | None, new: Location | None, now: float
    ) -> bool:
        """An endpoint is somewhere else, or nowhere (None). Whether that was a move."""
        if new is None:
            for table in (self._since, self._moves, self._ips):
                _forget(table, vni, mac)
            return False
        if old is not None and _place(old) == _place(new):
            return False
        self._since.setdefault(vni, {})[mac] = now
        if old is None or _place(old) is None or _place(new) is None:
            return False
        moves = self._moves.setdefault(vni, {})
        moves[mac] = moves.get(mac, 0) + 1
        return True

    def spoke(self, vni: Vni, mac: Mac, ip: bytes | None) -> None:
        """An endpoint was heard with an IP address."""
        if ip is None:
            return
        known = self.ips(vni, mac)
        if ip not in known and len(known) < MAX_IPS:
            self._ips.setdefault(vni, {})[mac] = (*known, ip)

    def heard(self, vni: Vni, vtep: VtepAddress, now: float) -> None:
        """A foreign VTEP was heard in a network."""
        heard = self._heard.setdefault(vni, {})
        first, _ = heard.get(vtep, (now, now))
        heard[vtep] = (first, now)

    def left(self, vni: Vni, vtep: VtepAddress) -> None:
        """A VTEP has left a network."""
        _forget(self._heard, vni, vtep)

    def drop_network(self, vni: Vni) -> None:
        """A network is no more."""
        for table in (self._since, self._moves, self._ips, self._heard):
            table.pop(vni, None)


def _place(location: Location) -> object:
    """What makes a location another place: not who hears it, nor whether it is static."""
    match location:
        case Local(dpid, port, vlan):
            return (dpid, port, vlan)
        case Remote(vtep):
            return vtep
        case _:
            return None


def _forget(table: dict[Vni, dict[Any, Any]], vni: Vni, key: object) -> None:
    inner = table.get(vni)
    if inner is not None:
        inner.pop(key, None)
        if not inner:
            del table[vni]
