"""VTEPs: our own switches' and foreign ones, and in which networks each takes part."""

from __future__ import annotations

from typing import Final, Literal

from pydantic import BaseModel, Field

from controller.events import timestamp
from controller.model import Dpid, Vni, VtepAddress, format_dpid
from controller.overlay import MemberKind
from controller.rest.backend import Backend
from controller.rest.operations import Call, Operation, Reply
from controller.rest.paging import Listing, PageQuery
from controller.rest.problem import Problem

How = Literal["managed", "static", "discovered", "remembered"]


class Membership(BaseModel):
    """How a VTEP takes part in a network."""

    vni: int
    how: How = Field(description="'remembered': read back from flows, its switch is awaited")
    endpoints: int = Field(description="Endpoints that are known behind it")
    since: str | None = Field(description="When it was heard for the first time")
    last_heard: str | None = Field(
        description="When a frame from it was reported for the last time: known senders' are not"
    )
    leaving_at: str | None = Field(description="When it leaves unless it is heard")


class VtepStatus(BaseModel):
    """What the controller knows of a VTEP."""

    kind: Literal["managed", "foreign"]
    switch: str | None = Field(description="Whose address it is")
    since: str | None
    last_heard: str | None
    networks: list[Membership]


class VtepView(BaseModel):
    """A VTEP."""

    address: str
    status: VtepStatus


class VtepFilter(PageQuery):
    managed: bool | None = Field(None, description="true: our own switches'; false: foreign")
    network: int | None = Field(None, ge=0, le=2**24 - 1, description="Takes part in this network")


SLICE: Final = 100
"""Networks of one VTEP that are looked at between two pauses."""


class Vteps:
    """Handlers."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def operations(self) -> list[Operation]:
        return [
            Operation(method="GET", path="/v1/vteps", tag="VTEPs", handler=self.list_vteps,
                      summary="List VTEPs, managed and foreign", query=VtepFilter,
                      responses={200: Listing[VtepView]}),
            Operation(method="GET", path="/v1/vteps/{address}", tag="VTEPs",
                      handler=self.get_vtep, summary="Show a VTEP",
                      responses={200: VtepView}, problems=("not-found",)),
        ]  # fmt: skip

    def list_vteps(self, call: Call) -> Reply:
        asked = call.query(VtepFilter)
        networks, owners = self._networks(), self._owners()
        among: set[VtepAddress] = networks.keys() | owners.keys()
        if asked.network is not None:
            among &= self._backend.engine.overlay.members(Vni(asked.network)).keys()
        return call.listing(
            among,
            order=lambda address: (address,),
            keep=lambda address: asked.managed in (None, address in owners),
            show=lambda address: self._show(address, owners, networks.get(address, [])),
            pause=self._backend.pause,
        )

    def get_vtep(self, call: Call) -> Reply:
        networks, owners = self._networks(), self._owners()
        if call.address not in owners and call.address not in networks:
            raise Problem("not-found", f"Nothing is known of a VTEP {call.address}.")
        return Reply(body=self._show(call.address, owners, networks.get(call.address, [])))

    def _owners(self) -> dict[VtepAddress, Dpid]:
        switches = self._backend.engine.overlay.switches.items()
        return {s.view.vtep: dpid for dpid, s in switches if s.view.vtep is not None}

    def _networks(self) -> dict[VtepAddress, list[Vni]]:
        """The networks that each VTEP takes part in."""
        overlay = self._backend.engine.overlay
        found: dict[VtepAddress, list[Vni]] = {}
        for count, vni in enumerate(sorted(overlay.config.networks)):
            for address in overlay.members(vni):
                found.setdefault(address, []).append(vni)
            if count % 200 == 199:
                self._backend.pause()
        return found

    def _show(
        self, address: VtepAddress, owners: dict[VtepAddress, Dpid], networks: list[Vni]
    ) -> VtepView:
        dpid = owners.get(address)
        members = []
        for vni in networks:
            members.append(self._membership(vni, address, dpid is not None))
            if len(members) % SLICE == 0:
                self._backend.pause()
        firsts = [m.since for m in members if m.since is not None]
        lasts = [m.last_heard for m in members if m.last_heard is not None]
        status = VtepStatus(
            kind="foreign" if dpid is None else "managed",
            switch=None if dpid is None else format_dpid(dpid),
            since=min(firsts, default=None),
            last_heard=max(lasts, default=None),
            networks=members,
        )
        return VtepView(address=address, status=status)

    def _membership(self, vni: Vni, address: VtepAddress, managed: bool) -> Membership:
        engine = self._backend.engine
        member = engine.overlay.foreign(vni).get(address)
        heard = engine.history.vtep(vni, address)
        leaving = engine.overlay.leaving.get((vni, address))
        kind: MemberKind | None = member.kind if member is not None and not managed else None
        return Membership(
            vni=vni,
            how=kind.value if kind is not None else "managed",
            endpoints=member.endpoints if member is not None else self._behind(vni, address),
            since=self._time(heard and heard[0]),
            last_heard=self._time(heard and heard[1]),
            leaving_at=self._time(leaving),
        )

    def _behind(self, vni: Vni, address: VtepAddress) -> int:
        overlay = self._backend.engine.overlay
        found = overlay.endpoints.get(vni, {}).values()
        return sum(overlay.locate(location) == address for location in found)

    def _time(self, moment: float | None) -> str | None:
        return None if moment is None else timestamp(self._backend.moment(moment))
