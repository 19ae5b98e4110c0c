"""Endpoints, learned and static: where each address is, and since when."""

from __future__ import annotations

import ipaddress
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, Literal

from pydantic import BaseModel, Field

from controller.announce import place
from controller.events import timestamp
from controller.model import (
    Local,
    Location,
    Mac,
    Remote,
    Vni,
    VtepAddress,
    format_dpid,
    format_mac,
)
from controller.resources import (
    EndpointDocument,
    EndpointKey,
    EndpointPin,
    document,
    understand,
)
from controller.resources.documents import Address, DpidMember, PortMember
from controller.rest.backend import Backend
from controller.rest.operations import Call, Operation, Reply
from controller.rest.paging import Listing, Order, PageQuery
from controller.rest.problem import FieldError, Problem, field_problem
from controller.rest.writes import Accepted, DryRun, WriteQuery, Writer, check_network

Group = tuple[Order, Callable[[], list[tuple[Vni, Mac]]]]
Origin = Literal["static", "learned", "read back"]


class Place(BaseModel):
    """Behind a port of a switch of ours, or behind a foreign VTEP."""

    switch: str | None
    port: int | None
    port_name: str | None
    vlan: int | None
    vtep: str | None = Field(description="The VTEP through which others reach it")


class EndpointStatus(BaseModel):
    """What the controller knows of an endpoint."""

    origin: Origin = Field(description="'read back': from a switch's flows, not confirmed yet")
    location: Place | None = Field(description="null: its port is not there")
    heard_by: list[str] = Field(description="The switches that hear a foreign endpoint")
    ips: list[str] = Field(description="IP addresses seen, the first ones")
    since: str | None = Field(description="Since when it is there")
    moves: int = Field(description="How often it has moved since it is known")


class _EndpointId(BaseModel):
    """A base after the document: so that what a thing is called comes first in its JSON."""

    vni: int
    mac: str


class EndpointView(EndpointPin, _EndpointId):
    """An endpoint: where it is placed, if it is static, and where it is."""

    revision: int | None = Field(description="null: not static")
    status: EndpointStatus


class _Where(BaseModel):
    """The filters that a flush knows as well."""

    switch: DpidMember | None = None
    port: PortMember | None = Field(None, description="By number, or by name")
    vtep: Address | None = Field(None, description="Behind this VTEP, ours or foreign")
    mac: str | None = Field(
        None,
        pattern="^[0-9a-fA-F][0-9a-fA-F:.-]{0,16}$",
        description="Address, or the beginning of one",
        examples=["02:00"],
    )
    ip: str | None = Field(
        None, max_length=45, json_schema_extra={"anyOf": [{"format": "ipv4"}, {"format": "ipv6"}]},
        description="IP address that was seen", examples=["10.0.0.1"],
    )  # fmt: skip


class EndpointFilter(_Where, PageQuery):
    origin: Origin | None = Field(None, description="How it came to be known")


class AllEndpointsFilter(EndpointFilter):
    vni: int | None = Field(None, ge=0, le=2**24 - 1, description="In this network")


class FlushQuery(_Where, WriteQuery):
    """Which endpoints, and how."""


class Flushed(BaseModel):
    flushed: int = Field(description="How many learned endpoints were forgotten")


LOOKED_AT: Final = 500
"""Endpoints that a flush looks at between two pauses."""


