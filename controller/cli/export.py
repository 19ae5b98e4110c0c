"""The server's configuration as the YAML file that ``weft apply`` takes. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml

Order = Callable[[Mapping[str, Any]], Any]

_ORDERS: Final[dict[str, Order]] = {
    "networks": lambda n: int(n["vni"]),
    "attachments": lambda a: (str(a["switch"]), str(a["port"])),
    "endpoints": lambda e: str(e["mac"]),
    "switches": lambda s: str(s["dpid"]),
}
_KEYS: Final = (
    *("networks", "switches", "defaults"),
    *("vni", "dpid", "name", "flooding", "ageing", "learning", "mac", "switch", "port", "vlan"),
    *("vtep", "tunnel_port", "peer_ports", "ovsdb", "attachments", "endpoints", "vteps"),
)
_ONE_LINE: Final = {"attachments", "endpoints"}


class _Line(dict[str, Any]):
    """A mapping to be written on one line."""


class _Dumper(yaml.SafeDumper):
    """Lists are indented below their key, as people write them."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)


def _write_line(dumper: yaml.SafeDumper, value: _Line) -> yaml.Node:
    return dumper.represent_mapping("tag:yaml.org,2002:map", value, flow_style=True)


_Dumper.add_representer(_Line, _write_line)


def to_yaml(body: Mapping[str, Any]) -> str:
    """The file, always the same for the same configuration."""
    ordered = _arranged(body)
    if not ordered:
        return "{}\n"
    return yaml.dump(
        ordered, Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=10_000,
        default_flow_style=False,
    )  # fmt: skip


def _arranged(record: Mapping[str, Any]) -> dict[str, Any]:
    """Keys and items in a fixed order, without what is empty."""
    known = [key for key in _KEYS if key in record]
    made: dict[str, Any] = {}
    for key in (*known, *sorted(record.keys() - set(known))):
        value = record[key]
        if value is None or value in ([], {}, ""):
            continue
        if key in _ORDERS:
            kind = _Line if key in _ONE_LINE else dict
            value = [kind(_arranged(item)) for item in sorted(value, key=_ORDERS[key])]
        elif key == "peer_ports":
            value = dict(sorted(value.items()))
        elif key == "defaults":
            value = _arranged(value)
        made[key] = value
    return made
