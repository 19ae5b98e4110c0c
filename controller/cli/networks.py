"""Networks and what is attached to them."""

from __future__ import annotations

from typing import Any, Final

import click

from controller import model
from controller.cli.app import App, Command, Group, pass_app
from controller.cli.changes import ACCEPTED, CREATED, NOTHING, finish, try_out, write, writes
from controller.cli.client import path
from controller.cli.errors import Conflict, Failure, NotFound, PreconditionFailed, Refused
from controller.cli.output import Column, Record
from controller.cli.types import NETWORK, PORT, SWITCH, VLAN, VTEP

MAX_NAMED: Final = 12
"""Ports of a switch that a message names."""
BAD_STATES = {"conflict": "red", "no port": "yellow", "no switch": "yellow"}


def status(record: Record) -> Record:
    """What the controller found out about a resource."""
    found: Record = record.get("status") or {}
    return found


def _source(attachment: Record) -> str:
    return status(attachment).get("source") or ""


NETWORKS = (
    Column("VNI", lambda n: n["vni"], right=True),
    Column("NAME", lambda n: n.get("name"), fold=True),
    Column("FLOODING", lambda n: n.get("flooding")),
    Column("LEARNING", lambda n: n.get("learning")),
    Column("AGEING", lambda n: n.get("ageing"), right=True),
    Column("PORTS", lambda n: status(n).get("attachments"), right=True),
    Column("ENDPOINTS", lambda n: status(n).get("endpoints"), right=True),
    Column("VTEPS", lambda n: status(n).get("vteps"), right=True),
)
ATTACHMENTS = (
    Column("SWITCH", lambda a: a["switch"]),
    Column("PORT", lambda a: a["port"]),
    Column("NO", lambda a: status(a).get("port_number"), right=True),
    Column("VLAN", lambda a: a.get("vlan"), right=True),
    Column("UP", lambda a: status(a).get("up")),
    Column("SOURCE", lambda a: {"configuration": "config"}.get(s := _source(a), s)),
    Column(
        "STATE",
        lambda a: ": ".join(filter(None, (status(a).get("state"), status(a).get("detail")))),
        fold=True,
        style=lambda a: BAD_STATES.get(status(a).get("state", ""), ""),
    ),
)
VNI_COLUMN = Column("VNI", lambda a: a["vni"], right=True)


@click.command(cls=Command)
@click.option("--name", help="Only the network of this name.")
@click.option("--flooding", type=click.Choice(["head-end", "none"]), help="Only such networks.")
@click.option("--learning/--no-learning", default=None, help="Only such networks.")
@pass_app
def networks(app: App, /, **filters: Any) -> None:
    """List the networks."""
    found = app.list("/v1/networks", filters, "networks")
    app.output.table(NETWORKS, found, "There are no networks: 'weft network set VNI' makes one.")


@click.group(cls=Group)
def network() -> None:
    """Show, make, change or delete one network."""


@network.command("show")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@pass_app
def show(app: App, /, *, network: str) -> None:
    """Show a network and the ports attached to it."""
    vni = app.vni(network)
    record = app.client.get(path("networks", vni))
    attached = []
    if app.output.format == "table":
        attached = app.list(path("networks", vni, "attachments"), {}, "attachments")
    found = status(record)
    app.output.details(
        record,
        [
            ("VNI", record["vni"]),
            ("Name", record.get("name")),
            ("Flooding", record.get("flooding")),
            ("Learning", record.get("learning")),
            ("Ageing", f"{record['ageing']} s" if record.get("ageing") else "never"),
            ("Static VTEPs", record.get("vteps")),
            ("Endpoints", found.get("endpoints")),
            ("VTEPs", found.get("vteps")),
            ("Switches", found.get("switches")),
            ("Revision", record.get("revision")),
        ],
        [("Attachments", ATTACHMENTS, attached)],
    )


