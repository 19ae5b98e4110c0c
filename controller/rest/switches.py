"""Switches: what is configured of them, how they are, what they hold; and the defaults."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, Field

from controller.events import timestamp
from controller.model import (
    Dpid,
    FlowTunnel,
    PeerTunnels,
    SwitchConfig,
    Tunnels,
    VtepAddress,
    format_dpid,
    format_mac,
    parse_mac,
)
from controller.overlay import Switch
from controller.resources import (
    DefaultsDocument,
    DefaultsKey,
    SwitchDocument,
    SwitchKey,
    document,
)
from controller.resources.documents import Address
from controller.rest.backend import Backend, DumpedFlow, FlowCounts
from controller.rest.operations import MAC_PATTERN, Call, Operation, Reply
from controller.rest.paging import Listing, PageQuery
from controller.rest.problem import FieldError, Problem, field_problem
from controller.rest.writes import Accepted, DryRun, WriteQuery, Writer


class PortNetwork(BaseModel):
    vni: int
    vlan: int | None


class PortView(BaseModel):
    number: int
    name: str
    up: bool
    networks: list[PortNetwork]


class TunnelsView(BaseModel):
    """How a switch reaches other VTEPs."""

    flow_based: int | None = Field(description="The port on which the flow sets the destination")
    peers: dict[str, int] = Field(description="Or the port of each peer")


class Sent(BaseModel):
    """Messages since the switch connected."""

    flow_mods: int
    group_mods: int
    meter_mods: int
    refused: int


class FlowCountsView(BaseModel):
    """What a switch says that it holds."""

    weft: int
    other: int = Field(description="Other applications', or made by hand")
    packets: int | None = Field(description="Counted by Weft's flows")
    bytes: int | None


class SwitchStatus(BaseModel):
    """What the controller knows of a switch."""

    connected: bool
    address: str | None = Field(description="Where its OpenFlow connection comes from")
    openflow: str | None
    since: str | None = Field(description="When it connected")
    synced: bool = Field(description="Audited: changes go to it")
    vtep: str | None
    vtep_source: Literal["configuration", "ovsdb", "heard", "connection"] | None
    tunnels: TunnelsView | None
    ports: list[PortView]
    wanted: int | None = Field(description="The last generation it was sent")
    applied: int | None = Field(description="The last generation it has confirmed by barrier")
    flows: FlowCountsView | None = Field(description="Asked for when one switch is shown")
    packet_ins: int
    sent: Sent | None
    last_error: str
    conflicts: list[str]


class _SwitchId(BaseModel):
    """A base after the document: so that what a thing is called comes first in its JSON."""

    dpid: str


class SwitchView(SwitchDocument, _SwitchId):
    """A switch: what is configured of it, and how it is."""

    revision: int | None = Field(description="null: nothing is configured of it")
    status: SwitchStatus


class SwitchFilter(PageQuery):
    connected: bool | None = Field(None, description="Connected now, or not")
    vtep: Address | None = Field(None, description="With this VTEP address")


class FlowView(BaseModel):
    """A flow as the switch holds it, and what it is for."""

    table: int
    table_name: str
    priority: int | None
    match: str
    actions: str
    flow: str
    cookie: str
    packets: int | None
    bytes: int | None
    seconds: float = Field(description="How long it has been there")
    owner: Literal["weft", "switch", "other"]
    feature: str = Field(description="The part of Weft's pipeline that made it")
    network: int | None
    mac: str | None
    vtep: str | None
    words: str


class FlowFilter(PageQuery):
    network: int | None = Field(None, ge=0, le=2**24 - 1, description="Of this network")
    mac: str | None = Field(
        None, max_length=23, json_schema_extra={"pattern": MAC_PATTERN},
        description="About this endpoint",
    )  # fmt: skip
    feature: str | None = Field(
        None, max_length=30, description="Made by this part of the pipeline"
    )
    table: str | None = Field(None, max_length=30, description="By number, or by name")
    owner: Literal["weft", "switch", "other"] | None = Field(
        None, description="'switch': made by the switch itself, for the time until Weft's are there"
    )


class DefaultsView(DefaultsDocument):
    """What holds for every switch that says nothing else."""

    revision: int | None


class Switches:
    """Handlers."""

    def __init__(self, backend: Backend, writer: Writer) -> None:
        self._backend = backend
        self._writer = writer

    def operations(self) -> list[Operation]:
        read_only = {"dpid": "dpid", "revision": None, "status": None}
        one: dict[str, Any] = {"path": "/v1/switches/{dpid}", "tag": "Switches"}
        defaults: dict[str, Any] = {"path": "/v1/defaults", "tag": "Switches"}
        write: dict[str, Any] = {"role": "admin", "query": WriteQuery}
        shown: Any = (SwitchView, DryRun)
        return [
            Operation(method="GET", path="/v1/switches", tag="Switches",
                      handler=self.list_switches, query=SwitchFilter,
                      summary="List switches, configured and connected",
                      responses={200: Listing[SwitchView]}),
            Operation(method="GET", **one, handler=self.get_switch, summary="Show a switch",
                      responses={200: SwitchView}, problems=("not-found",)),
            Operation(method="PUT", **one, **write, handler=self.put_switch,
                      summary="Configure a switch", body=SwitchDocument, read_only=read_only,
                      request_example={"vtep": "192.0.2.1", "tunnel_port": "vxlan0"},
                      problems=("conflict",),
                      responses={201: SwitchView, 200: shown, 202: Accepted}),
            Operation(method="PATCH", **one, **write, handler=self.patch_switch,
                      summary="Change members of a switch's configuration", body=SwitchDocument,
                      merge_patch=True, read_only=read_only, problems=("conflict", "not-found"),
                      responses={200: shown, 202: Accepted}),
            Operation(method="DELETE", **one, **write, handler=self.delete_switch,
                      summary="Remove a switch's configuration",
                      description="One that is not connected is forgotten, with all that was "
                      "behind it.", problems=("conflict",),
                      responses={200: DryRun, 202: Accepted, 204: None}),
            Operation(method="GET", path="/v1/switches/{dpid}/flows", tag="Switches",
                      handler=self.list_flows, summary="Dump a switch's flows, explained",
                      query=FlowFilter, responses={200: Listing[FlowView]},
                      problems=("not-found", "unavailable", "timeout")),
            Operation(method="GET", **defaults, handler=self.get_defaults,
                      summary="Show the defaults", responses={200: DefaultsView}),
            Operation(method="PUT", **defaults, **write, handler=self.put_defaults,
                      summary="Set the defaults", body=DefaultsDocument,
                      request_example={"ovsdb": "tcp:{address}:6640"},
                      read_only={"revision": None}, problems=("conflict",),
                      responses={200: (DefaultsView, DryRun), 202: Accepted}),
            Operation(method="PATCH", **defaults, **write, handler=self.patch_defaults,
                      summary="Change members of the defaults", body=DefaultsDocument,
                      merge_patch=True, read_only={"revision": None}, problems=("conflict",),
                      responses={200: (DefaultsView, DryRun), 202: Accepted}),
            Operation(method="DELETE", **defaults, **write, handler=self.delete_defaults,
                      summary="Reset the defaults", problems=("conflict",),
                      responses={200: DryRun, 202: Accepted, 204: None}),
        ]  # fmt: skip

    # --- switches ------------------------------------------------------------------------

    def list_switches(self, call: Call) -> Reply:
        asked = call.query(SwitchFilter)
        backend = self._backend

        def keep(dpid: Dpid) -> bool:
            switch = backend.engine.overlay.switches.get(dpid)
            vtep = switch.view.vtep if switch is not None else None
            return asked.vtep in (None, vtep) and (
                asked.connected in (None, backend.switch(dpid) is not None)
            )

        return call.listing(
            self._known(),
            order=lambda dpid: (format_dpid(dpid),),
            keep=keep,
            show=partial(self._show, owners=backend.engine.overlay.owners()),
            pause=backend.pause,
        )

    def get_switch(self, call: Call) -> Reply:
        self._check(call.dpid)
        counts = self._backend.flow_counts(call.dpid)
        shown = self._show(call.dpid, counts)
        return Reply(body=shown, etag=shown.revision)

    def put_switch(self, call: Call) -> Reply:
        return self._writer.put(call, SwitchKey(call.dpid), lambda: self._show(call.dpid))

    def patch_switch(self, call: Call) -> Reply:
        return self._writer.patch(call, SwitchKey(call.dpid), lambda: self._show(call.dpid))

    def delete_switch(self, call: Call) -> Reply:
        return self._writer.remove(call, SwitchKey(call.dpid), gone=[call.dpid])

    def _known(self) -> set[Dpid]:
        backend = self._backend
        connected = set(backend.connected())
        return connected | backend.registry.switches.keys() | backend.engine.overlay.switches.keys()

    def _check(self, dpid: Dpid) -> None:
        if dpid not in self._known():
            sentence = f"Nothing is known of a switch {format_dpid(dpid)}."
            raise Problem("not-found", sentence)

    def _show(
        self,
        dpid: Dpid,
        counts: FlowCounts | None = None,
        owners: Mapping[VtepAddress, list[Dpid]] | None = None,
    ) -> SwitchView:
        backend, key = self._backend, SwitchKey(dpid)
        own = backend.registry.switches.get(dpid)
        state, switch = backend.switch(dpid), backend.engine.overlay.switches.get(dpid)
        if owners is None:
            owners = backend.engine.overlay.owners()
        sent: dict[str, int] = {"flow_mods": 0, "group_mods": 0, "meter_mods": 0, "refused": 0}
        status = SwitchStatus(
            connected=state is not None,
            address=state.address if state else None,
            openflow=state.openflow if state else None,
            since=timestamp(state.since) if state else None,
            synced=state is not None and state.synced,
            vtep=switch.view.vtep if switch else None,
            vtep_source=_source(own, switch),
            tunnels=_tunnels(switch.view.tunnels) if switch else None,
            ports=_ports(switch) if switch else [],
            wanted=state.wanted if state else None,
            applied=state.applied if state else None,
            flows=_counts(counts),
            packet_ins=backend.packet_ins(dpid),
            sent=Sent(**(sent | dict(state.sent))) if state else None,
            last_error=state.last_error if state else "",
            conflicts=_conflicts(dpid, switch, owners) if switch else [],
        )
        said = document(key, own or SwitchConfig()).model_dump()
        revision = backend.registry.revisions.get(key)
        return SwitchView(**said, dpid=format_dpid(dpid), revision=revision, status=status)

    # --- flows ---------------------------------------------------------------------------

    def list_flows(self, call: Call) -> Reply:
        asked = call.query(FlowFilter)
        self._check(call.dpid)
        mac = None
        if asked.mac is not None:
            try:
                mac = parse_mac(asked.mac)
            except ValueError as error:
                wrong = FieldError(str(error), parameter="mac")
                raise field_problem("malformed", [wrong]) from None

        def keep(flow: DumpedFlow) -> bool:
            told = flow.explanation
            return (
                asked.network in (None, told.network)
                and mac in (None, told.mac)
                and asked.feature in (None, told.feature)
                and asked.table in (None, str(flow.table), flow.table_name)
                and asked.owner in (None, told.owner.value)
            )

        return call.listing(
            self._backend.flows(call.dpid, again=call.query(PageQuery).cursor is not None),
            order=lambda flow: (flow.table, -(flow.priority or 0), flow.text, str(flow.cookie)),
            keep=keep,
            show=_flow,
            pause=self._backend.pause,
        )

    # --- defaults --------------------------------------------------------------------------

    def get_defaults(self, call: Call) -> Reply:
        shown = self._defaults()
        return Reply(body=shown, etag=shown.revision)

    def put_defaults(self, call: Call) -> Reply:
        return self._writer.put(call, DefaultsKey(), self._defaults)

    def patch_defaults(self, call: Call) -> Reply:
        return self._writer.patch(call, DefaultsKey(), self._defaults)

    def delete_defaults(self, call: Call) -> Reply:
        return self._writer.delete(call, DefaultsKey())

    def _defaults(self) -> DefaultsView:
        registry = self._backend.registry
        said = document(DefaultsKey(), registry.defaults).model_dump()
        return DefaultsView(**said, revision=registry.revisions.get(DefaultsKey()))


def _source(
    own: SwitchConfig | None, switch: Switch | None
) -> Literal["configuration", "ovsdb", "heard", "connection"] | None:
    if switch is None or switch.view.vtep is None:
        return None
    if own is not None and own.vtep is not None:
        return "configuration"
    if switch.facts.ovsdb_vtep is not None:
        return "ovsdb"
    return "connection" if switch.view.guessed else "heard"


def _conflicts(dpid: Dpid, switch: Switch, owners: Mapping[VtepAddress, list[Dpid]]) -> list[str]:
    found = list(switch.conflicts)
    if switch.view.vtep is not None:
        for twin in owners.get(switch.view.vtep, ()):
            if twin != dpid:
                found.append(
                    f"{switch.view.vtep} is the VTEP address of switch {format_dpid(twin)} as "
                    "well: give each its own"
                )
    return found


def _tunnels(tunnels: Tunnels) -> TunnelsView | None:
    match tunnels:
        case FlowTunnel(port):
            return TunnelsView(flow_based=port, peers={})
        case PeerTunnels(ports):
            return TunnelsView(flow_based=None, peers=dict(ports))
        case None:
            return None


def _ports(switch: Switch) -> list[PortView]:
    networks: dict[int, list[PortNetwork]] = {}
    for (number, vlan), vni in switch.bindings.items():
        networks.setdefault(number, []).append(PortNetwork(vni=vni, vlan=vlan))
    return [
        PortView(number=p.number, name=p.name, up=p.up, networks=networks.get(p.number, []))
        for p in sorted(switch.facts.ports.values(), key=lambda port: port.number)
    ]


def _counts(counts: FlowCounts | None) -> FlowCountsView | None:
    if counts is None:
        return None
    return FlowCountsView(
        weft=counts.ours, other=counts.others, packets=counts.packets, bytes=counts.bytes
    )


def _flow(flow: DumpedFlow) -> FlowView:
    told = flow.explanation
    return FlowView(
        table=flow.table,
        table_name=flow.table_name,
        priority=flow.priority,
        match=flow.match,
        actions=flow.actions,
        flow=flow.text,
        cookie=f"{flow.cookie:#018x}",
        packets=flow.packets,
        bytes=flow.bytes,
        seconds=flow.seconds,
        owner=told.owner.value,
        feature=told.feature,
        network=told.network,
        mac=None if told.mac is None else format_mac(told.mac),
        vtep=told.vtep,
        words=told.words,
    )
