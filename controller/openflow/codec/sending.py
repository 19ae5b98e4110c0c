"""What goes to a switch beside entries, and the bytes of it all."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable

from controller.flows import OFPP_CONTROLLER, Action
from controller.openflow.codec.matching import Datapath, Message, encode_actions


class Encoded:
    """A message in its bytes, made once for any number of switches: only its xid is open."""

    def __init__(self, wire: bytes) -> None:
        self._wire = wire
        self.xid: int | None = None
        self.buf = wire

    def set_xid(self, xid: int) -> None:
        self.xid = xid

    def serialize(self) -> None:
        self.buf = self._wire[:4] + struct.pack("!I", self.xid or 0) + self._wire[8:]


def packet_out(
    dp: Datapath, actions: Iterable[Action], data: bytes, in_port: int = OFPP_CONTROLLER
) -> Message:
    """Sends a frame through actions (section 7.3.7), as if it had come in by ``in_port``."""
    return dp.ofproto_parser.OFPPacketOut(
        dp,
        buffer_id=dp.ofproto.OFP_NO_BUFFER,
        in_port=in_port,
        actions=encode_actions(dp, actions),
        data=data,
    )


def bundle(dp: Datapath, bundle_id: int, messages: Iterable[Message]) -> list[Message]:
    """Messages that take effect together and in their order, or not at all (section 7.3.9).

    Flow and group modifications may be in it, meters not. The switch answers the opening and,
    once all is in effect, the commit. What it cannot even take in (OVS: a goto backwards, an
    unknown field) it refuses by an error of its own and commits *without*; what fails while
    committing undoes it all.
    """
    ofp, parser = dp.ofproto, dp.ofproto_parser
    if hasattr(parser, "OFPBundleCtrlMsg"):
        control, add = parser.OFPBundleCtrlMsg, parser.OFPBundleAddMsg
        opening, commit = ofp.OFPBCT_OPEN_REQUEST, ofp.OFPBCT_COMMIT_REQUEST
        flags = ofp.OFPBF_ATOMIC | ofp.OFPBF_ORDERED
    else:
        control, add = parser.ONFBundleCtrlMsg, parser.ONFBundleAddMsg
        opening, commit = ofp.ONF_BCT_OPEN_REQUEST, ofp.ONF_BCT_COMMIT_REQUEST
        flags = ofp.ONF_BF_ATOMIC | ofp.ONF_BF_ORDERED
    return [
        control(dp, bundle_id, opening, flags, []),
        *(add(dp, bundle_id, flags, message, []) for message in messages),
        control(dp, bundle_id, commit, flags, []),
    ]


def barrier(dp: Datapath) -> Message:
    """Answered when all before it has been done (OFPT_BARRIER_REQUEST, section 7.3.8)."""
    return dp.ofproto_parser.OFPBarrierRequest(dp)


def serialize(messages: Iterable[Message], set_xid: Callable[[Message], object]) -> bytes:
    """Messages as one run of bytes; ``set_xid`` (a ``Datapath`` has it) numbers each."""
    made = bytearray()
    for message in messages:
        set_xid(message)
        message.serialize()
        made += message.buf
    return bytes(made)
