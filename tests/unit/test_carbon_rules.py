"""Which messages are eligible for carbons: XEP-0280 §6.1, rule by rule."""

from __future__ import annotations

import pytest

from xmpp_server.modules.carbons import eligible
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

BODY = "<body>Hi</body>"
PRIVATE = "<private xmlns='urn:xmpp:carbons:2'/>"
NO_COPY = "<no-copy xmlns='urn:xmpp:hints'/>"
MUC = "<x xmlns='http://jabber.org/protocol/muc#user'/>"
INVITE = "<x xmlns='http://jabber.org/protocol/muc#user'><invite to='juliet@capulet.example'/></x>"
DIRECT = "<x xmlns='jabber:x:conference' jid='room@conference.example'/>"

# payload, type -> whether it is eligible in either direction
RULES = [
    # it is of type "chat"
    (BODY, "chat", True),
    ("", "chat", True),
    ("<x xmlns='urn:example:unknown'/>", "chat", True),
    # it is of type "normal" and contains a <body> element
    (BODY, "", True),
    (BODY, "normal", True),
    (BODY, "unknown", True),  # RFC 6121 §5.2.2: as if it were normal
    ("<subject>Hi</subject>", "normal", False),
    ("", "normal", False),
    # it contains payload elements typically used in IM (XEP-0184, XEP-0085, XEP-0333)
    ("<received xmlns='urn:xmpp:receipts' id='1'/>", "normal", True),
    ("<composing xmlns='http://jabber.org/protocol/chatstates'/>", "normal", True),
    ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", "", True),
    ("<received xmlns='urn:xmpp:receipts' id='1'/>", "headline", True),
    ("<reactions xmlns='urn:xmpp:reactions:0' id='1'/>", "", True),
    ("<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>", "", True),
    ("<encrypted xmlns='eu.siacs.conversations.axolotl'/>", "", True),
    # neither
    (BODY, "headline", False),
    ("<event xmlns='http://jabber.org/protocol/pubsub#event'/>", "", False),
    # it does not contain a <private/> child element; §9 and XEP-0334 §4.3: nor <no-copy/>
    (BODY + PRIVATE, "chat", False),
    (BODY + PRIVATE + NO_COPY, "chat", False),
    (BODY + NO_COPY, "chat", False),
    (PRIVATE + "<received xmlns='urn:xmpp:receipts' id='1'/>", "", False),
    (DIRECT + PRIVATE, "", False),
    (INVITE + PRIVATE, "", False),
    # of type "groupchat" SHOULD NOT
    (BODY, "groupchat", False),
    ("<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>", "groupchat", False),
    # containing a direct invitation, or a mediated one, SHOULD
    (DIRECT, "", True),
    (INVITE, "", True),
    (INVITE + BODY, "", True),
]


def message(payload: str, type: str, sender: str, to: str) -> Stanza:
    children = parse(f"<message>{payload}</message>".encode())
    elements = [child for child in children if isinstance(child, Element)]
    return Stanza.build("message", *elements, sender=JID.parse(sender), to=JID.parse(to), type=type)


@pytest.mark.parametrize(("payload", "type", "expected"), RULES)
@pytest.mark.parametrize("sent", [True, False])
@pytest.mark.parametrize("to", ["juliet@capulet.example", "juliet@capulet.example/balcony"])
def test_the_rules(payload: str, type: str, expected: bool, sent: bool, to: str) -> None:
    assert eligible(message(payload, type, "romeo@montague.example/home", to), sent=sent) is expected


@pytest.mark.parametrize("type", ["chat", "", "normal"])
def test_a_private_message_to_a_participant_is_copied(type: str) -> None:
    """§6.1: from a local user to a MUC participant, sent to a full JID"""
    private = message(MUC + BODY, type, "romeo@montague.example/home", "room@conference.example/juliet")
    assert eligible(private, sent=True)


@pytest.mark.parametrize("type", ["chat", "", "normal"])
@pytest.mark.parametrize("to", ["romeo@montague.example/home", "romeo@montague.example"])
def test_a_private_message_from_a_participant_is_not_copied(type: str, to: str) -> None:
    """§6.1: received from a full JID; the room sends it to all devices that joined"""
    assert not eligible(message(MUC + BODY, type, "room@conference.example/juliet", to), sent=False)


def test_a_mediated_invitation_by_the_room_is_copied() -> None:
    """XEP-0045 §7.8.2: it is from the room"""
    invitation = message(INVITE, "", "room@conference.example", "romeo@montague.example")
    assert eligible(invitation, sent=False)


def test_news_of_the_room_itself_are_not_copied() -> None:
    """a status of the room's configuration, in no way typical of instant messaging"""
    assert not eligible(message(MUC, "", "room@conference.example", "romeo@montague.example"), sent=False)
