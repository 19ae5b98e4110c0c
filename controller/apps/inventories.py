"""What OVSDB servers say of the connected switches."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from controller.model import Config, Dpid
from controller.ovsdb.inventory import Inventory
from controller.ovsdb.watcher import Watcher

PATIENCE: Final = 5.0
"""Seconds that a switch's audit waits for the first answer of its OVSDB server."""


class Inventories:
    """Watches the server that configuration names for each switch."""

    def __init__(self, on_change: Callable[[Dpid, bool], None]) -> None:
        """``on_change(dpid, awaited)`` is called when something is known anew; ``awaited``: for
        the first time, and an audit waits for it."""
        self._on_change: Final = on_change
        self._watchers: dict[Dpid, tuple[str, Watcher]] = {}
        self._awaited: dict[Dpid, float] = {}
        self._found: dict[Dpid, Inventory] = {}

    def of(self, dpid: Dpid) -> Inventory:
        """What is known of a switch; stays when its connection ends."""
        return self._found.get(dpid, Inventory())

    def awaits(self, dpid: Dpid) -> bool:
        """Whether a switch's audit is to wait."""
        return dpid in self._awaited

    def overdue(self, now: float) -> list[Dpid]:
        """The switches whose audit has waited long enough; they wait no longer."""
        found = [dpid for dpid, until in self._awaited.items() if until <= now]
        for dpid in found:
            del self._awaited[dpid]
        return found

    def watch(self, dpid: Dpid, config: Config, host: str, patient_until: float | None) -> None:
        """Follow a switch's server. ``host`` is where its OpenFlow connection comes from. Until
        ``patient_until`` (None: not at all) its audit waits."""
        remote = config.switch(dpid).ovsdb or config.defaults.ovsdb
        if remote is not None:
            remote = remote.format(address=f"[{host}]" if ":" in host else host)
        old = self._watchers.get(dpid)
        if old is not None and old[0] == remote:
            return
        if old is not None:
            self.unwatch(dpid)
            self._found.pop(dpid, None)
        if remote is not None:
            watcher = Watcher(remote, dpid, self._heard)
            self._watchers[dpid] = (remote, watcher)
            if patient_until is not None:
                self._awaited[dpid] = patient_until
            watcher.start()

    def unwatch(self, dpid: Dpid) -> None:
        """Follow a switch's server no longer."""
        self._awaited.pop(dpid, None)
        _, watcher = self._watchers.pop(dpid, ("", None))
        if watcher is not None:
            watcher.stop()

    def _heard(self, dpid: Dpid, found: Inventory | None) -> None:
        self._found[dpid] = found or Inventory()
        awaited = self._awaited.pop(dpid, None) is not None
        self._on_change(dpid, awaited)
