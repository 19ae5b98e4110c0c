"""Makes a switch ready for Weft through its OVSDB server: what ``weft switch prepare`` does.

What is to be done, :mod:`controller.ovsdb.readiness` decides; here it is carried out, in one
transaction. Nothing is changed in a switch that is ready. Ordinary blocking code with a
thread of its own, for a command line: no part of it is used by the running controller.
"""

from __future__ import annotations

import json
import re
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ovs.db.idl import SchemaHelper
from ovsdbapp.backend.ovs_idl import connection, transaction
from ovsdbapp.backend.ovs_idl.command import BaseCommand
from ovsdbapp.exceptions import OvsdbAppException, TimeoutException
from ovsdbapp.schema.open_vswitch.impl_idl import OvsdbIdl

from controller.model import Dpid, parse_dpid
from controller.ovsdb import replica
from controller.ovsdb.readiness import (
    Bridge,
    Change,
    Controller,
    Interface,
    ProvisionError,
    State,
    Tunnel,
    Verb,
    Wanted,
    notes,
    plan,
)
from controller.ovsdb.remote import Remote, parse_remote

__all__ = ["Change", "Prepared", "ProvisionError", "Tunnel", "Wanted", "plan", "prepare", "server"]

OVSDB_PORT: Final = 6640
TIMEOUT: Final = 10.0
"""Seconds for each of: to connect, to have the change accepted, to have it taken."""

DPID_TIME: Final = 2.0
"""Seconds for a bridge to have its datapath id, once the configuration is taken."""

COLUMNS: Final[Mapping[str, tuple[str, ...]]] = {
    "Open_vSwitch": ("bridges", "other_config", "next_cfg", "cur_cfg"),
    "Bridge": (
        *("name", "datapath_type", "datapath_id", "fail_mode", "protocols"),
        *("other_config", "controller", "ports"),
    ),
    "Port": ("name", "interfaces"),
    "Interface": ("name", "type", "options", "error"),
    "Controller": ("target", "type", "max_backoff", "inactivity_probe", "connection_mode"),
}


@dataclass(frozen=True, slots=True)
class Prepared:
    """What was done to a switch, or (``dry_run``) would be."""

    server: str
    bridge: str
    changes: tuple[Change, ...]
    dpid: Dpid | None = None
    """The bridge's datapath id; None before it is made."""
    followed: bool = False
    """Whether the bridge follows any controller."""
    notes: tuple[str, ...] = ()
    """What is worth knowing and was left as it is."""
    problems: tuple[str, ...] = ()
    """Why the switch does not work as it should, although its configuration is right."""
    dry_run: bool = False


def server(text: str) -> Remote:
    """``tcp:HOST:PORT``, ``unix:PATH``, or only ``HOST`` or ``HOST:PORT``, the port being 6640
    where none is given, and an IPv6 address in brackets. Raises :class:`ProvisionError`.
    """
    given = re.fullmatch(r"(?:tcp:)?(\[[^\[\]]+\]|[^:\[\]]+)(?::([0-9]+))?", text)
    if given and not text.startswith("unix:"):
        text = f"tcp:{given[1]}:{given[2] or OVSDB_PORT}"
    try:
        return parse_remote(text)
    except ValueError as error:
        raise ProvisionError(str(error)) from None


def prepare(
    address: str,
    wanted: Wanted | None = None,
    *,
    dry_run: bool = False,
    timeout: float = TIMEOUT,
    agreed: Sequence[Change] | None = None,
) -> Prepared:
    """Make the switch whose OVSDB server is at ``address`` what is ``wanted``, and wait until
    its ovs-vswitchd has taken that; with ``dry_run`` only find out what there is to do.

    ``timeout`` is in seconds, for each step. ``agreed``: the only changes that may be made, as a
    dry run told them. Raises :class:`ProvisionError`, and then nothing
    was changed, unless it says that this is not known or that somebody else did.
    """
    wanted = wanted or Wanted()
    remote = server(address)
    with _connected(remote, timeout) as api:
        with api.ovsdb_connection.lock:
            if not api.tables["Open_vSwitch"].rows:
                raise ProvisionError(
                    f"the database of {remote} is still empty: start Open vSwitch on the switch"
                )
            state = read(api.tables)
        changes = plan(state, wanted)
        if agreed is not None and changes != list(agreed):
            raise ProvisionError(
                f"the switch of {remote} was changed in the meantime, and nothing was done: run "
                "it again"
            )
        problems: tuple[str, ...] = ()
        if dry_run:
            problems = () if changes else _problems(api, wanted)
        else:
            target = _apply(api, remote, wanted, changes)
            problems = _settle(api, wanted, target, timeout)
        with api.ovsdb_connection.lock:
            return Prepared(
                server=str(remote),
                bridge=wanted.bridge,
                changes=tuple(changes),
                dpid=_dpid(api.tables, wanted.bridge),
                followed=_followed(api.tables, wanted.bridge),
                notes=tuple(notes(state, wanted)),
                problems=problems,
                dry_run=dry_run,
            )


# Reading


