"""Lists of occupants and affiliations, and changes to them (XEP-0045 §8.2 to §8.5, §9, §10.3 to §10.8)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Stanza

from . import presence
from .invitations import invite_member, tell_affiliation
from .names import ADMIN
from .occupants import Occupant
from .privileges import Affiliation, Role, check_affiliation, check_role, default_role
from .room import Affiliate, Room

_MOST_ITEMS: Final = 1000
_REASON: Final = 2000  # characters
_NICK: Final = 1023  # octets
_RESERVED: Final = "This nickname is reserved"

Later = Callable[[], None]
"""What the others are told once the one who asked has his answer (§8.2, §9.1)."""
Step = Callable[[], Later | None]
"""A change that was found to be allowed."""


# -- lists


def lists(room: Room, stanza: Stanza, query: Element) -> None:
    """All occupants of a role, or all who are affiliated so. Raises StanzaError bad-request, and forbidden for who may
    not see the list (§5.2.1)."""
    assert stanza.sender is not None
    items = [child for child in query if (child.ns, child.name) == (ADMIN, "item")]
    if len(items) != 1 or ("role" in items[0].attrs) == ("affiliation" in items[0].attrs):
        raise StanzaError("bad-request", "A list is asked for by one role or one affiliation.")
    if "role" in items[0].attrs:
        found = _occupants(room, stanza.sender, Role.parse(items[0].get("role")))
    else:
        found = _affiliated(room, stanza.sender, Affiliation.parse(items[0].get("affiliation")))
    room.answer(stanza, Element(ADMIN, "query", {}, found))


def _occupants(room: Room, sender: JID, role: Role) -> list[Element]:
    asker = room.occupants.of(sender)
    if asker is None or asker.role is not Role.MODERATOR:
        raise StanzaError("forbidden")
    if role is Role.MODERATOR and room.affiliation(sender) < Affiliation.ADMIN:
        raise StanzaError("forbidden")
    return [
        Element(
            ADMIN,
            "item",
            {
                "affiliation": room.affiliation(occupant.jid).text,
                "jid": str(occupant.session),
                "nick": occupant.nick,
                "role": role.text,
            },
        )
        for occupant in room.occupants
        if occupant.role is role
    ]


def _affiliated(room: Room, sender: JID, affiliation: Affiliation) -> list[Element]:
    asker = room.occupants.of(sender)
    if not _may_list(room, asker, room.affiliation(sender), affiliation):
        raise StanzaError("forbidden")
    items = []
    for jid in room.with_affiliation(affiliation):
        entry = room.affiliates[jid]
        item = Element(ADMIN, "item", {"affiliation": affiliation.text, "jid": str(jid)})
        if entry.nick:
            item.attrs["nick"] = entry.nick
        if entry.reason:
            item.add(Element(ADMIN, "reason", {}, [entry.reason]))
        items.append(item)
    return items


def _may_list(room: Room, asker: Occupant | None, whose: Affiliation, wanted: Affiliation) -> bool:
    """Admins and owners; members, where real addresses are no secret (§9.5, §10.5); and others in the room whose role
    is allowed to."""
    if whose >= Affiliation.ADMIN:
        return True
    if wanted is Affiliation.OUTCAST or not room.config.non_anonymous:
        return False
    if whose is Affiliation.MEMBER:
        return True
    return asker is not None and asker.role.text in room.config.list_for and whose is not Affiliation.OUTCAST


# -- changes


@dataclass(frozen=True, slots=True)
class Item:
    """What is wanted for one account (`jid`) or one occupant (`nick`)."""

    jid: JID | None
    nick: str | None
    affiliation: Affiliation | None
    role: Role | None
    reason: str


def change(room: Room, stanza: Stanza, query: Element) -> None:
    """All of the changes, or none and an error: each is checked before the first is made (§9.2)."""
    sender = stanza.sender
    assert sender is not None
    elements = [child for child in query if (child.ns, child.name) == (ADMIN, "item")]
    if not elements:
        raise StanzaError("bad-request", "There is nothing to change.")
    if len(elements) > _MOST_ITEMS:
        raise StanzaError("policy-violation", f"At most {_MOST_ITEMS} items are changed at once.")
    items = [_parse(element) for element in elements]
    steps = [_role_step(room, sender, item) for item in items if item.role is not None]
    steps += affiliation_steps(room, sender, [item for item in items if item.affiliation is not None])
    later = [then for step in steps if (then := step()) is not None]
    room.answer(stanza)
    for then in later:
        then()


def _parse(element: Element) -> Item:
    has_role, has_affiliation = "role" in element.attrs, "affiliation" in element.attrs
    if has_role == has_affiliation:  # §17.4
        raise StanzaError("bad-request", "An item has either a role or an affiliation.")
    try:
        jid = JID.parse(element.get("jid")).bare if "jid" in element.attrs else None
        nick = element.attrs.get("nick")
        if nick:
            nick = JID.of("", "x", nick).resource
    except InvalidJID as error:
        raise StanzaError("jid-malformed") from error
    reason = element.child_text(ADMIN, "reason")[:_REASON]
    if has_role:
        if not nick:
            raise StanzaError("bad-request", "A role is that of a nickname.")
        return Item(None, nick, None, Role.parse(element.get("role")), reason)
    return Item(jid, nick, Affiliation.parse(element.get("affiliation")), None, reason)


def _role_step(room: Room, sender: JID, item: Item) -> Step:
    assert item.nick is not None
    assert item.role is not None
    actor = room.occupants.of(sender)
    affiliation = room.affiliation(sender)
    if actor is None and affiliation < Affiliation.ADMIN:
        raise StanzaError("forbidden")
    target = room.occupants.named(item.nick)
    if target is None:
        raise StanzaError("item-not-found", "There is no such occupant.")
    own = (affiliation, actor.role if actor is not None else Role.MODERATOR)
    check_role(own, (room.affiliation(target.jid), target.role), item.role, is_self=target is actor)
    wanted, reason = item.role, item.reason

    def step() -> Later | None:
        if wanted is Role.NONE:
            return presence.remove(room, target, 307, actor=actor, reason=reason)
        if target.role is wanted:
            return None
        target.role = wanted
        target.changed()
        return lambda: room.announce(target, actor=actor, reason=reason)

    return step


def affiliation_steps(room: Room, sender: JID, items: list[Item]) -> list[Step]:
    """The changes of affiliations, checked one after the other. Raises StanzaError as `check_affiliation` does,
    conflict for a nickname that is another's, resource-constraint where there are too many."""
    if not items:
        return []
    actor = room.affiliation(sender)
    wanted: dict[JID, Affiliation] = {}
    nicks = {entry.nick: jid for jid, entry in room.affiliates.items() if entry.nick}
    owners = set(room.with_affiliation(Affiliation.OWNER))
    steps = []
    for item in items:
        assert item.affiliation is not None
        jid = item.jid
        if jid is None:  # COMPAT(Smack, 4): by nickname, which the room knows the address of
            target = room.occupants.named(item.nick or "")
            if target is None:
                raise StanzaError("bad-request" if item.nick is None else "item-not-found")
            jid = target.jid
        current = wanted.get(jid, room.affiliates[jid].affiliation if jid in room.affiliates else Affiliation.NONE)
        check_affiliation(
            actor,
            current,
            item.affiliation,
            is_self=jid == sender.bare or jid == JID("", sender.domain, ""),
            is_last_owner=owners == {jid},
        )
        if item.nick and item.jid is not None and nicks.setdefault(item.nick, jid) != jid:
            raise StanzaError("conflict", _RESERVED)
        wanted[jid] = item.affiliation
        (owners.add if item.affiliation is Affiliation.OWNER else owners.discard)(jid)
        nick = item.nick if item.jid is not None else None
        steps.append(_affiliation_step(room, sender, jid, item.affiliation, nick, item.reason))
    added = {jid for jid, other in wanted.items() if other is not Affiliation.NONE} - room.affiliates.keys()
    if len(room.affiliates) + len(added) > room.bounds.affiliations:
        raise StanzaError("resource-constraint", "The room has too many affiliations.")
    return steps


