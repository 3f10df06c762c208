"""What the service does for administrators by ad-hoc command: it ends rooms, whoever owns them.

Node and field are those of Prosody, for there is no specification, and tools that speak to one speak to the other.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS, answer, is_cancelled, submitted
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID

DESTROY: Final = "http://prosody.im/protocol/muc#destroy"
_TITLE: Final = "Destroy rooms"
_MOST: Final = 1000


def items(service: JID) -> list[Element]:
    """The commands (XEP-0050 §2.2), for who may use them."""
    return [Element(ns.DISCO_ITEMS, "item", {"jid": str(service), "node": DESTROY, "name": _TITLE})]


def info(node: str, *, is_admin: bool) -> Element:
    """What the list of commands is, or one of them (§2.1, §2.3). Raises StanzaError: item-not-found for another node,
    forbidden for who may not use it."""
    if node == COMMANDS:
        identity, features = Identity("automation", "command-list", name="Commands"), (ns.DISCO_INFO, ns.DISCO_ITEMS)
    elif node != DESTROY:
        raise StanzaError("item-not-found")
    elif not is_admin:
        raise StanzaError("forbidden")
    else:
        identity, features = Identity("automation", "command-node", name=_TITLE), (COMMANDS, ns.DATA)
    return Info.of((identity,), features, node=node).element()


async def execute(
    command: Element, service: JID, destroy: Callable[[JID], Awaitable[bool]], *, is_admin: bool
) -> Element:
    """Execute one; `destroy` ends a room, and tells whether there was one. Raises StanzaError: item-not-found for
    another command, forbidden for who is no administrator, bad-request with the condition of XEP-0050 §4.4,
    jid-malformed, not-acceptable for what is no room of this service, or too many."""
    if command.get("node") != DESTROY:
        raise StanzaError("item-not-found", "There is no such command.")
    if not is_admin:
        raise StanzaError("forbidden")
    if is_cancelled(command):
        return answer(command, "canceled")
    form = submitted(command)
    if form is None:
        rooms = Field("rooms", (), "jid-multi", "The rooms", required=True)
        return answer(command, "executing", Form.of("form", DESTROY, rooms, title=_TITLE))
    form.expect(DESTROY)
    wanted = form.jids("rooms")
    if not 0 < len(wanted) <= _MOST or any(room.domain != service.domain or room.resource for room in wanted):
        raise StanzaError("not-acceptable", f"Name between one and {_MOST} rooms of this service.")
    gone: dict[bool, list[str]] = {True: [], False: []}
    for room in wanted:
        gone[await destroy(room)].append(str(room))
    completed = answer(command, "completed")
    if gone[True]:
        completed.add(_note("info", "The following rooms were destroyed:", gone[True]))
    if gone[False]:
        completed.add(_note("error", "There are no such rooms:", gone[False]))
    return completed


def _note(kind: str, text: str, rooms: list[str]) -> Element:
    return Element(COMMANDS, "note", {"type": kind}, ["\n".join((text, *rooms))])
