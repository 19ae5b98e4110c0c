"""A small network over three switches, for unit and golden tests."""

from __future__ import annotations

from typing import Any

from controller.model import Attachment, Dpid, Network, Vni

ONE, TWO, THREE = Dpid(1), Dpid(2), Dpid(3)


def network(**options: Any) -> Network:
    """VNI 100: ports 1 (untagged) and 2 (VLAN 10) of switch 1, port 1 of switch 2."""
    attachments = (
        Attachment(ONE, 1),
        Attachment(ONE, "p2", 10),
        Attachment(TWO, 1),
    )
    return Network(Vni(100), "red", attachments=attachments, **options)