@network.command("set")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.option("--name", help="For people; unique. Empty: none.")
@click.option(
    "--flooding", type=click.Choice(["head-end", "none"]),
    help="What happens to broadcast, unknown unicast and multicast: to every VTEP, or nowhere.",
)  # fmt: skip
@click.option(
    "--ageing", type=click.IntRange(0, 65535), metavar="SECONDS",
    help="Silence after which what was learned is forgotten; 0: never.",
)  # fmt: skip
@click.option("--learning/--no-learning", default=None, help="Whether to learn from traffic.")
@click.option(
    "--vtep", "vteps", type=VTEP, multiple=True, metavar="ADDRESS",
    help="A foreign VTEP that is always on the flood list. Repeat it: all are replaced.",
)  # fmt: skip
@click.option("--no-vteps", is_flag=True, help="Take all static VTEPs away.")
@writes
@pass_app
def set_(
    app: App, /, *, network: str, vteps: tuple[str, ...], no_vteps: bool,
    dry_run: bool, wait: float | None, **members: Any,
) -> None:  # fmt: skip
    """Make a network, or change what is given of one that is there.

    One that is to be made is given by its VNI.
    """
    if vteps and no_vteps:
        raise click.UsageError("--vtep and --no-vteps exclude each other")
    body = {key: value for key, value in members.items() if value is not None}
    if _is_vni(name := body.get("name") or ""):
        raise click.UsageError(f"'{name}' cannot be a network's name: it would be read as a VNI")
    if vteps or no_vteps:
        body["vteps"] = list(dict.fromkeys(vteps))
    vni = app.vni(network)
    where = path("networks", vni)
    there: dict[str, str] = {"If-Match": "*"}
    absent: dict[str, str] = {"If-None-Match": "*"}
    if not body:
        _make(app, vni, dry_run=dry_run, wait=wait)
        return
    if dry_run:
        try:
            try_out(app, "PATCH", where, body, there)
        except (NotFound, PreconditionFailed):
            try_out(app, "PUT", where, body, absent)
        return
    try:
        answer = write(app, "PATCH", where, body, wait=wait)
    except NotFound:
        # Somebody else may just have made it: then theirs is not overwritten.
        answer = write(app, "PUT", where, body, wait=wait, headers=absent)
    verb = "made" if answer.status == CREATED else "set"
    app.output.done(answer.body, f"Network {vni} is {verb}.")
    finish(answer)


def _make(app: App, vni: str, *, dry_run: bool, wait: float | None) -> None:
    """Make a network of which nothing is said; for one that is there that is a mistake."""
    where, absent = path("networks", vni), {"If-None-Match": "*"}
    try:
        if dry_run:
            try_out(app, "PUT", where, {}, absent)
            return
        answer = write(app, "PUT", where, {}, wait=wait, headers=absent)
    except PreconditionFailed:
        raise click.UsageError(f"{NOTHING}: network {vni} is there already") from None
    app.output.done(answer.body, f"Network {vni} is made.")
    finish(answer)


def _is_vni(name: str) -> bool:
    try:
        model.parse_vni(name)
    except ValueError:
        return False
    return True


@network.command("delete")
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@writes
@pass_app
def delete(app: App, /, *, network: str, yes: bool, dry_run: bool, wait: float | None) -> None:
    """Delete a network, and with it its attachments and endpoints."""
    vni = app.vni(network)
    where = path("networks", vni)
    if dry_run:
        try_out(app, "DELETE", where)
        return
    try:
        found = status(app.client.get(where))
    except NotFound:
        app.output.done({"deleted": False}, f"There is no network {vni}: nothing to do.")
        return
    lost = f"{found.get('attachments', 0)} attachments and {found.get('endpoints', 0)} endpoints"
    if not app.confirm(f"Delete network {vni} with {lost}?", yes):
        app.output.note("Nothing was changed.")
        return
    answer = write(app, "DELETE", where, wait=wait)
    app.output.done({"deleted": True}, f"Network {vni} is deleted.")
    finish(answer)


@click.command(cls=Command)
@click.argument("network", metavar="[VNI|NAME]", type=NETWORK, required=False)
@click.option("--switch", type=SWITCH, metavar="DPID", help="Only those of this switch.")
@click.option("--port", type=PORT, metavar="PORT", help="Only those of this port.")
@click.option("--vlan", type=VLAN, metavar="VLAN", help="Only those of this VLAN.")
@pass_app
def attachments(app: App, /, *, network: str | None, **filters: str | None) -> None:
    """List the attached ports of a network, or of all networks."""
    if network:
        vnis = [app.vni(network)]
    else:
        # Each takes a request: those that are known to have nothing are left out.
        listed = app.list("/v1/networks", {}, "networks")
        vnis = [str(n["vni"]) for n in listed if status(n).get("attachments") != 0]
    found = [
        {"vni": int(vni), **item}
        for vni in vnis
        for item in app.list(path("networks", vni, "attachments"), filters, "attachments")
    ]
    app.output.table((VNI_COLUMN, *ATTACHMENTS), found, "No port is attached: see 'weft attach'.")


