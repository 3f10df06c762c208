"""Finding a room by words of its name, description or address (XEP-0433).

Only rooms that are listed anyway are found. The answer to each page is made anew, so a page goes on behind the room
that the one before ended with, wherever that is now.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Final

from xmpp_server.protocol import ns, rsm
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.rooms import Rooms

from . import keeping
from .config import Config

NS: Final = "urn:xmpp:channel-search:0:search"
_PARAMETERS: Final = "urn:xmpp:channel-search:0:search-params"
_ERROR: Final = "urn:xmpp:channel-search:0:error"
_BY_ADDRESS: Final = "{urn:xmpp:channel-search:0:order}address"
_BY_USERS: Final = "{urn:xmpp:channel-search:0:order}nusers"
_ROOMS: Final = "xep-0045"
_MOST: Final = 50  # rooms on a page
_AT_ONCE: Final = 200  # rooms that are read from the database at once
_SCANNED: Final = 20_000  # rooms that one search looks at
_MOST_TEXT: Final = 256
_MOST_TERMS: Final = 8
_SHORTEST: Final = 2

Users = Callable[[JID], int]
"""How many are in a room."""


@dataclass(frozen=True, slots=True)
class Query:
    """What is searched for: rooms that have all `terms` (none: all rooms) in the named places together."""

    terms: tuple[str, ...] = ()
    address: bool = True
    name: bool = True
    description: bool = True
    order: str = _BY_ADDRESS
    rooms: bool = True

    @classmethod
    def parse(cls, form: Form) -> Query:
        """Raises StanzaError with the conditions of §4.2.2; fields that are not known are passed over (§5)."""
        form.expect(_PARAMETERS)
        text, everything = form.text("q"), form.boolean("all")
        if text and everything:
            conflict = Element(
                _ERROR, "conflicting-fields", {}, [Element(_ERROR, "var", {}, [var]) for var in ("all", "q")]
            )
            raise StanzaError("bad-request", "Either search for words, or ask for all entries.", application=conflict)
        if not text and not everything:
            none = Element(_ERROR, "no-search-conditions")
            raise StanzaError("bad-request", type="cancel", application=none)
        order = form.text("key", _BY_ADDRESS)
        if order not in (_BY_ADDRESS, _BY_USERS):
            invalid = Element(_ERROR, "invalid-sort-key")
            raise StanzaError("feature-not-implemented", type="modify", application=invalid)
        return cls(
            () if everything else _terms(text),
            form.boolean("sinaddress", True),
            form.boolean("sinname", True),
            form.boolean("sindescription", True),
            order,
            _ROOMS in form.texts("types", [_ROOMS]),
        )

    def matches(self, jid: JID, config: Config) -> bool:
        """Whether the room is one of those."""
        places = (
            jid.localpart if self.address else "",
            config.name if self.name else "",
            config.description if self.description else "",
        )
        text = "\n".join(places).casefold()
        return all(term in text for term in self.terms)


def _terms(text: str) -> tuple[str, ...]:
    terms = tuple(dict.fromkeys(term for term in text.casefold().split() if len(term) >= _SHORTEST))
    if not terms or len(terms) > _MOST_TERMS or len(text) > _MOST_TEXT:
        invalid = Element(_ERROR, "invalid-search-terms")
        reason = f"Search for up to {_MOST_TERMS} words of at least {_SHORTEST} characters."
        raise StanzaError("bad-request", reason, type="modify", application=invalid)
    return terms


def too_often() -> StanzaError:
    """What an account is told that searches too often (§4.2.2.4)."""
    return StanzaError("resource-constraint", application=Element(_ERROR, "rate-limit", {"retry-after": "60"}))


def form() -> Element:
    """What can be asked for (§4.2.1), and what is taken for fields that are left out."""
    orders = ((_BY_ADDRESS, "Address"), (_BY_USERS, "Number of people"))
    fields = (
        Field("q", (), "text-single", "Search for"),
        Field("all", (), "boolean", "All rooms, whatever they are called"),
        boolean("sinname", True, "Search in names"),
        boolean("sindescription", True, "Search in descriptions"),
        boolean("sinaddress", True, "Search in addresses"),
        Field("types", (_ROOMS,), "list-multi", "Kinds of rooms", ((_ROOMS, "Rooms (XEP-0045)"),)),
        Field("key", (_BY_ADDRESS,), "list-single", "Sort by", orders),
    )
    return Element(NS, "search", {}, [Form.of("form", _PARAMETERS, *fields).element()])


async def search(rooms: Rooms, domain: str, request: Element, users: Users) -> Element:
    """The form, or what a submitted one finds. Raises StanzaError as `Query.parse`."""
    x = request.child(ns.DATA, "x")
    if x is None:
        return form()
    query = Query.parse(Form.parse(x))
    found = [each async for each in _listed(rooms, domain) if query.matches(*each)] if query.rooms else []
    if query.order == _BY_USERS:
        found.sort(key=lambda each: -users(each[0]))
    page, said = _cut(found, rsm.PageRequest.parse(request))
    result = Element(NS, "result", {}, [_item(jid, config, users(jid)) for jid, config in page])
    if found:
        result.add(said.element())
    return result


async def _listed(rooms: Rooms, domain: str) -> AsyncIterator[tuple[JID, Config]]:
    """The rooms that are listed, by address."""
    after = ""
    for _ in range(0, _SCANNED, _AT_ONCE):
        page = await rooms.public_states(domain, after=after, limit=_AT_ONCE)
        for jid, state in page:
            yield jid, keeping.config(state)
        if len(page) < _AT_ONCE:
            return
        after = str(page[-1][0])


def _cut(found: list[tuple[JID, Config]], asked: rsm.PageRequest) -> tuple[list[tuple[JID, Config]], rsm.Page]:
    """The page that is asked for. Raises StanzaError item-not-found if the room that it goes on from is none of them
    any more (XEP-0059 §2.2)."""
    places = {str(jid): n for n, (jid, _) in enumerate(found)}
    limit = asked.limit(_MOST)
    if asked.after is not None or asked.before:
        there = places.get(asked.after if asked.after is not None else asked.before or "")
        if there is None:
            raise StanzaError("item-not-found")
        start = there + 1 if asked.after is not None else max(there - limit, 0)
        page = found[start : start + limit if asked.after is not None else there]
    else:
        start = max(len(found) - limit, 0) if asked.before is not None else asked.index or 0
        page = found[start : start + limit]
    if not page:
        return page, rsm.Page(count=len(found))
    return page, rsm.Page(str(page[0][0]), str(page[-1][0]), start, len(found))


def _item(jid: JID, config: Config, users: int) -> Element:
    """§6.2"""
    values = {
        "name": config.name or jid.localpart,
        "description": config.description,
        "language": config.lang,
        "nusers": str(users),
        "service-type": _ROOMS,
        "is-open": "false" if config.members_only or config.password else "true",
        "anonymity-mode": "{urn:xmpp:channel-search:0:anonymity}none" if config.non_anonymous else "muc_semianonymous",
    }
    return Element(
        NS, "item", {"address": str(jid)}, [Element(NS, name, {}, [value]) for name, value in values.items() if value]
    )