class Endpoints:
    """Handlers."""

    def __init__(self, backend: Backend, writer: Writer) -> None:
        self._backend = backend
        self._writer = writer

    def operations(self) -> list[Operation]:
        read_only = {"vni": "vni", "mac": "mac", "revision": None, "status": None}
        many: dict[str, Any] = {"path": "/v1/networks/{vni}/endpoints", "tag": "Endpoints"}
        one: dict[str, Any] = {"path": "/v1/networks/{vni}/endpoints/{mac}", "tag": "Endpoints"}
        write: dict[str, Any] = {"role": "operator", "query": WriteQuery}
        shown: Any = (EndpointView, DryRun)
        return [
            Operation(method="GET", path="/v1/endpoints", tag="Endpoints",
                      handler=self.list_all_endpoints,
                      summary="List the endpoints of all networks", query=AllEndpointsFilter,
                      responses={200: Listing[EndpointView]}),
            Operation(method="GET", **many, handler=self.list_endpoints,
                      summary="List a network's endpoints", query=EndpointFilter,
                      responses={200: Listing[EndpointView]}, problems=("not-found",)),
            Operation(method="DELETE", **many, role="operator", handler=self.flush_endpoints,
                      summary="Forget a network's learned endpoints",
                      description="All of them, or those that the filters choose. Static ones "
                      "stay. Who speaks again is learned again.",
                      query=FlushQuery,
                      responses={200: (Flushed, DryRun), 202: Accepted}),
            Operation(method="DELETE", path="/v1/endpoints", tag="Endpoints", role="operator",
                      handler=self.flush_all_endpoints,
                      summary="Forget learned endpoints of all networks",
                      description="Those that the filters choose; there must be one. Static "
                      "ones stay.", query=FlushQuery,
                      responses={200: (Flushed, DryRun), 202: Accepted}),
            Operation(method="GET", **one, handler=self.get_endpoint, summary="Show an endpoint",
                      responses={200: EndpointView}, problems=("not-found",)),
            Operation(method="PUT", **one, **write, handler=self.put_endpoint,
                      summary="Place an endpoint: static, never overridden by learning",
                      description="With an empty object, a learned endpoint stays where it is.",
                      body=EndpointPin, read_only=read_only, problems=("conflict", "not-found"),
                      request_example={"switch": "0000000000000001", "port": "h1"},
                      responses={201: EndpointView, 200: shown, 202: Accepted}),
            Operation(method="PATCH", **one, **write, handler=self.patch_endpoint,
                      summary="Change members of a static endpoint", body=EndpointDocument,
                      merge_patch=True, read_only=read_only, problems=("conflict", "not-found"),
                      responses={200: shown, 202: Accepted}),
            Operation(method="DELETE", **one, **write, handler=self.delete_endpoint,
                      summary="Forget a learned endpoint, or remove a static one",
                      responses={200: DryRun, 202: Accepted, 204: None}),
        ]  # fmt: skip

    # --- lists ---------------------------------------------------------------------------

    def list_all_endpoints(self, call: Call) -> Reply:
        asked = call.query(AllEndpointsFilter)
        wanted = _Wanted(self._backend, asked, asked.origin)
        return call.listing(
            groups=self._groups(None if asked.vni is None else Vni(asked.vni)),
            order=lambda key: (key[0], format_mac(key[1])),
            keep=lambda key: wanted(*key),
            show=lambda key: self._show(*key),
            pause=self._backend.pause,
        )

    def list_endpoints(self, call: Call) -> Reply:
        asked = call.query(EndpointFilter)
        check_network(self._backend.registry, call.vni)
        wanted = _Wanted(self._backend, asked, asked.origin)
        return call.listing(
            self._keys(call.vni),
            order=lambda mac: (format_mac(mac),),
            keep=lambda mac: wanted(call.vni, mac),
            show=lambda mac: self._show(call.vni, mac),
            pause=self._backend.pause,
        )

    def flush_endpoints(self, call: Call) -> Reply:
        return self._flush(call, [call.vni])

    def flush_all_endpoints(self, call: Call) -> Reply:
        asked = call.query(FlushQuery).model_dump(include=set(_Where.model_fields))
        if set(asked.values()) == {None}:
            sentence = "give at least one filter: this is about the endpoints of all networks"
            raise Problem("malformed", f"{sentence[0].upper()}{sentence[1:]}.")
        return self._flush(call, sorted(self._backend.registry.networks))

    def _flush(self, call: Call, vnis: list[Vni]) -> Reply:
        overlay = self._backend.engine.overlay
        wanted = _Wanted(self._backend, call.query(FlushQuery), None)
        found = []
        for vni in vnis:
            for count, (mac, location) in enumerate(list(overlay.endpoints.get(vni, {}).items())):
                if not location.static and wanted(vni, mac):
                    found.append((vni, mac))
                if count % LOOKED_AT == LOOKED_AT - 1:
                    self._backend.pause()
            self._backend.pause()
        return self._writer.flush(call, found, lambda count: Flushed(flushed=count))

    def _groups(self, vni: Vni | None) -> Iterator[Group]:
        """All endpoints, or those of a network, network by network."""

        def keys(network: Vni) -> list[tuple[Vni, Mac]]:
            return [(network, mac) for mac in self._keys(network)]

        for network in sorted(self._backend.registry.networks) if vni is None else [vni]:
            yield (network,), partial(keys, network)

    def _keys(self, vni: Vni) -> set[Mac]:
        """What is known, and what is placed and not applied yet."""
        overlay, registry = self._backend.engine.overlay, self._backend.registry
        return set(overlay.endpoints.get(vni, ())) | registry.endpoints(vni).keys()

    # --- one -----------------------------------------------------------------------------

    def get_endpoint(self, call: Call) -> Reply:
        shown = self._show(call.vni, call.mac)
        if shown is None:
            key = EndpointKey(call.vni, call.mac)
            raise Problem("not-found", f"There is no {key}: it was not heard, nor placed.")
        return Reply(body=shown, etag=shown.revision)

    def put_endpoint(self, call: Call) -> Reply:
        key = EndpointKey(call.vni, call.mac)
        placed = EndpointPin(**call.body(EndpointPin).model_dump(exclude_unset=True))
        if placed == EndpointPin():
            check_network(self._backend.registry, call.vni)
            placed = where_it_is(self._backend, call.vni, call.mac)
        said = EndpointDocument(**placed.model_dump(exclude_unset=True))
        return self._writer.put(
            call, key, lambda: self._show(call.vni, call.mac), understand(key, said)
        )

    def patch_endpoint(self, call: Call) -> Reply:
        key = EndpointKey(call.vni, call.mac)
        return self._writer.patch(call, key, lambda: self._show(call.vni, call.mac))

    def delete_endpoint(self, call: Call) -> Reply:
        key = EndpointKey(call.vni, call.mac)
        return self._writer.remove(call, key, forget=[(call.vni, call.mac)])

    def _show(self, vni: Vni, mac: Mac) -> EndpointView | None:
        backend = self._backend
        key, overlay = EndpointKey(vni, mac), backend.engine.overlay
        static, location = backend.registry.get(key), overlay.location(vni, mac)
        if location is None and static is None:
            return None
        said = document(key, static).model_dump() if static is not None else {}
        history = backend.engine.history
        since = history.since(vni, mac)
        at = place(overlay, location) if location is not None else None
        status = EndpointStatus(
            origin=_origin(location, static),
            location=Place(**at) if at is not None else None,
            heard_by=sorted(map(format_dpid, getattr(location, "heard_by", ()))),
            ips=[str(ipaddress.ip_address(ip)) for ip in history.ips(vni, mac)],
            since=None if since is None else timestamp(backend.moment(since)),
            moves=history.moves(vni, mac),
        )
        revision = backend.registry.revisions.get(key)
        return EndpointView.model_construct(
            **{"switch": None, "port": None, "vlan": None, "vtep": None, **said},
            vni=vni, mac=format_mac(mac), revision=revision, status=status,
        )  # fmt: skip


