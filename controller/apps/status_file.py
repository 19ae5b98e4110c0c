"""A JSON snapshot of what is known, kept in a file for those who want no API."""

from __future__ import annotations

import json
import logging
import os
import time
from typing import TYPE_CHECKING, Any, Final

from eventlet import tpool
from os_ken.lib import hub

from controller.model import Dpid
from controller.status import snapshot

if TYPE_CHECKING:
    from controller.apps.overlay import OverlayApp

REST: Final = 20
"""How much longer than it is written it stays as it is: a large one takes seconds."""
LARGE: Final = 50
"""Networks that are written in a native thread: that takes long."""

log = logging.getLogger("weft.status")


class StatusFile:
    """Replaced as a whole whenever there is something new, so a reader never sees half."""

    def __init__(self, app: OverlayApp) -> None:
        self._app = app
        self._seen = ""
        """What it was last written for."""
        self._rests_until = 0.0

    def write(self) -> None:
        """Bring the file up to date, if there is to be one."""
        app, path = self._app, self._app.options.status_file
        begun = time.monotonic()
        if not path or begun < self._rests_until:
            return
        state_of = {dpid: session.status() for dpid, session in app.sessions.items()}
        seen = (app.engine.revision, app.engine.verdicts.total(), app.packet_ins, state_of)
        news = repr((*seen, app.config_problem))
        if news == self._seen:
            return
        self._seen = news
        state = snapshot(app.engine, lambda: hub.sleep(0))
        state["config_problem"] = app.config_problem
        for name, switch in state["switches"].items():
            dpid = Dpid(int(name, 16))
            switch["connected"] = dpid in app.sessions
            switch["packet_ins"] = app.packet_ins[dpid]
            switch.update(state_of.get(dpid, {}))
        try:
            if len(state["networks"]) > LARGE:
                tpool.execute(_replace, path, state)
            else:
                _replace(path, state)
        except OSError as problem:
            log.error("status file %s: %s", path, problem)
        ended = time.monotonic()
        self._rests_until = ended + REST * (ended - begun)


def _replace(path: str, state: dict[str, Any]) -> None:
    text = json.dumps(state, indent=1)
    with open(f"{path}.new", "w", encoding="utf-8") as file:
        file.write(text)
    os.replace(f"{path}.new", path)