def read(tables: Mapping[str, Any]) -> State:
    """The state of a switch from the rows of its database, as the IDL of ``ovs`` has them.

    A row that is just being added has only the columns that were set, and an older OVS does
    not have every column.
    """
    bridges, interfaces = {}, {}
    for row in tables["Bridge"].rows.values():
        controllers = map(_controller, getattr(row, "controller", []))
        bridges[row.name] = Bridge(
            fail_mode=_one(row, "fail_mode"),
            datapath_type=getattr(row, "datapath_type", "") or "system",
            protocols=frozenset(getattr(row, "protocols", [])),
            other_config=dict(getattr(row, "other_config", {})),
            controllers=tuple(sorted(controllers, key=lambda c: (c.target, c.uuid))),
        )
        for port in getattr(row, "ports", []):
            for interface in port.interfaces:
                interfaces[interface.name] = Interface(
                    row.name,
                    port.name,
                    getattr(interface, "type", ""),
                    dict(getattr(interface, "options", {})),
                )
    (own,) = tables["Open_vSwitch"].rows.values()
    return State(bridges, interfaces, dict(own.other_config))


def _controller(row: Any) -> Controller:
    kind = _one(row, "type")
    return Controller(
        uuid=str(row.uuid),
        target=row.target,
        max_backoff=_one(row, "max_backoff"),
        inactivity_probe=_one(row, "inactivity_probe"),
        connection_mode=_one(row, "connection_mode"),
        # One that only listens (ptcp:) is for service connections unless told otherwise.
        primary=kind == "primary" or (kind is None and not row.target.startswith("p")),
    )


def _one(row: Any, column: str) -> Any:
    """The value of a column that holds one or none."""
    values = getattr(row, column, [])
    return values[0] if values else None


def _row(tables: Mapping[str, Any], bridge: str) -> Any:
    return next((row for row in tables["Bridge"].rows.values() if row.name == bridge), None)


def _dpid(tables: Mapping[str, Any], bridge: str) -> Dpid | None:
    row = _row(tables, bridge)
    text = _one(row, "datapath_id") if row else None
    return parse_dpid(text) if text else None


def _followed(tables: Mapping[str, Any], bridge: str) -> bool:
    row = _row(tables, bridge)
    return row is not None and any(_controller(c).primary for c in getattr(row, "controller", []))


# Connecting


class _Idl(connection.OvsdbIdl):  # type: ignore[misc]  # ovsdbapp has no types
    """The copy of the database; says when it has changed."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.changed = threading.Event()
        super().__init__(*args, **kwargs)

    def notify(self, event: Any, row: Any, updates: Any = None) -> None:
        self.changed.set()


class _Transaction(transaction.Transaction):  # type: ignore[misc]
    """Counts next_cfg up, by which ovs-vswitchd's taking of the change can be told."""

    next_cfg = 0

    def pre_commit(self, txn: Any) -> None:
        txn.expected_ifaces = set()  # AddPortCommand notes its interfaces here
        self.api._ovs.increment("next_cfg")

    def post_commit(self, txn: Any) -> None:
        self.next_cfg = txn.get_increment_new_value()


class _Api(OvsdbIdl):  # type: ignore[misc]
    """ovsdbapp's commands on a connection of their own: otherwise the first one that is made
    serves the whole process."""

    ovsdb_connection: Any = None


@contextmanager
def _connected(remote: Remote, timeout: float) -> Iterator[_Api]:
    try:
        schema, numeric = _schema(remote, timeout)
    except (OSError, ValueError) as error:
        strerror = getattr(error, "strerror", None)
        reason = strerror.lower() if strerror else error
        raise ProvisionError(
            f"OVSDB server {remote} does not answer: {reason}. Is it the switch's, and does it "
            f"listen there ('ovs-vsctl set-manager ptcp:{OVSDB_PORT}' on the switch)?"
        ) from error
    helper = SchemaHelper(None, schema)
    for table, columns in COLUMNS.items():
        present = schema["tables"][table]["columns"]
        helper.register_columns(table, [name for name in columns if name in present])
    # A server that stops to answer is given up, which ends the thread in its transaction.
    idl = _Idl(str(numeric), helper, probe_interval=max(1000, int(timeout * 500)))
    opened = connection.Connection(idl, timeout)
    try:
        opened.start()
    except OvsdbAppException as error:
        idl.close()
        raise ProvisionError(
            f"OVSDB server {remote} does not say what it has: try again"
        ) from error
    try:
        yield _Api(opened, start=False)
    finally:
        opened.stop(timeout)


def _schema(remote: Remote, timeout: float) -> tuple[Any, Remote]:
    """The database's schema, and the server with its address resolved. ovsdbapp asks for it
    as well, but would wait for ever. Raises OSError, or ValueError if the answer is none."""
    with replica.connect(remote, timeout) as asked:
        asked.settimeout(timeout)
        replica.send(asked, id="schema", method="get_schema", params=["Open_vSwitch"])
        data = b""
        while True:
            received = asked.recv(2**16)
            if not received:
                raise ConnectionResetError("connection closed by the server")
            messages, data = replica.split(data + received)
            for message in messages:
                match message:
                    case {"id": "schema", "result": {"tables": {}} as schema}:
                        numeric = remote
                        if not isinstance(remote.address, str):
                            host, port = asked.getpeername()[:2]
                            numeric = Remote((host, port))
                        return schema, numeric
                    case {"id": "schema", "error": error}:
                        raise ValueError(f"no Open_vSwitch database: {json.dumps(error)}")


