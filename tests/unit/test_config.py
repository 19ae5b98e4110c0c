"""The configuration file: what it means, and where each mistake is reported."""

from __future__ import annotations

import re
from pathlib import Path
from textwrap import dedent

import pytest
import yaml

from controller import config
from controller.config import ConfigError, Problem, load, load_file, schema, tree
from controller.model import (
    Attachment,
    Config,
    Dpid,
    Flooding,
    Mac,
    Network,
    PortRef,
    StaticEndpoint,
    SwitchConfig,
    Vni,
    VtepAddress,
)

DOCS = Path(__file__).parents[2] / "docs"
DEFAULTS = SwitchConfig(tunnel_port="vxlan0")


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def loader(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """libyaml and the pure Python parser say the same."""
    monkeypatch.setattr(tree, "_Loader", getattr(yaml, request.param))


def problems(text: str) -> tuple[Problem, ...]:
    with pytest.raises(ConfigError) as caught:
        load(text, "weft.yaml")
    return caught.value.problems


# What a file means ---------------------------------------------------------------------------


def test_every_key() -> None:
    s1, s2 = Dpid(1), Dpid(2)
    h1 = Attachment(s1, "h1-eth0")
    red = Network(
        vni=Vni(100),
        name="red",
        attachments=(h1, Attachment(s1, "trunk0", 10), Attachment(s2, 3)),
        endpoints=(
            StaticEndpoint(Mac(b"\2\0\0\0\0\1"), h1),
            StaticEndpoint(Mac(b"\2\0\0\0\0\x09"), VtepAddress("192.0.2.9")),
        ),
        vteps=(VtepAddress("192.0.2.9"),),
    )
    blue = Network(
        vni=Vni(0xFFFFFF),
        name="blue",
        flooding=Flooding.NONE,
        ageing=0,
        learning=False,
        attachments=(Attachment(s1, "trunk0", 20),),
    )
    peers: dict[VtepAddress, PortRef] = {
        VtepAddress("192.0.2.1"): "to-s1",
        VtepAddress("192.0.2.9"): 7,
    }
    expected = Config(
        networks={red.vni: red, blue.vni: blue},
        switches={
            s1: SwitchConfig(VtepAddress("192.0.2.1"), "vxlan1", {}, "tcp:127.0.0.1:6640"),
            s2: SwitchConfig(VtepAddress("192.0.2.2"), None, peers),
        },
        defaults=SwitchConfig(tunnel_port="vxlan0", ovsdb="tcp:{address}:6640"),
    )
    assert load_file(DOCS / "examples" / "full.yaml") == expected


def test_mappings_are_plain_and_in_file_order() -> None:
    result = load("networks: [{vni: 9}, {vni: 3}]\nswitches: [{dpid: 8}, {dpid: 2}]", "x")
    assert isinstance(result.networks, dict)
    assert isinstance(result.switches, dict)
    assert (list(result.networks), list(result.switches)) == ([9, 3], [8, 2])


@pytest.mark.parametrize("path", sorted((DOCS / "examples").glob("*.yaml")), ids=lambda p: p.name)
def test_examples_load(path: Path) -> None:
    assert load_file(path).networks


@pytest.mark.parametrize("text", ["", "# nothing", "---\n", "null", "networks:", "\ufeff", "{}"])
def test_empty(text: str) -> None:
    assert load(text, "x") == Config(defaults=DEFAULTS)


@pytest.mark.parametrize(
    "word", ["attachments:", "endpoints: ~", "vteps: null", "name:", "ageing:"]
)
def test_a_key_without_value_is_not_given(word: str) -> None:
    assert load(f"networks:\n  - vni: 1\n    {word}\n", "x").networks == {1: Network(Vni(1))}


@pytest.mark.parametrize(
    ("written", "dpid"),
    [
        ("0000000000000010", 16),
        ("0x10", 16),
        ("10", 10),
        ("00:00:00:00:00:00:00:0a", 10),
        ("'0123456789012345'", 0x0123456789012345),
    ],
)
def test_numbers_are_not_guessed_by_yaml(written: str, dpid: int) -> None:
    assert list(load(f"switches: [{{dpid: {written}}}]", "x").switches) == [dpid]


@pytest.mark.parametrize("word", ["true", "yes", "on", "True", "ON", "'yes'"])
def test_true(word: str) -> None:
    assert load(f"networks: [{{vni: 1, learning: {word}}}]", "x").networks[Vni(1)].learning


@pytest.mark.parametrize(
    "address",
    ["tcp:{address}:6640", "tcp:127.0.0.1:1", "tcp:[2001:db8::1]:6640", "tcp:s1.example.net:65535"],
)
def test_ovsdb(address: str) -> None:
    assert load(f"defaults: {{ovsdb: '{address}'}}", "x").defaults.ovsdb == address


def test_aliases_stand_for_what_they_repeat() -> None:
    text = "networks:\n  - {vni: 1, vteps: &all [192.0.2.1]}\n  - {vni: 2, vteps: *all}\n"
    assert load(text, "x").networks[Vni(2)].vteps == ("192.0.2.1",)


def test_a_port_by_number_may_be_the_one_by_name() -> None:
    text = """\
        networks:
          - vni: 1
            attachments: [{switch: 1, port: eth1}, {switch: 1, port: 7}]
            endpoints: [{mac: "02:00:00:00:00:01", switch: 1, port: 3}]
        """
    network = load(dedent(text), "x").networks[Vni(1)]
    assert network.endpoints[0].at == Attachment(Dpid(1), 3)


# What is wrong with a file -------------------------------------------------------------------

WRONG: dict[str, tuple[str, str]] = {
    # name: (text, what is reported: LINE:COL: path: words ... more words, one a line)
    "not yaml": ("networks: [\n1\n\n", "4:1: not YAML: ... flow sequence that begins at line 1"),
    "tab": ("networks:\n\t- vni: 1", "2:1: not YAML: ... spaces, not tabs"),
    "colon": ("networks: é: 1", "1:12: not YAML: mapping values"),
    "control character": ("a: b\nc: \0", "2:4: '\\x00' cannot stand in YAML"),
    "lone surrogate": ("a: \ud800", "1:4: '\\ud800' cannot stand in YAML"),
    "surrogate escaped": (
        'networks: [{vni: 1, name: "\\0"}]',
        "1:27: networks[0].name: '\\x00' has characters that cannot be printed",
    ),
    "two documents": ("networks:\n---\nnetworks:", "2:1: a second YAML document"),
    "top level list": ("- vni: 1", "1:1: a mapping is expected ... networks, switches, defaults"),
    "top level word": ("hello", "1:1: a mapping is expected"),
    "merge key": (
        "networks:\n  - &a {vni: 1}\n  - {<<: *a, vni: 2}",
        "3:6: networks[1]: merge keys",
    ),
    "tag": ("networks: [{vni: !!int 1}]", "1:18: networks[0].vni: tags"),
    "tag on a mapping": ("!!python/object:os.system {}", "1:1: tags"),
    "unknown alias": ("networks: *x", "1:11: networks: alias *x is not known"),
    "alias of itself": ("networks: &x [*x]", "1:15: networks[0]: alias *x stands inside"),
    "too deep": ("networks: " + "[" * 40, "1:27: networks[0][0][0]: nested deeper"),
    "list as key": ("networks:\n  - [1]: 2", "2:5: networks[0]: not a key: a single value"),
    "text too long": (f"networks: [{{vni: {'1' * 999}}}]", "1:18: networks[0].vni: 999 characters"),
    "key given twice": (
        "networks:\n  - vni: 1\n    name: a\n    vni: 2",
        "4:5: networks[0].vni: already given at line 2",
    ),
    "top level key given twice": ("switches:\nswitches:", "2:1: switches: already given at line 1"),
    "unknown top level key": (
        "networks:\nswitch:\n",
        "2:1: switch: unknown key (did you mean 'switches'?)... networks, switches, defaults",
    ),
    "unknown key": (
        "networks:\n  - vni: 1\n    attachements: []",
        "3:5: networks[0].attachements: unknown key (did you mean 'attachments'?)... endpoints",
    ),
    "unknown key unlike any": (
        "networks: [{vni: 1, qqqqq: 2}]",
        "1:21: ... unknown key; known are",
    ),
    "unknown key of an attachment": (
        "networks: [{vni: 1, attachments: [{switch: 1, port: 2, vlna: 3}]}]",
        "1:56: networks[0].attachments[0].vlna: ... 'vlan'",
    ),
    "unknown key of an endpoint": (
        "networks: [{vni: 1, endpoints: [{mac: '02:00:00:00:00:01', vtep: 192.0.2.1, mca: 3}]}]",
        "1:77: networks[0].endpoints[0].mca: ... 'mac'",
    ),
    "unknown key of a switch": (
        "switches: [{dpid: 1, vtpe: 2}]",
        "1:22: switches[0].vtpe: ... 'vtep'",
    ),
    "unknown key of defaults": ("defaults: {vtep: 192.0.2.1}", "1:12: defaults.vtep: unknown key"),
    "no vni": ("networks:\n  - name: a", "2:5: networks[0]: 'vni' is missing"),
    "empty vni": ("networks:\n  - vni:", "2:5: networks[0]: 'vni' is missing"),
    "no dpid": ("switches: [{}]", "1:12: switches[0]: 'dpid' is missing"),
    "attachment without a port": (
        "networks: [{vni: 1, attachments: [{switch: 1}]}]",
        "1:35: networks[0].attachments[0]: 'port' is missing",
    ),
    "networks not a list": ("networks: {vni: 1}", "1:11: networks: a list is expected"),
    "network not a mapping": ("networks: [100]", "1:12: networks[0]: a mapping is expected"),
    "empty item": ("networks:\n  -", "2:4: networks[0]: a mapping is expected"),
    "empty item of a list": (
        "networks: [{vni: 1, vteps: [~]}]",
        "1:29: networks[0].vteps[0]: a single value is expected",
    ),
    "attachments not a list": (
        "networks: [{vni: 1, attachments: 3}]",
        "1:34: networks[0].attachments: a list is expected",
    ),
    "list for a value": ("networks: [{vni: [1]}]", "1:18: networks[0].vni: a single value"),
    "vni": ("networks: [{vni: red}]", "1:18: networks[0].vni: 'red' is not a VNI"),
    "vni out of range": ("networks: [{vni: 16777216}]", "1:18: networks[0].vni: ... 0 to 16777215"),
    "empty name": ("networks: [{vni: 1, name: ''}]", "1:27: networks[0].name: ... 1 to 64"),
    "long name": (
        f"networks: [{{vni: 1, name: {'x' * 65}}}]",
        "1:27: networks[0].name: ... 1 to 64",
    ),
    "flooding": ("networks: [{vni: 1, flooding: all}]", "1:31: networks[0].flooding: ... head-end"),
    "ageing": ("networks: [{vni: 1, ageing: 65536}]", "1:29: networks[0].ageing: ... 0 to 65535"),
    "ageing below": (
        "networks: [{vni: 1, ageing: -1}]",
        "1:29: networks[0].ageing: ... 0 to 65535",
    ),
    "learning": (
        "networks: [{vni: 1, learning: 1}]",
        "1:31: networks[0].learning: ... true nor false",
    ),
    "switch": (
        "networks: [{vni: 1, attachments: [{switch: s1, port: 2}]}]",
        "1:44: networks[0].attachments[0].switch: 's1' is not a datapath id",
    ),
    "port": (
        "networks: [{vni: 1, attachments: [{switch: 1, port: 0}]}]",
        "1:53: networks[0].attachments[0].port: port 0 is out of range",
    ),
    "vlan": (
        "networks: [{vni: 1, attachments: [{switch: 1, port: 1, vlan: 4095}]}]",
        "1:62: networks[0].attachments[0].vlan: VLAN 4095 is out of range",
    ),
    "mac": (
        "networks: [{vni: 1, endpoints: [{mac: x, vtep: 192.0.2.1}]}]",
        "1:39: networks[0].endpoints[0].mac: 'x' is not an Ethernet address",
    ),
    "group mac": (
        "networks: [{vni: 1, endpoints: [{mac: 'ff:ff:ff:ff:ff:ff', vtep: 192.0.2.1}]}]",
        "1:39: networks[0].endpoints[0].mac: ... group or zero",
    ),
    "vtep": (
        "networks: [{vni: 1, vteps: [192.0.2]}]",
        "1:29: networks[0].vteps[0]: ... IPv4 or IPv6",
    ),
    "multicast vtep": (
        "switches: [{dpid: 1, vtep: 224.0.0.1}]",
        "1:28: switches[0].vtep: ... unicast",
    ),
    "endpoint nowhere": (
        "networks: [{vni: 1, endpoints: [{mac: '02:00:00:00:00:01'}]}]",
        "1:33: networks[0].endpoints[0]: say where",
    ),
    "endpoint with half a place": (
        "networks: [{vni: 1, endpoints: [{mac: '02:00:00:00:00:01', switch: 1}]}]",
        "1:33: networks[0].endpoints[0]: say where",
    ),
    "endpoint in two places": (
        "networks: [{vni: 1, endpoints: [{mac: '02:00:00:00:00:01', port: 1, vtep: 192.0.2.1}]}]",
        "1:33: networks[0].endpoints[0]: ... not both",
    ),
    "ovsdb": ("defaults: {ovsdb: unix:/x}", "1:19: defaults.ovsdb: ... tcp:HOST:PORT"),
    "ovsdb port": ("defaults: {ovsdb: 'tcp:x:65536'}", "1:19: defaults.ovsdb: ... tcp:HOST:PORT"),
    "ovsdb IPv4": ("defaults: {ovsdb: 'tcp:1.2.3:1'}", "1:19: defaults.ovsdb: ... tcp:HOST:PORT"),
    "ovsdb IPv6": ("defaults: {ovsdb: 'tcp:[1::2::3]:1'}", "1:19: defaults.ovsdb: ... [IPv6"),
    "peer": (
        "switches: [{dpid: 1, peer_ports: {s2: 1}}]",
        "1:35: switches[0].peer_ports.s2: 's2' is not an IPv4 or IPv6 address",
    ),
    "peer port": (
        "switches: [{dpid: 1, peer_ports: {192.0.2.2: 0}}]",
        "1:46: switches[0].peer_ports[192.0.2.2]: port 0 is out of range",
    ),
    "peer ports not a mapping": (
        "switches: [{dpid: 1, peer_ports: [a]}]",
        "1:34: switches[0].peer_ports: a mapping is expected",
    ),
    # One thing against another
    "vni twice": (
        "networks:\n  - vni: 100\n  - vni: 0x64",
        "3:10: networks[1].vni: VNI 100 is already in use at line 2",
    ),
    "name twice": (
        "networks:\n  - {vni: 1, name: a}\n  - {vni: 2, name: a}",
        "3:20: networks[1].name: 'a' already names a network at line 2",
    ),
    "attached twice": (
        """\
        networks:
          - vni: 100
            attachments:
              - {switch: 1, port: 2, vlan: 3}
          - vni: 200
            attachments:
              - {switch: 0x1, port: 2, vlan: 3}
        """,
        "7:9: networks[1].attachments[0]: already attached to network 100 at line 4",
    ),
    "attached twice by an alias": (
        """\
        networks:
          - vni: 100
            attachments: &all
              - {switch: 1, port: 2}
          - vni: 200
            attachments: *all
        """,
        "6:18: networks[1].attachments[0]: already attached to network 100 at line 4",
    ),
    "attached twice to one network": (
        """\
        networks:
          - vni: 100
            attachments:
              - {switch: 1, port: 2, vlan: 3}
              - {switch: 1, port: 2}
        """,
        "5:9: networks[0].attachments[1]: ... already attached to this network at line 4",
    ),
    "attached tunnel port": (
        """\
        networks:
          - {vni: 1, attachments: [{switch: 1, port: vxlan0}]}
          - {vni: 2, attachments: [{switch: 2, port: 9}]}
          - {vni: 3, attachments: [{switch: 3, port: to-s1}, {switch: 3, port: vxlan0}]}
        switches:
          - {dpid: 2, tunnel_port: 9}
          - {dpid: 3, peer_ports: {192.0.2.1: to-s1}}
        """,
        """\
        2:28: networks[0].attachments[0]: vxlan0 is a tunnel port
        3:28: networks[1].attachments[0]: 9 is a tunnel port
        4:28: networks[2].attachments[0]: to-s1 is a tunnel port""",
    ),
    "mac twice": (
        """\
        networks:
          - vni: 1
            endpoints:
              - {mac: "02:00:00:00:00:01", vtep: 192.0.2.1}
              - {mac: 0200.0000.0001, vtep: 192.0.2.2}
        """,
        "5:15: networks[0].endpoints[1].mac: 02:00:00:00:00:01 already has a place at line 4",
    ),
    "vtep twice": (
        "networks:\n  - vni: 1\n    vteps:\n      - 2001:db8::1\n      - 2001:DB8:0::1",
        "5:9: networks[0].vteps[1]: 2001:db8::1 is already listed at line 4",
    ),
    "endpoint not attached": (
        """\
        networks:
          - vni: 1
            attachments: [{switch: 1, port: 1}]
            endpoints:
              - {mac: "02:00:00:00:00:01", switch: 1, port: 2}
              - {mac: "02:00:00:00:00:02", switch: 2, port: 1}
              - {mac: "02:00:00:00:00:03", switch: 1, port: 1, vlan: 1}
        """,
        """\
        5:9: networks[0].endpoints[0]: not an attachment
        6:9: networks[0].endpoints[1]: not an attachment
        7:9: networks[0].endpoints[2]: not an attachment""",
    ),
    "endpoint perhaps at the unreadable attachment": (
        """\
        networks:
          - vni: 1
            attachments: [{switch: 1, port: 0}]
            endpoints: [{mac: "02:00:00:00:00:01", switch: 1, port: 1}]
        """,
        "3:37: networks[0].attachments[0].port: port 0",
    ),
    "our own vtep": (
        """\
        networks:
          - vni: 1
            vteps: [192.0.2.1]
            endpoints: [{mac: "02:00:00:00:00:01", vtep: 192.0.2.1}]
        switches:
          - {dpid: 1, vtep: 192.0.2.1}
        """,
        """\
        3:13: networks[0].vteps[0]: 192.0.2.1 is our own switch's at line 6: leave it out
        4:50: networks[0].endpoints[0].vtep: ... place the endpoint by switch and port""",
    ),
    "dpid twice": (
        "switches:\n  - dpid: 1\n  - dpid: 0000000000000001",
        "3:11: switches[1].dpid: switch 0000000000000001 is already described at line 2",
    ),
    "one vtep of two switches": (
        "switches:\n  - {dpid: 1, vtep: 192.0.2.1}\n  - {dpid: 2, vtep: 192.0.2.1}",
        "3:21: switches[1].vtep: already the address of the switch at line 2",
    ),
    "peer ports and a tunnel port": (
        "switches: [{dpid: 1, tunnel_port: 3, peer_ports: {192.0.2.2: 1}}]",
        "1:35: switches[0].tunnel_port: a switch with peer_ports has none",
    ),
    "its own peer": (
        "switches: [{dpid: 1, vtep: 192.0.2.1, peer_ports: {192.0.2.1: 1}}]",
        "1:52: switches[0].peer_ports[192.0.2.1]: the switch's own vtep",
    ),
    "peer twice": (
        "switches:\n- dpid: 1\n  peer_ports:\n    2001:db8::1: 1\n    2001:DB8::1: 2",
        "5:5: switches[0].peer_ports[2001:DB8::1]: 2001:db8::1 already has a port at line 4",
    ),
    "peer port twice": (
        "switches:\n- dpid: 1\n  peer_ports:\n    192.0.2.1: 1\n    192.0.2.2: 1",
        "5:16: switches[0].peer_ports[192.0.2.2]: port 1 already leads to a peer at line 4",
    ),
    # Many things at once
    "five mistakes": (
        """\
        networks:
          - vni: 16777216
          - vni: 200
            colour: red
            attachments:
              - {switch: 1, port: eth1, vlan: 5000}
              - {switch: 1, port: eth2}
              - {switch: 1, port: eth2}
        switches:
          - vtep: 192.0.2.1
        """,
        """\
        2:10: networks[0].vni: ... out of range
        4:5: networks[1].colour: unknown key
        6:39: networks[1].attachments[0].vlan: ... out of range
        8:9: networks[1].attachments[2]: already attached to network 200 at line 7
        10:5: switches[0]: 'dpid' is missing""",
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_every_mistake_is_reported_at_its_place(name: str) -> None:
    text, expected = map(dedent, WRONG[name])
    reported = str(ConfigError(list(problems(text)))).splitlines()
    assert len(reported) == len(expected.splitlines()), "\n".join(reported)
    for line, words in zip(reported, expected.splitlines(), strict=True):
        pattern = ".*".join(map(re.escape, words.split("...")))
        assert re.match(r"weft\.yaml:" + pattern, line), f"{line}\nis not\n{words}"


def test_billion_laughs_are_harmless() -> None:
    laughs = "".join(
        f"  - &a{i + 1} {{vni: 1, vteps: [{', '.join([f'*a{i}'] * 10)}]}}\n" for i in range(1, 12)
    )
    found = problems(f"networks:\n  - &a1 {{vni: 0}}\n{laughs}")
    assert found[-1].message == "aliases stand for more than 1000000 values: use fewer"


def test_an_alias_may_lead_to_what_was_cut_out() -> None:
    text = "networks: [&x {dpid: 1, peer_ports: {bad: 1}}]\nswitches: [*x]\ndefaults: *x\n"
    assert {problem.line for problem in problems(text)} == {1, 2, 3}


# Files ---------------------------------------------------------------------------------------


def file_problem(path: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_file(path)
    return str(caught.value)


def test_missing_file(tmp_path: Path) -> None:
    path = tmp_path / "none.yaml"
    assert file_problem(path) == (
        f"{path}:1:1: cannot be read: No such file or directory; "
        "create the file or correct its path"
    )


def test_directory(tmp_path: Path) -> None:
    assert "cannot be read: Is a directory" in file_problem(tmp_path)


def test_impossible_path() -> None:
    assert "cannot be read: embedded null byte" in file_problem(Path("\0"))


def test_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "latin.yaml"
    path.write_bytes("networks:\n  - {vni: 1, name: é-".encode() + b"\xe9}\n")
    assert file_problem(path) == f"{path}:2:22: byte 0xe9 is not UTF-8: save the file as UTF-8"


def test_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "large.yaml"
    path.write_text("#" * 101)
    monkeypatch.setattr(config, "MAX_FILE", 100)
    assert "larger than" in file_problem(path)
    path.write_text("#" * 100)
    assert not load_file(path).networks


# Documentation -------------------------------------------------------------------------------


def test_the_documented_errors_are_real() -> None:
    page = (DOCS / "configuration.md").read_text()
    text, output = re.findall(
        r"```(?:yaml|text)\n(.*?)```", page.split("## Mistakes")[1], re.DOTALL
    )
    with pytest.raises(ConfigError) as caught:
        load(text, "weft.yaml")
    assert f"{caught.value}\n" == output


def test_the_documented_file_is_the_example() -> None:
    page = (DOCS / "configuration.md").read_text()
    assert f"```yaml\n{(DOCS / 'examples' / 'full.yaml').read_text()}```" in page


def test_every_key_is_documented() -> None:
    page = (DOCS / "configuration.md").read_text()
    for keys in schema._MODELS.values():
        assert all(f"`{key}`" in page for key in keys.model_fields)
