"""Copies of each conversation for all of a user's devices.

Which messages: the rules of §6.1 to the letter, as `urn:xmpp:carbons:rules:0` promises (§6.2), with the hint `no-copy`
beside `<private/>`; payloads that came later than the rules count as typical of instant messaging where people would
miss them. `<private/>` stays in the message (§9). Within one account a message is copied once, as received.

An error is copied if what it answers was: a bounded memory of what was copied tells, never the content of the error
(§10.3). The error that a carbon meets goes to the account, which ignores it.

XEP: 0280 (1.0.1) complete
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Final, Literal

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forward import carbon
from xmpp_server.protocol.hints import NO_COPY
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import BODY, Stanza, qname
from xmpp_server.routing.account import Account, Session
from xmpp_server.routing.entry import Entry
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Passage
from xmpp_server.routing.iq import Request, Target

_PRIVATE: Final = qname(ns.CARBONS, "private")
_DIRECT_INVITATION: Final = qname("jabber:x:conference", "x")
_MUC_USER: Final = "http://jabber.org/protocol/muc#user"
_IM: Final = frozenset(
    {
        "urn:xmpp:receipts",
        "http://jabber.org/protocol/chatstates",
        "urn:xmpp:chat-markers:0",
        "urn:xmpp:reactions:0",
        "urn:xmpp:message-correct:0",
        "urn:xmpp:message-retract:1",
        "urn:xmpp:jingle-message:0",
        "urn:xmpp:omemo:2",
        "eu.siacs.conversations.axolotl",
    }
)
_REMEMBERED: Final = 4096


class Carbons(Module):
    """Sends carbons to the sessions that enabled them."""

    name = "carbons"
    features = (ns.CARBONS, "urn:xmpp:carbons:rules:0")

    def __init__(self) -> None:
        # the messages that were copied last: hashes of account, other side and id, for an id may be long
        self._copied: OrderedDict[int, None] = OrderedDict()

    @iq_set(ns.CARBONS, "enable", Target.OWN, Target.ACCOUNT)
    def enable(self, request: Request) -> None:
        """§4, as often as the client likes (§10.1)."""
        _own(request).carbons = True

    @iq_set(ns.CARBONS, "disable", Target.OWN, Target.ACCOUNT)
    def disable(self, request: Request) -> None:
        """§5."""
        _own(request).carbons = False

    @on("message_out", Stage.COPY)
    def sent(self, passage: Passage) -> None:
        """§8: to all who want carbons but the sender."""
        session = passage.session
        if session is None:
            return
        account = session.account
        sessions = account.sessions
        if len(sessions) == 1:
            return
        for other in sessions.values():
            if other.carbons and other is not session:
                break
        else:
            return
        to = passage.stanza.to
        assert to is not None
        if to.bare != account.jid:
            self._copy("sent", passage.copy or passage.stanza, account, to.bare, (session,))

    @on("message_delivered", Stage.COPY)
    @on("message_offline", Stage.STAMP)
    def received(self, passage: Passage) -> None:
        """§7: to all who want carbons but those who got the message itself; to those too that are not available or
        have a negative priority, while the message waits for another resource."""
        account = passage.account
        if account is None:
            return
        targets = passage.targets
        if len(targets) == len(account.sessions):
            return
        for other in account.sessions.values():
            if other.carbons and other not in targets:
                break
        else:
            return
        sender = passage.stanza.sender
        assert sender is not None
        excluded = targets if passage.session is None else (*targets, passage.session)
        self._copy("received", passage.stanza, account, sender.bare, excluded, passage.entry)

    def _copy(
        self,
        direction: Literal["sent", "received"],
        message: Stanza,
        account: Account,
        peer: JID,
        excluded: list[Session] | tuple[Session, ...],
        entry: Entry | None = None,
    ) -> None:
        if message.type == "error":
            if hash((account.jid, peer, message.id)) not in self._copied:
                return
        elif not eligible(message, sent=direction == "sent"):
            return
        elif message.id:
            self._copied[hash((account.jid, peer, message.id))] = None
            if len(self._copied) > _REMEMBERED:
                self._copied.popitem(last=False)
        copy = carbon(direction, account.jid, message)
        for session in account.sessions.values():
            if session.carbons and session not in excluded:
                addressed = copy.stamped(to=session.jid)
                if entry is None:
                    session.deliver(addressed)
                else:
                    entry.give(session, addressed)


def _own(request: Request) -> Session:
    """The session that asks for itself."""
    session = request.session
    if session is None or session.account.jid != request.to:
        raise StanzaError("not-allowed")
    return session


def eligible(message: Stanza, *, sent: bool) -> bool:
    """Whether a message, no error, is to be copied (§6.1): `sent` by the account, or received."""
    kind = message.type
    if kind == "groupchat":
        return False
    typical = kind == "chat"
    for key in message.keys:
        if key in (_PRIVATE, NO_COPY):
            return False
        if key == BODY:
            typical = typical or kind != "headline"
        elif key == _DIRECT_INVITATION or key.partition("\n")[0] in _IM:
            typical = True
    room = message.child(_MUC_USER, "x")
    if room is None:
        return typical
    if room.child(_MUC_USER, "invite") is not None:
        return True
    assert message.to is not None
    assert message.sender is not None
    # a private message of a room: one that we send to a participant is copied, one that we get went to all already
    return not message.to.is_bare or typical if sent else message.sender.is_bare and typical
