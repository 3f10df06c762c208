"""What the service itself is asked: what it can do, and which rooms it lists (XEP-0045 §6.2, §6.3)."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol import ns, rsm
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.storage.rooms import Rooms

from . import service_commands
from .disco import ALWAYS, LOGGED
from .names import PING
from .search import NS as SEARCH

_INFO: Final = qname(ns.DISCO_INFO, "query")
_ITEMS: Final = qname(ns.DISCO_ITEMS, "query")
_PING: Final = qname(PING, "ping")
_MOST: Final = 200


async def answer(rooms: Rooms, stanza: Stanza, *, archive: bool, search: bool, is_admin: bool) -> tuple[Element, ...]:
    """The payload of the answer. Raises StanzaError: item-not-found for a node that is none, service-unavailable for
    what nobody answers here."""
    assert stanza.to is not None
    if len(stanza.children) != 1:
        raise StanzaError("bad-request", "a request has exactly one child element")
    key = stanza.keys[0]
    if stanza.type == "get" and key == _PING:
        return ()
    query = stanza.parse(stanza.children[0])
    if stanza.type == "get" and key == _INFO:
        if query.get("node"):
            return (service_commands.info(query.get("node"), is_admin=is_admin),)
        identity = Identity("conference", "text", name="Groups")
        features = (*ALWAYS, COMMANDS, rsm.NS, *(LOGGED if archive else ()), *((SEARCH,) if search else ()))
        return (Info.of((identity,), features).element(),)
    if stanza.type == "get" and key == _ITEMS:
        if query.get("node") == COMMANDS:
            commands = service_commands.items(stanza.to) if is_admin else []
            return (Element(ns.DISCO_ITEMS, "query", {"node": COMMANDS}, commands),)
        if query.get("node"):
            raise StanzaError("item-not-found")
        return (await _rooms(rooms, stanza.to.domain, rsm.PageRequest.parse(query)),)
    raise StanzaError("service-unavailable")


async def _rooms(rooms: Rooms, domain: str, page: rsm.PageRequest) -> Element:
    """The rooms that are listed, at most so many at a time (XEP-0059)."""
    limit = page.limit(_MOST)
    count = await rooms.count(domain)
    backwards = page.before is not None
    found = []
    if limit:
        found = list(await rooms.public(domain, after=page.after or "", before=page.before, limit=limit))
    answer = Element(ns.DISCO_ITEMS, "query")
    for jid, name in found:
        answer.add(Element(ns.DISCO_ITEMS, "item", {"jid": str(jid), "name": name or jid.localpart}))
    if page != rsm.PageRequest() or count > len(found):
        index = 0 if found and not backwards and page.after is None else None
        ends = (str(found[0][0]), str(found[-1][0])) if found else (None, None)
        answer.add(rsm.Page(ends[0], ends[1], index, count).element())
    return answer
