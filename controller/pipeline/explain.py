"""Flows and groups of a switch in words: who made them, which part, for whom, and why.

Told from their content alone, as everything else is that is read back from a switch: each
feature explains what it renders.
"""

from __future__ import annotations

from typing import Final

from controller.flows import TRANSIENT, Flow, FlowKey, Group, group_is_ours, is_ours
from controller.model import SwitchView, Vni
from controller.pipeline import attachments, base, endpoints, flooding
from controller.pipeline.tables import NETWORK, Priority, Table
from controller.pipeline.words import Explanation, Names, Owner, mac_in, network_in

_MAKERS: Final = {
    "attachments": [(Table.CLASSIFY, Priority.KNOWN)],
    "base": [
        (Table.CLASSIFY, Priority.REFUSE),
        (Table.CLASSIFY, Priority.MISS),
        (Table.SOURCE, Priority.REFUSE),
        (Table.SOURCE, Priority.SKIP),
        (Table.SOURCE, Priority.MISS),
        (Table.GUARD, Priority.NETWORK),
        (Table.GUARD, Priority.MISS),
        (Table.FORWARD, Priority.MISS),
        (Table.EGRESS, Priority.NETWORK),
        (Table.EGRESS, Priority.MISS),
    ],
    "endpoints": [
        (Table.SOURCE, Priority.KNOWN),
        (Table.SOURCE, Priority.STATIC),
        (Table.FORWARD, Priority.KNOWN),
    ],
    "flooding": [(Table.SOURCE, Priority.TRUSTED), (Table.FORWARD, Priority.NETWORK)],
}
_MAKER: Final[dict[tuple[int, int], str]] = {
    place: feature for feature, places in _MAKERS.items() for place in places
}
"""Whose flows stand where: all that is left to tell by when a flow was edited."""

_OTHERS: Final = "not Weft's: made by hand or by another application, and left alone"
_EDITED: Final = (
    "not as Weft made it, which its cookie tells: edited, or of another version; "
    "the next audit puts it right"
)
_STRANGE: Final = (
    "Weft's, but nothing that it would make of this switch now: of another version, or left from "
    "before a change of its tunnel ports; the next audit takes it away"
)
_NO_SUCH: Final = "marked as made by the switch itself, but it was not told to: left to its timeout"


def explain_flow(
    view: SwitchView, cookie: int, key: FlowKey | None, flow: Flow | None, names: Names
) -> Explanation:
    """An entry of a switch's dump: its cookie, and as much of it as is readable.

    ``key`` and ``flow`` are None where match or content are beyond our values.
    """
    if not is_ours(cookie):
        return Explanation(Owner.OTHER, "", _OTHERS)
    if cookie == TRANSIENT:
        learned = None if key is None else base.explain_learned(view, key, names)
        return learned or Explanation(Owner.SWITCH, "", _NO_SUCH)
    if flow is None or flow.cookie != cookie:
        return _edited(key)
    return (
        endpoints.explain(view, flow, names)
        or attachments.explain(view, flow, names)
        or flooding.explain(view, flow, names)
        or base.explain(view, flow)
        or Explanation(Owner.WEFT, "", _STRANGE)
    )


def _edited(key: FlowKey | None) -> Explanation:
    """Actions are what is edited: the match mostly still tells what the flow was about."""
    if key is None:
        return Explanation(Owner.WEFT, "", _EDITED)
    table, priority, fields = key
    feature = _MAKER.get((table, priority), "")
    mac = mac_in(fields) if feature == "endpoints" else None
    return Explanation(Owner.WEFT, feature, _EDITED, network_in(fields), mac)


def explain_group(view: SwitchView, group: Group, names: Names) -> Explanation:
    """A group of a switch's dump."""
    if not group_is_ours(group.id):
        return Explanation(Owner.OTHER, "", _OTHERS)
    _, members = flooding.flood_list(view, group)
    # Of a kind of its own where it is beyond our values.
    if type(group) is not Group or len(members) != len(group.buckets) or not members:
        return Explanation(Owner.WEFT, "flooding", _EDITED, Vni(group.id & NETWORK))
    return flooding.explain_group(view, group, names)
