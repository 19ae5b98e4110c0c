"""Watches the OVSDB server of one switch from a green thread of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import closing
from typing import Any, Final

from os_ken.lib import hub

from controller.model import Dpid, format_dpid
from controller.ovsdb import replica
from controller.ovsdb.inventory import Inventory, inventory, is_settled
from controller.ovsdb.remote import parse_remote

MIN_BACKOFF = 1.0
MAX_BACKOFF = 60.0
"""Seconds between two attempts to reach a server; doubled from the first to the second."""

log = logging.getLogger(__name__)


class Watcher:
    """Reports a bridge's inventory when it is first known and whenever it changes.

    ``on_change`` is called in a green thread, with None when the server answers but has no
    such bridge. While the server cannot be reached, or its bridges have no datapath ids yet,
    the last report stands. Raises ValueError for a remote that is neither ``tcp:HOST:PORT``
    nor ``unix:PATH``.
    """

    def __init__(
        self, remote: str, dpid: Dpid, on_change: Callable[[Dpid, Inventory | None], None]
    ) -> None:
        self._remote: Final = parse_remote(remote)
        self._dpid: Final = dpid
        self._on_change: Final = on_change
        self._thread: Any = None

    def start(self) -> None:
        """Begins to watch; does nothing if it does already."""
        if self._thread is None:
            self._thread = hub.spawn(self._run)

    def stop(self) -> None:
        """Closes the connection at once; nothing is reported after this. May be called from
        ``on_change``, and any number of times."""
        thread, self._thread = self._thread, None
        if thread is not None and thread is not hub.getcurrent():
            hub.kill(thread)

    def _run(self) -> None:
        reported: list[Inventory | None] = []  # the last report; empty: none yet
        backoff = MIN_BACKOFF
        lost = False
        while self._watching():
            try:
                with closing(replica.follow(self._remote)) as states:
                    for tables in states:
                        if lost:
                            log.info("switch %s: OVSDB server %s is back", *self._names())
                        lost, backoff = False, MIN_BACKOFF
                        found = inventory(tables, self._dpid)
                        if found is None and not is_settled(tables):
                            continue
                        if reported != [found]:
                            self._complain(reported[0] if reported else None, found)
                            reported = [found]
                            self._report(found)
                        if not self._watching():
                            return
            except (OSError, ValueError, RecursionError) as failure:
                level = logging.DEBUG if lost else logging.WARNING
                log.log(level, "switch %s: OVSDB server %s: %s", *self._names(), failure)
                lost = True
            hub.sleep(backoff)
            backoff = min(2 * backoff, MAX_BACKOFF)

    def _watching(self) -> bool:
        return self._thread is hub.getcurrent()

    def _report(self, found: Inventory | None) -> None:
        try:
            self._on_change(self._dpid, found)
        except Exception:
            log.exception("switch %s: its inventory was not taken", format_dpid(self._dpid))

    def _complain(self, before: Inventory | None, found: Inventory | None) -> None:
        """Logs each problem once, when it comes up."""
        known = before.problems if before else ()
        for problem in found.problems if found else ():
            if problem not in known:
                log.warning("switch %s: OVSDB: %s", format_dpid(self._dpid), problem)

    def _names(self) -> tuple[str, str]:
        return format_dpid(self._dpid), str(self._remote)
