"""A live copy of some columns of an OVSDB server's Open_vSwitch database (RFC 7047).

Only three messages of the protocol are needed, so they are spoken here: the IDL of the
``ovs`` package parses JSON in Python, character by character, and would hold every other
green thread for 0.2 s while it reads a switch of 1,000 ports; this takes 15 ms.

Sockets and sleeps are ordinary blocking ones, which osken-manager turns green by patching.
"""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Generator, Iterator, Mapping

from controller.ovsdb.inventory import COLUMNS, Row, Tables
from controller.ovsdb.remote import Remote

CONNECT_TIMEOUT = 5.0
PROBE_INTERVAL = 10.0
"""Seconds of silence before the server is asked for a sign of life, and then given up."""
MAX_MESSAGE = 64 * 2**20

_decoder = json.JSONDecoder()


def follow(remote: Remote) -> Generator[Tables, None, None]:
    """The tables, now and after each change, until the server is lost: OSError, or ValueError
    if what it says makes no sense. The tables are one object that changes in place.
    """
    with connect(remote) as connection:
        connection.settimeout(PROBE_INTERVAL)
        columns = {table: [{"columns": names}] for table, names in COLUMNS.items()}
        send(connection, id="monitor", method="monitor", params=["Open_vSwitch", None, columns])
        tables: dict[str, dict[str, Row]] = {table: {} for table in COLUMNS}
        for batch in _batches(connection):
            changed = False
            for message in batch:
                match message:
                    case {"method": "echo", "id": id_, "params": params}:
                        send(connection, id=id_, result=params, error=None)
                    case {"method": "update", "params": [None, update]}:
                        changed |= apply(tables, update)
                    case {"id": "monitor", "result": update, "error": None}:
                        apply(tables, update)
                        changed = True
                    case {"id": "monitor", "error": error}:
                        raise ValueError(f"monitor refused: {json.dumps(error)}")
            if changed:
                yield tables


def apply(tables: Mapping[str, dict[str, Row]], update: object) -> bool:
    """Folds table updates (RFC 7047 section 4.1.6) in; whether there were any."""
    changed = False
    for table, rows in _items(update):
        for uuid, change in _items(rows):
            new = change.get("new") if isinstance(change, dict) else None
            if table not in tables:
                continue
            if isinstance(new, dict):
                tables[table][uuid] = new
            else:
                tables[table].pop(uuid, None)
            changed = True
    return changed


def split(data: bytes) -> tuple[list[object], bytes]:
    """The messages that bytes of the stream begin with, and what is left of them.

    Messages follow each other without any delimiter. Each ends in a brace, so a long one is
    not tried again and again while its pieces come in.
    """
    data = data.lstrip()
    if data and not data.startswith(b"{"):
        raise ValueError("this is not JSON-RPC")
    if not data.rstrip().endswith(b"}"):
        return [], data
    text = data.decode().strip()
    messages: list[object] = []
    while text:
        try:
            message, end = _decoder.raw_decode(text)
        except json.JSONDecodeError:
            break
        messages.append(message)
        text = text[end:].lstrip()
    return messages, text.encode()


def _batches(connection: socket.socket) -> Iterator[list[object]]:
    """What the server says, as it comes in."""
    data = b""
    while True:
        try:
            received = connection.recv(2**16)
        except TimeoutError:
            send(connection, id="echo", method="echo", params=[])
            received = connection.recv(2**16)
        if not received:
            raise ConnectionResetError("connection closed by the server")
        messages, data = split(data + received)
        if len(data) > MAX_MESSAGE:
            raise ValueError(f"a message of more than {MAX_MESSAGE} bytes")
        yield messages
        time.sleep(0)  # a server that never pauses leaves other green threads their turn


def connect(remote: Remote, timeout: float = CONNECT_TIMEOUT) -> socket.socket:
    """A new connection to a server; ``timeout`` in seconds. Raises OSError."""
    if not isinstance(remote.address, str):
        return socket.create_connection(remote.address, timeout)
    connection = socket.socket(socket.AF_UNIX)
    try:
        # Connects at once or not at all (when a stopped server's backlog is full).
        connection.setblocking(False)
        connection.connect(remote.address)
    except BaseException:
        connection.close()
        raise
    return connection


def send(connection: socket.socket, **message: object) -> None:
    """Says one message of JSON-RPC."""
    connection.sendall(json.dumps(message).encode())


def _items(value: object) -> list[tuple[str, object]]:
    return list(value.items()) if isinstance(value, dict) else []
