"""Requests that share a switch's connection with its session but are none of its own.

Every application sees every answer of a switch. A session takes an error for a refusal of
its program and a flow dump for its own, unless :func:`is_guest` tells it otherwise.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final
from weakref import WeakKeyDictionary

_LAST: Final = 4096
"""Requests remembered of each connection: each is answered long before that many more."""
_requests: WeakKeyDictionary[Any, deque[int]] = WeakKeyDictionary()


def note(datapath: Any, xid: int) -> None:
    """A request about to be sent is a guest's."""
    _requests.setdefault(datapath, deque(maxlen=_LAST)).append(xid)


def is_guest(msg: Any) -> bool:
    """Whether a message answers a guest's request: of no concern to the session."""
    return msg.xid in _requests.get(msg.datapath, ())
