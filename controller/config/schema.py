"""Step 2, *understand*: pydantic walks the tree with the parsers of :mod:`controller.model`.

What is wrong is reported and cut out of the tree, so that the rest can still be understood.
"""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable
from typing import Annotated, Any, Final, NamedTuple, Self, TypeVar

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PlainValidator,
    ValidationError,
    model_validator,
)

from controller import model
from controller.config.tree import Loc, Node, Tree, single
from controller.model import Attachment, Config, Dpid, Flooding, Network, PortRef, Vni, VtepAddress
from controller.resources.documents import DEFAULT_TUNNEL_PORT

T = TypeVar("T")


def _scalar(parse: Callable[[str], object]) -> PlainValidator:
    """Parses a node's text. Large files say the same things again and again."""
    known = functools.lru_cache(maxsize=2**14)(parse)
    return PlainValidator(lambda node: known(single(node.value)))


def _list(node: Node) -> list[Node | None]:
    if not isinstance(node.value, list):
        raise ValueError("a list is expected here: lines that begin with a dash, or [...]")
    return node.value


def _mapping(node: Node) -> dict[str, Node]:
    if not isinstance(node.value, dict):
        raise ValueError("a mapping is expected here: lines of 'key: value', or {...}")
    return node.value


def _name(text: str) -> str:
    if not 1 <= len(text) <= 64:
        raise ValueError("a name has 1 to 64 characters; leave it out for none")
    return text


def _flooding(text: str) -> Flooding:
    if text not in {mode.value for mode in Flooding}:
        raise ValueError(f"'{text}' is no way of flooding: head-end or none")
    return Flooding(text)


def _ageing(text: str) -> int:
    if not re.fullmatch("[0-9]{1,9}", text) or int(text) > model.MAX_AGEING:
        raise ValueError(
            f"'{text}' is no ageing time: seconds, 0 to {model.MAX_AGEING}; 0 for never"
        )
    return int(text)


def _switched(text: str) -> bool:
    if (word := text.lower()) not in {"true", "yes", "on", "false", "no", "off"}:
        raise ValueError(f"'{text}' is neither true nor false")
    return word in {"true", "yes", "on"}


class _Peer(NamedTuple):
    written: str
    vtep: VtepAddress


_Items = Annotated[tuple[T | None, ...], BeforeValidator(_list)]
"""None: cut out."""
_Vtep = Annotated[VtepAddress, _scalar(model.parse_vtep)]
_Port = Annotated[PortRef, _scalar(model.parse_port)]
_Switch = Annotated[Dpid, _scalar(model.parse_dpid)]
_Vlan = Annotated[int, _scalar(model.parse_vlan)]
_Ovsdb = Annotated[str, _scalar(model.parse_ovsdb)]
_PeerKey = Annotated[_Peer, PlainValidator(lambda text: _Peer(text, model.parse_vtep(text)))]


