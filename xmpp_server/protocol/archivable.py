"""Which messages belong into an archive: less than what is worth keeping for who is away (`fate`), for a history is for
people. XEP-0313 §6.1.1 leaves it to the server."""

from __future__ import annotations

from typing import Final

from . import ns, retraction
from .hints import NO_PERMANENT_STORE, NO_STORE, STORE
from .stanza import BODY, Stanza, qname

_MUC_USER: Final = "http://jabber.org/protocol/muc#user"
_ROOM: Final = qname(_MUC_USER, "x")
_KEPT: Final = frozenset({BODY, qname(ns.CLIENT, "subject"), qname("jabber:x:conference", "x"), retraction.RETRACT})
_KEPT_NAMESPACES: Final = frozenset(
    {
        "urn:xmpp:receipts",
        "urn:xmpp:chat-markers:0",
        "urn:xmpp:reactions:0",
        "urn:xmpp:message-correct:0",
        "urn:xmpp:message-retract:0",
        "urn:xmpp:fasten:0",
        "urn:xmpp:jingle-message:0",
        "urn:xmpp:eme:0",
        "urn:xmpp:omemo:2",
        "urn:xmpp:omemo:1",
        "eu.siacs.conversations.axolotl",
        "urn:xmpp:openpgp:0",
        "jabber:x:encrypted",
    }
)


_REMEMBERED: Final = 1000
_LONG: Final = 1000  # characters


def archivable(message: Stanza) -> bool:
    """Whether people would miss the message in their history: by type, hints (XEP-0334 §4) and names of children."""
    return message.type not in ("error", "groupchat", "headline") and is_worth_keeping(message)


def is_worth_keeping(message: Stanza) -> bool:
    """The same whatever its type is, as for the log of a room. What is alike is judged once: clients send few kinds of
    messages."""
    kind = tuple(message.keys)
    judged = _judged.get(kind)
    if judged is None:
        judged = _judge(message)
        if _ROOM not in kind and sum(map(len, kind)) < _LONG:
            if len(_judged) >= _REMEMBERED:
                _judged.clear()
            _judged[kind] = judged
    return judged


_judged: dict[tuple[str, ...], bool] = {}


def _judge(message: Stanza) -> bool:
    kept = False
    for key in message.keys:
        if key in (NO_STORE, NO_PERMANENT_STORE):
            return False
        if key in _KEPT or key == STORE or key.partition("\n")[0] in _KEPT_NAMESPACES:
            kept = True
        elif key == _ROOM and not kept:
            room = message.child(_MUC_USER, "x")
            kept = room is not None and any(child.name in ("invite", "decline") for child in room)
    return kept
