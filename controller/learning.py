"""What an observation means: a new endpoint, a move, or nothing, and why."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from controller.model import Dpid, Local, Location, Mac, Remote, Vni, VtepAddress, is_unicast
from controller.overlay import Overlay


@dataclass(frozen=True, slots=True)
class Observation:
    """A frame of an unknown sender: who spoke, in which network, and where it came in."""

    dpid: Dpid
    vni: Vni
    mac: Mac
    port: int
    vtep: VtepAddress | None
    """The outer source address; None for a frame from a local port."""
    ip: bytes | None = None
    """The sender's IPv4 or IPv6 address, where the frame tells one: 4 or 16 bytes."""


class Verdict(enum.Enum):
    """What became of an observation."""

    LEARNED = "learned"
    MOVED = "moved"
    HEARD_HERE_TOO = "heard here too"
    """A foreign endpoint that speaks to a further switch of ours."""
    KNOWN = "already known"
    STATIC = "static: never overridden"
    NO_NETWORK = "network unknown or not learning"
    NO_STATION = "a group or zero source address"
    NOT_ATTACHED = "no attachment there"
    OURS = "came through a VTEP of ours: learned where it entered"


CHANGES = frozenset({Verdict.LEARNED, Verdict.MOVED, Verdict.HEARD_HERE_TOO})


@dataclass(frozen=True, slots=True)
class Decision:
    verdict: Verdict
    location: Location | None = None
    """Where the endpoint is to be placed, for a verdict that changes something."""


def decide(overlay: Overlay, seen: Observation) -> Decision:
    """What an observation teaches. Changes nothing itself."""
    if not is_unicast(seen.mac):
        return Decision(Verdict.NO_STATION)
    network = overlay.network(seen.vni)
    if network is None or not network.learning:
        return Decision(Verdict.NO_NETWORK)
    old = overlay.location(seen.vni, seen.mac)
    if old is not None and old.static:
        return Decision(Verdict.STATIC)
    if seen.vtep is None:
        switch = overlay.switches.get(seen.dpid)
        end = switch.vlan_of(seen.port, seen.vni) if switch else None
        if end is None:
            return Decision(Verdict.NOT_ATTACHED)
        new: Location = Local(seen.dpid, *end)
    else:
        if seen.dpid not in overlay.present(seen.vni):
            return Decision(Verdict.NOT_ATTACHED)
        if overlay.members(seen.vni).get(seen.vtep) or overlay.is_own(seen.vtep):
            return Decision(Verdict.OURS)
        heard_by = frozenset({seen.dpid})
        if isinstance(old, Remote) and old.vtep == seen.vtep:
            heard_by |= old.heard_by
        new = Remote(seen.vtep, heard_by)
    if new == old:
        return Decision(Verdict.KNOWN)
    if old is None:
        return Decision(Verdict.LEARNED, new)
    if isinstance(old, Remote) and isinstance(new, Remote) and old.vtep == new.vtep:
        return Decision(Verdict.HEARD_HERE_TOO, new)
    return Decision(Verdict.MOVED, new)


def expire(
    overlay: Overlay, dpid: Dpid, vni: Vni, mac: Mac, at: int | VtepAddress
) -> tuple[bool, Location | None]:
    """What the end of a switch's source entry means: (whether anything changed, where the
    endpoint is now). An entry that no longer says where the endpoint is means nothing."""
    old = overlay.location(vni, mac)
    match old:
        case Local(here, port, static=False) if here == dpid and port == at:
            return True, None
        case Remote(vtep, heard_by, static=False) if vtep == at and dpid in heard_by:
            left = heard_by - {dpid}
            return True, Remote(vtep, left) if left else None
    return False, old
