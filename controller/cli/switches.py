"""Switches: what is known of them, their settings, and how to make one ready."""

from __future__ import annotations

import warnings
from typing import Any

import click

from controller import model
from controller.cli.app import App, Command, Group, pass_app
from controller.cli.changes import CREATED, NOTHING, finish, try_out, write, writes
from controller.cli.client import path
from controller.cli.errors import NotFound, PreconditionFailed, Refused, printable
from controller.cli.networks import status
from controller.cli.output import Column, Record
from controller.cli.types import PORT, SWITCH, VTEP, Parsed


def tunnels(found: Record) -> str:
    """``port 7`` or ``1 peer port``; empty: none."""
    value = found.get("tunnels") or {}
    if value.get("flow_based") is not None:
        return f"port {value['flow_based']}"
    peers = value.get("peers") or {}
    return f"{len(peers)} peer port{'s'[: len(peers) != 1]}" if peers else ""


def state(found: Record) -> str:
    """One word for how a switch is."""
    if not found.get("connected"):
        return "down"
    if not found.get("synced"):
        return "syncing"
    return "behind" if (found.get("applied") or 0) < (found.get("wanted") or 0) else "synced"


STATE_STYLES = {"down": "red", "syncing": "yellow", "behind": "yellow", "synced": "green"}

SWITCHES = (
    Column("SWITCH", lambda s: s["dpid"]),
    Column(
        "STATE", lambda s: state(status(s)), style=lambda s: STATE_STYLES[state(status(s))]
    ),
    Column("VTEP", lambda s: status(s).get("vtep")),
    Column("TUNNEL", lambda s: tunnels(status(s))),
    Column("OF", lambda s: status(s).get("openflow")),
    Column("PORTS", lambda s: len(status(s).get("ports") or ()), right=True),
    Column("LAST ERROR", lambda s: status(s).get("last_error"), fold=True,
           style=lambda s: "red" if status(s).get("last_error") else ""),
)  # fmt: skip
PORTS = (
    Column("NUMBER", lambda p: p["number"], right=True),
    Column("NAME", lambda p: p.get("name")),
    Column("UP", lambda p: p.get("up")),
    Column("NETWORKS", lambda p: [_member(n) for n in p.get("networks", [])], fold=True),
)


def _member(network: Record) -> str:
    vlan = network.get("vlan")
    return f"{network['vni']} (VLAN {vlan})" if vlan else str(network["vni"])


@click.command(cls=Command)
@click.option("--connected/--disconnected", default=None, help="Only such switches.")
@click.option("--vtep", type=VTEP, metavar="ADDRESS", help="Only the switch of this address.")
@pass_app
def switches(app: App, /, **filters: Any) -> None:
    """List the switches that are connected, configured or remembered."""
    found = app.list("/v1/switches", filters, "switches")
    app.output.table(SWITCHES, found, "No switch has connected: see 'weft switch prepare -h'.")


@click.group(cls=Group)
def switch() -> None:
    """Show, configure, forget or prepare one switch."""


@switch.command("show")
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@pass_app
def show(app: App, /, *, switch: str) -> None:
    """Show a switch and its ports."""
    record = app.client.get(path("switches", switch))
    found = status(record)
    sent, flows = found.get("sent") or {}, found.get("flows")
    lines = [
        ("Switch", record["dpid"]),
        ("State", state(found)),
        ("Connected from", found.get("address")),
        ("Since", found.get("since")),
        ("OpenFlow", found.get("openflow")),
        ("VTEP", _sourced(found.get("vtep"), found.get("vtep_source"))),
        ("Tunnel", tunnels(found)),
        ("Generation", f"{found['applied']} of {found['wanted']}" if found.get("wanted") else None),
        ("Flows", f"{flows['weft']} of Weft, {flows['other']} of others" if flows else None),
        ("Packet-ins", found.get("packet_ins")),
        ("Sent", ", ".join(f"{n} {what.replace('_', ' ')}" for what, n in sent.items())),
        ("Last error", found.get("last_error")),
        ("Conflicts", found.get("conflicts")),
        ("Configured", _configured(record)),
        ("Revision", record.get("revision")),
    ]
    app.output.details(record, lines, [("Ports", PORTS, found.get("ports", []))])


def _sourced(value: object, source: object) -> str:
    return f"{value} (by {source})" if value and source else str(value or "")


