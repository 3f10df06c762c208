"""A room: who is in it, what it is like, and what its features have in common. It is pure: a stanza goes in, what it
brings about comes out (`turn.py`); clock, numbers and ids come from its surroundings."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.util.limits import Allowance, TokenBucket

from .config import Config
from .hat import Hat, worn
from .history import ORIGIN_ID, History
from .names import JOIN, MUC, OCCUPANT_ID, USER
from .occupants import Occupant, Occupants
from .privileges import Affiliation, Role
from .surroundings import Bounds, Surroundings
from .turn import Changed, Copies, Logged, Turn


@dataclass(frozen=True, slots=True)
class Affiliate:
    """An account that is affiliated; `nick` is reserved for it (XEP-0045 §7.12), empty if none is."""

    affiliation: Affiliation
    nick: str = ""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Subject:
    """The subject: the message that set it, as it was reflected, and when."""

    message: Stanza
    at: int


class Room:
    """One room. `affiliates` are by bare address (or a domain); a `locked` room is known to its owner alone (§10.1.1);
    to those who are `behind` the room owes what they missed, so that no message goes to them before that."""

    def __init__(self, jid: JID, surroundings: Surroundings, bounds: Bounds | None = None) -> None:
        self.jid = jid
        self.surroundings = surroundings
        self.bounds = bounds or Bounds()
        self.config = Config()
        self.affiliates: dict[JID, Affiliate] = {}
        self.occupants = Occupants()
        self.hats: dict[str, Hat] = {}
        """By their URI."""
        self.subject: Subject | None = None
        self.avatar = b""
        """The room's vCard as XML, empty if it has none."""
        self.history = History()
        self.last = 0
        """The number of the newest message."""
        self.beginning: set[JID] = set()
        """Sessions that have said nothing new since they entered: what they say may be in the log since before a
        crash."""
        self.keeps = True
        """Whether the service has a log."""
        self.lists_occupants = False
        self.locked = False
        self.behind: set[JID] = set()
        self.since: dict[JID, int] = {}
        """By session, the number of the newest message when it entered."""
        self.forwarded: dict[str, tuple[JID, str, JID]] = {}
        """Requests that went on to an occupant (`forwarding.py`): by the id that they have there, who asked, by which
        id, and the account that is asked."""
        self.whispered: dict[tuple[str, JID], JID] = {}
        """Private messages (`private_messages.py`), by their id and the account that they are for: who wrote them."""
        joins = self.bounds.joins
        self._joined = Allowance(lambda: surroundings.now() / 1_000_000, count=joins, period=60, keys=4096)
        self.turn = Turn()

    # -- what comes in

    def receive(self, stanza: Stanza) -> Turn:
        """Handle a stanza to the room or to one of its occupants; `sender` and `to` are set."""
        from .receiving import receive

        return self.act(lambda: receive(self, stanza), stanza)

    def act(self, action: Callable[[], None], stanza: Stanza | None = None) -> Turn:
        """What the action brings about; if it raises StanzaError, that is the answer to the stanza."""
        turn = self.turn = Turn()
        try:
            action()
        except StanzaError as error:
            if stanza is None:
                raise
            self.refuse(stanza, error)
        if not self.occupants and turn.left and not self.config.persistent:
            turn.destroyed = True
        return turn

    def refuse(self, stanza: Stanza, error: StanzaError) -> None:
        """Answer with the error, where the kind of stanza is one to be answered (RFC 6120 §8.3.1)."""
        if stanza.type == "error" or (stanza.name == "iq" and stanza.type == "result"):
            return
        if stanza.name == "presence" and stanza.type == "unavailable":
            return
        element = error.element()
        element.attrs["by"] = str(self.jid)
        answer = Stanza.build(
            stanza.name,  # type: ignore[arg-type]
            *((Element(MUC, "x"),) if JOIN in stanza.keys else ()),
            element,
            sender=stanza.to,
            to=stanza.sender,
            type="error",
            id=stanza.id,
        )
        self.turn.sends.append(answer)

    # -- what goes out

    def send(self, stanza: Stanza) -> None:
        self.turn.sends.append(stanza)

    def answer(self, request: Stanza, *elements: Element) -> None:
        """The result of an iq."""
        self.turn.sends.append(request.result(*elements))

    def fan_out(self, stanza: Stanza, to: Sequence[JID], n: int = 0, *, late: bool = False) -> None:
        """The same to many; the stanza has no `to`."""
        if to:
            self.turn.sends.append(Copies(stanza, to, n, late))

    def still_gets(self, session: JID, n: int) -> bool:
        """Whether a message that was said while the session was in the room is to go to it now that it is written. Not
        if it has left; and if it has entered anew since, with the history that it is owed, or asks for."""
        return self.since.get(session, n) < n

    def tell(self, *elements: Element, to: Iterable[JID] | None = None, type: str = "groupchat") -> None:
        """A message of the room itself, to all or to some."""
        receivers = list(self.occupants.sessions if to is None else to)
        self.fan_out(Stanza.build("message", *elements, sender=self.jid, type=type), receivers)

    def mark(self, message: Stanza) -> int | None:
        """What a message of an occupant is found by in the log if it is sent again; None if it has no origin-id."""
        id = message.attribute(ORIGIN_ID, "id") if ORIGIN_ID in message.keys else ""
        if not id:
            return None
        assert message.sender is not None
        return self.surroundings.mark(self.jid, message.sender.bare, id)

    def log(
        self,
        message: Stanza,
        author: JID,
        entombed: tuple[tuple[int, bytes], ...] = (),
        mark: int | None = None,
    ) -> tuple[Stanza, int]:
        """The message as it is reflected, with its id in the log, and its number."""
        surroundings = self.surroundings
        n = self.last = surroundings.number(self.last)
        at = surroundings.now()
        stanza_id = Element(ns.STANZA_ID, "stanza-id", {"by": str(self.jid), "id": surroundings.stanza_id(self.jid, n)})
        message = message.with_child(stanza_id)
        kept = message
        if self.config.non_anonymous and (occupant := self.occupants.named(author.resource)) is not None:
            # XEP-0313 §6.1.3: who could see the real address then, sees it in the archive
            kept = message.with_child(self.user_x(occupant.jid, occupant.role, jid=str(occupant.session)))
        self.turn.logged = Logged(n, at, kept, author, entombed, mark)
        self.history.add(n, at, message)
        return message, n

    @property
    def logs(self) -> bool:
        """Whether messages are kept."""
        return self.keeps and self.config.archive and not self.locked

    # -- who is what

    def affiliation(self, jid: JID) -> Affiliation:
        """That of the account, else of its domain (§9.2)."""
        entry = self.affiliates.get(jid.bare) or self.affiliates.get(JID.parse(jid.domain))
        return entry.affiliation if entry is not None else Affiliation.NONE

    def with_affiliation(self, affiliation: Affiliation) -> list[JID]:
        """All that have it."""
        return [jid for jid, entry in self.affiliates.items() if entry.affiliation is affiliation]

    def reserved(self, nick: str) -> JID | None:
        """For whom the nickname is reserved."""
        return next((jid for jid, entry in self.affiliates.items() if entry.nick == nick), None)

    def occupant(self, stanza: Stanza) -> Occupant:
        """The occupant who sent it; raises StanzaError not-acceptable if it is none (§7.4, §7.5)."""
        assert stanza.sender is not None
        occupant = self.occupants.of(stanza.sender)
        if occupant is None:
            raise not_in_room()
        return occupant

    def count(self, occupant: Occupant, octets: int = 0) -> None:
        """The occupant sends something. Raises StanzaError: resource-constraint if it was too much in too short a time,
        policy-violation if it is too large; moderators send as much as they like."""
        bounds = self.bounds
        if octets > bounds.octets:
            raise StanzaError("policy-violation", f"A message has at most {bounds.octets} octets.")
        if occupant.role is Role.MODERATOR:
            return
        if occupant.bucket is None:
            occupant.bucket = TokenBucket(bounds.rate, bounds.burst, lambda: self.surroundings.now() / 1_000_000)
        if occupant.bucket.take() > 0:
            occupant.bucket.take(-1)  # what is refused does not count
            raise StanzaError("resource-constraint", "You send too much in too short a time.", type="wait")

    def count_join(self, account: JID) -> None:
        """The account wants to enter, or to be shown the room again: it is told of everybody, and everybody of it.
        Raises StanzaError resource-constraint if it wants that too often."""
        if self.bounds.joins and self.affiliation(account) < Affiliation.ADMIN and not self._joined.take(str(account)):
            raise StanzaError("resource-constraint", "You enter this room too often; try again later.", type="wait")

    def sees_addresses(self, occupant: Occupant) -> bool:
        """Whether the occupant may see real addresses (§7.2.3, §7.2.4)."""
        return self.config.non_anonymous or occupant.role is Role.MODERATOR

    def is_shown(self, role: Role) -> bool:
        """Whether presence of this role is shown to others."""
        return role.text in self.config.presence_of

    # -- what is shown of occupants

    def user_x(
        self,
        account: JID | Affiliation,
        role: Role | None,
        *,
        jid: str = "",
        nick: str | None = None,
        actor: Occupant | None = None,
        with_actor_jid: bool = False,
        reason: str = "",
        codes: Iterable[int] = (),
    ) -> Element:
        """The `<x/>` with an item; `account` stands for its affiliation."""
        affiliation = self.affiliation(account) if isinstance(account, JID) else account
        attrs = {"affiliation": affiliation.text}
        if role is not None:
            attrs["role"] = role.text
        if jid:
            attrs["jid"] = jid
        if nick is not None:
            attrs["nick"] = nick
        item = Element(USER, "item", attrs)
        if actor is not None:
            who = {"nick": actor.nick}
            if with_actor_jid:
                who["jid"] = str(actor.session)
            item.add(Element(USER, "actor", who))
        if reason:
            item.add(Element(USER, "reason", {}, [reason]))
        # in the order that other servers have: what happened, to whom, and whether that is the receiver himself
        own, others = {110}.intersection(codes), set(codes) - {110}
        return Element(USER, "x", {}, [*status(others), item, *status(own)])

    def shown(self, occupant: Occupant, *, with_jid: bool) -> Stanza:
        """The occupant's presence as others see it, without `to`."""
        presence = occupant.shown(with_jid=with_jid)
        if presence is None:
            jid = str(occupant.session) if with_jid else ""
            x = self.user_x(occupant.jid, occupant.role, jid=jid)
            presence = self._dressed(occupant, occupant.presence, x)
            occupant.remember(presence, with_jid=with_jid)
        return presence

    def _dressed(self, occupant: Occupant, presence: Stanza, x: Element) -> Stanza:
        added = [Element(OCCUPANT_ID, "occupant-id", {"id": occupant.id}), x]
        if self.hats and not presence.type and (hats := worn(self.hats.values(), occupant.jid)) is not None:
            added.append(hats)
        return presence.stamped(sender=occupant.address, id="").with_child(*added)

    def announce(
        self,
        occupant: Occupant,
        *,
        codes: Iterable[int] = (),
        own_codes: Iterable[int] = (),
        own_id: str = "",
        actor: Occupant | None = None,
        reason: str = "",
        others: bool = True,
    ) -> None:
        """Show the occupant's presence to all, and to itself as its own (§7.2.2)."""
        codes, own_codes = tuple(codes), (*codes, *own_codes, 110)
        plain = not codes and actor is None and not reason

        def version(*, with_jid: bool) -> Stanza:
            if plain:
                return self.shown(occupant, with_jid=with_jid)
            jid = str(occupant.session) if with_jid else ""
            x = self.user_x(
                occupant.jid, occupant.role, jid=jid, actor=actor, with_actor_jid=with_jid, reason=reason, codes=codes
            )
            return self._dressed(occupant, occupant.presence, x)

        if others and self.is_shown(occupant.role):
            self._split(occupant, version)
        for session, presence in occupant.sessions.items():
            x = self.user_x(
                occupant.jid,
                occupant.role,
                jid=str(session),
                actor=actor,
                reason=reason,
                codes=own_codes,
            )
            self.send(self._dressed(occupant, presence, x).stamped(to=session, id=own_id))

    def announce_gone(
        self,
        occupant: Occupant,
        presence: Stanza,
        *,
        sessions: Iterable[JID],
        others: bool,
        role: Role = Role.NONE,
        affiliation: Affiliation | None = None,
        nick: str | None = None,
        actor: Occupant | None = None,
        reason: str = "",
        codes: Iterable[int] = (),
        own: bool = True,
        own_id: str = "",
    ) -> None:
        """Show that the occupant is not under its nickname any more: to these sessions of its own, to the others, or
        both. `presence` is the stanza of type unavailable; `own_id` is reflected to itself."""
        codes = tuple(codes)
        account: JID | Affiliation = occupant.jid if affiliation is None else affiliation

        def version(*, with_jid: bool, jid: str = "", codes: tuple[int, ...] = codes) -> Stanza:
            own = bool(jid)
            x = self.user_x(
                account,
                role,
                jid=jid or (str(occupant.session) if with_jid else ""),
                nick=nick,
                actor=actor,
                with_actor_jid=with_jid and not own,
                reason=reason,
                codes=codes,
            )
            return self._dressed(occupant, presence, x)

        if own:
            sees = self.sees_addresses(occupant)
            for session in sessions:
                gone = version(with_jid=sees, jid=str(session), codes=(*codes, 110))
                self.send(gone.stamped(to=session, id=own_id))
        if others and self.is_shown(occupant.role):
            self._split(occupant, version)

    def _split(self, occupant: Occupant, version: Callable[..., Stanza]) -> None:
        """One version for those who see real addresses, another for the rest; nothing to the occupant itself."""
        seeing: list[JID] = []
        blind: list[JID] = []
        for other in self.occupants:
            if other is not occupant:
                (seeing if self.sees_addresses(other) else blind).extend(other.sessions)
        if seeing:
            self.fan_out(version(with_jid=True), seeing)
        if blind:
            self.fan_out(version(with_jid=False), blind)

    # -- changing

    def save(self) -> None:
        """The room itself is to be written."""
        if not self.locked:
            self.turn.changed |= Changed.ROOM

    def affiliate(self, jid: JID, entry: Affiliate | None) -> None:
        """The account is affiliated so, or no more."""
        if entry is None:
            self.affiliates.pop(jid, None)
        else:
            self.affiliates[jid] = entry
        for occupant in self.occupants:
            if occupant.jid == jid or occupant.jid.domain == str(jid):
                occupant.changed()
        if not self.locked:
            self.turn.changed |= Changed.AFFILIATIONS
            self.turn.accounts.add(jid)

    def unlock(self) -> None:
        """The room has been configured: others may enter, and it is written with all that it has."""
        self.locked = False
        self.turn.changed |= Changed.ROOM | Changed.AFFILIATIONS
        self.turn.accounts.update(self.affiliates)

    def forget_session(self, session: JID) -> None:
        """The session is in the room no more."""
        self.occupants.leave(session)
        self.behind.discard(session)
        self.since.pop(session, None)
        self.beginning.discard(session)
        self.turn.left.append(session)


def not_in_room() -> StanzaError:
    """What those are told who are no occupants (§7.4, §7.5, XEP-0410 §3.2)."""
    return StanzaError("not-acceptable", "You are not in the room.", type="cancel")


def status(codes: Iterable[int]) -> list[Element]:
    """Status codes (§16.6.2), in their order."""
    return [Element(USER, "status", {"code": str(code)}) for code in sorted(set(codes))]
