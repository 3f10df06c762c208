"""XEP-0115 §5: its two worked examples, and every reason of §5.4 not to believe an answer."""

from __future__ import annotations

import hashlib
from base64 import b64encode
from dataclasses import replace

import pytest

from xmpp_server.protocol import ns
from xmpp_server.protocol.caps import Caps, IllFormed, verification_string
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.forms import Field, Form

CAPS = "http://jabber.org/protocol/caps"
INFO = "http://jabber.org/protocol/disco#info"
ITEMS = "http://jabber.org/protocol/disco#items"
MUC = "http://jabber.org/protocol/muc"

SIMPLE = Info((Identity("client", "pc", name="Exodus 0.9.1"),), (CAPS, INFO, ITEMS, MUC))
SIMPLE_VER = "QgayPKawpkPSDYmwT/WM94uAlu0="  # §5.2

COMPLEX = parse(
    """<query xmlns='http://jabber.org/protocol/disco#info' node='http://psi-im.org#q07IKJEyjvHSyhy//CH0CxmKi8w='>
    <identity xml:lang='en' category='client' name='Psi 0.11' type='pc'/>
    <identity xml:lang='el' category='client' name='\u03a8 0.11' type='pc'/>
    <feature var='http://jabber.org/protocol/caps'/>
    <feature var='http://jabber.org/protocol/disco#info'/>
    <feature var='http://jabber.org/protocol/disco#items'/>
    <feature var='http://jabber.org/protocol/muc'/>
    <x xmlns='jabber:x:data' type='result'>
      <field var='FORM_TYPE' type='hidden'><value>urn:xmpp:dataforms:softwareinfo</value></field>
      <field var='ip_version' type='text-multi' ><value>ipv4</value><value>ipv6</value></field>
      <field var='os'><value>Mac</value></field>
      <field var='os_version'><value>10.5.1</value></field>
      <field var='software'><value>Psi</value></field>
      <field var='software_version'><value>0.11</value></field>
    </x></query>""".encode()
)
COMPLEX_VER = "q07IKJEyjvHSyhy//CH0CxmKi8w="  # §5.3


def software(*fields: Field, form_type: Field | None = None) -> Form:
    return Form("result", (form_type or Field("FORM_TYPE", ("urn:x",), "hidden"), *fields))


def test_the_simple_example_of_the_specification() -> None:
    assert verification_string(SIMPLE) == SIMPLE_VER


def test_the_complex_example_of_the_specification() -> None:
    assert verification_string(Info.parse(COMPLEX)) == COMPLEX_VER


def test_the_order_of_what_came_makes_no_difference() -> None:
    info = Info.parse(COMPLEX)
    form = info.forms[0]
    shuffled = replace(
        info,
        identities=info.identities[::-1],
        features=info.features[::-1],
        forms=(replace(form, fields=tuple(replace(f, values=f.values[::-1]) for f in form.fields[::-1])),),
    )
    assert verification_string(shuffled) == COMPLEX_VER


def test_sorting_is_by_octet() -> None:
    text = "client/pc//<a<b<\u00e9<\U0001f600<"
    expected = b64encode(hashlib.sha1(text.encode()).digest()).decode()
    info = Info((Identity("client", "pc"),), ("\U0001f600", "\u00e9", "b", "a"))
    assert verification_string(info) == expected


def test_upper_case_sorts_before_lower_case() -> None:
    text = "client/pc//<B<a<"
    expected = b64encode(hashlib.sha1(text.encode()).digest()).decode()
    assert verification_string(Info((Identity("client", "pc"),), ("a", "B"))) == expected


def test_several_forms_are_sorted_by_form_type_and_fields_without_a_value_count() -> None:
    one = Form("result", (Field("FORM_TYPE", ("urn:b",), "hidden"), Field("z"), Field("y", ("2", "1"))))
    two = Form("result", (Field("FORM_TYPE", ("urn:a",), "hidden"),))
    text = "client/pc//<urn:a<urn:b<y<1<2<z<"
    expected = b64encode(hashlib.sha1(text.encode()).digest()).decode()
    assert verification_string(Info((Identity("client", "pc"),), (), (one, two))) == expected


def test_other_hash_functions_by_their_registered_names() -> None:
    text = f"client/pc//Exodus 0.9.1<{CAPS}<{INFO}<{ITEMS}<{MUC}<".encode()
    for name, function in (("sha-256", hashlib.sha256), ("sha-512", hashlib.sha512)):
        assert verification_string(SIMPLE, name) == b64encode(function(text).digest()).decode()


def test_what_we_advertise_verifies() -> None:
    caps = Caps.of("https://example.org/server", Info.parse(COMPLEX))
    assert caps.disco_node == f"https://example.org/server#{COMPLEX_VER}"
    assert Caps.parse(parse(caps.element().to_bytes())) == caps
    assert caps.verifies(Info.parse(COMPLEX))


