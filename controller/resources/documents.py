"""What can be written of each resource: pydantic models of its JSON document.

A document is kept in canonical form: addresses and datapath ids as they are shown, members
that say nothing (defaults) left out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    WithJsonSchema,
    field_validator,
    model_validator,
)

from controller.model import (
    DEFAULT_AGEING,
    MAX_AGEING,
    MAX_PORT,
    MAX_VLAN,
    PortRef,
    format_dpid,
    parse_dpid,
    parse_ovsdb,
    parse_port,
    parse_vtep,
)
from controller.resources.keys import (
    AttachmentKey,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    SwitchKey,
    remembered,
)

DEFAULT_TUNNEL_PORT: Final = "vxlan0"
MAX_PEERS: Final = 4096
"""VTEPs or peer ports that one document lists, at the most."""
DPID_PATTERN: Final = (
    "^([0-9a-fA-F]{16}|([0-9a-fA-F]{2}:){7}[0-9a-fA-F]{2}|0x[0-9a-fA-F]{1,16}|[0-9]{1,19})$"
)


_known_port: Final = remembered(parse_port)
_known_dpid: Final = remembered(parse_dpid)


def _port(value: object) -> PortRef:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a port is a number or a name")
    if isinstance(value, int) and value < 0:
        raise ValueError(f"port {value} is out of range: 1 to {MAX_PORT}, or a port's name")
    return _known_port(str(value))


def _dpid(value: object) -> str:
    if isinstance(value, bool) or not isinstance(value, int | str):
        raise ValueError("a datapath id is text, 16 hex digits")
    return format_dpid(_known_dpid(str(value)))


def _text(parse: Callable[[str], Any]) -> AfterValidator:
    parse = remembered(parse)
    return AfterValidator(lambda text: str(parse(text)))


Address = Annotated[str, _text(parse_vtep), WithJsonSchema(
    {"type": "string", "anyOf": [{"format": "ipv4"}, {"format": "ipv6"}],
     "description": "A unicast IPv4 or IPv6 address", "examples": ["192.0.2.1"]}
)]  # fmt: skip
PortMember = Annotated[int | str, BeforeValidator(_port), WithJsonSchema(
    {"description": "A port by its OpenFlow number, or by its name",
     "oneOf": [{"type": "integer", "minimum": 1, "maximum": MAX_PORT},
               {"type": "string", "minLength": 1, "maxLength": 15,
                "pattern": r"^(?!0+$)[^\s/\u0000-\u001f\u007f-\u009f]+$"}],
     "examples": ["h1", 3]}
)]  # fmt: skip
DpidMember = Annotated[str, BeforeValidator(_dpid), WithJsonSchema(
    {"description": "A datapath id, shown as 16 hex digits; 0x..., decimal and "
     "00:00:00:00:00:00:00:01 are understood",
     "anyOf": [{"type": "string", "pattern": DPID_PATTERN},
               {"type": "integer", "minimum": 0, "maximum": 2**64 - 1}],
     "examples": ["0000000000000001"]}
)]  # fmt: skip
Vlan = Annotated[
    int, Field(strict=True, ge=1, le=MAX_VLAN, description="A VLAN id; null: untagged")
]
Ovsdb = Annotated[str, _text(parse_ovsdb), WithJsonSchema(
    {"type": "string",
     "pattern": r"^tcp:([A-Za-z_][\w.-]*|\[[0-9a-fA-F:.]+\]|[0-9.]+|\{address\}):[0-9]{1,5}$",
     "description": "Where a switch's OVSDB is reached: tcp:HOST:PORT; {address} "
     "stands for where its OpenFlow connection comes from", "examples": ["tcp:{address}:6640"]}
)]  # fmt: skip


class Document(BaseModel):
    """What all documents have in common: immutable, and no unknown members."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    def canonical(self) -> dict[str, Any]:
        """The members that say something, JSON-able."""
        return self.model_dump(mode="json", exclude_defaults=True)