def _configured(record: Record) -> list[str]:
    said = [f"{k} {record[k]}" for k in ("vtep", "tunnel_port", "ovsdb") if record.get(k)]
    peers = record.get("peer_ports") or {}
    return [*said, *(f"port {port} to {peer}" for peer, port in peers.items())]


def _peer(text: str) -> str:
    address, equals, port = text.rpartition("=")
    if not equals:
        raise ValueError(f"'{text}' is not ADDRESS=PORT")
    return f"{model.parse_vtep(address)}={model.parse_port(port)}"


def port_value(port: str | None) -> int | str | None:
    """A port as JSON has it: a number, or a name."""
    return int(port) if port and port.isdecimal() else port


@switch.command("set")
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@click.option("--vtep", type=VTEP, metavar="ADDRESS", help="Its own VTEP address.")
@click.option("--tunnel-port", type=PORT, metavar="PORT", help="Its flow-based tunnel port.")
@click.option(
    "--peer-port", "peer_ports", multiple=True, metavar="ADDRESS=PORT",
    type=Parsed("peer port", _peer),
    help="The tunnel port to one peer, where flows cannot set it. Repeat it: all are replaced.",
)  # fmt: skip
@click.option(
    "--ovsdb", type=Parsed("ovsdb", model.parse_ovsdb), metavar="tcp:HOST:PORT",
    help="Where its OVSDB is reached.",
)  # fmt: skip
@click.option(
    "--unset", multiple=True, metavar="MEMBER",
    type=click.Choice(["vtep", "tunnel-port", "peer-ports", "ovsdb"]),
    help="Leave this to be found out again: vtep, tunnel-port, peer-ports or ovsdb. Repeatable.",
)  # fmt: skip
@writes
@pass_app
def set_(
    app: App, /, *, switch: str, tunnel_port: str | None, peer_ports: tuple[str, ...],
    unset: tuple[str, ...], dry_run: bool, wait: float | None, **members: str | None,
) -> None:  # fmt: skip
    """Configure a switch, or change what is given of its settings."""
    body: dict[str, Any] = {key: value for key, value in members.items() if value is not None}
    if tunnel_port:
        body["tunnel_port"] = port_value(tunnel_port)
    peers = {peer: port_value(port) for peer, _, port in (p.rpartition("=") for p in peer_ports)}
    if peers:
        # In a merge patch, what is not named would stay.
        body["peer_ports"] = peers
    for name in (member.replace("-", "_") for member in unset):
        if name in body:
            raise click.UsageError(f"{name} is given and unset at the same time")
        body[name] = None
    if not body:
        raise click.UsageError(NOTHING)
    where = path("switches", switch)
    absent = {"If-None-Match": "*"}
    new = {key: value for key, value in body.items() if value is not None}
    if peers:
        body["peer_ports"] = {**dict.fromkeys(_peers_now(app, where)), **peers}
    if dry_run:
        try:
            try_out(app, "PATCH", where, body, {"If-Match": "*"})
        except (NotFound, PreconditionFailed):
            try_out(app, "PUT", where, new, absent)
        return
    try:
        answer = write(app, "PATCH", where, body, wait=wait, headers={"If-Match": "*"})
    except (NotFound, PreconditionFailed):
        # Connected, perhaps, but not configured yet.
        answer = write(app, "PUT", where, new, wait=wait, headers=absent)
    verb = "configured" if answer.status == CREATED else "set"
    app.output.done(answer.body, f"Switch {switch} is {verb}.")
    finish(answer)


def _peers_now(app: App, where: str) -> list[str]:
    try:
        return list(app.client.get(where).get("peer_ports") or {})
    except NotFound:
        return []


@switch.command("forget")
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@writes
@pass_app
def forget(app: App, /, *, switch: str, dry_run: bool, wait: float | None) -> None:
    """Remove a switch's settings; if it is not connected, forget it altogether."""
    where = path("switches", switch)
    if dry_run:
        try_out(app, "DELETE", where)
        return
    try:
        connected = status(app.client.get(where)).get("connected")
    except NotFound:
        app.output.done({"deleted": False}, f"Switch {switch} is not known: nothing to do.")
        return
    answer = write(app, "DELETE", where, wait=wait)
    what = "has no settings any more; it is connected and stays" if connected else "is forgotten"
    app.output.done({"deleted": True}, f"Switch {switch} {what}.")
    finish(answer)


