"""What becomes of a message for somebody who is away: XEP-0160 §3 by type, XEP-0085 and XEP-0334 by content."""

from __future__ import annotations

import pytest

from xmpp_server.protocol.element import parse
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.fate import Fate, fate

BODY = "<body>Hi</body>"
COMPOSING = "<composing xmlns='http://jabber.org/protocol/chatstates'/>"
NO_STORE = "<no-store xmlns='urn:xmpp:hints'/>"
NO_PERMANENT_STORE = "<no-permanent-store xmlns='urn:xmpp:hints'/>"
STORE = "<store xmlns='urn:xmpp:hints'/>"
ORIGIN_ID = "<origin-id xmlns='urn:xmpp:sid:0' id='1'/>"
RECEIPT = "<received xmlns='urn:xmpp:receipts' id='1'/>"
MARKER = "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>"
OMEMO = "<encrypted xmlns='eu.siacs.conversations.axolotl'><header sid='1'/></encrypted>"
REACTION = "<reactions xmlns='urn:xmpp:reactions:0' id='1'/>"
PROPOSE = "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>"
SUBJECT = "<subject>S</subject>"
THREAD = "<thread>t</thread>"

TABLE = [
    # §3: normal and chat are kept, groupchat, headline and error are not
    ("", BODY, Fate.KEEP),
    ("normal", BODY, Fate.KEEP),
    ("chat", BODY, Fate.KEEP),
    ("groupchat", BODY, Fate.REFUSE),
    ("headline", BODY, Fate.REFUSE),
    ("error", BODY, Fate.REFUSE),
    ("unknown", BODY, Fate.KEEP),  # RFC 6121 §5.2.2: as normal
    # §3: not what contains only chat states
    ("chat", COMPOSING, Fate.DROP),
    ("chat", COMPOSING + THREAD, Fate.DROP),
    ("chat", COMPOSING + NO_STORE + ORIGIN_ID, Fate.DROP),
    ("normal", COMPOSING, Fate.DROP),
    ("chat", BODY + COMPOSING, Fate.KEEP),
    ("chat", RECEIPT + COMPOSING, Fate.KEEP),
    # everything that has a meaning of its own
    ("chat", RECEIPT, Fate.KEEP),
    ("chat", MARKER, Fate.KEEP),
    ("chat", OMEMO, Fate.KEEP),
    ("chat", REACTION, Fate.KEEP),
    ("chat", PROPOSE, Fate.KEEP),
    ("normal", SUBJECT, Fate.KEEP),
    # hints
    ("chat", BODY + NO_STORE, Fate.REFUSE),
    ("chat", BODY + NO_STORE + STORE, Fate.REFUSE),
    ("chat", BODY + NO_PERMANENT_STORE, Fate.KEEP),  # XEP-0334 §4.1 is about archives
    ("chat", COMPOSING + STORE, Fate.KEEP),
    ("groupchat", BODY + STORE, Fate.REFUSE),
    # nothing to keep
    ("chat", "", Fate.REFUSE),
    ("chat", THREAD + ORIGIN_ID, Fate.REFUSE),
]


@pytest.mark.parametrize(("type", "content", "expected"), TABLE)
def test_a_message_is_kept_by_its_type_and_content(type: str, content: str, expected: Fate) -> None:
    elements = list(parse(f"<message xmlns='jabber:client'>{content}</message>".encode()))
    message = Stanza.build("message", *elements, sender=JID.parse("a@b/c"), to=JID.parse("d@e"), type=type)
    assert fate(message) is expected
