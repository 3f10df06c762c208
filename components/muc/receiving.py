"""Which feature a stanza to a room is for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza, qname

from . import admin, avatar, disco, forwarding, hats, messages, owner, presence, private_messages, registration
from .names import ADMIN, OWNER, PING, REGISTER, VCARD
from .room import Room

Handler = Callable[[Room, Stanza, Element], None]

_REQUESTS: Final[dict[tuple[str, str], Handler]] = {
    ("get", qname(ns.DISCO_INFO, "query")): disco.info,
    ("get", qname(ns.DISCO_ITEMS, "query")): disco.items,
    ("get", qname(ADMIN, "query")): admin.lists,
    ("set", qname(ADMIN, "query")): admin.change,
    ("get", qname(OWNER, "query")): owner.form,
    ("set", qname(OWNER, "query")): owner.change,
    ("get", qname(REGISTER, "query")): registration.form,
    ("set", qname(REGISTER, "query")): registration.register,
    ("get", qname(VCARD, "vCard")): avatar.get,
    ("set", qname(VCARD, "vCard")): avatar.publish,
    ("set", qname(COMMANDS, "command")): hats.command,
    ("get", qname(PING, "ping")): lambda room, stanza, _: room.answer(stanza),
}


def receive(room: Room, stanza: Stanza) -> None:
    """Handle it; raises StanzaError for what its sender is to be told."""
    assert stanza.to is not None
    if stanza.name == "presence":
        presence.receive(room, stanza)
    elif stanza.name == "message":
        if stanza.to.resource:
            private_messages.receive(room, stanza)
        else:
            messages.receive(room, stanza)
    elif stanza.to.resource:
        forwarding.receive(room, stanza)
    elif stanza.type in ("get", "set"):
        request(room, stanza)


def request(room: Room, stanza: Stanza) -> None:
    """A request to the room itself (§17.4)."""
    if len(stanza.children) != 1 or not stanza.id:
        raise StanzaError("bad-request", "a request has an id and exactly one child element")
    child = stanza.children[0]
    handler = _REQUESTS.get((stanza.type, child.key))
    if handler is None:
        raise StanzaError("service-unavailable")
    handler(room, stanza, stanza.parse(child))
