"""Plain form: what is forwarded as it came, and what is written anew."""

from __future__ import annotations

import pytest
from frames import HEADER, condition, header, opened, read, stanza

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.stanza import BODY, Stanza
from xmpp_server.stream.framing import Malformed


def test_a_plain_stanza_is_forwarded_as_it_came():
    payload = b"<body>a &amp; b /> c\xc3\xa9</body>\n<x xmlns=\"urn:x\" a='>'><y xml:lang='de'/></x ><z xmlns='urn:z'/>"
    message = stanza(b"<message type='chat' to='juliet@b.example/r' id='a&lt;1'>" + payload + b"</message>")
    assert message.payload == payload
    assert (message.name, message.type, message.id, str(message.to)) == ("message", "chat", "a<1", "juliet@b.example/r")
    assert message.sender is None
    assert message.extra is None
    assert [(child.ns, child.name) for child in message.children] == [
        ("jabber:client", "body"),
        ("urn:x", "x"),
        ("urn:z", "z"),
    ]
    assert message.to_bytes() == b"<message type='chat' id='a&lt;1' to='juliet@b.example/r'>" + payload + b"</message>"


@pytest.mark.parametrize(
    "child",
    [
        b"<a/>",
        b"<a />",
        b"<a></a>",
        b"<a>/></a>",
        b"<a b='/>'></a>",
        b"<a b='/>'/>",
        b"<a b=\"'>\" c='\"'/>",
        b"<a b=\"'>\" c='\"'>></a>",
        b"<a b='>'>/></a\n>",
        b"<a><b/></a>",
        b"<a><b c='/>'/></a >",
        b"<a><a><a/></a></a>",
        b"<a b = '1'\tc='2'\n/>",
        b"<a xml:lang='x'>\xf0\x9f\x98\x80></a>",
    ],
)
def test_the_ranges_of_children_are_exact(child):
    for before in (b"", b"text > /> ", b"<z/>", b"<z>/></z>"):
        for after in (b"", b"> text", b"/>", b"<z/>"):
            for start in (b"<message>", b"<message a='>' b=\"'>\">", b'<message id="/>" >'):
                message = stanza(start + before + child + after + b"</message >")
                assert message.payload == before + child + after
                entry = message.find(ns.CLIENT, "a")
                assert entry is not None
                assert message.payload[entry.start : entry.end] == child


@pytest.mark.parametrize(
    "data", [b"<presence/>", b"<presence></presence>", b"<presence id='/>'/>", b"<presence id='/>'></presence>"]
)
def test_a_stanza_without_children_is_empty(data):
    presence = stanza(data)
    assert presence.children == ()
    assert presence.payload == b""
    assert presence.to_bytes().endswith(b"/>")


def test_the_attributes_of_a_child_can_be_read():
    message = stanza(b"<message><x xmlns='urn:x' a='1' xml:lang='de' b='&lt;'/></message>")
    (child,) = message.children
    assert (child.get("a"), child.get("b"), child.get("c", "-")) == ("1", "<", "-")
    assert child.attrs == ["a", "1", f"{ns.XML}\nlang", "de", "b", "<"]


def test_further_attributes_of_a_stanza_stay():
    message = stanza(b"<message from='a.example' foo='b&amp;r' xml:space='preserve'/>")
    assert message.extra == {"foo": "b&r", "xml:space": "preserve"}
    assert message.to_bytes() == b"<message from='a.example' foo='b&amp;r' xml:space='preserve'/>"


def test_a_stanza_has_its_own_language_or_that_of_the_stream():
    # RFC 6120 §4.7.4, §8.1.5
    german = HEADER.replace(b" to=", b" xml:lang='de' to=")
    assert stanza(b"<message/>", german).lang == "de"
    assert stanza(b"<message xml:lang='fr'/>", german).lang == "fr"
    assert stanza(b"<message/>").lang == ""
    assert stanza(b"<message xmlns:a='b'><a:c/></message>", german).to_bytes() == (
        b"<message xml:lang='de'><c xmlns='b'/></message>"
    )


