"""What a configured resource is called: the key under which it is stored and found.

As text a key is the resource's path below ``/v1/``; that is also its key in the store.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from controller.model import (
    Dpid,
    Mac,
    PortRef,
    Vni,
    format_dpid,
    format_mac,
    parse_dpid,
    parse_mac,
    parse_port,
    parse_vni,
)

T = TypeVar("T")


def remembered(parse: Callable[[str], T]) -> Callable[[str], T]:
    """The same parser, quicker where the same texts come again and again."""
    return functools.lru_cache(maxsize=2**14)(parse)


_vni: Final = remembered(parse_vni)
_dpid: Final = remembered(parse_dpid)
_port: Final = remembered(parse_port)


@dataclass(frozen=True, slots=True)
class NetworkKey:
    vni: Vni

    def __str__(self) -> str:
        return f"networks/{self.vni}"


@dataclass(frozen=True, slots=True)
class AttachmentKey:
    vni: Vni
    dpid: Dpid
    port: PortRef

    def __str__(self) -> str:
        return f"networks/{self.vni}/attachments/{format_dpid(self.dpid)}/{self.port}"


@dataclass(frozen=True, slots=True)
class EndpointKey:
    vni: Vni
    mac: Mac

    def __str__(self) -> str:
        return f"networks/{self.vni}/endpoints/{format_mac(self.mac)}"


@dataclass(frozen=True, slots=True)
class SwitchKey:
    dpid: Dpid

    def __str__(self) -> str:
        return f"switches/{format_dpid(self.dpid)}"


@dataclass(frozen=True, slots=True)
class DefaultsKey:
    def __str__(self) -> str:
        return "defaults"


Key = NetworkKey | AttachmentKey | EndpointKey | SwitchKey | DefaultsKey


def parse_key(text: str) -> Key:
    """A key from its text form; any form of a datapath id or an address is taken.

    Raises ValueError for what names no configured resource.
    """
    match text.split("/"):
        case ["networks", vni]:
            return NetworkKey(_vni(vni))
        case ["networks", vni, "attachments", dpid, port]:
            return AttachmentKey(_vni(vni), _dpid(dpid), _port(port))
        case ["networks", vni, "endpoints", mac]:
            return EndpointKey(_vni(vni), parse_mac(mac))
        case ["switches", dpid]:
            return SwitchKey(_dpid(dpid))
        case ["defaults"]:
            return DefaultsKey()
    raise ValueError(
        f"'{text}' is no configured resource: networks/VNI, networks/VNI/attachments/DPID/PORT, "
        "networks/VNI/endpoints/MAC, switches/DPID or defaults"
    )
