"""Networks and their attachments."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from pydantic import BaseModel, Field

from controller.model import Attachment, Dpid, Network, Vni, format_dpid
from controller.overlay import port_number
from controller.resources import (
    AttachmentDocument,
    AttachmentKey,
    NetworkDocument,
    NetworkKey,
    document,
)
from controller.resources.documents import DpidMember, PortMember
from controller.rest.backend import Backend
from controller.rest.operations import Call, Operation, Reply
from controller.rest.paging import Listing, PageQuery
from controller.rest.problem import Problem
from controller.rest.writes import Accepted, DryRun, WriteQuery, Writer, check_network

WRITTEN: Any = {201: None, 200: None, 202: Accepted}


class NetworkStatus(BaseModel):
    """What the controller knows of a network."""

    attachments: int
    endpoints: int = Field(description="Known endpoints, learned and static")
    vteps: int = Field(description="VTEPs that take part, managed and foreign")
    switches: list[str] = Field(description="Switches with attachments that are there")


class _NetworkId(BaseModel):
    """A base after the document: so that what a thing is called comes first in its JSON."""

    vni: int


class NetworkView(NetworkDocument, _NetworkId):
    """A network, and what is known of it."""

    revision: int | None = Field(description="Of its last change; as in its ETag")
    status: NetworkStatus


class NetworkFilter(PageQuery):
    name: str | None = Field(None, description="Exactly this name")
    flooding: Literal["head-end", "none"] | None = Field(None, description="Flooding in this way")
    learning: bool | None = Field(None, description="Learning, or not")


class AttachmentStatus(BaseModel):
    """Whether an attachment works."""

    state: Literal["attached", "no switch", "no port", "conflict"]
    port_number: int | None
    up: bool | None
    detail: str
    source: Literal["configuration", "ovsdb"]


class _AttachmentId(BaseModel):
    vni: int
    switch: str
    port: PortMember


class AttachmentView(AttachmentDocument, _AttachmentId):
    """An attachment, and whether it works."""

    revision: int | None = Field(description="null: asked for by the switch's OVSDB")
    status: AttachmentStatus


class AttachmentFilter(PageQuery):
    switch: DpidMember | None = None
    port: PortMember | None = None
    vlan: int | None = Field(None, ge=1, le=4094, description="Of this VLAN")


class Networks:
    """Handlers."""

    def __init__(self, backend: Backend, writer: Writer) -> None:
        self._backend = backend
        self._writer = writer

    def operations(self) -> list[Operation]:
        read_only = {"vni": "vni", "revision": None, "status": None}
        one: dict[str, Any] = {"path": "/v1/networks/{vni}", "tag": "Networks"}
        end: dict[str, Any] = {
            "path": "/v1/networks/{vni}/attachments/{dpid}/{port}",
            "tag": "Attachments",
        }
        end_read_only = read_only | {"switch": "dpid", "port": "port"}
        write: dict[str, Any] = {"role": "operator", "query": WriteQuery}
        network: Any = (NetworkView, DryRun)
        attachment: Any = (AttachmentView, DryRun)
        return [
            Operation(method="GET", path="/v1/networks", tag="Networks", handler=self.list_networks,
                      summary="List networks", query=NetworkFilter,
                      responses={200: Listing[NetworkView]}),
            Operation(method="GET", **one, handler=self.get_network, summary="Show a network",
                      responses={200: NetworkView}, problems=("not-found",)),
            Operation(method="PUT", **one, **write, handler=self.put_network,
                      summary="Create or replace a network",
                      description="Its attachments and endpoints stay.",
                      body=NetworkDocument, read_only=read_only, problems=("conflict",),
                      request_example={"name": "red", "vteps": ["192.0.2.9"]},
                      responses={201: NetworkView, 200: network, 202: Accepted}),
            Operation(method="PATCH", **one, **write, handler=self.patch_network,
                      summary="Change members of a network", body=NetworkDocument,
                      merge_patch=True, read_only=read_only, problems=("conflict", "not-found"),
                      request_example={"ageing": 600, "name": None},
                      responses={200: network, 202: Accepted}),
            Operation(method="DELETE", **one, **write, handler=self.delete_network,
                      summary="Delete a network with all that belongs to it",
                      problems=("conflict",),
                      responses={200: DryRun, 202: Accepted, 204: None}),
            Operation(method="GET", path="/v1/networks/{vni}/attachments", tag="Attachments",
                      handler=self.list_attachments, summary="List a network's attachments",
                      query=AttachmentFilter, responses={200: Listing[AttachmentView]},
                      problems=("not-found",)),
            Operation(method="GET", **end, handler=self.get_attachment,
                      summary="Show an attachment", responses={200: AttachmentView},
                      problems=("not-found",)),
            Operation(method="PUT", **end, **write, handler=self.put_attachment,
                      summary="Attach a port, or a VLAN of it, to a network",
                      body=AttachmentDocument, read_only=end_read_only,
                      problems=("conflict", "not-found"), request_example={"vlan": 10},
                      responses={201: AttachmentView, 200: attachment, 202: Accepted}),
            Operation(method="PATCH", **end, **write, handler=self.patch_attachment,
                      summary="Change members of an attachment", body=AttachmentDocument,
                      merge_patch=True, read_only=end_read_only,
                      problems=("conflict", "not-found"),
                      responses={200: attachment, 202: Accepted}),
            Operation(method="DELETE", **end, **write, handler=self.delete_attachment,
                      summary="Detach a port", problems=("conflict",),
                      responses={200: DryRun, 202: Accepted, 204: None}),
        ]  # fmt: skip

    # --- networks ------------------------------------------------------------------------

    def list_networks(self, call: Call) -> Reply:
        asked = call.query(NetworkFilter)
        networks = self._backend.registry.networks

        def keep(vni: Vni) -> bool:
            network = networks.get(vni)
            return (
                network is not None
                and asked.name in (None, network.name)
                and asked.flooding in (None, network.flooding.value)
                and asked.learning in (None, network.learning)
            )

        return call.listing(
            networks, order=lambda vni: (vni,), keep=keep, show=self._network,
            pause=self._backend.pause,
        )  # fmt: skip

    def get_network(self, call: Call) -> Reply:
        shown = self._network(call.vni)
        if shown is None:
            raise Problem("not-found", f"There is no network {call.vni}.")
        return Reply(body=shown, etag=shown.revision)

    def put_network(self, call: Call) -> Reply:
        return self._writer.put(call, NetworkKey(call.vni), lambda: self._network(call.vni))

    def patch_network(self, call: Call) -> Reply:
        return self._writer.patch(call, NetworkKey(call.vni), lambda: self._network(call.vni))

    def delete_network(self, call: Call) -> Reply:
        return self._writer.delete(call, NetworkKey(call.vni))

    def _network(self, vni: Vni) -> NetworkView | None:
        key = NetworkKey(vni)
        registry, overlay = self._backend.registry, self._backend.engine.overlay
        head = registry.get(key)
        if not isinstance(head, Network):
            return None
        status = NetworkStatus(
            attachments=sum(1 for _ in self._attachment_keys(vni)),
            endpoints=len(overlay.endpoints.get(vni, ())),
            vteps=len(overlay.members(vni)),
            switches=sorted(map(format_dpid, overlay.present(vni))),
        )
        said = document(key, head).model_dump()
        return NetworkView(**said, vni=vni, revision=registry.revisions.get(key), status=status)

    # --- attachments -----------------------------------------------------------------------

    def list_attachments(self, call: Call) -> Reply:
        vni, asked = call.vni, call.query(AttachmentFilter)
        check_network(self._backend.registry, vni)

        def keep(key: AttachmentKey) -> bool:
            found = self._find(key)
            return (
                found is not None
                and asked.switch in (None, format_dpid(key.dpid))
                and asked.port in (None, key.port)
                and asked.vlan in (None, found.vlan)
            )

        return call.listing(
            self._attachment_keys(vni),
            order=lambda key: (format_dpid(key.dpid), str(key.port)),
            keep=keep, show=self._attachment, pause=self._backend.pause,
        )  # fmt: skip

    def get_attachment(self, call: Call) -> Reply:
        key = AttachmentKey(call.vni, call.dpid, call.port)
        shown = self._attachment(key)
        if shown is None:
            raise Problem("not-found", f"There is no {key}.")
        return Reply(body=shown, etag=shown.revision)

    def put_attachment(self, call: Call) -> Reply:
        key = AttachmentKey(call.vni, call.dpid, call.port)
        return self._writer.put(call, key, lambda: self._attachment(key))

    def patch_attachment(self, call: Call) -> Reply:
        key = AttachmentKey(call.vni, call.dpid, call.port)
        return self._writer.patch(call, key, lambda: self._attachment(key))

    def delete_attachment(self, call: Call) -> Reply:
        return self._writer.delete(call, AttachmentKey(call.vni, call.dpid, call.port))

    def _asked_by_ovsdb(self, vni: Vni, dpid: Dpid) -> Iterable[Attachment]:
        switch = self._backend.engine.overlay.switches.get(dpid)
        asked = switch.facts.bindings if switch is not None else ()
        return (attachment for v, attachment in asked if v == vni)

    def _attachment_keys(self, vni: Vni) -> Iterable[AttachmentKey]:
        """The configured ones, and those that OVSDB asks for."""
        configured = self._backend.registry.attachments(vni)
        found = {AttachmentKey(vni, dpid, port) for dpid, port in configured}
        for dpid in self._backend.engine.overlay.asking(vni):
            found |= {AttachmentKey(vni, dpid, a.port) for a in self._asked_by_ovsdb(vni, dpid)}
        return found

    def _find(self, key: AttachmentKey) -> Attachment | None:
        configured = self._backend.registry.attachments(key.vni).get((key.dpid, key.port))
        asked = self._asked_by_ovsdb(key.vni, key.dpid)
        return configured or next((a for a in asked if a.port == key.port), None)

    def _attachment(self, key: AttachmentKey) -> AttachmentView | None:
        found, revisions = self._find(key), self._backend.registry.revisions
        if found is None:
            return None
        return AttachmentView(
            vlan=found.vlan,
            vni=key.vni,
            switch=format_dpid(key.dpid),
            port=key.port,
            revision=revisions.get(key),
            status=self._state(key, found, configured=key in revisions),
        )

    def _state(self, key: AttachmentKey, at: Attachment, configured: bool) -> AttachmentStatus:
        switch = self._backend.engine.overlay.switches.get(key.dpid)
        number = None
        if switch is not None:
            number = port_number(key.port, switch.facts, switch.facts.names())
        port = switch.facts.ports[number] if switch is not None and number is not None else None
        state: Literal["attached", "no switch", "no port", "conflict"] = "attached"
        detail = ""
        if switch is None:
            state, detail = "no switch", "the switch has not connected yet"
        elif self._backend.switch(key.dpid) is None:
            state, detail, port = "no switch", "the switch is not connected", None
        elif number is None:
            state, detail = "no port", f"the switch has no port {key.port} now"
        elif switch.bindings.get((number, at.vlan)) != key.vni:
            state = "conflict"
            told = (c for c in switch.conflicts if f"network {key.vni}" in c)
            detail = next(told, "the port is in another network")
        return AttachmentStatus(
            state=state,
            port_number=number,
            up=port.up if port is not None else None,
            detail=detail,
            source="configuration" if configured else "ovsdb",
        )
