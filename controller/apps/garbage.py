"""Keeps Python itself from holding the hub up.

The garbage collector looks for cycles among all that lives, again and again: a second and more,
where there are a hundred thousand endpoints. What we keep is values without cycles, which go
without its help.
"""

from __future__ import annotations

import gc
import sys
import time
from typing import Any, Final

LONG: Final = 0.005
"""Seconds that a look may take."""
TURN: Final = 0.001
"""Seconds that a native thread may keep the hub from Python, of which only one has it."""


class _Watch:
    """Has what survived a long look left out of all looks to come."""

    def __init__(self) -> None:
        self._begun = 0.0

    def __call__(self, phase: str, _: dict[str, Any]) -> None:
        if phase == "start":
            self._begun = time.monotonic()
        elif time.monotonic() - self._begun > LONG:
            gc.freeze()


def keep_short() -> None:
    """Keep collections and the turns of native threads short from now on; to be called when what
    lives long has been made.

    Cycles among what is frozen are never found. It has just been looked at, so there are none
    at that time; of what becomes one later there is little: who serves a request right then.
    """
    sys.setswitchinterval(TURN)
    gc.collect()
    gc.freeze()
    gc.callbacks.append(_Watch())
