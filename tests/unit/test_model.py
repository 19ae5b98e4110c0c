"""Values are parsed at the edge, and refused with a sentence that helps."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from controller import model


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("0x10", 16),
        ("0000000000000010", 16),
        ("00:00:00:00:00:00:00:10", 16),
        ("18446744073709551615", 2**64 - 1),
        ("ffffffffffffffff", 2**64 - 1),
    ],
)
def test_every_form_of_a_dpid(text: str, value: int) -> None:
    assert model.parse_dpid(text) == value


@given(st.integers(0, 2**64 - 1))
def test_a_dpid_is_shown_in_one_form_that_can_be_read_back(value: int) -> None:
    assert model.parse_dpid(model.format_dpid(value)) == value


@pytest.mark.parametrize(("text", "value"), [("0", 0), ("16777215", 2**24 - 1), ("0x64", 100)])
def test_a_vni_has_all_24_bits(text: str, value: int) -> None:
    assert model.parse_vni(text) == value


@pytest.mark.parametrize(
    ("text", "value"),
    [("192.0.2.1", "192.0.2.1"), ("2001:DB8:0::1", "2001:db8::1")],
)
def test_a_vtep_address_has_one_form(text: str, value: str) -> None:
    assert model.parse_vtep(text) == value


@pytest.mark.parametrize(
    ("parse", "text", "words"),
    [
        (model.parse_vni, "16777216", "24 bits"),
        (model.parse_vni, "-1", "decimal"),
        (model.parse_vni, "", "decimal"),
        (model.parse_dpid, "switch1", "16 hex digits"),
        (model.parse_dpid, "18446744073709551616", "64 bits"),
        (model.parse_mac, "01:00:5e:00:00:01", "group"),
        (model.parse_mac, "00:00:00:00:00:00", "zero"),
        (model.parse_mac, "02:00", "six bytes"),
        (model.parse_vtep, "224.0.0.1", "unicast"),
        (model.parse_vtep, "127.0.0.1", "unicast"),
        (model.parse_vtep, "0.0.0.0", "unicast"),
        (model.parse_vtep, "255.255.255.255", "unicast"),
        (model.parse_vtep, "240.0.0.1", "unicast"),
        (model.parse_vtep, "0.0.0.1", "unicast"),
        (model.parse_vtep, "::ffff:192.0.2.1", "unicast"),
        (model.parse_vtep, "fe80::1", "unicast"),
        (model.parse_vtep, "192.0.2", "not an IPv4"),
        (model.parse_vtep, "::", "unicast"),
        (model.parse_vlan, "0", "untagged"),
        (model.parse_vlan, "4095", "4094"),
        (model.parse_port, "0", "range"),
        (model.parse_port, "4294967295", "range"),
        (model.parse_port, "a name too long", "15 characters"),
        (model.parse_port, "", "15 characters"),
    ],
)
def test_what_is_wrong_is_said(parse: Callable[[str], object], text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse(text)


@given(st.text())
def test_parsers_raise_nothing_but_value_errors(text: str) -> None:
    parsers = (
        model.parse_vni,
        model.parse_dpid,
        model.parse_mac,
        model.parse_vtep,
        model.parse_vlan,
        model.parse_port,
    )
    for parse in parsers:
        with contextlib.suppress(ValueError):
            parse(text)
