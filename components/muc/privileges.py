"""Affiliations and roles, and who may change which: the tables of XEP-0045 §5 as functions."""

from __future__ import annotations

from enum import IntEnum

from xmpp_server.protocol.errors import StanzaError


class Affiliation(IntEnum):
    """What an account is to a room, for as long as the room stands (§5.2)."""

    OUTCAST = -1
    NONE = 0
    MEMBER = 1
    ADMIN = 2
    OWNER = 3

    @property
    def text(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Affiliation:
        """Raises StanzaError bad-request if it is none."""
        try:
            return cls[text.upper()]
        except KeyError as error:
            raise StanzaError("bad-request", "There is no such affiliation.") from error


class Role(IntEnum):
    """What an occupant may do, until he leaves (§5.1)."""

    NONE = 0
    VISITOR = 1
    PARTICIPANT = 2
    MODERATOR = 3

    @property
    def text(self) -> str:
        return self.name.lower()

    @classmethod
    def parse(cls, text: str) -> Role:
        """Raises StanzaError bad-request if it is none."""
        try:
            return cls[text.upper()]
        except KeyError as error:
            raise StanzaError("bad-request", "There is no such role.") from error


def default_role(affiliation: Affiliation, *, moderated: bool) -> Role:
    """The role in which somebody enters a room that he may enter (§5.1.2)."""
    if affiliation >= Affiliation.ADMIN:
        return Role.MODERATOR
    if affiliation is Affiliation.MEMBER or not moderated:
        return Role.PARTICIPANT
    return Role.VISITOR


def check_affiliation(
    actor: Affiliation, current: Affiliation, wanted: Affiliation, *, is_self: bool, is_last_owner: bool
) -> None:
    """Whether `actor` may make `wanted` out of `current` (§5.2.1, §5.2.2). Raises StanzaError: forbidden for who may
    not do such a thing at all (§9, §10.3 to §10.7), not-allowed where the other is too high (§9.1), conflict for a ban
    of oneself (§9.1) and for the last owner's status (§10.4)."""
    if actor < Affiliation.ADMIN:
        raise StanzaError("forbidden")
    if is_self and wanted is Affiliation.OUTCAST:
        raise StanzaError("conflict", "Nobody bans himself.")
    if actor is Affiliation.ADMIN:
        if wanted >= Affiliation.ADMIN and wanted is not current:
            raise StanzaError("forbidden", "Owners only make owners and admins.")
        if current >= Affiliation.ADMIN and wanted is not current:
            raise StanzaError("not-allowed" if wanted is Affiliation.OUTCAST else "forbidden")
    if is_last_owner and wanted is not Affiliation.OWNER:
        raise StanzaError("conflict", "A room has an owner.")


def check_role(
    actor: tuple[Affiliation, Role], target: tuple[Affiliation, Role], wanted: Role, *, is_self: bool = False
) -> None:
    """Whether `actor` may give an occupant another role (§5.1.1, §5.1.3); both are affiliation and role. Raises
    StanzaError: forbidden for who may not do such a thing at all, not-allowed where the other is too high (§8.2, §8.4,
    §9.7)."""
    affiliation, role = actor
    whose, current = target
    if role is not Role.MODERATOR:
        raise StanzaError("forbidden")
    if wanted is Role.NONE:
        if is_self:
            return
        if whose > affiliation or (current is Role.MODERATOR and affiliation < Affiliation.ADMIN):
            raise StanzaError("not-allowed")
        return
    if wanted is current:
        return
    if Role.MODERATOR in (wanted, current) and affiliation < Affiliation.ADMIN:
        raise StanzaError("not-allowed" if whose >= Affiliation.ADMIN else "forbidden")
    if wanted < current and (whose >= Affiliation.ADMIN or whose > affiliation):
        raise StanzaError("not-allowed")