@pytest.mark.parametrize(
    ("data", "payload"),
    [
        # prefixes declared on the stream header, on the stanza, on the child
        (b"<stream:x/>", b"<x xmlns='http://etherx.jabber.org/streams'/>"),
        (b"<h:x h:a='1'/>", b"<x xmlns='urn:h' xmlns:a1='urn:h' a1:a='1'/>"),
        (b"<s:x s:a='1' b='2'/>", b"<x xmlns='urn:s' xmlns:a1='urn:s' a1:a='1' b='2'/>"),
        (b"<p:x xmlns:p='urn:p'><p:y/><z/></p:x>", b"<x xmlns='urn:p'><y/><z xmlns='jabber:client'/></x>"),
        # the stream's own namespace, named in every way
        (b"<c:body xmlns:c='jabber:client'>x</c:body>", b"<body>x</body>"),
        (b"<body xmlns='jabber:client'>x</body>", b"<body>x</body>"),
        (b"<body xmlns='jabber:clien&#116;'>x</body>", b"<body>x</body>"),
        (b'<body xmlns = "jabber:clien&#116;">x</body>', b"<body>x</body>"),
        # what a peer may take for content, we take for content
        (b"<body xmlns='jabber:server'>x</body>", b"<body>x</body>"),
        (b"<body xmlns='jabber:component:accept'>x</body>", b"<body>x</body>"),
        # below another namespace a content namespace is named
        (
            b"<f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f>",
            b"<f xmlns='urn:f'><message xmlns='jabber:client'><body/></message></f>",
        ),
        (b"<f xmlns='urn:f'><m xmlns='jabber:server'/></f>", b"<f xmlns='urn:f'><m xmlns='jabber:server'/></f>"),
        (b"<f xmlns='urn:f'><stream:m/></f>", b"<f xmlns='urn:f'><m xmlns='http://etherx.jabber.org/streams'/></f>"),
        (b"<body><![CDATA[<b>]]&gt;]]></body>", b"<body>&lt;b&gt;]]&amp;gt;</body>"),
        (b"a<![CDATA[<]]>c<x/>d&#13;&gt;", b"a&lt;c<x/>d&#13;&gt;"),
        (b"<x xmlns:unused='urn:u' xmlns=''/>", b"<x xmlns=''/>"),
        (
            b"<x xmlns:a='urn:a' xmlns:b='urn:b' a:c='&#10;&apos;\"' b:c='2'/>",
            b"<x xmlns:a1='urn:a' a1:c='&#10;&apos;\"' xmlns:a2='urn:b' a2:c='2'/>",
        ),
    ],
)
def test_what_is_not_plain_is_written_anew(data, payload):
    framer = opened(HEADER.replace(b" to=", b" xmlns:h='urn:h' to="))
    for _ in range(2):
        (message,) = read(framer, b"<message xmlns:s='urn:s'>" + data + b"</message>")
        assert isinstance(message, Stanza)
        assert message.payload == payload
        for child in message.children:
            element = message.parse(child)
            assert (element.ns, element.name) == (child.ns, child.name)


@pytest.mark.parametrize(
    "payload",
    [
        b"<body>stream:x xmlns= jabber: ! &lt;!</body>",
        b"<x xmlns='jabber:x:oob'/>",
        b"<x xmlns='urn:x' a='stream:b'/>",
        b"<x xmlns=''/>",
        b"<x xmlns='http://etherx.jabber.org/streams'/>",
    ],
)
def test_what_only_looks_as_if_it_were_not_plain_is_forwarded_as_it_came(payload):
    assert stanza(b"<message>" + payload + b"</message>").payload == payload


def test_attributes_with_a_namespace_survive_on_the_stanza_itself():
    message = stanza(b"<message xmlns:p='urn:p' p:a='1' xml:base='x' b='2'/>")
    assert message.to_bytes() == b"<message xmlns:a1='urn:p' a1:a='1' xml:base='x' b='2'/>"


def test_an_entry_of_a_child_written_anew_has_its_attributes():
    message = stanza(b"<message><p:x xmlns:p='urn:p' p:a='1' b='2' xml:lang='de'/></message>")
    (child,) = message.children
    assert child.attrs == ["urn:p\na", "1", "b", "2", f"{ns.XML}\nlang", "de"]