def where_it_is(backend: Backend, vni: Vni, mac: Mac) -> EndpointPin:
    """Where configuration has to place an endpoint for it to stay where it is. Raises Problem."""
    registry = backend.registry
    if static := registry.endpoints(vni).get(mac):
        return EndpointPin(**document(EndpointKey(vni, mac), static).canonical())
    match backend.engine.overlay.location(vni, mac):
        case Local(dpid, number, vlan):
            ports = backend.engine.overlay.switches[dpid].facts.ports
            name = ports[number].name if number in ports else None
            ends = registry.attachments(vni)
            port = next((p for p in (number, name) if (dpid, p) in ends), number)
            return EndpointPin(switch=format_dpid(dpid), port=port, vlan=vlan)
        case Remote(vtep):
            return EndpointPin(vtep=vtep)
    sentence = "say where the endpoint is: by switch and port, or by vtep; it was not learned"
    raise field_problem("invalid", [FieldError(sentence, pointer="")])


def _origin(location: Location | None, static: object) -> Origin:
    if static is not None or (location is not None and location.static):
        return "static"
    if isinstance(location, Remote) and not location.heard_by:
        return "read back"
    return "learned"


class _Wanted:
    """Whether an endpoint passes the filters."""

    def __init__(self, backend: Backend, asked: _Where, origin: Origin | None) -> None:
        self._overlay = backend.engine.overlay
        self._history = backend.engine.history
        self._registry = backend.registry
        self._asked = asked
        self._origin = origin
        self._mac = "".join(c for c in (asked.mac or "").lower() if c not in ":.-")
        self._ip = None
        if asked.ip is not None:
            try:
                self._ip = ipaddress.ip_address(asked.ip).packed
            except ValueError:
                sentence = f"'{asked.ip}' is not an IPv4 or IPv6 address"
                error = FieldError(sentence, parameter="ip")
                raise field_problem("malformed", [error]) from None

    def __call__(self, vni: Vni, mac: Mac) -> bool:
        asked, location = self._asked, self._overlay.location(vni, mac)
        if self._mac and not mac.hex().startswith(self._mac):
            return False
        if self._ip is not None and self._ip not in self._history.ips(vni, mac):
            return False
        if self._origin is not None:
            static = self._registry.endpoints(vni).get(mac)
            if _origin(location, static) != self._origin:
                return False
        if asked.switch is None and asked.port is None and asked.vtep is None:
            return True
        if location is None:
            return False
        if asked.vtep is not None and self._overlay.locate(location) != VtepAddress(asked.vtep):
            return False
        if asked.switch is None and asked.port is None:
            return True
        return isinstance(location, Local) and self._behind(location)

    def _behind(self, location: Local) -> bool:
        asked = self._asked
        if asked.switch not in (None, format_dpid(location.dpid)):
            return False
        ports = self._overlay.switches[location.dpid].facts.ports
        name = ports[location.port].name if location.port in ports else None
        return asked.port in (None, location.port, name)
