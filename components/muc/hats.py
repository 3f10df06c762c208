"""Hats: what an occupant is called beside his role, shown in his presence, and the ad-hoc commands by which admins make
them and give them to accounts.

XEP: 0317 (0.3.1) complete
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from hashlib import sha256
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS, answer, is_cancelled, submitted, wrong
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza

from .hat import Hat
from .names import HATS, USER
from .occupants import Occupant
from .privileges import Affiliation
from .room import Room, status

FORM: Final = f"{HATS.removesuffix(':0')}:commands"
_MOST: Final = 100
_MOST_WEARERS: Final = 1000
_TITLE: Final = 100  # characters
_URI: Final = 500  # characters
_IS_URI: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:[!-~]+")

Command = Callable[[Room, Form], "set[JID]"]
"""Does what a submitted form asks for; the accounts whose presence is another now."""


def digest(room: Room) -> str:
    """Another one for another list of hats; empty without hats."""
    hats = [(hat.uri, hat.title, hat.hue) for hat in room.hats.values()]
    return sha256(repr(hats).encode()).hexdigest() if hats else ""


# -- discovery (XEP-0050 §2)


def items(room: Room, stanza: Stanza) -> list[Element]:
    """The commands that the sender may use."""
    assert stanza.sender is not None
    return [
        Element(ns.DISCO_ITEMS, "item", {"jid": str(room.jid), "node": _node(name), "name": title})
        for name, (title, _, _) in _CHANGES.items()
        if _is_admin(room, stanza.sender)
    ] + [
        Element(ns.DISCO_ITEMS, "item", {"jid": str(room.jid), "node": _node(name), "name": title})
        for name, (title, may, _) in _LISTS.items()
        if may(room, stanza.sender)
    ]


def info(node: str) -> Element | None:
    """What the list of commands is, or one of them; None for another node."""
    if node == COMMANDS:
        identity, features = Identity("automation", "command-list", name="Commands"), (ns.DISCO_INFO, ns.DISCO_ITEMS)
    else:
        found = _CHANGES.get(_name(node)) or _LISTS.get(_name(node))
        if found is None:
            return None
        identity, features = Identity("automation", "command-node", name=found[0]), (COMMANDS, ns.DATA)
    return Info.of((identity,), features, node=node).element()


# -- commands


def command(room: Room, stanza: Stanza, query: Element) -> None:
    """Execute one. Raises StanzaError: item-not-found for another command, forbidden for who may not, bad-request with
    the condition of XEP-0050 §4.4 for what makes no sense, resource-constraint where there are too many."""
    assert stanza.sender is not None
    node = query.get("node")
    name = _name(node)
    if name not in _CHANGES and name not in _LISTS:
        raise StanzaError("item-not-found", "There is no such command.")
    allowed = _LISTS[name][1](room, stanza.sender) if name in _LISTS else _is_admin(room, stanza.sender)
    if not allowed:
        raise StanzaError("forbidden")
    if is_cancelled(query):
        room.answer(stanza, answer(query, "canceled"))
        return
    form = submitted(query)
    if name in _LISTS:
        room.answer(stanza, answer(query, "completed", _LISTS[name][2](room)))
    elif form is None:
        room.answer(stanza, answer(query, "executing", _form(room, name)))
    else:
        form.expect(FORM)
        before = dict(room.hats)
        refreshed = _CHANGES[name][2](room, form)
        room.answer(stanza, answer(query, "completed"))
        _tell(room, before, refreshed)


def _tell(room: Room, before: dict[str, Hat], refreshed: set[JID]) -> None:
    """Show the presence of those whose hats are others, and tell all that the list is another (§3.2 to §3.6)."""
    if room.hats == before:
        return
    room.save()
    for occupant in _occupants(room, refreshed):
        occupant.changed()
        room.announce(occupant)
    if [*map(_hat_alone, room.hats.values())] != [*map(_hat_alone, before.values())]:
        room.tell(Element(USER, "x", {}, status((104,))))


def _hat_alone(hat: Hat) -> Hat:
    return replace(hat, wearers=frozenset())


def _occupants(room: Room, accounts: Iterable[JID]) -> list[Occupant]:
    wanted = set(accounts)
    return [occupant for occupant in room.occupants if occupant.jid in wanted]


def _create(room: Room, form: Form) -> set[JID]:
    """A new hat, or another title and colour of one."""
    uri, title, hue = form.text("hats#uri").strip(), form.text("hats#title").strip(), form.text("hats#hue").strip()
    if not _IS_URI.fullmatch(uri) or len(uri) > _URI:
        raise wrong("bad-payload", f"A hat has a URI of {_URI} characters at most.")
    if not 0 < len(title) <= _TITLE:
        raise wrong("bad-payload", f"A hat has a title of {_TITLE} characters at most.")
    if hue and not _is_hue(hue):
        raise wrong("bad-payload", "A hue is an angle from 0 to 360.")
    known = room.hats.get(uri)
    if known is None and len(room.hats) >= _MOST:
        raise StanzaError("resource-constraint", f"A room has at most {_MOST} hats.")
    room.hats[uri] = Hat(uri, title, hue, known.wearers if known is not None else frozenset())
    return set(room.hats[uri].wearers)


def _is_hue(text: str) -> bool:
    try:
        hue = float(text)
    except ValueError:
        return False
    return len(text) <= 20 and math.isfinite(hue) and 0 <= hue <= 360


def _destroy(room: Room, form: Form) -> set[JID]:
    hat = _named(room, form)
    del room.hats[hat.uri]
    return set(hat.wearers)


def _assign(room: Room, form: Form) -> set[JID]:
    hat, jid = _named(room, form), _account(form)
    if jid not in hat.wearers and sum(len(each.wearers) for each in room.hats.values()) >= _MOST_WEARERS:
        raise StanzaError("resource-constraint", f"At most {_MOST_WEARERS} hats are worn in a room.")
    room.hats[hat.uri] = replace(hat, wearers=hat.wearers | {jid})
    return {jid}


def _unassign(room: Room, form: Form) -> set[JID]:
    hat, jid = _named(room, form), _account(form)
    if jid not in hat.wearers:
        raise StanzaError("item-not-found", "This hat is not worn by this account.")
    room.hats[hat.uri] = replace(hat, wearers=hat.wearers - {jid})
    return {jid}


def _named(room: Room, form: Form) -> Hat:
    hat = room.hats.get(form.text("hats#uri").strip())
    if hat is None:
        raise StanzaError("item-not-found", "There is no such hat.")
    return hat


def _account(form: Form) -> JID:
    jid = form.jid("hats#jid")
    if jid is None or not jid.localpart:
        raise wrong("bad-payload", "A hat is worn by an account.")
    return jid.bare


def _form(room: Room, name: str) -> Form:
    hats = tuple((hat.uri, hat.title) for hat in room.hats.values())
    which = Field("hats#uri", (), "list-single", "The hat", hats, required=True)
    whose = Field("hats#jid", (), "jid-single", "User Address", required=True)
    title = Field("hats#title", (), "text-single", "Hat Title", required=True)
    uri = Field("hats#uri", (), "text-single", "Hat URI", required=True)
    hue = Field("hats#hue", (), "text-single", "Hat Hue")
    fields = {"create": (title, uri, hue), "destroy": (which,)}.get(name, (whose, which))
    return Form.of("form", FORM, *fields, title=_CHANGES[name][0], instructions=_CHANGES[name][1])


def _list(room: Room) -> Form:
    names = ("hats#title", "hats#uri", "hats#hue")
    rows = [(hat.title, hat.uri, hat.hue) for hat in room.hats.values()]
    return _table("Hats List", names, rows)


def _list_assigned(room: Room) -> Form:
    names = ("hats#jid", "hats#uri", "hats#title", "hats#hue")
    rows = [
        (str(jid), hat.uri, hat.title, hat.hue) for hat in room.hats.values() for jid in sorted(hat.wearers, key=str)
    ]
    return _table("Assigned Hats List", names, rows)


def _table(title: str, names: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> Form:
    found = tuple(tuple(Field(name, (text,)) for name, text in zip(names, row, strict=True)) for row in rows)
    form_type = Field("FORM_TYPE", (FORM,), "hidden")
    return Form("result", (form_type,), title, reported=tuple(map(Field, names)), items=found)


def _is_admin(room: Room, sender: JID) -> bool:
    return room.affiliation(sender) >= Affiliation.ADMIN


def _has_to_do(room: Room, sender: JID) -> bool:
    """Who is in the room, or belongs to it."""
    return room.occupants.of(sender) is not None or room.affiliation(sender) >= Affiliation.MEMBER


def _sees_addresses(room: Room, sender: JID) -> bool:
    """The list of who wears what has real addresses."""
    return _is_admin(room, sender) or (room.config.non_anonymous and _has_to_do(room, sender))


def _node(name: str) -> str:
    return f"{FORM}:{name}"


def _name(node: str) -> str:
    return node.removeprefix(f"{FORM}:") if node.startswith(f"{FORM}:") else ""


_CHANGES: Final[dict[str, tuple[str, str, Command]]] = {
    "create": ("Creating a Hat", "Fill out this form to create a hat.", _create),
    "destroy": ("Destroying a Hat", "Fill out this form to destroy a hat.", _destroy),
    "assign": ("Assigning a Hat", "Fill out this form to assign a hat.", _assign),
    "unassign": ("Removing a Hat", "Fill out this form to remove a hat.", _unassign),
}
"""Title, instructions, and what is done."""
_LISTS: Final[dict[str, tuple[str, Callable[[Room, JID], bool], Callable[[Room], Form]]]] = {
    "list": ("Hats List", _has_to_do, _list),
    "list-assigned": ("Assigned Hats List", _sees_addresses, _list_assigned),
}
"""Title, who may read it, and the list."""
