"""What contradicts what (409), in words a user knows, and the command that resolves it. Pure.

The controller names resources by their keys, as its paths do; whoever types a command knows them
as networks, ports and switches.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

_ATTACHMENT: Final = r"networks/(\d+)/attachments/([0-9a-f]{16})/([^\s/:,;]+)"
_ENDPOINT: Final = r"networks/(\d+)/endpoints/([0-9a-f:]{17})"
_KEY: Final = re.compile(
    rf"{_ATTACHMENT}|{_ENDPOINT}|networks/(\d+)|switches/([0-9a-f]{{16}})|\bdefaults\b"
)
_OF_BATCH: Final = re.compile(r"/operations/(\d+)(?:/body)?(.*)")

Words = Callable[["re.Match[str]", str, str], tuple[str, str]]
"""From what matched, the key in words and the member: the sentence, and the hint or nothing."""


def explain(error: Mapping[str, Any], body: Any = None) -> tuple[str, str]:
    """The sentence of one of a problem's errors, and a hint, or an empty text. ``body``: what was
    sent, by which the operations of a batch are told apart."""
    pointer, detail = str(error.get("pointer") or ""), str(error.get("detail") or "")
    key = ""
    if found := re.match(rf"({_KEY.pattern}): ", detail):
        key, detail = found[1], detail[found.end() :]
    if found := _OF_BATCH.fullmatch(pointer):
        key, pointer = key or _path(body, int(found[1])), found[2]
    member = pointer.removeprefix("/")
    for pattern, words in _RULES:
        if told := re.fullmatch(pattern, detail):
            return words(told, key, member)
    subject = named(key)
    where = f"{subject}, {member}" if subject and member else subject or member
    text = named(detail)
    return f"{where}: {text}" if where else text, ""


def named(text: str) -> str:
    """A text with keys replaced by what people call that."""
    return _KEY.sub(_words, text)


def _words(found: re.Match[str]) -> str:
    match found.groups():
        case (str(vni), str(dpid), str(port), *_):
            return f"port {port} of switch {dpid} in network {vni}"
        case (_, _, _, str(vni), str(mac), *_):
            return f"endpoint {mac} of network {vni}"
        case (_, _, _, _, _, str(vni), _):
            return f"network {vni}"
        case (_, _, _, _, _, _, str(dpid)):
            return f"switch {dpid}"
        case _:
            return "the defaults"


def _path(body: Any, number: int) -> str:
    try:
        return str(body["operations"][number]["path"]).removeprefix("/v1/")
    except (LookupError, TypeError):
        return ""


def _end(key: str, member: str) -> str:
    """The port that an attachment's key is of: ``port h1 of switch 1``."""
    found = re.fullmatch(_ATTACHMENT, key)
    end = f"port {found[3]} of switch {found[2]}" if found else "the port"
    return f"this VLAN of {end}" if member == "vlan" else end


def _detach(vni: str, dpid: str, port: str) -> str:
    return f"to take it away there: weft detach {vni} {dpid} {port}"


_RULES: Final[tuple[tuple[str, Words], ...]] = (
    (
        r"('.*') already names a network in networks/(\d+)",
        lambda m, _key, _member: (
            f"network {m[2]} is called {m[1]} already",
            f"give another name, or rename that one: weft network set {m[2]} --name NAME",
        ),
    ),
    (
        rf"already attached to network (\d+) in {_ATTACHMENT}.*",
        lambda m, key, member: (
            f"{_end(key, member)} is attached to network {m[1]} already",
            _detach(m[2], m[3], m[4]),
        ),
    ),
    (
        r"there is no network (\d+): create it first",
        lambda m, _key, _member: (
            f"there is no network {m[1]}",
            f"make it first: weft network set {m[1]}",
        ),
    ),
    (
        r"(\S+) is a tunnel port of the switch in (.*): attach another",
        lambda m, key, _member: (
            f"{_end(key, '')} is its tunnel port, by the settings of {named(m[2])}",
            "attach another port",
        ),
    ),
    (
        rf"a static endpoint is placed there in {_ENDPOINT}: move or delete it first",
        lambda m, key, member: (
            f"endpoint {m[2]} of network {m[1]} is placed at {_end(key, member)}",
            f"remove it first: weft endpoint forget {m[1]} {m[2]}",
        ),
    ),
    (
        r"not an attachment of network (\d+): "
        r"attach switch ([0-9a-f]{16}) port (\S+?)(?: VLAN (\d+))? first",
        lambda m, _key, _member: (
            f"port {m[3]} of switch {m[2]}"
            + (f", VLAN {m[4]}," if m[4] else "")
            + f" is not attached to network {m[1]}",
            f"attach it first: weft attach {m[1]} {m[2]} {m[3]}"
            + (f" --vlan {m[4]}" if m[4] else ""),
        ),
    ),
    (
        r"already the address of the switch in switches/([0-9a-f]{16})",
        lambda m, _key, _member: (
            f"switch {m[1]} has this VTEP address already",
            f"to take it away there: weft switch set {m[1]} --unset vtep",
        ),
    ),
    (
        rf"(its tunnel port(?: by default)?, \S+, is attached|port \S+ is attached) in "
        rf"{_ATTACHMENT}: detach it first",
        lambda m, _key, _member: (
            f"port {m[4]} of switch {m[3]} is attached to network {m[2]}: it cannot be a tunnel "
            "port too",
            _detach(m[2], m[3], m[4]),
        ),
    ),
)