class NetworkDocument(Document):
    """A network: one broadcast domain, carried under one VNI."""

    name: Annotated[str, StringConstraints(max_length=64)] = Field(
        "", description="For people; unique where given"
    )
    flooding: Literal["head-end", "none"] = Field(
        "head-end",
        description="Broadcast, unknown unicast and multicast: replicated by the sending switch to "
        "every VTEP of the network, or not forwarded at all",
    )
    ageing: int = Field(
        DEFAULT_AGEING, strict=True, ge=0, le=MAX_AGEING,
        description="Seconds of silence after which what was learned is forgotten; 0: never",
    )  # fmt: skip
    learning: bool = Field(
        True, strict=True, description="Whether addresses and VTEPs are learned from traffic"
    )
    vteps: tuple[Address, ...] = Field(
        (), max_length=MAX_PEERS, description="Foreign VTEPs that are always on the flood list"
    )

    @field_validator("name")
    @classmethod
    def _printable(cls, name: str) -> str:
        if not name.isprintable():
            raise ValueError(f"{name!a} has characters that cannot be printed")
        return name

    @field_validator("vteps")
    @classmethod
    def _once(cls, vteps: tuple[str, ...]) -> tuple[str, ...]:
        twice = sorted({vtep for vtep in vteps if vteps.count(vtep) > 1})
        if twice:
            raise ValueError(f"{', '.join(twice)}: listed more than once")
        return vteps


class AttachmentDocument(Document):
    """A switch port, or one VLAN of it, that belongs to a network."""

    vlan: Vlan | None = Field(None, description="The VLAN of a trunk port; null: untagged frames")


class EndpointPin(Document):
    """A static endpoint, or nothing: then a learned one is to stay where it is now."""

    switch: DpidMember | None = None
    port: PortMember | None = None
    vlan: Vlan | None = None
    vtep: Address | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        local = (self.switch, self.port, self.vlan)
        if self.vtep is not None and local != (None, None, None):
            raise ValueError("an endpoint is behind a switch and port or behind a vtep, not both")
        if self.vtep is None and None in local[:2] and not self._may_be_nowhere(local):
            raise ValueError("say where the endpoint is: by switch and port, or by vtep")
        return self

    @classmethod
    def _may_be_nowhere(cls, local: tuple[object, ...]) -> bool:
        return local == (None, None, None)


class EndpointDocument(EndpointPin):
    """A static endpoint: behind an attachment of its network, or behind a foreign VTEP."""

    @classmethod
    def _may_be_nowhere(cls, local: tuple[object, ...]) -> bool:
        return False


class SwitchDocument(Document):
    """What configuration says of one switch; null: to be found out."""

    vtep: Address | None = Field(None, description="Its own VTEP address")
    tunnel_port: PortMember | None = Field(
        None, description="Its flow-based tunnel port (remote_ip=flow, key=flow)"
    )
    peer_ports: dict[Address, PortMember] = Field(
        default_factory=dict,
        max_length=MAX_PEERS,
        description="One logical tunnel port per peer, for a switch that cannot set the "
        "destination per flow",
    )
    ovsdb: Ovsdb | None = None

    @field_validator("peer_ports", mode="before")
    @classmethod
    def _each_once(cls, peers: object) -> object:
        """Two spellings of one address would become one member without a word."""
        seen: set[str] = set()
        for peer in peers if isinstance(peers, dict) else ():
            try:
                vtep = parse_vtep(peer)
            except ValueError:
                continue  # reported where it stands
            if vtep in seen:
                raise ValueError(f"{vtep}: given more than once")
            seen.add(vtep)
        return peers


class DefaultsDocument(Document):
    """What holds for every switch that says nothing else."""

    tunnel_port: PortMember = DEFAULT_TUNNEL_PORT
    ovsdb: Ovsdb | None = None


_MODELS: Final[dict[type[Key], type[Document]]] = {
    NetworkKey: NetworkDocument,
    AttachmentKey: AttachmentDocument,
    EndpointKey: EndpointDocument,
    SwitchKey: SwitchDocument,
    DefaultsKey: DefaultsDocument,
}


def model_of(key: Key) -> type[Document]:
    """The model of what can be written under a key."""
    return _MODELS[type(key)]
