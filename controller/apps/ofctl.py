"""``osken-manager controller.apps.overlay controller.apps.rest controller.apps.ofctl``: Ryu's
/stats paths beside Weft's own API. Off unless named like this."""

from __future__ import annotations

import sys
from typing import Any, Final

from os_ken.base import app_manager
from os_ken.controller import ofp_event
from os_ken.controller.handler import DEAD_DISPATCHER, MAIN_DISPATCHER, set_ev_cls
from os_ken.ofproto import ofproto_v1_3, ofproto_v1_4

from controller.openflow.ofctl import Switchboard
from controller.rest.ofctl import add_routes

ANSWERS: Final = [
    ofp_event.EventOFPErrorMsg,
    ofp_event.EventOFPBarrierReply,
    ofp_event.EventOFPRoleReply,
    ofp_event.EventOFPDescStatsReply,
    ofp_event.EventOFPFlowStatsReply,
    ofp_event.EventOFPAggregateStatsReply,
    ofp_event.EventOFPTableStatsReply,
    ofp_event.EventOFPTableFeaturesStatsReply,
    ofp_event.EventOFPPortStatsReply,
    ofp_event.EventOFPPortDescStatsReply,
    ofp_event.EventOFPQueueStatsReply,
    ofp_event.EventOFPQueueGetConfigReply,  # OpenFlow 1.3
    ofp_event.EventOFPQueueDescStatsReply,  # OpenFlow 1.4
    ofp_event.EventOFPMeterFeaturesStatsReply,
    ofp_event.EventOFPMeterConfigStatsReply,
    ofp_event.EventOFPMeterStatsReply,
    ofp_event.EventOFPGroupFeaturesStatsReply,
    ofp_event.EventOFPGroupDescStatsReply,
    ofp_event.EventOFPGroupStatsReply,
]


class OfctlApp(app_manager.OSKenApp):  # type: ignore[misc]  # os_ken has no types
    """Hands what switches say to a :class:`Switchboard`, and that to the REST application."""

    OFP_VERSIONS: Final = [ofproto_v1_4.OFP_VERSION, ofproto_v1_3.OFP_VERSION]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = "ofctl"
        self.switches = Switchboard()

    def start(self) -> Any:
        """Called by os-ken when all applications are there."""
        rest = app_manager.lookup_service_brick("rest")
        if rest is None:
            sys.exit("weft: controller.apps.ofctl needs controller.apps.rest: name both")
        add_routes(rest.wsgi, self.switches)
        return super().start()

    @set_ev_cls(ofp_event.EventOFPStateChange, [MAIN_DISPATCHER, DEAD_DISPATCHER])  # type: ignore[untyped-decorator]
    def state_changed(self, ev: Any) -> None:
        if ev.datapath.id is None:
            return
        if ev.state == MAIN_DISPATCHER:
            self.switches.connected(ev.datapath)
        else:
            self.switches.gone(ev.datapath)

    @set_ev_cls(ANSWERS, [MAIN_DISPATCHER])  # type: ignore[untyped-decorator]
    def answered(self, ev: Any) -> None:
        self.switches.heard(ev.msg)
