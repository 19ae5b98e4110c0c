"""Hypothesis strategies for the values of :mod:`controller.flows`, always in canonical form."""

from __future__ import annotations

from collections.abc import Collection

from hypothesis import strategies as st

from controller.flows import (
    OFPP_CONTROLLER,
    OFPP_IN_PORT,
    OUR_COOKIES,
    VLAN_PRESENT,
    WIDTH,
    Action,
    Field,
    Flow,
    FromField,
    FromValue,
    Group,
    Learn,
    Match,
    Output,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    ToGroup,
    group_id,
)
from controller.model import MAX_VNI

UNMASKABLE = {"in_port", "eth_type"}
READ_ONLY = {"in_port", "eth_type"}
LEARN_BITS = {**WIDTH, "vlan_vid": 12}
"""A learn() copies a VLAN id without its OFPVID_PRESENT."""

table_numbers = st.integers(0, 254)
port_numbers = st.integers(1, 0xFEFF)
"""What OVS takes, and so more than any switch has."""
priorities = st.integers(0, 0xFFFF)
group_ids = st.integers(0, MAX_VNI).map(group_id)
cookies = st.integers(0, (1 << 48) - 1).map(lambda low: OUR_COOKIES | low)


def values(name: str) -> st.SearchStrategy[int]:
    """Any value of a field."""
    if name == "in_port":
        return port_numbers
    return st.integers(0, (1 << WIDTH[name]) - 1)


def matched(name: str) -> st.SearchStrategy[Field]:
    """A field matched in whole or under a mask, which is neither none nor all of it."""
    whole = st.builds(Field, st.just(name), values(name))
    if name in UNMASKABLE:
        return whole
    masks = st.integers(1, (1 << WIDTH[name]) - 2)
    masked = st.builds(lambda v, m: Field(name, v & m, m), values(name), masks)
    return whole | masked


@st.composite
def matches(draw: st.DrawFn, names: Collection[str] = tuple(WIDTH)) -> Match:
    chosen = draw(st.sets(st.sampled_from(sorted(names))))
    return tuple(draw(matched(name)) for name in sorted(chosen))


@st.composite
def set_fields(draw: st.DrawFn, names: Collection[str] = tuple(WIDTH)) -> SetField:
    name = draw(st.sampled_from(sorted(names)))
    return SetField(name, draw(values(name)))


outputs = st.builds(Output, port_numbers | st.just(OFPP_IN_PORT)) | st.builds(
    Output, st.just(OFPP_CONTROLLER), st.integers(0, 0xFFFF)
)


@st.composite
def learn_parts(draw: st.DrawFn, names: Collection[str]) -> FromField | FromValue:
    dst = draw(st.sampled_from(sorted(names)))
    alike = [name for name in sorted(WIDTH) if LEARN_BITS[name] == LEARN_BITS[dst]]
    from_field = st.builds(FromField, st.sampled_from(alike), st.just(dst))
    values = st.integers(0, (1 << LEARN_BITS[dst]) - 1)
    return draw(from_field | st.builds(FromValue, values, st.just(dst)))


learns = st.builds(
    Learn,
    table=table_numbers,
    priority=priorities,
    hard_timeout=st.integers(1, 0xFFFF),
    cookie=cookies,
    match=st.lists(learn_parts(WIDTH), max_size=6).map(tuple),
    load=st.lists(learn_parts(WIDTH.keys() - READ_ONLY), max_size=3).map(tuple),
    output_in_port=st.booleans(),
)

bucket_actions: st.SearchStrategy[Action] = st.one_of(
    outputs,
    st.builds(ToGroup, group_ids),
    set_fields(),
    st.just(PushVlan()),
    st.just(PopVlan()),
    st.builds(Resubmit, table_numbers),
)
actions = bucket_actions | learns

metadata_writes = st.builds(lambda v, m: (v & m, m), values("metadata"), values("metadata"))

flows = st.builds(
    Flow,
    table=table_numbers,
    priority=priorities,
    match=matches(),
    apply=st.lists(actions, max_size=6).map(tuple),
    clear=st.booleans(),
    write=st.lists(actions, max_size=4).map(tuple),
    metadata=st.none() | metadata_writes,
    goto=st.none() | table_numbers,
    idle_timeout=st.integers(0, 0xFFFF),
    notify=st.booleans(),
)
"""Any flow, sensible or not."""

groups = st.builds(
    Group,
    group_ids,
    st.lists(st.lists(bucket_actions, max_size=4).map(tuple), max_size=6).map(tuple),
)


# What Open vSwitch accepts, and tells again without change

_settable = set_fields(WIDTH.keys() - READ_ONLY - {"vlan_vid"})


@st.composite
def accepted_actions(
    draw: st.DrawFn, tagged: bool, group: int, learn: bool = True
) -> tuple[Action, ...]:
    """Tags are taken off, and VLAN ids set, only where there is a tag for sure."""
    made: list[Action] = []
    plain: list[st.SearchStrategy[Action]] = [
        outputs,
        st.just(ToGroup(group)),
        _settable,
        st.builds(Resubmit, table_numbers),
    ]
    if learn:
        plain.append(learns)
    vlan_ids = st.integers(0, 0xFFF).map(lambda vid: SetField("vlan_vid", VLAN_PRESENT | vid))
    for _ in range(draw(st.integers(0, 6))):
        of_tags = [vlan_ids, st.just(PopVlan())] if tagged else [st.just(PushVlan())]
        action = draw(st.one_of(*plain, *of_tags))
        made.append(action)
        if isinstance(action, PushVlan | PopVlan):
            tagged = isinstance(action, PushVlan)
    return tuple(made)


@st.composite
def accepted_flows(draw: st.DrawFn, group: int) -> Flow:
    """A flow that OVS accepts when it holds this group."""
    match = draw(matches())
    tagged = any(
        f.name == "vlan_vid" and f.value & (VLAN_PRESENT if f.mask is None else f.mask) >= 0x1000
        for f in match
    )
    apply = draw(accepted_actions(tagged, group))
    table = draw(st.integers(0, 253))
    return Flow(
        table=table,
        priority=draw(priorities),
        match=match,
        apply=apply,
        clear=draw(st.booleans()),
        write=draw(accepted_actions(False, group, learn=False)),
        metadata=draw(st.none() | metadata_writes),
        goto=draw(st.none() | st.integers(table + 1, 254)),
        idle_timeout=draw(st.integers(0, 0xFFFF)),
        notify=draw(st.booleans()),
    )


accepted_groups = st.builds(
    Group,
    group_ids,
    st.lists(accepted_actions(False, group_id(0), learn=False), max_size=6).map(tuple),
)
