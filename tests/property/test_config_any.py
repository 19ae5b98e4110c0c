"""Whatever a file holds, loading it ends well: a Config, or a ConfigError with places in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from controller.config import ConfigError, Problem, load
from controller.model import (
    MAX_AGEING,
    MAX_PORT,
    MAX_VNI,
    Attachment,
    Config,
    Dpid,
    Flooding,
    Mac,
    Network,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
)
from tests.support.universe import exported

GOOD = (Path(__file__).parents[2] / "docs" / "examples" / "full.yaml").read_text()


def problems(text: str) -> tuple[Problem, ...]:
    try:
        load(text, "any.yaml")
    except ConfigError as error:
        return error.problems
    return ()


def ends_well(text: str) -> None:
    lines = text.count("\n") + sum(map(text.count, "\r\x85\u2028\u2029")) + 2
    for problem in problems(text):
        assert problem.message
        assert 1 <= problem.line <= lines
        assert problem.column >= 1
        assert len(str(problem).splitlines()) == 1


@given(st.text())
def test_any_text(text: str) -> None:
    ends_well(text)


WORDS = """
    networks switches defaults vni name attachments endpoints vteps switch port vlan mac vtep dpid
    peer_ports tunnel_port ovsdb 1 100 0x1 192.0.2.1 02:00:00:00:00:01 vxlan0 null ~ << &a *a !t
    {} [] - : ? , # | > ' " % @ --- ... [a] \\0
"""
words = st.sampled_from([*WORDS.split(), "\t", "\0"])
glue = st.sampled_from(
    ["", " ", "\n", "\n  ", "\n    ", ": ", "\n- ", "\n  - ", ", ", "{", "}", "[", "]"]
)


@given(st.lists(st.tuples(words, glue), max_size=60))
def test_any_soup_of_the_words_that_matter(soup: list[tuple[str, str]]) -> None:
    ends_well("".join(word + space for word, space in soup))


@given(st.data())
def test_any_mutation_of_a_good_file(data: st.DataObject) -> None:
    text = GOOD
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 40, len(text))))
        middle = data.draw(
            st.one_of(st.text(max_size=5), words, glue, st.just(text[end : end + 80]))
        )
        text = text[:start] + middle + text[end:]
    ends_well(text)


scalars = st.one_of(st.none(), st.integers(), st.text(max_size=20), words, st.booleans())


def replaced(tree: Any, data: st.DataObject) -> Any:
    """The tree with something in it replaced by anything, or repeated as an alias."""
    if not isinstance(tree, dict | list) or not tree or data.draw(st.integers(0, 4)) == 0:
        anything = st.recursive(
            scalars, lambda inner: st.lists(inner) | st.dictionaries(words, inner), max_leaves=5
        )
        return data.draw(anything)
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = data.draw(st.sampled_from(keys))
    if data.draw(st.booleans()):
        tree[key] = replaced(tree[key], data)
    elif isinstance(tree, dict):
        tree[data.draw(words)] = tree[key]
    else:
        tree.append(tree[key])
    return tree


@given(st.data())
def test_any_mutation_of_the_content_of_a_good_file(data: st.DataObject) -> None:
    tree = yaml.load(GOOD, yaml.BaseLoader)
    for _ in range(data.draw(st.integers(1, 4))):
        tree = replaced(tree, data)
    ends_well(yaml.safe_dump(tree, sort_keys=False))


# There and back ------------------------------------------------------------------------------

vnis = st.integers(0, MAX_VNI).map(Vni)
dpids = st.integers(0, 2**64 - 1).map(Dpid)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: Mac(bytes([raw[0] & 0xFC | 2]) + raw[1:]))
ports = st.integers(1, MAX_PORT - 100) | st.from_regex(r"[a-z][a-z0-9@.-]{0,12}-p", fullmatch=True)
tunnel_ports = st.integers(MAX_PORT - 99, MAX_PORT) | st.sampled_from(["vx1", "vx2"])
own_vteps = st.integers(1, 254).map(lambda n: VtepAddress(f"10.0.0.{n}"))
foreign_vteps = st.one_of(
    st.integers(1, 254).map(lambda n: VtepAddress(f"192.0.2.{n}")),
    st.integers(1, 0xFFFF).map(lambda n: VtepAddress(f"2001:db8::{n:x}")),
)
ovsdbs = st.sampled_from([None, "tcp:{address}:6640", "tcp:[2001:db8::1]:1", "tcp:host:65535"])
names = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]), max_size=64)


@st.composite
def configs(draw: st.DrawFn) -> Config:
    places = draw(st.lists(st.tuples(dpids, ports), unique=True, max_size=8))
    networks: dict[Vni, Network] = {}
    called = draw(st.lists(names, unique_by=lambda name: name or object(), max_size=4))
    numbers = draw(st.lists(vnis, unique=True, min_size=len(called), max_size=len(called)))
    for vni, name in zip(numbers, called, strict=True):
        mine = draw(st.lists(st.sampled_from(places), unique=True)) if places else []
        vlan = len(networks) or None
        attachments = tuple(Attachment(dpid, port, vlan) for dpid, port in mine)
        at = st.sampled_from(attachments) | foreign_vteps if attachments else foreign_vteps
        endpoints = st.builds(StaticEndpoint, macs, at)
        networks[vni] = Network(
            vni=vni,
            name=name,
            flooding=draw(st.sampled_from(Flooding)),
            ageing=draw(st.integers(0, MAX_AGEING)),
            learning=draw(st.booleans()),
            attachments=attachments,
            endpoints=tuple(draw(st.lists(endpoints, unique_by=lambda item: item.mac, max_size=4))),
            vteps=tuple(draw(st.lists(foreign_vteps, unique=True, max_size=4))),
        )
    switches: dict[Dpid, SwitchConfig] = {}
    known = dpids | st.sampled_from([dpid for dpid, _ in places] or [Dpid(1)])
    for vtep in draw(st.lists(own_vteps, unique=True, max_size=4)):
        peers = draw(st.lists(st.tuples(foreign_vteps, tunnel_ports), max_size=4))
        peer_ports = {peer: port for port, peer in {port: peer for peer, port in peers}.items()}
        switches[draw(known.filter(lambda dpid: dpid not in switches))] = SwitchConfig(
            vtep=draw(st.sampled_from([None, vtep])),
            tunnel_port=None if peer_ports else draw(st.none() | tunnel_ports),
            peer_ports=peer_ports,
            ovsdb=draw(ovsdbs),
        )
    return Config(networks, switches, SwitchConfig(tunnel_port="vxlan0", ovsdb=draw(ovsdbs)))


@given(configs())
def test_what_is_written_is_read(config: Config) -> None:
    result = load(exported(config), "any.yaml")
    assert result == config
    assert list(result.networks) == list(config.networks)
    assert list(result.switches) == list(config.switches)
