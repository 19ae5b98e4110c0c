"""Whatever is written in whatever order: the registry is consistent, exact, and forgets nothing."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from copy import deepcopy

from hypothesis import given
from hypothesis import strategies as st

from controller.config import ConfigError, Problem, load
from controller.model import Config, ConfigChange, difference
from controller.registry import Change, Contradiction, Contradictory, Registry, Writes
from controller.resources import (
    DEFAULTS,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkKey,
    Value,
    disassemble,
    document,
)
from tests.support.universe import Pair, after, contradictions, exported, writes

changes = st.lists(writes, max_size=12)


def applied(registry: Registry, sequence: Iterable[Writes]) -> list[Change]:
    """Accepts those changes that contradict nothing."""
    accepted: list[Change] = []
    for change in sequence:
        try:
            staged = registry.stage(change)
        except Contradictory:
            continue
        if staged:
            registry.accept(staged, registry.revision + 1)
            accepted.append(staged)
    return accepted


def everything(registry: Registry) -> object:
    """All that a registry consists of, and how much can be taken back."""
    state = {name: table for name, table in vars(registry._state).items() if name != "_undo"}
    return deepcopy((state, registry._state.mark(), registry.revisions, registry.revision))


def configured(registry: Registry) -> dict[Key, Value]:
    return dict(disassemble(registry.config()))


def found_by(registry: Registry, change: Writes) -> tuple[Contradiction, ...]:
    try:
        registry.stage(change)
    except Contradictory as error:
        return error.found
    return ()


@given(changes, st.lists(writes, max_size=4))
def test_what_is_taken_back_leaves_no_trace(before: list[Writes], tried: list[Writes]) -> None:
    registry = Registry()
    applied(registry, before)
    was = everything(registry)
    for change in tried:
        with suppress(Contradictory):
            registry.try_on(change)
    registry.take_back()
    assert everything(registry) == was


@given(changes, writes, writes)
def test_staging_leaves_what_was_tried_on_before(
    before: list[Writes], first: Writes, second: Writes
) -> None:
    registry = Registry()
    applied(registry, before)
    try:
        registry.try_on(first)
    except Contradictory:
        return
    was = everything(registry)
    found_by(registry, second)
    assert everything(registry) == was


@given(changes)
def test_a_sequence_of_changes_is_what_is_restored_from_their_documents(
    sequence: list[Writes],
) -> None:
    registry, stored = Registry(), dict[str, tuple[str, int]]()
    for revision, change in enumerate(applied(registry, sequence), 1):
        for key, text in change.operations():
            stored.pop(key, None)
            if text is not None:
                stored[key] = (text, revision)
    restored = Registry()
    restored.restore(stored, registry.revision)
    assert everything(restored) == everything(registry)
    assert restored.config() == registry.config()


@given(changes)
def test_changes_that_wait_together_are_as_if_each_came_alone(sequence: list[Writes]) -> None:
    """Each is checked on top of the others, then all are taken back, then all accepted."""
    alone, together = Registry(), Registry()
    applied(alone, sequence)
    staged = []
    for change in sequence:
        try:
            staged.append(together.try_on(change))
        except Contradictory:
            continue
    together.take_back()
    assert everything(together) == everything(Registry())
    for revision, each in enumerate(filter(None, staged), 1):
        together.accept(each, revision)
    assert everything(together) == everything(alone)


@given(changes)
def test_a_change_tells_the_engine_exactly_the_difference(sequence: list[Writes]) -> None:
    registry = Registry()
    for change in sequence:
        before = registry.config()
        for staged in applied(registry, [change]):
            assert staged.config == difference(before, registry.config())
            assert all(staged.writes[key] != old for key, old in staged.before.items())
    assert not registry.stage(dict(disassemble(registry.config()))), "writing what is there"
    assert registry.stage({}).config == ConfigChange()


@given(changes)
def test_the_exported_file_says_the_same(sequence: list[Writes]) -> None:
    registry = Registry()
    applied(registry, sequence)
    result = load(exported(registry.config()), "any.yaml")
    assert result == registry.config()
    again = Registry()
    applied(again, [dict(disassemble(result))])
    assert again.config() == registry.config()


def pair(found: Contradiction) -> Pair:
    return frozenset((found.key, found.other or found.key))


@given(changes, writes)
def test_every_contradiction_is_one_and_none_is_overlooked(
    before: list[Writes], change: Writes
) -> None:
    registry = Registry()
    applied(registry, before)
    state = configured(registry)
    assert not contradictions(state)
    found = found_by(registry, change)
    wrong = contradictions(after(state, change))
    assert len(set(found)) == len(found)
    assert bool(found) == bool(wrong)
    for each in found:
        assert resources(each) & wrong, each


def resources(found: Contradiction) -> set[Pair]:
    """Between whom a contradiction may be said to be: that something is missing is one of who
    needs it alone, reported of who takes it away; a default is one of the switch that has
    nothing else."""
    alone = {frozenset((key,)) for key in (found.key, found.other) if key is not None}
    default = {frozenset((key, DefaultsKey())) for key in (found.key, found.other) if key}
    return {pair(found)} | alone | default


@given(changes, writes)
def test_the_order_of_writes_is_no_matter_but_for_whom_is_told(
    before: list[Writes], change: Writes
) -> None:
    registry = Registry()
    applied(registry, before)
    forth = found_by(registry, change)
    assert found_by(registry, change) == forth
    backwards = dict(reversed(list(change.items())))
    back = found_by(registry, backwards)
    assert bool(forth) == bool(back)
    if not forth:
        assert registry.stage(backwards).config == registry.stage(change).config


@given(changes, writes)
def test_a_write_to_one_network_alters_nothing_of_the_others(
    before: list[Writes], change: Writes
) -> None:
    registry = Registry()
    applied(registry, before)
    was = dict(registry.networks)
    for staged in applied(registry, [change]):
        for vni in was.keys() - staged.config.networks.keys():
            assert registry.networks[vni] is was[vni]


@given(writes)
def test_a_file_is_wrong_where_the_same_writes_are(change: Writes) -> None:
    """As far as a file can say them: what belongs to no network cannot be written there."""
    state = {key: value for key, value in change.items() if value is not None}
    for key in list(state):
        vni = getattr(key, "vni", None)
        if vni is not None and NetworkKey(vni) not in state:
            del state[key]
    registry = Registry()
    found = found_by(registry, state)
    text = exported(assembled(state))
    try:
        load(text, "any.yaml")
        problems: tuple[Problem, ...] = ()
    except ConfigError as error:
        problems = error.problems
    assert len(problems) == len(found), text


def assembled(state: dict[Key, Value]) -> Config:
    """A whole configuration of parts that may contradict each other."""
    registry = Registry()
    for key, value in state.items():
        registry._state.write(key, value)
    for vni in list(registry._state.heads):
        registry._state.assemble(vni)
    return registry.config()


@given(changes)
def test_deleting_everything_leaves_nothing(sequence: list[Writes]) -> None:
    registry = Registry()
    applied(registry, sequence)
    registry.accept(registry.stage(dict.fromkeys(registry.revisions)), 99)
    empty = Registry()
    assert vars(registry._state) == vars(empty._state)
    assert registry.revisions.keys() <= {DefaultsKey()}
    assert registry.defaults == DEFAULTS


@given(changes)
def test_documents_say_all_of_a_value(sequence: list[Writes]) -> None:
    registry = Registry()
    applied(registry, sequence)
    for key in registry.revisions:
        value = registry.get(key)
        assert value is not None
        assert isinstance(key, EndpointKey) or document(key, value).canonical().keys() <= {
            "name", "flooding", "ageing", "learning", "vteps", "vlan", "vtep", "tunnel_port",
            "peer_ports", "ovsdb",
        }  # fmt: skip