def test_the_element_of_the_specification_is_read() -> None:
    c = parse(
        b"<c xmlns='http://jabber.org/protocol/caps' hash='sha-1' node='http://code.google.com/p/exodus'"
        b" ver='QgayPKawpkPSDYmwT/WM94uAlu0='/>"
    )
    caps = Caps.parse(c)
    assert caps == Caps("http://code.google.com/p/exodus", SIMPLE_VER, "sha-1")
    assert caps.verifies(SIMPLE)


@pytest.mark.parametrize("missing", ["hash", "node", "ver"])
def test_an_incomplete_or_legacy_element_is_ignored(missing: str) -> None:
    attrs = {"hash": "sha-1", "node": "n", "ver": "v"}
    del attrs[missing]
    assert Caps.parse(Element(ns.CAPS, "c", attrs)) is None
    assert Caps.parse(Element("urn:other", "c", {"hash": "sha-1", "node": "n", "ver": "v"})) is None


def test_an_unknown_hash_function_verifies_nothing() -> None:
    assert not Caps("n", SIMPLE_VER, "md4-or-so").verifies(SIMPLE)


def test_another_answer_does_not_verify() -> None:
    assert not Caps("n", SIMPLE_VER).verifies(replace(SIMPLE, features=SIMPLE.features[1:]))
    assert not Caps("n", SIMPLE_VER).verifies(Info.parse(COMPLEX))


def base64_of(text: str) -> str:
    return b64encode(hashlib.sha1(text.encode()).digest()).decode()


def test_an_answer_with_an_identity_twice_is_ill_formed() -> None:  # §5.4 3.3
    twice = replace(SIMPLE, identities=SIMPLE.identities * 2)
    with pytest.raises(IllFormed):
        verification_string(twice)
    ver = base64_of(f"client/pc//Exodus 0.9.1<client/pc//Exodus 0.9.1<{CAPS}<{INFO}<{ITEMS}<{MUC}<")
    assert not Caps("n", ver).verifies(twice)


def test_an_identity_in_two_languages_or_of_two_names_is_no_duplicate() -> None:
    identities = (Identity("client", "pc", "en", "A"), Identity("client", "pc", "de", "A"))
    assert verification_string(Info(identities)) == base64_of("client/pc/de/A<client/pc/en/A<")


def test_an_answer_with_a_feature_twice_is_ill_formed() -> None:  # §5.4 3.4
    with pytest.raises(IllFormed):
        verification_string(replace(SIMPLE, features=(*SIMPLE.features, MUC)))


def test_an_answer_with_two_forms_of_one_form_type_is_ill_formed() -> None:  # §5.4 3.5
    with pytest.raises(IllFormed):
        verification_string(replace(SIMPLE, forms=(software(Field("a")), software(Field("b")))))


def test_an_answer_whose_form_type_has_two_values_is_ill_formed() -> None:  # §5.4 3.5
    form = software(form_type=Field("FORM_TYPE", ("urn:x", "urn:y"), "hidden"))
    with pytest.raises(IllFormed):
        verification_string(replace(SIMPLE, forms=(form,)))


def test_a_form_type_with_the_same_value_twice_is_well_formed() -> None:
    form = software(form_type=Field("FORM_TYPE", ("urn:x", "urn:x"), "hidden"))
    assert verification_string(Info(forms=(form,))) == base64_of("urn:x<")


@pytest.mark.parametrize(
    "form",
    [
        Form("result", (Field("os", ("Mac",)),)),
        Form("result", (Field("FORM_TYPE", ("urn:x",), "text-single"), Field("os", ("Mac",)))),
        Form("result", (Field("FORM_TYPE", ("urn:x",)), Field("os", ("Mac",)))),
        Form("result", (Field("FORM_TYPE", (), "hidden"), Field("os", ("Mac",)))),
    ],
)
def test_a_form_without_a_hidden_form_type_is_left_out(form: Form) -> None:  # §5.4 3.6
    assert verification_string(replace(SIMPLE, forms=(form, form))) == SIMPLE_VER


def test_a_name_that_holds_the_separator_cannot_stand_for_a_feature() -> None:
    forged = Info((Identity("client", "pc", name=f"Exodus 0.9.1<{CAPS}"),), (INFO, ITEMS, MUC))
    assert not Caps("n", SIMPLE_VER).verifies(forged)
    form = software(form_type=Field("FORM_TYPE", (ITEMS,), "hidden"))
    moved = Info(SIMPLE.identities, (CAPS, INFO), (replace(form, fields=(*form.fields, Field(f"{MUC}<"))),))
    assert not Caps("n", SIMPLE_VER).verifies(moved)


def test_an_entity_reference_in_a_name_stays_literal() -> None:
    info = Info((Identity("client", "pc", name="a&lt;b"),))
    assert verification_string(info) == base64_of("client/pc//a&lt;b<")
