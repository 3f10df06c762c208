"""What the users' clients can do, by the hash in their presence, and so what they want to be told of.

A hash that is not known yet is asked for, at the client that advertises it. So do the accounts of contacts who see it
meanwhile (XEP-0060 §9.2), the first few of them: a client may answer one and forget another. An answer counts for
everybody only if the hash is right (§5.4), and is kept in the database then; any other, one to a hash function that we
do not know, or a very long one counts for the one who gave it. So most clients are known from their first presence on.

XEP: 0115 (1.6.0) complete
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Awaitable
from contextlib import suppress
from typing import Annotated, Final
from weakref import WeakKeyDictionary

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Info
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.routing.account import Session
from xmpp_server.routing.hooks import DROPPED, Verdict
from xmpp_server.routing.host import Host, Interests, Passage
from xmpp_server.storage.capabilities import Capabilities
from xmpp_server.storage.errors import StorageError

_C: Final = qname(ns.CAPS, "c")
_QUERY: Final = qname(ns.DISCO_INFO, "query")
_NOTIFY: Final = "+notify"
_ID: Final = "disco"
_REMEMBERED: Final = 2000
"""Hashes whose meaning is kept in memory."""
_OCTETS: Final = 16_384
"""Octets of the longest answer that is remembered and kept for others."""
_ASKERS: Final = 4
"""Contacts who ask for one hash, besides the client's own account."""
_QUESTIONS: Final = 16
"""Questions to one client that may wait for an answer; the oldest is given up for one more."""
_LONGEST: Final = 256
"""Characters of the longest hash and of the name of its function."""


class ClientCapsOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much is asked and kept."""

    outstanding: Annotated[int, msgspec.Meta(ge=1)] = 1000
    """Clients that may owe an answer; the one that was asked first is given up for one more."""
    kept: Annotated[int, msgspec.Meta(ge=1)] = 10_000
    """Hashes that the database keeps; those that nobody advertised for the longest time go first."""


class ClientCaps(Module):
    """Finds out the interests of sessions."""

    name = "client_caps"
    Options = ClientCapsOptions

    def __init__(self, host: Host, capabilities: Capabilities, options: ClientCapsOptions) -> None:
        self._host = host
        self._capabilities = capabilities
        self.options = options
        self._advertised: WeakKeyDictionary[Session, Caps] = WeakKeyDictionary()
        self._news: WeakKeyDictionary[Session, bool] = WeakKeyDictionary()
        self._asked: OrderedDict[Session, OrderedDict[tuple[JID, str], Caps]] = OrderedDict()
        self._known: OrderedDict[tuple[str, str], frozenset[str]] = OrderedDict()

    @on("available_out")
    def advertised(self, passage: Passage) -> Awaitable[None] | None:
        """Look the hash up, or ask; presence without one changes nothing."""
        stanza, session = passage.stanza, passage.session
        if session is None or stanza.to is not None or _C not in stanza.keys:
            return None
        child = stanza.find(ns.CAPS, "c")
        assert child is not None
        caps = Caps.parse(stanza.parse(child))
        if caps is None or self._advertised.get(session) == caps:
            return None
        if len(caps.ver) > _LONGEST or len(caps.hash) > _LONGEST:
            return None
        return self._find(session, caps)

    async def _find(self, session: Session, caps: Caps) -> None:
        self._advertised[session] = caps
        key = (caps.hash, caps.ver)
        interests = self._known.get(key)
        if interests is None:
            try:
                data = await self._capabilities.load(self._host.jid, caps, time.time_ns() // 1000)
            except StorageError:  # presence goes out all the same
                data = None
            if data is None:
                self._ask(session, caps, session.account.jid)
                return
            interests = _interests(Info.parse(parse(data)))
            self._remember(caps, interests)
        self._known.move_to_end(key)
        session.interests = interests
        self._news[session] = True

    def _ask(self, session: Session, caps: Caps, account: JID) -> None:
        questions = self._asked.setdefault(session, OrderedDict())
        questions[account, caps.disco_node] = caps
        if len(questions) > _QUESTIONS:
            questions.popitem(last=False)
        self._asked.move_to_end(session)
        if len(self._asked) > self.options.outstanding:
            self._asked.popitem(last=False)
        query = Element(ns.DISCO_INFO, "query", {"node": caps.disco_node})
        session.deliver(Stanza.build("iq", query, sender=account, to=session.jid, type="get", id=_ID))

    @on("presence_in")
    def seen(self, passage: Passage) -> None:
        """A contact sees a client whose own account waits for an answer."""
        session, account, stanza = passage.session, passage.account, passage.stanza
        if session not in self._asked or session is None or account is None or stanza.type != "":
            return
        caps, questions = self._advertised.get(session), self._asked[session]
        if caps is None or account is session.account or (session.account.jid, caps.disco_node) not in questions:
            return
        if sum(node == caps.disco_node for _, node in questions) <= _ASKERS:
            self._ask(session, caps, account.jid)

    @on("session_available")
    @on("session_updated")
    async def available(self, session: Session) -> None:
        """Its presence is out: what it wants to be told of may follow."""
        if self._news.pop(session, False):
            await self._host.hooks.interests_known.run(Interests(session))

    @on("iq_in")
    def answered(self, passage: Passage) -> Awaitable[Verdict] | None:
        """An answer of a client, which is nobody else's."""
        session, stanza = passage.session, passage.stanza
        if stanza.id != _ID or session is None or stanza.to is None or stanza.type not in ("result", "error"):
            return None
        query = stanza.child(ns.DISCO_INFO, "query")
        caps = self._answers(session, stanza.to, query.get("node") if query is not None else "")
        if caps is None:
            return None
        return self._learn(session, caps, query if stanza.type == "result" else None, stanza.to)

    def _answers(self, session: Session, to: JID, node: str) -> Caps | None:
        """What was asked, by this node (§6.2) or else the last by this account; the question is done."""
        questions = self._asked.get(session)
        if questions is None:
            return None
        key = next((key for key in reversed(questions) if key[0] == to and node in ("", key[1])), None)
        if key is None:
            return None
        caps = questions.pop(key)
        if not questions:
            del self._asked[session]
        return caps

    async def _learn(self, session: Session, caps: Caps, query: Element | None, asked_by: JID) -> Verdict:
        if query is None:
            return DROPPED
        try:
            info = Info.parse(query)
        except StanzaError:
            return DROPPED
        interests = _interests(info)
        data = query.to_bytes()
        if len(data) <= _OCTETS and caps.verifies(info):
            self._remember(caps, interests)
            now = time.time_ns() // 1000
            with suppress(StorageError):  # the next one is asked, then
                await self._capabilities.save(self._host.jid, caps, data, now, most=self.options.kept)
        if self._advertised.get(session) == caps:
            told = asked_by if session.interests == interests and asked_by != session.account.jid else None
            session.interests = interests
            if session.presence is not None:
                await self._host.hooks.interests_known.run(Interests(session, told))
        return DROPPED

    def _remember(self, caps: Caps, interests: frozenset[str]) -> None:
        self._known[caps.hash, caps.ver] = interests
        if len(self._known) > _REMEMBERED:
            self._known.popitem(last=False)

    @on("session_unavailable")
    def unavailable(self, gone: tuple[Session, Stanza]) -> None:
        """It may come back with the same hash, and is to be told anew."""
        session, _ = gone
        self._advertised.pop(session, None)
        self._asked.pop(session, None)
        self._news.pop(session, None)
        session.interests = None


def _interests(info: Info) -> frozenset[str]:
    """The nodes whose notifications the client wants (XEP-0163 §4.3.2)."""
    return frozenset(feature.removesuffix(_NOTIFY) for feature in info.features if feature.endswith(_NOTIFY))
