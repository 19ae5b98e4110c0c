"""Our values to and from os-ken's messages, for OpenFlow 1.3 and 1.4.

Stateless: every function takes what names the protocol version, a ``datapath`` (os-ken's
``Datapath`` or just its ``ProtocolDesc``), or a message that carries one. Whatever a switch
answers is brought back to the canonical form of :mod:`controller.flows`, so that what was
sent and what was read compare equal. What a switch holds may also be beyond our values
(somebody else's flow, a later version's): that decodes to something equal to nothing of
ours, never to an exception.

Clauses are those of the OpenFlow Switch Specification 1.4.0; 1.3 differs only in bundles,
which are ONF extension 230 there.
"""

from controller.openflow.codec.counters import (
    Aggregate,
    Counted,
    aggregate_request,
    decode_aggregate,
    decode_flow_stats,
)
from controller.openflow.codec.entries import (
    Installed,
    UnknownGroup,
    UnknownMeter,
    decode_flows,
    decode_groups,
    decode_meters,
    delete_by_cookie,
    dump_all_flows_request,
    dump_flows_request,
    dump_groups_request,
    dump_meter_request,
    flow_add,
    flow_delete,
    group_add,
    group_delete,
    group_modify,
    meter_add,
    meter_modify,
    transients_delete,
)
from controller.openflow.codec.errors import describe_error
from controller.openflow.codec.events import (
    PacketIn,
    Removed,
    decode_flow_removed,
    decode_packet_in,
    decode_ports,
)
from controller.openflow.codec.sending import barrier, bundle, packet_out, serialize

__all__ = [
    "Aggregate",
    "Counted",
    "Installed",
    "PacketIn",
    "Removed",
    "UnknownGroup",
    "UnknownMeter",
    "aggregate_request",
    "barrier",
    "bundle",
    "decode_aggregate",
    "decode_flow_removed",
    "decode_flow_stats",
    "decode_flows",
    "decode_groups",
    "decode_meters",
    "decode_packet_in",
    "decode_ports",
    "delete_by_cookie",
    "describe_error",
    "dump_all_flows_request",
    "dump_flows_request",
    "dump_groups_request",
    "dump_meter_request",
    "flow_add",
    "flow_delete",
    "group_add",
    "group_delete",
    "group_modify",
    "meter_add",
    "meter_modify",
    "packet_out",
    "serialize",
    "transients_delete",
]
