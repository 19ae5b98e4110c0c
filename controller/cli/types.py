"""The kinds of arguments: parsed by :mod:`controller.model`, completed by asking the server."""

from __future__ import annotations

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
    if re.match("[0-9]", text):
        return str(model.parse_vni(text))
    if not text or len(text) > 64:
        raise ValueError(f"'{text}' is neither a VNI nor the name of a network")
    return text


def _mac(text: str) -> str:
    return model.format_mac(model.parse_mac(text))


def _dpid(text: str) -> str:
    return model.format_dpid(model.parse_dpid(text))


VNI: Final = Parsed("vni", model.parse_vni, _networks)
NETWORK: Final = Parsed("network", _network, _networks)
MAC: Final = Parsed("mac", _mac, _macs)
SWITCH: Final = Parsed("switch", _dpid, _switches)
PORT: Final = Parsed("port", model.parse_port, _ports)
VLAN: Final = Parsed("vlan", model.parse_vlan)
VTEP: Final = Parsed("vtep", model.parse_vtep, _vteps)
WAIT: Final = click.FloatRange(0, 60)