def test_stanzas_with_a_prefix_are_stanzas():
    message = stanza(b"<c:message xmlns:c='jabber:client' c:a='1' to='b.example'><c:body>x</c:body></c:message>")
    assert message.name == "message"
    assert message.payload == b"<body>x</body>"
    declared = HEADER.replace(b" to=", b" xmlns:c='jabber:client' to=")
    assert stanza(b"<c:message><c:body>x</c:body></c:message>", declared).payload == b"<body>x</body>"


@pytest.mark.parametrize("content", ["jabber:server", "jabber:component:accept"])
def test_content_is_the_same_in_every_kind_of_stream(content):
    framer = opened(header(f"xmlns='{content}' xmlns:db='jabber:server:dialback'"))
    for _ in range(2):
        (message,) = read(framer, b"<message><body>x</body><message/><f xmlns='urn:f'><x xmlns=''/></f></message>")
        assert isinstance(message, Stanza)
        assert message.keys == [BODY, f"{ns.CLIENT}\nmessage", "urn:f\nf"]
        assert message.payload == b"<body>x</body><message/><f xmlns='urn:f'><x xmlns=''/></f>"
    for data in (f"<body xmlns='{content}'>x</body>", "<body xmlns='jabber:client'>x</body>"):
        (message,) = read(framer, f"<message>{data}</message>".encode())
        assert isinstance(message, Stanza)
        assert message.payload == b"<body>x</body>"
        assert message.keys == [BODY]


def test_dialback_and_the_stanzas_of_another_kind_of_stream_are_other_elements():
    framer = opened(header("xmlns='jabber:server' xmlns:db='jabber:server:dialback'"))
    result, message = read(
        framer, b"<db:result from='a.example' to='b.example'>key</db:result><message xmlns='jabber:client'/>"
    )
    assert isinstance(result, Element)
    assert (result.ns, result.name, result.text) == ("jabber:server:dialback", "result", "key")
    assert isinstance(message, Element)


def test_namespaces_that_multiply_when_their_prefixes_go_are_refused():
    data = f"<message xmlns:p='{'u' * 250}'>{'<p:x/>' * 100}</message>".encode()
    assert condition(data) == "policy-violation"


def test_declarations_count_as_attributes_where_they_are_used():
    few = " ".join(f"xmlns:a{n}='urn:{n}'" for n in range(10))
    assert len(read(opened(), f"<message><x {few}/></message>".encode())) == 1
    assert condition(f"<message><x {few} b=''/></message>".encode()) == "policy-violation"


@pytest.mark.parametrize(
    ("attribute", "value"), [("to", "@a.example"), ("from", "romeo@"), ("to", ""), ("to", "a@b.example/")]
)
def test_a_malformed_address_is_answered_and_does_not_end_the_stream(attribute, value):
    # RFC 6120 §8.3.3.8
    data = f"<iq type='get' id='i' {attribute}='{value}'><q xmlns='urn:q'/></iq><presence/>"
    malformed, presence = read(opened(), data.encode())
    assert isinstance(malformed, Malformed)
    assert malformed.attribute == attribute
    assert malformed.error.condition == "jid-malformed"
    assert malformed.stanza.children == ()
    assert b"id='i'" in malformed.stanza.error(malformed.error).to_bytes()
    assert isinstance(presence, Stanza)


@pytest.mark.parametrize(
    "uri", ["a b", "a}b", "a{b", "a|b", "a^b", "a&quot;b", "a&lt;b", "a>b", "a`b", "a\\b", "a&#9;b"]
)
def test_a_namespace_that_ends_the_stream_of_some_receivers_is_answered(uri):
    # libexpat since 2.4.5 refuses a namespace that has the receiver's separator in it, unless a URI may have it
    framer = opened()
    for data in (f"<x xmlns='{uri}'/>", f"<x xmlns='{uri}'/>", f"<x xmlns:p='{uri}' p:a='1'/>"):
        (malformed,) = read(framer, f"<message>{data}</message>".encode())
        assert isinstance(malformed, Malformed)
        assert malformed.error.condition == "bad-request"
        assert malformed.attribute == ""
    (message,) = read(framer, f"<message><x xmlns:p='{uri}'/></message>".encode())
    assert isinstance(message, Stanza)
    assert message.payload == b"<x/>"