@switch.command("prepare")
@click.argument("address", metavar="ADDRESS")
@click.option("--bridge", default="br-int", show_default=True, help="The bridge; made if absent.")
@click.option(
    "--controller", "controllers", multiple=True, metavar="HOST|tcp:HOST[:PORT]",
    help="The controller that the bridge follows; its port is 6653 if not given. Repeatable. "
    "Left out: as it is.",
)  # fmt: skip
@click.option("--replace-controller", is_flag=True, help="Other controllers are taken away.")
@click.option("--dpid", type=SWITCH, metavar="DPID", help="The bridge's datapath id.")
@click.option("--local-ip", type=VTEP, metavar="ADDRESS", help="The switch's own VTEP address.")
@click.option("--tunnel-port", default="vxlan0", show_default=True, help="The tunnel port's name.")
@click.option(
    "--dst-port", type=click.IntRange(1, 65535), metavar="PORT", help="UDP port of VXLAN."
)
@click.option(
    "--datapath", type=click.Choice(["system", "netdev"]), help="Of a bridge that is to be made."
)
@click.option("--dry-run", is_flag=True, help="Only show what there is to do.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask, even where flows are dropped.")
@pass_app
def prepare(
    app: App, /, *, address: str, bridge: str, controllers: tuple[str, ...],
    replace_controller: bool, dpid: str | None, local_ip: str | None, tunnel_port: str,
    dst_port: int | None, datapath: str | None, dry_run: bool, yes: bool,
) -> None:  # fmt: skip
    """Make an Open vSwitch ready for Weft, through its OVSDB server at ADDRESS.

    ADDRESS is HOST, tcp:HOST:PORT or unix:PATH; the port is 6640 if not given. This asks the
    switch, not the controller. What is right already stays as it is. What is to be changed is
    shown first; where that drops the bridge's flows, you are asked.
    """
    # Late: it brings the OVSDB libraries, which no other command needs.
    with warnings.catch_warnings():
        # The library looks for eventlet, which complains about being used wherever it is there.
        warnings.filterwarnings("ignore", message=r"\s*Eventlet is deprecated")
        from controller.ovsdb import provision  # noqa: PLC0415

    wanted = provision.Wanted(
        bridge=bridge,
        controllers=controllers,
        replace_controller=replace_controller,
        tunnels=(provision.Tunnel(tunnel_port, dst_port=dst_port),),
        dpid=None if dpid is None else model.parse_dpid(dpid),
        local_ip=None if local_ip is None else model.parse_vtep(local_ip),
        datapath_type=datapath,
    )
    table = app.output.format == "table"
    try:
        with app.output.busy(f"asking {address}"):
            done = provision.prepare(address, wanted, dry_run=True)
        if table:
            for change in done.changes:
                click.echo(printable(change.sentence))  # says so where flows are flushed
        if not dry_run:
            question = f"This drops all flows of bridge {bridge} at {done.server}. Do it?"
            if any(c.flushes for c in done.changes) and not app.confirm(question, yes):
                app.output.note("Nothing was changed.")
                return
            with app.output.busy(f"preparing {address}"):
                done = provision.prepare(address, wanted, agreed=done.changes)
    except provision.ProvisionError as error:
        raise Refused(str(error)) from None
    record = {
        "server": done.server,
        "bridge": done.bridge,
        "dpid": None if done.dpid is None else model.format_dpid(done.dpid),
        "followed": done.followed,
        "changes": [{"change": c.sentence, "flushes": c.flushes} for c in done.changes],
        "notes": list(done.notes),
        "problems": list(done.problems),
        "dry_run": done.dry_run,
    }
    app.output.done(record, _summary(record))
    for text in done.notes:
        app.output.note(f"note: {text}")
    if done.problems:
        raise Refused("the switch does not work as it should", details=done.problems)


def _summary(done: Record) -> str:
    """What was made of a switch, in a sentence."""
    if done["dry_run"] and done["changes"]:
        return "dry run: nothing was changed"
    known = f", datapath id {done['dpid']}" if done["dpid"] else ""
    how = "ready"
    if done["problems"]:
        how = "configured"
    elif not done["followed"]:
        how = "prepared, but follows no controller: give --controller"
        return f"Bridge {done['bridge']} at {done['server']}{known}, is {how}."
    return f"Bridge {done['bridge']} at {done['server']} is {how}{known}."
