"""Queries to the log of a room (XEP-0313), for those who may enter it.

`with` finds the messages of one occupant's address; real addresses are not looked for.

XEP: 0313 (1.1.3) complete
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.archive import Query, Results, metadata, query_form
from xmpp_server.protocol.archive_ids import ArchiveIds
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, Stanza, qname
from xmpp_server.storage.archive import Archive
from xmpp_server.storage.archive_pages import Pages

from .privileges import Affiliation
from .room import Room

_QUERY: Final = qname(ns.MAM, "query")
_METADATA: Final = qname(ns.MAM, "metadata")
_RESULT: Final = qname(ns.MAM, "result")


def is_query(stanza: Stanza) -> bool:
    """Whether this is for the archive."""
    return stanza.name == "iq" and stanza.type in ("get", "set") and stanza.keys in ([_QUERY], [_METADATA])


class RoomArchive:
    """Answers queries to the logs of a service's rooms."""

    def __init__(self, log: Archive, ids: ArchiveIds, page: int) -> None:
        self._log = log
        self._ids = ids
        self._page = page

    async def answer(self, room: Room, stanza: Stanza) -> AsyncIterator[Stanza]:
        """The messages, and last the result. Raises StanzaError: forbidden for who may not enter, item-not-found and
        others as `Pages.find` does."""
        check(room, stanza.sender)
        if stanza.keys == [_METADATA]:
            yield stanza.result(await self._ends(room.jid))
        elif stanza.type == "get":
            yield stanza.result(query_form())
        else:
            async for each in self._find(room, stanza):
                yield each

    async def _ends(self, room: JID) -> Element:
        ends = await self._log.ends(room)
        if ends is None:
            return metadata(None)
        first, last = ((self._ids.seal(room, n), at) for n, at in ends)
        return metadata((first, last))

    async def _find(self, room: Room, stanza: Stanza) -> AsyncIterator[Stanza]:
        assert stanza.sender is not None
        query = Query.parse(stanza.parse(stanza.children[0]))
        pages = Pages(self._log, self._ids)
        answer = await pages.find(room.jid, query, self._page)
        results = Results(room.jid, stanza.sender, query.queryid)
        async for messages in pages.load(room.jid, query, answer):
            for message in messages:
                payload = results.payload(self._ids.seal(room.jid, message.n), message.at, message.stanza)
                child = Child(_RESULT, [], 0, len(payload))
                yield Stanza("message", room.jid, stanza.sender, "", "", "", None, (child,), payload)
        yield stanza.result(answer.fin)


def check(room: Room, who: JID | None) -> None:
    """Raises StanzaError forbidden for who may not read the log: it is for those in the room, for members, and where
    anybody may enter, for everybody who is not banned. service-unavailable where there is none."""
    assert who is not None
    if not room.logs:
        raise StanzaError("service-unavailable")
    affiliation = room.affiliation(who)
    if affiliation >= Affiliation.MEMBER or room.occupants.of(who) is not None:
        return
    if affiliation is Affiliation.OUTCAST or room.config.members_only or room.config.password:
        raise StanzaError("forbidden")
