"""The kinds of arguments: parsed by :mod:`controller.model`, completed by asking the server."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from controller import model

COMPLETE_WITHIN: Final = 1.0
"""Seconds that a completion may take: somebody waits at the prompt."""
MAX_COMPLETIONS: Final = 200

Suggest = Callable[[click.Context], Iterable[tuple[str, str]]]
"""(value, help) pairs; may fail in any way: then there are none."""


class Parsed(click.ParamType[str]):
    """Text in its canonical form, as ``parse`` gives it; its ValueError says what is wrong."""

    def __init__(
        self, name: str, parse: Callable[[str], object], suggest: Suggest | None = None
    ) -> None:
        self.name = name
        self._parse = parse
        self._suggest = suggest

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            return str(self._parse(str(value)))
        except ValueError as error:
            self.fail(str(error), param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        if self._suggest is None:
            return []
        try:
            found = list(self._suggest(ctx))
        except Exception:  # at the prompt nothing may be said, whatever it is
            return []
        return [
            CompletionItem(value, help=about)
            for value, about in found[:MAX_COMPLETIONS]
            if value.startswith(incomplete)
        ]


class OneOf(click.ParamType[str]):
    """A name of a few that are known; ``also``: a pattern of what else may be given."""

    def __init__(self, name: str, known: tuple[str, ...], also: str = "") -> None:
        self.name = name
        self.known = known
        self._also = also

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str:
        text = str(value)
        if text not in self.known and not re.fullmatch(self._also, text):
            close = difflib.get_close_matches(text, self.known, 1)
            meant = f" (did you mean '{close[0]}'?)" if close else ""
            known = ", ".join(self.known)
            self.fail(f"'{text}' is no {self.name}{meant}; known are {known}", param, ctx)
        return text

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        return [CompletionItem(name) for name in self.known if name.startswith(incomplete)]


def _items(ctx: click.Context, *path: object) -> list[dict[str, Any]]:
    """The first page of a list of the server's, quickly or not at all."""
    from controller.cli import client  # noqa: PLC0415
    from controller.cli.app import App  # noqa: PLC0415

    asked = client.Client(App.settings_of(ctx))
    answer = asked.send(
        "GET", client.path(*path), query={"limit": MAX_COMPLETIONS}, timeout=COMPLETE_WITHIN
    )
    items: list[dict[str, Any]] = answer.body["items"]
    return items


def _networks(ctx: click.Context) -> Iterable[tuple[str, str]]:
    return [(str(item["vni"]), item.get("name") or "") for item in _items(ctx, "networks")]


def _networks_and_names(ctx: click.Context) -> Iterable[tuple[str, str]]:
    found = list(_networks(ctx))
    return [*found, *((name, f"network {vni}") for vni, name in found if name)]


def _switches(ctx: click.Context) -> Iterable[tuple[str, str]]:
    for item in _items(ctx, "switches"):
        yield item["dpid"], item.get("status", {}).get("vtep") or ""


def _vteps(ctx: click.Context) -> Iterable[tuple[str, str]]:
    for item in _items(ctx, "vteps"):
        yield item["address"], item.get("status", {}).get("kind") or ""


def _ports(ctx: click.Context) -> Iterable[tuple[str, str]]:
    for item in _items(ctx, "switches"):
        if item["dpid"] == ctx.params.get("switch"):
            for port in item["status"]["ports"]:
                yield str(port["name"]), f"port {port['number']}"


def _macs(ctx: click.Context) -> Iterable[tuple[str, str]]:
    vni = ctx.params.get("vni")
    where = ("networks", vni, "endpoints") if vni else ("endpoints",)
    for item in _items(ctx, *where):
        yield item["mac"], item.get("status", {}).get("origin") or ""


def _network(text: str) -> str:
    """A VNI, or a network's name (resolved by :meth:`App.vni`)."""
    if re.fullmatch("[0-9]+|0[xX][0-9a-fA-F]+", text):
        return str(model.parse_vni(text))
    if not text or len(text) > 64:
        raise ValueError(f"'{text}' is neither a VNI nor the name of a network")
    return text


def _mac(text: str) -> str:
    return model.format_mac(model.parse_mac(text))


def _dpid(text: str) -> str:
    return model.format_dpid(model.parse_dpid(text))


NETWORK: Final = Parsed("network", _network, _networks_and_names)
MAC: Final = Parsed("mac", _mac, _macs)
SWITCH: Final = Parsed("switch", _dpid, _switches)
PORT: Final = Parsed("port", model.parse_port, _ports)
VLAN: Final = Parsed("vlan", model.parse_vlan)
VTEP: Final = Parsed("vtep", model.parse_vtep, _vteps)
# As the controller has them: to import it would take longer than most commands.
TABLE: Final = OneOf("table", ("classify", "source", "guard", "forward", "egress"), r"[0-9]{1,3}")
FEATURE: Final = OneOf("feature", ("attachments", "base", "endpoints", "flooding"))
EVENT_TYPE: Final = OneOf(
    "type of event",
    (
        *("endpoint.learned", "endpoint.moved", "endpoint.expired", "endpoint.*"),
        *("vtep.discovered", "vtep.expired", "vtep.*", "switch.up", "switch.down", "switch.*"),
        *("configuration.changed", "configuration.*", "flow.refused", "flow.*"),
        *("limit.hit", "limit.*", "gap", "gap.*"),
    ),
)
WAIT: Final = click.FloatRange(0, 60)
