"""JSON merge patch (RFC 7396)."""

from __future__ import annotations

from typing import Any


def merge(target: Any, patch: Any) -> Any:
    """What becomes of ``target`` (JSON-able) under ``patch``; neither is altered.

    Members that are null in the patch are removed, objects are merged member by member,
    everything else replaces what was there (RFC 7396 section 2).
    """
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            merged.pop(name, None)
        else:
            merged[name] = merge(merged.get(name), value)
    return merged
