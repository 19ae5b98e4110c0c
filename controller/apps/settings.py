"""The options in group ``[weft]`` of osken-manager's configuration file."""

from __future__ import annotations

import configparser
import difflib
import logging
import sys
from collections.abc import Iterable
from typing import Final

from os_ken import cfg

from controller.rest.metrics import NETWORK_SERIES

OVERLAY: Final = [
    cfg.StrOpt("store", help="SQLite file that keeps the configuration; none: in memory only"),
    cfg.StrOpt(
        "config",
        help="YAML file of networks, attachments and switches: read when the store is empty, "
        "and applied on SIGHUP",
    ),
    cfg.StrOpt("status_file", help="where to keep a JSON snapshot of what is known"),
    cfg.IntOpt(
        "packet_in_rate",
        default=1000,
        min=1,
        help="packet-ins a second that a switch may send (an OpenFlow controller meter)",
    ),
    cfg.FloatOpt(
        "warm_interval",
        default=60.0,
        min=1.0,
        help="seconds between two probes that keep a VTEP's underlay neighbour resolved",
    ),
]

REST: Final = [
    cfg.StrOpt("rest_host", default="127.0.0.1", help="address that the REST API is bound to"),
    cfg.IntOpt("rest_port", default=8080, min=0, max=65535, help="its TCP port"),
    cfg.StrOpt("rest_tokens", help="file of tokens: NAME ROLE SHA256 a line; see 'weft token new'"),
    cfg.StrOpt("rest_cert", help="certificate (PEM, with its chain): the API is served by TLS"),
    cfg.StrOpt("rest_key", help="its private key; none: it is in the same file"),
    cfg.IntOpt("rest_max_body", default=1 << 20, min=1024, help="bytes in a request's body"),
    cfg.IntOpt("rest_reads", default=200, min=1, help="reads a second of one client"),
    cfg.IntOpt("rest_writes", default=100, min=1, help="writes a second of one client"),
    cfg.IntOpt("rest_clients", default=1000, min=1, help="connections at the same time"),
    cfg.IntOpt("metrics_networks", default=NETWORK_SERIES, min=0,
               help="networks that have metrics of their own; the others are summed up"),
]  # fmt: skip


def check(files: Iterable[str]) -> None:
    """Exit for names in group ``[weft]`` that are no options: oslo.config ignores them."""
    known = {option.name for option in (*OVERLAY, *REST)}
    problems = []
    for file in files:
        parser = configparser.RawConfigParser(
            strict=False, default_section="", delimiters=("=", ":")
        )
        try:
            parser.read(file, encoding="utf-8")
        except configparser.Error:
            continue  # oslo.config reads it otherwise, and told of it if it could not
        for name in parser.options("weft") if parser.has_section("weft") else ():
            if name.replace("-", "_") not in known:
                near = difflib.get_close_matches(name, known, 1)
                hint = f"; is '{near[0]}' meant?" if near else f": {', '.join(sorted(known))}"
                problems.append(f"{file}: [weft] has no option '{name}'{hint}")
    if problems:
        sys.exit("weft: not started: " + "\n".join(problems))


def format_log() -> None:
    """Have each line say when, how serious and from whom, unless a log configuration says how."""
    for handler in logging.getLogger().handlers:
        if handler.formatter is None:
            handler.setFormatter(
                logging.Formatter("%(asctime)s %(levelname)s %(name)s %(message)s")
            )
