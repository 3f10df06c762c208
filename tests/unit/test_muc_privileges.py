"""XEP-0045 §5: its tables, transcribed by hand."""

from __future__ import annotations

import pytest

from components.muc.privileges import Affiliation, Role, check_affiliation, check_role, default_role
from xmpp_server.protocol.errors import StanzaError

OUTCAST, NONE, MEMBER, ADMIN, OWNER = Affiliation
VISITOR, PARTICIPANT, MODERATOR = Role.VISITOR, Role.PARTICIPANT, Role.MODERATOR
GONE = Role.NONE


# §5.1.2: room type -> role of none, member, admin, owner
@pytest.mark.parametrize(
    ("moderated", "roles"),
    [
        (True, (VISITOR, PARTICIPANT, MODERATOR, MODERATOR)),
        (False, (PARTICIPANT, PARTICIPANT, MODERATOR, MODERATOR)),
    ],
)
def test_the_role_in_which_somebody_enters(moderated: bool, roles: tuple[Role, ...]) -> None:
    assert tuple(default_role(each, moderated=moderated) for each in (NONE, MEMBER, ADMIN, OWNER)) == roles


# §5.2.2: from (rows) to (columns outcast, none, member, admin, owner): A = admin or owner, O = owner, - = no change
CHANGES = {
    OUTCAST: "-AAOO",
    NONE: "A-AOO",
    MEMBER: "AA-OO",
    ADMIN: "OOO-O",
    OWNER: "OOOO-",
}


def condition(actor: Affiliation, current: Affiliation, wanted: Affiliation, **flags: bool) -> str:
    try:
        check_affiliation(actor, current, wanted, **{"is_self": False, "is_last_owner": False, **flags})
    except StanzaError as error:
        return error.condition
    return ""


@pytest.mark.parametrize("current", CHANGES)
@pytest.mark.parametrize("actor", list(Affiliation))
def test_who_changes_which_affiliation(actor: Affiliation, current: Affiliation) -> None:
    for wanted, who in zip(Affiliation, CHANGES[current], strict=True):
        if who == "-":
            continue
        allowed = actor is OWNER or (actor is ADMIN and who == "A")
        assert (condition(actor, current, wanted) == "") == allowed, (actor, current, wanted)


@pytest.mark.parametrize(
    ("actor", "current", "wanted", "expected"),
    [
        (MEMBER, NONE, OUTCAST, "forbidden"),  # §9
        (NONE, NONE, MEMBER, "forbidden"),
        (ADMIN, OWNER, OUTCAST, "not-allowed"),  # §9.1
        (ADMIN, ADMIN, OUTCAST, "not-allowed"),
        (ADMIN, OWNER, ADMIN, "forbidden"),  # §10.4
        (ADMIN, ADMIN, NONE, "forbidden"),  # §10.7
        (ADMIN, NONE, OWNER, "forbidden"),  # §10.3
        (ADMIN, NONE, ADMIN, "forbidden"),  # §10.6
    ],
)
def test_a_forbidden_change_has_the_error_of_its_section(
    actor: Affiliation, current: Affiliation, wanted: Affiliation, expected: str
) -> None:
    assert condition(actor, current, wanted) == expected


def test_nobody_bans_himself_and_the_last_owner_stays() -> None:
    assert condition(OWNER, OWNER, OUTCAST, is_self=True) == "conflict"
    assert condition(ADMIN, ADMIN, OUTCAST, is_self=True) == "conflict"
    for wanted in (OUTCAST, NONE, MEMBER, ADMIN):
        assert condition(OWNER, OWNER, wanted, is_last_owner=True) == "conflict"
    assert condition(OWNER, OWNER, ADMIN, is_self=True) == ""


def role_condition(actor: tuple[Affiliation, Role], target: tuple[Affiliation, Role], wanted: Role) -> str:
    try:
        check_role(actor, target, wanted)
    except StanzaError as error:
        return error.condition
    return ""


@pytest.mark.parametrize(
    ("actor", "target", "wanted", "expected"),
    [
        # §5.1.1, §8.2: kicking
        ((NONE, PARTICIPANT), (NONE, PARTICIPANT), GONE, "forbidden"),
        ((NONE, VISITOR), (NONE, VISITOR), GONE, "forbidden"),
        ((NONE, MODERATOR), (NONE, PARTICIPANT), GONE, ""),
        ((NONE, MODERATOR), (NONE, VISITOR), GONE, ""),
        ((NONE, MODERATOR), (NONE, MODERATOR), GONE, "not-allowed"),
        ((MEMBER, MODERATOR), (ADMIN, MODERATOR), GONE, "not-allowed"),
        ((MEMBER, MODERATOR), (OWNER, MODERATOR), GONE, "not-allowed"),
        ((ADMIN, MODERATOR), (OWNER, MODERATOR), GONE, "not-allowed"),
        ((ADMIN, MODERATOR), (NONE, MODERATOR), GONE, ""),
        ((NONE, MODERATOR), (MEMBER, PARTICIPANT), GONE, "not-allowed"),
        # §8.3, §8.4: voice
        ((NONE, MODERATOR), (NONE, VISITOR), PARTICIPANT, ""),
        ((NONE, PARTICIPANT), (NONE, VISITOR), PARTICIPANT, "forbidden"),
        ((NONE, MODERATOR), (NONE, PARTICIPANT), VISITOR, ""),
        ((ADMIN, MODERATOR), (ADMIN, MODERATOR), VISITOR, "not-allowed"),
        ((ADMIN, MODERATOR), (OWNER, MODERATOR), VISITOR, "not-allowed"),
        ((NONE, MODERATOR), (MEMBER, PARTICIPANT), VISITOR, "not-allowed"),
        # §9.6, §9.7: moderators
        ((ADMIN, MODERATOR), (NONE, PARTICIPANT), MODERATOR, ""),
        ((MEMBER, MODERATOR), (NONE, PARTICIPANT), MODERATOR, "forbidden"),
        ((ADMIN, MODERATOR), (NONE, MODERATOR), PARTICIPANT, ""),
        ((ADMIN, MODERATOR), (ADMIN, MODERATOR), PARTICIPANT, "not-allowed"),
        ((OWNER, MODERATOR), (ADMIN, MODERATOR), PARTICIPANT, "not-allowed"),
        ((NONE, MODERATOR), (OWNER, MODERATOR), PARTICIPANT, "not-allowed"),
        ((NONE, MODERATOR), (NONE, MODERATOR), PARTICIPANT, "forbidden"),
    ],
)
def test_who_changes_which_role(
    actor: tuple[Affiliation, Role], target: tuple[Affiliation, Role], wanted: Role, expected: str
) -> None:
    assert role_condition(actor, target, wanted) == expected
