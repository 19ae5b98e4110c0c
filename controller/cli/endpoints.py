"""Endpoints, learned and static, and the VTEPs they are behind."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from controller.cli.app import App, Command, Group, pass_app
from controller.cli.changes import finish, try_out, write, writes
from controller.cli.client import path
from controller.cli.errors import NotFound
from controller.cli.networks import VNI_COLUMN, status
from controller.cli.output import Column, Record, moment
from controller.cli.types import MAC, NETWORK, PORT, SWITCH, VLAN, VTEP

F = TypeVar("F", bound=Callable[..., Any])
ORIGINS = ("static", "learned", "read back")


def place(location: Record | None) -> str:
    """Where an endpoint is, in words; empty where that is not known."""
    if not location:
        return ""
    if location.get("vtep") and not location.get("switch"):
        return f"VTEP {location['vtep']}"
    if not location.get("switch"):
        return ""
    name, number = location.get("port_name"), location.get("port")
    port = f"{name} ({number})" if name and name != number else str(number or name)
    vlan = f" VLAN {location['vlan']}" if location.get("vlan") else ""
    return f"{location['switch']} port {port}{vlan}"


ENDPOINTS = (
    VNI_COLUMN,
    Column("MAC", lambda e: e["mac"]),
    Column("WHERE", lambda e: place(status(e).get("location")), fold=True),
    Column("ORIGIN", lambda e: status(e).get("origin")),
    Column("IPS", lambda e: status(e).get("ips"), fold=True),
    Column("MOVES", lambda e: status(e).get("moves"), right=True),
)
VTEPS = (
    Column("VTEP", lambda v: v["address"]),
    Column("KIND", lambda v: status(v).get("kind")),
    Column("SWITCH", lambda v: status(v).get("switch")),
    Column("NETWORKS", lambda v: [n["vni"] for n in status(v).get("networks", [])], fold=True),
    Column(
        "ENDPOINTS",
        lambda v: sum(n.get("endpoints") or 0 for n in status(v).get("networks", [])),
        right=True,
    ),
    Column("LAST HEARD", lambda v: moment(status(v).get("last_heard"))),
)
OF_VTEP = (
    VNI_COLUMN,
    Column("HOW", lambda n: n.get("how")),
    Column("ENDPOINTS", lambda n: n.get("endpoints"), right=True),
    Column("LEAVING AT", lambda n: moment(n.get("leaving_at"))),
)


def filtered(command: F) -> F:
    """The filters of endpoints that a flush has too."""
    options = (
        click.option("--mac", metavar="MAC", help="Only those whose address begins so."),
        click.option("--ip", metavar="ADDRESS", help="Only those with this IP address."),
        click.option("--switch", type=SWITCH, metavar="DPID", help="Only those at this switch."),
        click.option("--port", type=PORT, metavar="PORT", help="Only those at this port."),
        click.option("--vtep", type=VTEP, metavar="ADDRESS", help="Only those behind this VTEP."),
    )
    for option in reversed(options):
        command = option(command)
    return command


@click.command(cls=Command)
@click.argument("network", metavar="[VNI|NAME]", type=NETWORK, required=False)
@filtered
@click.option("--origin", type=click.Choice(ORIGINS), help="Only those known so.")
@pass_app
def endpoints(app: App, /, *, network: str | None, **filters: str | None) -> None:
    """List the endpoints of a network, or of all networks.

    'weft endpoints flush' is the same as 'weft endpoint flush'.
    """
    if network:
        vni = app.vni(network)
        listed = app.list(path("networks", vni, "endpoints"), filters, "endpoints")
        found = [{"vni": int(vni), **item} for item in listed]
    else:
        found = app.list("/v1/endpoints", filters, "endpoints")
    empty = "No endpoint is known."
    if filters.get("ip"):
        empty = (
            "No endpoint is known by this IP address. Known are those in packets that came to "
            "Weft, which need not be all; they are not read back after a restart."
        )
    app.output.table(ENDPOINTS, found, empty)


@click.group(cls=Group)
def endpoint() -> None:
    """Show, place or forget one endpoint."""


@endpoint.command("show")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.argument("mac", metavar="MAC", type=MAC)
@pass_app
def show(app: App, /, *, network: str, mac: str) -> None:
    """Show what is known of an endpoint."""
    record = app.client.get(path("networks", app.vni(network), "endpoints", mac))
    found = status(record)
    app.output.details(
        record,
        [
            ("MAC", record["mac"]),
            ("Where", place(found.get("location"))),
            ("Origin", found.get("origin")),
            ("Heard by", found.get("heard_by")),
            ("IP addresses", found.get("ips")),
            ("Since", found.get("since")),
            ("Moves", found.get("moves")),
            ("Revision", record.get("revision")),
        ],
    )


@endpoint.command("set")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.argument("mac", metavar="MAC", type=MAC)
@click.option("--switch", type=SWITCH, metavar="DPID", help="Behind this switch.")
@click.option("--port", type=PORT, metavar="PORT", help="Behind this port of it.")
@click.option("--vlan", type=VLAN, metavar="VLAN", help="In this VLAN of the port.")
@click.option("--vtep", type=VTEP, metavar="ADDRESS", help="Behind this foreign VTEP.")
@click.option("--here", is_flag=True, help="Where it is now; it has to be known.")
@writes
@pass_app
def set_(
    app: App, /, *, network: str, mac: str, switch: str | None, port: str | None, vlan: str | None,
    vtep: str | None, here: bool, dry_run: bool, wait: float | None,
) -> None:  # fmt: skip
    """Say where an endpoint is; learning does not override it."""
    local = bool(switch or port or vlan)
    if local + bool(vtep) + here != 1 or (local and not (switch and port)):
        raise click.UsageError("say where it is: --switch and --port, or --vtep, or --here")
    body: dict[str, Any] = {"vtep": vtep} if vtep else {}
    if port:
        number = int(port) if port.isdecimal() else port
        body = {"switch": switch, "port": number, "vlan": int(vlan) if vlan else None}
    vni = app.vni(network)
    where = path("networks", vni, "endpoints", mac)
    if dry_run:
        try_out(app, "PUT", where, body)
        return
    answer = write(app, "PUT", where, body, wait=wait)
    there = f"behind VTEP {vtep}" if vtep else f"behind port {port} of switch {switch}"
    there = "kept where it is" if here else there
    app.output.done(answer.body, f"Endpoint {mac} of network {vni} is {there}.")
    finish(answer)


@endpoint.command("forget")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.argument("mac", metavar="MAC", type=MAC)
@writes
@pass_app
def forget(app: App, /, *, network: str, mac: str, dry_run: bool, wait: float | None) -> None:
    """Forget a learned endpoint, or remove a static one."""
    vni = app.vni(network)
    where = path("networks", vni, "endpoints", mac)
    if dry_run:
        try_out(app, "DELETE", where)
        return
    try:
        origin = status(app.client.get(where)).get("origin")
    except NotFound:
        app.output.done({"deleted": False}, f"{mac} is not known in network {vni}: nothing to do.")
        return
    answer = write(app, "DELETE", where, wait=wait)
    verb = "removed" if origin == "static" else "forgotten"
    app.output.done({"deleted": True}, f"Endpoint {mac} of network {vni} is {verb}.")
    finish(answer)


@endpoint.command("flush")
@click.argument("network", metavar="[VNI|NAME]", type=NETWORK, required=False)
@filtered
@writes
@pass_app
def flush(
    app: App, /, *, network: str | None, dry_run: bool, wait: float | None, **filters: str | None
) -> None:
    """Forget the learned endpoints that match all filters: of a network, or of all networks.

    They are learned anew when they send. Static endpoints stay. Of all networks at least one
    filter has to be given.
    """
    if network is None and not any(filters.values()):
        raise click.UsageError("give a network or a filter: this would forget all endpoints")
    vni = app.vni(network) if network else None
    where = path("networks", vni, "endpoints") if vni else path("endpoints")
    if dry_run:
        try_out(app, "DELETE", where, query=filters)
        return
    answer = write(app, "DELETE", where, wait=wait, query=filters)
    whose = f"network {vni}" if vni else "all networks"
    count = answer.body.get("flushed")
    said = "they are forgotten" if count is None else str(count)
    app.output.done(answer.body, f"Forgotten endpoints of {whose}: {said}.")
    finish(answer)


@click.command(cls=Command)
@click.option("--managed/--foreign", default=None, help="Only our own switches', or only others.")
@click.option("--network", type=NETWORK, metavar="VNI|NAME", help="Only those of this network.")
@pass_app
def vteps(app: App, /, *, managed: bool | None, network: str | None) -> None:
    """List the VTEPs: our switches' own, and foreign ones."""
    filters = {"managed": managed, "network": app.vni(network) if network else None}
    found = app.list("/v1/vteps", filters, "VTEPs")
    app.output.table(VTEPS, found, "No VTEP is known.")


@click.group(cls=Group)
def vtep() -> None:
    """Show one VTEP."""


@vtep.command("show")
@click.argument("address", metavar="ADDRESS", type=VTEP)
@pass_app
def vtep_show(app: App, /, *, address: str) -> None:
    """Show a VTEP and the networks it is a member of."""
    record = app.client.get(path("vteps", address))
    found = status(record)
    app.output.details(
        record,
        [
            ("VTEP", record["address"]),
            ("Kind", found.get("kind")),
            ("Switch", found.get("switch")),
            ("Since", found.get("since")),
            ("Last heard", found.get("last_heard")),
        ],
        [("Networks", OF_VTEP, found.get("networks", []))],
    )