def _affiliation_step(room: Room, sender: JID, jid: JID, wanted: Affiliation, nick: str | None, reason: str) -> Step:
    def step() -> Later | None:
        return set_affiliation(room, jid, wanted, nick=nick, actor=room.occupants.of(sender), reason=reason)

    return step


def set_affiliation(
    room: Room,
    jid: JID,
    wanted: Affiliation,
    *,
    nick: str | None = None,
    actor: Occupant | None = None,
    reason: str = "",
) -> Later | None:
    """Make the change, and put out who may not stay; what it returns tells the others. An empty `nick` takes the
    reservation away, None leaves it."""
    before = room.affiliates.get(jid)
    kept = "" if wanted in (Affiliation.OUTCAST, Affiliation.NONE) else (before.nick if before else "")
    if nick is not None and wanted not in (Affiliation.OUTCAST, Affiliation.NONE):
        kept = nick
    entry = None if wanted is Affiliation.NONE else Affiliate(wanted, kept, reason)
    had = before.affiliation if before is not None else Affiliation.NONE
    is_domain = not jid.localpart
    affected = [each for each in room.occupants if each.jid == jid or (is_domain and each.jid.domain == str(jid))]
    before_all = {each: room.affiliation(each.jid) for each in affected}
    room.affiliate(jid, entry)
    evicted = _evict_squatter(room, jid, kept) if kept else None
    if wanted is Affiliation.MEMBER and had < Affiliation.MEMBER and room.config.members_only and not affected:
        invite_member(room, jid)
    told = [_settle(room, each, before_all[each], actor=actor, reason=reason) for each in affected]

    def later() -> None:
        if evicted is not None:
            evicted()
        for then in told:
            then()
        if not affected and wanted is not had:
            codes = (301,) if wanted is Affiliation.OUTCAST else ()
            tell_affiliation(room, jid, codes=codes, reason=reason)

    return later


def _settle(room: Room, occupant: Occupant, before: Affiliation, *, actor: Occupant | None, reason: str) -> Later:
    """An occupant's affiliation is another now: he may have to go, or has another role (§5.1.3)."""
    now = room.affiliation(occupant.jid)
    code = 0
    if now is Affiliation.OUTCAST:
        code = 301
    elif room.config.members_only and now < Affiliation.MEMBER:
        code = 321
    if code:
        return presence.remove(room, occupant, code, actor=actor, reason=reason)
    occupant.role = _role_after(room, occupant.role, before, now)
    occupant.changed()
    return lambda: room.announce(occupant, actor=actor, reason=reason)


def _role_after(room: Room, role: Role, before: Affiliation, now: Affiliation) -> Role:
    """What comes with an affiliation is gained with it; who loses that of an admin is no moderator any more."""
    default = default_role(now, moderated=room.config.moderated)
    if now > before:
        return max(role, default)
    return default if before >= Affiliation.ADMIN > now else role


def _evict_squatter(room: Room, jid: JID, nick: str) -> Later | None:
    """Who uses a nickname that is reserved for another from now on has to go."""
    squatter = room.occupants.named(nick)
    if squatter is None or squatter.jid == jid:
        return None
    return presence.remove(room, squatter, 307, reason=_RESERVED)
