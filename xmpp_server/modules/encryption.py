"""Refuses plaintext between users, where the host wants that.

A message is judged by the names of its children. What people would read is a body, a subject, XHTML, real-time text, or
the address of a file. With it must come the encrypted payload: OMEMO (`urn:xmpp:omemo:2` and the legacy namespace; one
that carries only keys is none) or OpenPGP (XEP-0373, XEP-0027); a body beside it is a fallback then. OTR hides in the
body, which is not looked at, and is refused. Messages without such content go through: receipts, markers, typing,
reactions, call set-up. So do retractions and invitations, but what people would read is cut out of them: it is for
clients that do not know the element, and nobody can tell whether it says something else.

Judged is what a user of the host sends to another, and what comes to one from other servers. What a user sends to his
own account, to rooms as such, and what servers and services say themselves is no talk between users.
"""

from __future__ import annotations

from typing import Final

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns, retraction
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import BODY, Child, Stanza, qname
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Passage

_CONTENT: Final = frozenset(
    {
        BODY,
        qname(ns.CLIENT, "subject"),
        qname("http://jabber.org/protocol/xhtml-im", "html"),
        qname("urn:xmpp:rtt:0", "rtt"),
        qname("jabber:x:oob", "x"),
        qname("urn:xmpp:sfs:0", "file-sharing"),
        qname("urn:xmpp:reference:0", "reference"),
    }
)
_OMEMO: Final = frozenset(
    {
        qname("eu.siacs.conversations.axolotl", "encrypted"),
        qname("urn:xmpp:omemo:1", "encrypted"),
        qname("urn:xmpp:omemo:2", "encrypted"),
    }
)
_SEALED: Final = frozenset({qname("urn:xmpp:openpgp:0", "openpgp"), qname("jabber:x:encrypted", "x")})
_DIRECT_INVITATION: Final = qname("jabber:x:conference", "x")
_MUC_USER: Final = "http://jabber.org/protocol/muc#user"
_ROOM: Final = qname(_MUC_USER, "x")


class EncryptionOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is refused."""

    required: bool = False
    """Whether messages between users must be end-to-end encrypted."""
    text: str = (
        "This server takes only end-to-end encrypted messages. Turn on OMEMO for this conversation and send it again."
    )
    """What the sender of plaintext is told."""


class Encryption(Module):
    """Bounces plaintext as `policy-violation`."""

    name = "encryption"
    Options = EncryptionOptions

    def __init__(self, options: EncryptionOptions) -> None:
        self.options = options

    @on("message_out", Stage.GUARD)
    def out(self, passage: Passage) -> None:
        """What a user sends to another."""
        session = passage.session
        if not self.options.required or session is None:
            return
        to = passage.stanza.to
        if to is not None and to.localpart and to.bare != session.account.jid:
            self._judge(passage)

    @on("message_in", Stage.GUARD)
    def in_(self, passage: Passage) -> None:
        """What a user gets from hosts that do not judge it themselves."""
        account, sender = passage.account, passage.stanza.sender
        if not self.options.required or account is None or sender is None:
            return
        if sender.localpart and sender.bare != account.jid:
            self._judge(passage)

    def _judge(self, passage: Passage) -> None:
        message = passage.stanza
        if message.type in ("error", "groupchat") or _CONTENT.isdisjoint(message.keys) or _is_sealed(message):
            return
        if not _says_it_all(message):
            raise StanzaError("policy-violation", self.options.text)
        passage.stanza = message.without(_is_content)


def _is_sealed(message: Stanza) -> bool:
    """Whether the message carries something encrypted, so that what people would read is a fallback."""
    return any(
        child.key in _SEALED or (child.key in _OMEMO and any(part.name == "payload" for part in message.parse(child)))
        for child in message.children
    )


def _says_it_all(message: Stanza) -> bool:
    """Whether the message means the same without what people would read."""
    return any(
        child.key in (_DIRECT_INVITATION, retraction.RETRACT)
        or (child.key == _ROOM and any(part.name in ("invite", "decline") for part in message.parse(child)))
        for child in message.children
    )


def _is_content(child: Child) -> bool:
    return child.key in _CONTENT