@click.command(cls=Command)
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@click.argument("port", metavar="PORT", type=PORT)
@click.option(
    "--vlan", type=VLAN, metavar="VLAN",
    help="One VLAN of a trunk, instead of another one: a port can be in a network once. "
    "Default: untagged.",
)  # fmt: skip
@writes
@pass_app
def attach(
    app: App, /, *, network: str, switch: str, port: str, vlan: str | None,
    dry_run: bool, wait: float | None,
) -> None:  # fmt: skip
    """Attach a port of a switch, or one VLAN of it, to a network."""
    vni = app.vni(network)
    where = path("networks", vni, "attachments", switch, port)
    body = {"vlan": int(vlan) if vlan else None}
    if dry_run:
        try_out(app, "PUT", where, body)
        return
    before = _attachment(app, where)
    answer = write(app, "PUT", where, body, wait=wait)
    # What is outstanding is told instead of the attachment.
    record = _attachment(app, where) if answer.status == ACCEPTED else answer.body or {}
    found = status(record)
    which = f"Port {port} of switch {switch}" + (f", VLAN {vlan}," if vlan else "")
    instead = _instead(before, body["vlan"])
    bad = found.get("state") in BAD_STATES
    sentence = f"{which} is attached to network {vni}{instead}."
    if bad:
        why = _why_not(app, found, switch, port)
        sentence = f"{which} is to be attached to network {vni}{instead}, but is not yet: {why}"
    if wait is not None and found.get("state") == "conflict":
        if app.output.format != "table":
            app.output.document(answer.body)
        raise Conflict(sentence, hint=f"see 'weft switch show {switch}'")
    app.output.done(answer.body, sentence)
    if bad and app.output.format != "table":
        app.output.warn(sentence)
    finish(answer)


def _attachment(app: App, where: str) -> Record:
    """An attachment as it is; empty where there is none, or nobody says."""
    try:
        return app.client.get(where)
    except Failure:
        return {}


def _instead(before: Record, vlan: int | None) -> str:
    """What an attachment replaces, in words; empty: nothing."""
    if before.get("revision") is None or before.get("vlan") == vlan:
        return ""
    old = f"VLAN {before['vlan']}" if before.get("vlan") else "untagged"
    return f", instead of {old} (a port can be in a network once)"


def _why_not(app: App, found: Record, switch: str, port: str) -> str:
    """Why an attachment is not in force."""
    detail = str(found.get("detail") or found["state"])
    if found["state"] != "no port":
        return detail
    try:
        shown = status(app.client.get(path("switches", switch)))
    except Failure:
        return detail
    tunnel = (shown.get("tunnels") or {}).get("flow_based")
    ports = [p for p in shown.get("ports") or [] if p["number"] != tunnel]
    names = [str(p.get("name") or p["number"]) for p in ports if p["number"] <= model.MAX_PORT]
    more = f" and {len(names) - MAX_NAMED} more" if len(names) > MAX_NAMED else ""
    has = f"it has {', '.join(names[:MAX_NAMED])}{more}" if names else "it has none to attach"
    return f"the switch has no port {port} ({has})"


@click.command(cls=Command)
@click.argument("network", metavar="VNI|NAME", type=NETWORK)
@click.argument("switch", metavar="SWITCH", type=SWITCH)
@click.argument("port", metavar="PORT", type=PORT)
@writes
@pass_app
def detach(
    app: App, /, *, network: str, switch: str, port: str, dry_run: bool, wait: float | None
) -> None:
    """Detach a port from a network."""
    vni = app.vni(network)
    where = path("networks", vni, "attachments", switch, port)
    if dry_run:
        try_out(app, "DELETE", where)
        return
    which = f"Port {port} of switch {switch}"
    try:
        # DELETE alone says the same whether it was there: a mistyped port would go unnoticed.
        answer = write(app, "DELETE", where, wait=wait, headers={"If-Match": "*"})
    except PreconditionFailed:
        record = _attachment(app, where)
        if _source(record) == "ovsdb":
            keys = "weft-vni" if record.get("vlan") is None else "weft-vlan weft-vlans"
            raise Refused(
                f"{which} is not attached by configuration: the switch's OVSDB asks for it",
                hint=f"on the switch: ovs-vsctl remove interface {port} external_ids {keys}",
            ) from None
        app.output.done(
            {"deleted": False}, f"{which} was not attached to network {vni}: nothing to do."
        )
        return
    app.output.done({"deleted": True}, f"{which} is detached from network {vni}.")
    finish(answer)