class _Mapping(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _entries(cls, node: Node) -> dict[str, Node]:
        """A known key without a value counts as not given."""
        return {
            key: value
            for key, value in _mapping(node).items()
            if value.value is not None or key not in cls.model_fields
        }


class AttachmentEntry(_Mapping):
    switch: _Switch
    port: _Port
    vlan: _Vlan | None = None

    def value(self) -> Attachment:
        return Attachment(self.switch, self.port, self.vlan)


class EndpointEntry(_Mapping):
    mac: Annotated[model.Mac, _scalar(model.parse_mac)]
    switch: _Switch | None = None
    port: _Port | None = None
    vlan: _Vlan | None = None
    vtep: _Vtep | None = None

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        local = (self.switch, self.port, self.vlan)
        if self.vtep is not None and local != (None, None, None):
            raise ValueError("an endpoint is behind a switch and port or behind a vtep, not both")
        if self.vtep is None and (self.switch is None or self.port is None):
            raise ValueError("say where the endpoint is: by switch and port, or by vtep")
        return self

    def value(self) -> model.StaticEndpoint:
        if self.switch is None or self.port is None:
            assert self.vtep is not None
            return model.StaticEndpoint(self.mac, self.vtep)
        return model.StaticEndpoint(self.mac, Attachment(self.switch, self.port, self.vlan))


class NetworkEntry(_Mapping):
    vni: Annotated[Vni, _scalar(model.parse_vni)]
    name: Annotated[str, _scalar(_name)] = ""
    flooding: Annotated[Flooding, _scalar(_flooding)] = Flooding.HEAD_END
    ageing: Annotated[int, _scalar(_ageing)] = model.DEFAULT_AGEING
    learning: Annotated[bool, _scalar(_switched)] = True
    attachments: _Items[AttachmentEntry] = ()
    endpoints: _Items[EndpointEntry] = ()
    vteps: _Items[_Vtep] = ()

    def value(self) -> Network:
        attachments = tuple(item.value() for item in self.attachments if item)
        endpoints = tuple(item.value() for item in self.endpoints if item)
        vteps = tuple(filter(None, self.vteps))
        fields = dict(self) | {"attachments": attachments, "endpoints": endpoints, "vteps": vteps}
        return Network(**fields)


class SwitchEntry(_Mapping):
    dpid: _Switch
    vtep: _Vtep | None = None
    tunnel_port: _Port | None = None
    peer_ports: Annotated[dict[_PeerKey, _Port], BeforeValidator(_mapping)] = {}
    ovsdb: _Ovsdb | None = None

    def value(self) -> model.SwitchConfig:
        peers = {peer.vtep: port for peer, port in self.peer_ports.items()}
        return model.SwitchConfig(self.vtep, self.tunnel_port, peers, self.ovsdb)


class Defaults(_Mapping):
    tunnel_port: _Port = DEFAULT_TUNNEL_PORT
    ovsdb: _Ovsdb | None = None


class File(_Mapping):
    networks: _Items[NetworkEntry] = ()
    switches: _Items[SwitchEntry] = ()
    defaults: Defaults = Defaults.model_construct()

    def config(self) -> Config:
        networks = {item.vni: item.value() for item in self.networks if item}
        switches = {item.dpid: item.value() for item in self.switches if item}
        return Config(networks, switches, model.SwitchConfig(**dict(self.defaults)))


_MODELS: Final[dict[Loc, type[_Mapping]]] = {
    (): File,
    ("networks",): NetworkEntry,
    ("networks", "attachments"): AttachmentEntry,
    ("networks", "endpoints"): EndpointEntry,
    ("switches",): SwitchEntry,
    ("defaults",): Defaults,
}


def understand(tree: Tree) -> File:
    """What can be understood of a tree; the rest is reported and cut out of it."""
    if not isinstance(tree.root.value, dict):
        message = f"a mapping is expected here, with the keys {', '.join(File.model_fields)}"
        tree.report(tree.root.place, (), message)
        tree.root.value = {}
    first = True
    while True:
        try:
            return File.model_validate(tree.root)
        except ValidationError as error:
            details = error.errors(include_url=False, include_input=False)
        wrong = [_explain(detail) for detail in details]
        for loc, message, key in wrong if first else ():
            tree.report(tree.place(loc, key=key), loc, message)
        for loc, _, _ in wrong:
            tree.cut(loc)
        first = False  # what is missing from now on was cut out


def _explain(detail: Any) -> tuple[Loc, str, bool]:
    """Where and what is wrong, and whether it is the key there."""
    kind, loc = detail["type"], detail["loc"]
    if kind == "missing":
        return loc[:-1], f"'{loc[-1]}' is missing", False
    if kind == "extra_forbidden":
        keys = _MODELS[tuple(part for part in loc[:-1] if isinstance(part, str))].model_fields
        near = difflib.get_close_matches(loc[-1], keys, 1)
        hint = f" (did you mean '{near[0]}'?)" if near else ""
        return loc, f"unknown key{hint}; known are {', '.join(keys)}", True
    is_key = len(loc) == 5 and loc[2] == "peer_ports"  # pydantic adds "[key]"
    return loc[:4] if is_key else loc, str(detail["ctx"]["error"]), is_key
