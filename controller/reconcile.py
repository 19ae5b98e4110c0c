"""From what is there and what should be there to the messages that make the difference.

One function serves both ways: an audit compares a switch's dump with its full program, an
incremental change compares the concerned scopes before and after.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from controller.flows import Flow, Group, Match, Program


@dataclass(frozen=True, slots=True)
class Plan:
    """What to send, in this order: groups, flows added (an add replaces a flow of the same
    table, priority and match), flows deleted, groups deleted. Every flow finds its group, and
    no frame finds a gap."""

    groups_added: tuple[Group, ...] = ()
    groups_modified: tuple[Group, ...] = ()
    flows_added: tuple[Flow, ...] = ()
    flows_deleted: tuple[Flow, ...] = ()
    groups_deleted: tuple[Group, ...] = ()
    quiet_ended: tuple[Match, ...] = ()
    """Guard entries to delete, so that a sender that comes back is heard at once."""

    def __bool__(self) -> bool:
        return bool(self.size)

    @property
    def size(self) -> int:
        """How many messages it takes."""
        return (
            len(self.groups_added)
            + len(self.groups_modified)
            + len(self.flows_added)
            + len(self.flows_deleted)
            + len(self.groups_deleted)
        )


def compare(installed: Program, wanted: Program) -> Plan:
    """The difference between two programs of one switch."""
    old_groups = {group.id: group for group in installed.groups}
    new_groups = {group.id: group for group in wanted.groups}
    changed = wanted.groups - installed.groups
    added = wanted.flows - installed.flows
    kept_keys = {flow.key for flow in wanted.flows}
    gone = (f for f in installed.flows - wanted.flows if f.key not in kept_keys)
    return Plan(
        groups_added=_by_id(g for g in changed if g.id not in old_groups),
        groups_modified=_by_id(g for g in changed if g.id in old_groups),
        flows_added=tuple(sorted(added, key=_order)),
        flows_deleted=tuple(sorted(gone, key=_order)),
        groups_deleted=_by_id(g for i, g in old_groups.items() if i not in new_groups),
    )


def _by_id(groups: Iterable[Group]) -> tuple[Group, ...]:
    return tuple(sorted(groups, key=lambda group: group.id))


def _order(flow: Flow) -> tuple[int, int, str]:
    """Later tables first, so that a frame never meets a table that is not filled yet."""
    return (-flow.table, -flow.priority, str(flow.match))
