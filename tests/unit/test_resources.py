"""Keys and documents: their forms, their rules, and the values that they stand for."""

from __future__ import annotations

import json
import re
from typing import Any

import jsonschema_rs
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from controller.model import (
    MAX_AGEING,
    MAX_PORT,
    MAX_VLAN,
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
    parse_port,
)
from controller.resources import (
    DEFAULTS,
    AttachmentDocument,
    AttachmentKey,
    DefaultsDocument,
    DefaultsKey,
    EndpointKey,
    Key,
    NetworkDocument,
    NetworkKey,
    SwitchKey,
    Value,
    disassemble,
    document,
    documents,
    model_of,
    parse_key,
    understand,
)

VNI, ONE, MAC = Vni(100), Dpid(1), Mac(b"\2\0\0\0\0\1")
NETWORK, ATTACHMENT, ENDPOINT = (
    NetworkKey(VNI),
    AttachmentKey(VNI, ONE, "h1"),
    EndpointKey(VNI, MAC),
)
SWITCH, GENERAL = SwitchKey(ONE), DefaultsKey()
KEYS: dict[str, Key] = {
    "networks/100": NETWORK,
    "networks/100/attachments/0000000000000001/h1": ATTACHMENT,
    "networks/100/attachments/0000000000000001/7": AttachmentKey(VNI, ONE, 7),
    "networks/100/endpoints/02:00:00:00:00:01": ENDPOINT,
    "switches/0000000000000001": SWITCH,
    "defaults": GENERAL,
}

# --- keys --------------------------------------------------------------------------------------

vnis = st.integers(0, MAX_VNI).map(Vni)
dpids = st.integers(0, 2**64 - 1).map(Dpid)
macs = st.binary(min_size=6, max_size=6).map(lambda raw: Mac(bytes([raw[0] & 0xFC | 2]) + raw[1:]))
names = st.from_regex(r"[!-.:-~]{1,15}", fullmatch=True)
ports = st.integers(1, MAX_PORT) | names.map(str).filter(lambda name: not name.isdigit())
keys: st.SearchStrategy[Key] = st.one_of(
    st.builds(NetworkKey, vnis),
    st.builds(AttachmentKey, vnis, dpids, ports),
    st.builds(EndpointKey, vnis, macs),
    st.builds(SwitchKey, dpids),
    st.just(DefaultsKey()),
)


@pytest.mark.parametrize("text", KEYS)
def test_a_key_is_the_path_of_its_resource(text: str) -> None:
    assert parse_key(text) == KEYS[text]
    assert str(KEYS[text]) == text


