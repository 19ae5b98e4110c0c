"""Whatever a switch is made to hold can be explained: whose, for whom, and why."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from controller import pipeline
from controller.flows import OUR_COOKIES, TRANSIENT, Flow, Group
from controller.model import Config, Dpid, Local
from controller.pipeline import Explanation, Names, Owner, Scope, attachments
from tests.property.test_overlay_is_a_bridge import SWITCHES, Step, built, networks, steps, take
from tests.support import strategies
from tests.support.fabric import Fabric

NAMES = Names(network=lambda vni: f"net-{vni}", port=lambda number: f"p{number}")


def explain(fabric: Fabric, dpid: Dpid, entry: Flow | Group) -> Explanation:
    view = fabric.view(dpid)
    if isinstance(entry, Group):
        return pipeline.explain_group(view, entry, NAMES)
    return pipeline.explain_flow(view, entry.cookie, entry.key, entry, NAMES)


def maker(fabric: Fabric, scope: Scope, entry: Flow | Group) -> str:
    """The module that rendered an entry of a scope."""
    if scope.vni is None:
        return "base"
    if scope.mac is not None:
        return "endpoints"
    ends = fabric.engine.overlay.present(scope.vni)[scope.dpid]
    attached = attachments.render(fabric.view(scope.dpid), scope.vni, ends)
    return "attachments" if entry in set(attached) else "flooding"


@given(networks(), st.lists(steps, max_size=12), st.booleans())
def test_every_flow_is_explained_by_who_made_it(
    config: Config, events: list[Step], peers: bool
) -> None:
    fabric = built(config, peers=peers)
    for event in events:
        take(fabric, event)
    overlay = fabric.engine.overlay
    for dpid in fabric.switches:
        told = []
        for scope in pipeline.scopes(overlay, dpid):
            for entry in pipeline.render(overlay, scope):
                found = explain(fabric, dpid, entry)
                told.append(found.words)
                assert (found.owner, found.feature, found.network, found.mac) == (
                    Owner.WEFT,
                    maker(fabric, scope, entry),
                    scope.vni,
                    scope.mac,
                ), str(entry)
                assert scope.vni is None or f"network {scope.vni} (net-{scope.vni})" in found.words
                assert found.vtep is None or found.vtep in found.words
                if isinstance(entry, Flow) and scope.mac is not None:
                    check_endpoint(fabric, scope, entry, found)
        assert len(set(told)) == len(told), "two flows in the same words"


def check_endpoint(fabric: Fabric, scope: Scope, flow: Flow, found: Explanation) -> None:
    """What is said of an endpoint's place is true."""
    assert scope.vni is not None
    assert scope.mac is not None
    overlay = fabric.engine.overlay
    location = overlay.location(scope.vni, scope.mac)
    assert location is not None
    if isinstance(location, Local) and location.dpid == scope.dpid:
        assert found.vtep is None
        assert location.static or f"port {location.port} (p{location.port})" in found.words
    elif flow.write:
        assert found.vtep == overlay.locate(location)


@given(networks(), st.lists(steps, max_size=12), st.booleans())
def test_an_edited_flow_still_tells_whose_it_was(
    config: Config, events: list[Step], peers: bool
) -> None:
    fabric = built(config, peers=peers)
    for event in events:
        take(fabric, event)
    for dpid, switch in fabric.switches.items():
        for flow in switch.program.flows:
            was = explain(fabric, dpid, flow)
            view = fabric.view(dpid)
            now = pipeline.explain_flow(view, flow.cookie, flow.key, None, NAMES)
            assert "edited" in now.words
            assert (now.owner, now.feature, now.mac) == (was.owner, was.feature, was.mac)
            names = {field.name for field in flow.match}
            named = names & {"metadata", "tunnel_id"}
            # A port and a VLAN alone do not tell what they were attached to.
            assert now.network == (was.network if named else None)


any_cookies = st.integers(0, 2**64 - 1) | strategies.cookies | st.just(TRANSIENT)


@given(
    st.integers(1, SWITCHES),
    strategies.flows,
    any_cookies | st.none(),
    st.sampled_from(("nothing", "key", "all")),
    st.booleans(),
)
def test_anything_is_explained_somehow(
    number: int, flow: Flow, cookie: int | None, known: str, peers: bool
) -> None:
    """Whatever bears our tag: of other versions, edited, or beyond our values."""
    view = built(Config(), peers=peers).view(Dpid(number))
    cookie = flow.cookie if cookie is None else cookie
    key = None if known == "nothing" else flow.key
    found = pipeline.explain_flow(view, cookie, key, flow if known == "all" else None, NAMES)
    assert found.words
    ours = cookie & 0xFFFF << 48 == OUR_COOKIES
    assert (found.owner is not Owner.OTHER) == ours
    assert (found.owner is Owner.SWITCH) == (cookie == TRANSIENT)


@given(strategies.groups, st.booleans())
def test_any_group_is_explained_somehow(group: Group, peers: bool) -> None:
    view = built(Config(), peers=peers).view(Dpid(1))
    found = pipeline.explain_group(view, group, NAMES)
    assert (found.owner, found.feature, found.network) == (
        Owner.WEFT,
        "flooding",
        group.id & 0xFFFFFF,
    )


@given(networks(), st.lists(steps, max_size=8))
def test_what_a_switch_has_learned_is_explained(config: Config, events: list[Step]) -> None:
    fabric = built(config)
    for event in events:
        if event.kind in ("speak", "foreign"):
            take(fabric, event)
    for dpid, switch in fabric.switches.items():
        for flow, _ in switch.learned.values():
            view = fabric.view(dpid)
            found = pipeline.explain_flow(view, TRANSIENT, flow.key, None, NAMES)
            assert (found.owner, found.feature) == (Owner.SWITCH, "base")
            assert found.network in config.networks
            assert found.mac is not None
