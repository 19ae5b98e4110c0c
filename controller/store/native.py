"""``threading`` and ``queue`` of real threads, also in a process that eventlet has patched.

What is made of these blocks the native thread, and with it all its green threads: hold a lock of
them for moments only, and wait for one of them in a thread of its own (or eventlet.tpool's).
Nothing that runs in such a thread may log: the locks of ``logging`` are green.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import queue
    import threading
else:
    with warnings.catch_warnings():
        # That eventlet is deprecated is nothing to tell whoever imports the store.
        warnings.filterwarnings("ignore", message="\nEventlet is deprecated")
        from eventlet import patcher
    threading = patcher.original("threading")
    queue = patcher.original("queue")

__all__ = ["queue", "threading"]