# Applying


def _apply(api: _Api, remote: Remote, wanted: Wanted, changes: list[Change]) -> int:
    """Carries the changes out; the value of cur_cfg that says that they have been taken."""
    if not changes:
        with api.ovsdb_connection.lock:
            return int(api._ovs.next_cfg)
    transaction_ = _Transaction(api, api.ovsdb_connection, check_error=True, log_errors=False)
    again = f"the switch of {remote} was changed in the meantime: run it again"
    transaction_.add(_Check(api, wanted, changes, again))
    for change in changes:
        for command in _commands(api, wanted.bridge, change):
            transaction_.add(command)
    # The IDL drops a value that the schema does not allow, and says nothing.
    no = f"OVSDB server {remote} does not allow a value, and nothing was changed"
    transaction_.add(_Check(api, wanted, [], no))
    try:
        transaction_.commit()
    except RuntimeError as error:
        if isinstance(error, TimeoutException) or "timed out" in str(error):
            raise ProvisionError(
                f"OVSDB server {remote} has not answered in time, and whether the change was "
                "made is not known: run it again, which changes only what is still to be changed"
            ) from error
        raise ProvisionError(
            f"OVSDB server {remote} refused the change, and nothing was changed: {error}"
        ) from error
    return transaction_.next_cfg


def _commands(api: _Api, bridge: str, change: Change) -> Iterator[Any]:
    values = {name: _plain(value) for name, value in change.values.items()}
    match change.verb, change.table:
        case Verb.ADD, "Bridge":
            yield api.add_br(change.record)
            yield api.db_set("Bridge", change.record, *values.items())
        case Verb.ADD, "Interface":
            yield api.add_port(bridge, change.record)
            yield api.db_set("Interface", change.record, *values.items())
        case Verb.ADD, "Controller":
            made = api.db_create("Controller", **values)
            yield made
            yield api.db_add("Bridge", bridge, "controller", made)
        case Verb.REMOVE, "Controller":  # the row goes when no bridge refers to it
            yield api.db_remove("Bridge", bridge, "controller", uuid.UUID(change.record))
        case Verb.SET, "Controller":
            yield api.db_set("Controller", uuid.UUID(change.record), *values.items())
        case Verb.SET, table:
            yield api.db_set(table, change.record, *values.items(), if_exists=False)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    return value if isinstance(value, str | int) else list(value)


class _Check(BaseCommand):  # type: ignore[misc]
    """Ends a transaction unless this is what is to be changed at this point of it."""

    def __init__(self, api: _Api, wanted: Wanted, expected: list[Change], otherwise: str) -> None:
        super().__init__(api)
        self.wanted, self.expected, self.otherwise = wanted, expected, otherwise

    def run_idl(self, txn: Any) -> None:
        left = plan(read(self.api.tables), self.wanted)
        if left != self.expected:
            what = "; ".join(c.sentence for c in left if c not in self.expected)
            raise ProvisionError(f"{self.otherwise} ({what or 'nothing is left to do'})")


def _settle(api: _Api, wanted: Wanted, target: int, timeout: float) -> tuple[str, ...]:
    """Waits until ovs-vswitchd has taken the configuration; the problems it has with it."""
    if not _wait(api, lambda: api._ovs.cur_cfg >= target, timeout):
        return (
            f"ovs-vswitchd has not taken the configuration in {timeout:g} s: is it running? "
            "It will take it when it starts",
        )
    _wait(api, lambda: _dpid(api.tables, wanted.bridge) is not None, min(timeout, DPID_TIME))
    return _problems(api, wanted)


def _problems(api: _Api, wanted: Wanted) -> tuple[str, ...]:
    """What Open vSwitch could not make of the bridge."""
    with api.ovsdb_connection.lock:
        problems = list(_interface_errors(_row(api.tables, wanted.bridge)))
        made = _dpid(api.tables, wanted.bridge) is not None
    if not made:
        problems.insert(
            0,
            f"bridge {wanted.bridge} has no datapath id: Open vSwitch could not make it, and the "
            "log of ovs-vswitchd says why",
        )
    return tuple(problems)


def _interface_errors(bridge: Any) -> Iterable[str]:
    for port in sorted(bridge.ports, key=lambda port: str(port.name)):
        for interface in port.interfaces:
            error = _one(interface, "error")
            if error:
                yield f"port {interface.name} does not work: {error}"


def _wait(api: _Api, condition: Callable[[], bool], timeout: float) -> bool:
    end = time.monotonic() + timeout
    changed = api.ovsdb_connection.idl.changed
    while True:
        changed.clear()
        with api.ovsdb_connection.lock:
            if condition():
                return True
        if not changed.wait(max(0.0, end - time.monotonic())):
            return False