@given(keys)
def test_a_key_can_be_read_back(key: Key) -> None:
    assert parse_key(str(key)) == key


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("networks/0x64", NETWORK),
        ("networks/100/attachments/1/h1", ATTACHMENT),
        ("networks/100/endpoints/0200.0000.0001", ENDPOINT),
        ("switches/00:00:00:00:00:00:00:01", SWITCH),
    ],
)
def test_any_form_of_a_key_is_taken(text: str, key: Key) -> None:
    assert parse_key(text) == key


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "no configured resource"),
        ("networks", "no configured resource"),
        ("networks/100/", "no configured resource"),
        ("networks/100/vteps/192.0.2.1", "no configured resource"),
        ("Defaults", "no configured resource"),
        ("networks/red", "not a VNI"),
        ("networks/16777216", "24 bits"),
        ("networks/1/attachments/s1/1", "not a datapath id"),
        ("networks/1/attachments/1/0", "out of range"),
        ("networks/1/attachments/1/a b", "no port"),
        ("networks/1/endpoints/ff:ff:ff:ff:ff:ff", "group or zero"),
        ("switches/x", "not a datapath id"),
    ],
)
def test_what_is_no_key(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_key(text)


@given(st.text())
def test_any_text_is_a_key_or_a_value_error(text: str) -> None:
    try:
        key = parse_key(text)
    except ValueError:
        return
    assert parse_key(str(key)) == key


# --- documents ---------------------------------------------------------------------------------

SAID: list[tuple[Key, dict[str, Any], Value, dict[str, Any] | None]] = [
    # key, what is written, what it means, its canonical form where that is another
    (NETWORK, {}, Network(VNI), None),
    (NETWORK, {"name": "", "ageing": 300, "learning": True, "vteps": []}, Network(VNI), {}),
    (
        NETWORK,
        {"name": "red", "flooding": "none", "ageing": 0, "learning": False,
         "vteps": ["2001:DB8:0::1", "192.0.2.1"]},
        Network(VNI, "red", Flooding.NONE, 0, False,
                vteps=(VtepAddress("2001:db8::1"), VtepAddress("192.0.2.1"))),
        {"name": "red", "flooding": "none", "ageing": 0, "learning": False,
         "vteps": ["2001:db8::1", "192.0.2.1"]},
    ),
    (ATTACHMENT, {"vlan": None}, Attachment(ONE, "h1"), {}),
    (ATTACHMENT, {"vlan": 4094}, Attachment(ONE, "h1", 4094), None),
    (ENDPOINT, {"vtep": "192.0.2.1"}, StaticEndpoint(MAC, VtepAddress("192.0.2.1")), None),
    (
        ENDPOINT, {"switch": 1, "port": "7", "vlan": 9},
        StaticEndpoint(MAC, Attachment(ONE, 7, 9)),
        {"switch": "0000000000000001", "port": 7, "vlan": 9},
    ),
    (SWITCH, {}, SwitchConfig(), None),
    (
        SWITCH,
        {"vtep": "192.0.2.1", "peer_ports": {"2001:DB8::9": "to9"}, "ovsdb": "tcp:{address}:6640"},
        SwitchConfig(VtepAddress("192.0.2.1"), None, {VtepAddress("2001:db8::9"): "to9"},
                     "tcp:{address}:6640"),
        {"vtep": "192.0.2.1", "peer_ports": {"2001:db8::9": "to9"}, "ovsdb": "tcp:{address}:6640"},
    ),
    (SWITCH, {"tunnel_port": "0x1"}, SwitchConfig(tunnel_port="0x1"), None),
    (GENERAL, {}, DEFAULTS, None),
    (GENERAL, {"tunnel_port": "vxlan0"}, DEFAULTS, {}),
    (GENERAL, {"tunnel_port": 3}, SwitchConfig(tunnel_port=3), None),
]  # fmt: skip


@pytest.mark.parametrize(("key", "written", "value", "canonical"), SAID)
def test_what_a_document_means(
    key: Key, written: dict[str, Any], value: Value, canonical: dict[str, Any] | None
) -> None:
    model = model_of(key)
    for read in (model.model_validate(written), model.model_validate_json(json.dumps(written))):
        assert understand(key, read) == value
        assert read.canonical() == (written if canonical is None else canonical)
        assert document(key, value) == read
        assert model.model_validate(read.canonical()) == read


WRONG: list[tuple[Key, dict[str, Any], tuple[str, ...], str]] = [
    # key, what is written, where it is wrong, what is said
    (NETWORK, {"mtu": 9000}, ("mtu",), "Extra inputs"),
    (NETWORK, {"vni": 100}, ("vni",), "Extra inputs"),
    (NETWORK, {"attachments": []}, ("attachments",), "Extra inputs"),
    (NETWORK, {"name": "x" * 65}, ("name",), "at most 64"),
    (NETWORK, {"name": "a\nb"}, ("name",), "cannot be printed"),
    (NETWORK, {"name": None}, ("name",), "string"),
    (NETWORK, {"flooding": "all"}, ("flooding",), "'head-end' or 'none'"),
    (NETWORK, {"ageing": MAX_AGEING + 1}, ("ageing",), "less than or equal to 65535"),
    (NETWORK, {"ageing": -1}, ("ageing",), "greater than or equal to 0"),
    (NETWORK, {"ageing": "60"}, ("ageing",), "integer"),
    (NETWORK, {"ageing": True}, ("ageing",), "integer"),
    (NETWORK, {"learning": "no"}, ("learning",), "boolean"),
    (NETWORK, {"vteps": ["192.0.2.1", "224.0.0.1"]}, ("vteps", "1"), "unicast"),
    (NETWORK, {"vteps": ["2001:db8::1", "2001:DB8::1"]}, ("vteps",), "2001:db8::1: listed more"),
    (ATTACHMENT, {"vlan": 0}, ("vlan",), "greater than or equal to 1"),
    (ATTACHMENT, {"vlan": MAX_VLAN + 1}, ("vlan",), "less than or equal to 4094"),
    (ATTACHMENT, {"vlan": "10"}, ("vlan",), "integer"),
    (ATTACHMENT, {"port": 1}, ("port",), "Extra inputs"),
    (ENDPOINT, {}, (), "say where the endpoint is"),
    (ENDPOINT, {"switch": "1"}, (), "say where the endpoint is"),
    (ENDPOINT, {"port": 1}, (), "say where the endpoint is"),
    (ENDPOINT, {"vtep": "192.0.2.1", "vlan": 1}, (), "not both"),
    (ENDPOINT, {"switch": "s1", "port": 1}, ("switch",), "not a datapath id"),
    (ENDPOINT, {"switch": True, "port": 1}, ("switch",), "16 hex digits"),
    (ENDPOINT, {"switch": "1", "port": 0}, ("port",), "out of range"),
    (ENDPOINT, {"switch": "1", "port": 1.5}, ("port",), "a number or a name"),
    (ENDPOINT, {"switch": "1", "port": True}, ("port",), "a number or a name"),
    (ENDPOINT, {"switch": "1", "port": "a/b"}, ("port",), "no port"),
    (SWITCH, {"vtep": "s1"}, ("vtep",), "not an IPv4 or IPv6 address"),
    (SWITCH, {"ovsdb": "unix:/x"}, ("ovsdb",), "no OVSDB address"),
    (SWITCH, {"peer_ports": {"s2": 1}}, ("peer_ports", "s2", "[key]"), "not an IPv4 or IPv6"),
    (SWITCH, {"peer_ports": {"192.0.2.2": 0}}, ("peer_ports", "192.0.2.2"), "out of range"),
    (SWITCH, {"peer_ports": {"2001:db8::1": 1, "2001:DB8::1": 2}}, ("peer_ports",),
     "more than once"),
    (SWITCH, {"peer_ports": None}, ("peer_ports",), "dictionary"),
    (GENERAL, {"tunnel_port": None}, ("tunnel_port",), "a number or a name"),
    (GENERAL, {"vtep": "192.0.2.1"}, ("vtep",), "Extra inputs"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "written", "where", "words"), WRONG)
def test_what_is_wrong_with_a_document(
    key: Key, written: dict[str, Any], where: tuple[str, ...], words: str
) -> None:
    with pytest.raises(ValidationError) as caught:
        model_of(key).model_validate(written)
    (error,) = caught.value.errors()
    assert tuple(map(str, error["loc"])) == where
    assert re.search(words, error["msg"]), error["msg"]


def test_a_document_and_a_key_of_another_kind() -> None:
    with pytest.raises(TypeError, match="do not belong together"):
        understand(NETWORK, AttachmentDocument.model_validate({}))


def test_documents_do_not_change() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        NetworkDocument.model_validate({}).name = "other"


def test_the_parts_of_a_configuration() -> None:
    endpoint = StaticEndpoint(MAC, Attachment(ONE, "h1"))
    network = Network(VNI, "red", attachments=(Attachment(ONE, "h1"),), endpoints=(endpoint,))
    config = Config({VNI: network}, {ONE: SwitchConfig(tunnel_port=9)}, DEFAULTS)
    assert dict(disassemble(config)) == {
        GENERAL: DEFAULTS,
        SWITCH: SwitchConfig(tunnel_port=9),
        NETWORK: Network(VNI, "red"),
        ATTACHMENT: Attachment(ONE, "h1"),
        ENDPOINT: endpoint,
    }
    assert documents(config) == {
        GENERAL: {},
        SWITCH: {"tunnel_port": 9},
        NETWORK: {"name": "red"},
        ATTACHMENT: {},
        ENDPOINT: {"switch": "0000000000000001", "port": "h1"},
    }


def test_a_port_by_number_is_a_number_in_a_document() -> None:
    """The same port in a path and in a document is the same value."""
    assert DefaultsDocument.model_validate({"tunnel_port": "007"}).tunnel_port == parse_port("7")


# --- schemas -----------------------------------------------------------------------------------


@pytest.mark.parametrize("key", KEYS.values(), ids=str)
def test_a_schema_describes_every_member(key: Key) -> None:
    model = model_of(key)
    schema = model.model_json_schema()
    jsonschema_rs.meta.validate(schema)
    assert schema["additionalProperties"] is False
    assert schema["properties"].keys() == model.model_fields.keys()
    assert not schema.get("required"), "a member that must be there could not be left out"
    for member in schema["properties"].values():
        assert {"type", "anyOf", "oneOf", "enum"} & member.keys(), member


@pytest.mark.parametrize(("key", "written", "value", "canonical"), SAID)
def test_what_is_understood_fits_the_schema(
    key: Key, written: dict[str, Any], value: Value, canonical: dict[str, Any] | None
) -> None:
    schema = jsonschema_rs.validator_for(model_of(key).model_json_schema())
    assert schema.is_valid(written if canonical is None else canonical)
    assert schema.is_valid(document(key, value).model_dump(mode="json"))


TOLD_ELSEWHERE = ("unicast", "more than once", "listed more", "printed", "datapath", "OVSDB",
                  "IPv4", "not both", "say where", "out of range", "dictionary")  # fmt: skip
"""Rules that go beyond what a schema says of these members."""


@pytest.mark.parametrize(("key", "written", "where", "words"), WRONG)
def test_what_is_wrong_does_not_fit_the_schema(
    key: Key, written: dict[str, Any], where: tuple[str, ...], words: str
) -> None:
    schema = jsonschema_rs.validator_for(model_of(key).model_json_schema())
    assert not schema.is_valid(written) or any(told in words for told in TOLD_ELSEWHERE)
