from __future__ import annotations

import pytest

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.jid import JID


def submitted(*fields: str) -> Form:
    return Form.parse(parse(f"<x xmlns='jabber:x:data' type='submit'>{''.join(fields)}</x>".encode()))


def field(*values: str, type: str = "") -> str:
    attribute = f" type='{type}'" if type else ""
    return f"<field var='v'{attribute}>{''.join(f'<value>{value}</value>' for value in values)}</field>"


def refused(condition: str, read: object) -> None:
    with pytest.raises(StanzaError) as raised:
        read()  # type: ignore[operator]
    assert raised.value.condition == condition


# XEP-0004 §3.3 and its note on booleans: the lexical forms of XML Schema, and false if nothing is said
@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (["1"], True),
        (["true"], True),
        (["0"], False),
        (["false"], False),
        ([""], False),
        ([], False),
        ([" true "], True),
    ],
)
@pytest.mark.parametrize("type", ["", "boolean", "text-single", "list-single", "no-such-type"])
def test_a_boolean_is_read_whatever_type_the_client_wrote(values: list[str], expected: bool, type: str) -> None:
    assert submitted(field(*values, type=type)).boolean("v", not expected) is expected


@pytest.mark.parametrize("value", ["yes", "TRUE", "2", "-1", "on"])
def test_another_boolean_is_not_acceptable(value: str) -> None:
    refused("not-acceptable", lambda: submitted(field(value)).boolean("v"))


def test_what_is_absent_keeps_what_it_had() -> None:
    form = submitted()
    assert form.boolean("v", True) is True
    assert form.text("v", "old") == "old"
    assert form.lines("v", "old\nlines") == "old\nlines"
    assert form.texts("v", ["a", "b"]) == ["a", "b"]
    assert form.choice("v", ("a", "b"), "a") == "a"
    assert form.number("v", 7, 0, 10) == 7
    assert form.jid("v", JID.parse("a@b")) == JID.parse("a@b")
    assert form.jids("v", [JID.parse("a@b")]) == [JID.parse("a@b")]


@pytest.mark.parametrize("empty", [[], [""]])
def test_what_is_empty_is_unset(empty: list[str]) -> None:
    form = submitted(field(*empty))
    assert form.text("v", "old") == ""
    assert form.lines("v", "old") == ""
    assert form.texts("v", ["a"]) == []
    assert form.jid("v", JID.parse("a@b")) is None
    assert form.jids("v", [JID.parse("a@b")]) == []


def test_lines_are_joined() -> None:
    assert submitted(field("one", "", "three")).lines("v") == "one\n\nthree"
    assert submitted(field("one\ntwo")).lines("v") == "one\ntwo"


def test_of_several_values_for_one_the_first_counts() -> None:
    assert submitted(field("a", "b")).text("v") == "a"


def test_of_two_fields_of_one_name_the_first_counts() -> None:
    assert submitted(field("a"), field("b")).text("v") == "a"


def test_a_list_has_each_value_once() -> None:
    assert submitted(field("b", "a", "b")).texts("v") == ["b", "a"]


def test_a_choice_is_one_of_those_allowed() -> None:
    assert submitted(field("b")).choice("v", ("a", "b"), "a") == "b"
    refused("not-acceptable", lambda: submitted(field("c")).choice("v", ("a", "b"), "a"))
    refused("not-acceptable", lambda: submitted(field()).choice("v", ("a", "b"), "a"))


@pytest.mark.parametrize(("text", "number"), [("0", 0), (" 12 ", 12), ("-3", -3), ("007", 7)])
def test_a_number_is_read(text: str, number: int) -> None:
    assert submitted(field(text)).number("v", 1, -5, 100) == number


@pytest.mark.parametrize("text", ["", "x", "1.5", "101", "-6", "1e1", "\u0663", "9" * 5000, "--1", "+1", "1_0"])
def test_another_number_is_not_acceptable(text: str) -> None:
    refused("not-acceptable", lambda: submitted(field(text)).number("v", 1, -5, 100))


def test_addresses_are_prepared_and_each_is_there_once() -> None:
    assert submitted(field("A@Example.ORG")).jid("v") == JID.parse("a@example.org")
    assert submitted(field("A@b", "a@B", "", "c@d")).jids("v") == [JID.parse("a@b"), JID.parse("c@d")]
    refused("jid-malformed", lambda: submitted(field("@")).jid("v"))
    refused("jid-malformed", lambda: submitted(field("a@b", "a@@")).jids("v"))


@pytest.mark.parametrize(
    "x",
    [
        "<x xmlns='jabber:x:data'/>",
        "<x xmlns='jabber:x:data' type='error'/>",
        "<x xmlns='urn:other' type='submit'/>",
        "<y xmlns='jabber:x:data' type='submit'/>",
    ],
)
def test_what_is_no_form_is_refused(x: str) -> None:
    refused("bad-request", lambda: Form.parse(parse(x.encode())))


def test_a_submission_is_of_the_form_type_that_is_expected_or_of_none() -> None:
    named = "<field var='FORM_TYPE'><value>urn:a</value></field>"
    submitted(named).expect("urn:a")
    submitted().expect("urn:a")
    refused("bad-request", lambda: submitted(named).expect("urn:b"))
    refused("bad-request", lambda: Form("cancel").expect("urn:a"))
    refused("bad-request", lambda: Form.of("form", "urn:a").expect("urn:a"))


def test_a_form_comes_back_as_it_was_written() -> None:
    form = Form.of(
        "form",
        "urn:config",
        boolean("open", True, "Open to all"),
        Field("who", ("a",), "list-single", "Who", (("a", "Anybody"), ("m", "")), required=True, desc="Who may"),
        Field("", ("A heading",), "fixed"),
        Field("lines", ("x", "", "z"), "text-multi"),
        Field("none", (), "jid-multi"),
        title="Configuration",
        instructions="Fill in",
    )
    assert Form.parse(parse(form.element().to_bytes())) == form
    assert form.form_type == "urn:config"
    assert form.element().to_bytes().startswith(b"<x xmlns='jabber:x:data' type='form'><title>Configuration</title>")


def test_an_unknown_type_of_field_is_a_line_of_text() -> None:
    assert submitted("<field var='v' type='colour'/>").get("v") == Field("v", (), "text-single")


def test_a_result_may_be_a_table() -> None:
    form = Form("result", reported=(Field("jid", kind="jid-single"),), items=((Field("jid", ("a@b",)),), ()))
    assert form.element().to_bytes() == (
        b"<x xmlns='jabber:x:data' type='result'><reported><field var='jid' type='jid-single'/></reported>"
        b"<item><field var='jid'><value>a@b</value></field></item><item/></x>"
    )


def test_children_of_other_namespaces_are_no_fields() -> None:
    x = Element("jabber:x:data", "x", {"type": "submit"}, [Element("urn:other", "field", {"var": "v"}), "text"])
    assert Form.parse(x).fields == ()
