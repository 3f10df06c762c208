"""RFC 6121 §2: roster sets, and every error of §2.3.3."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from xmpp_server.protocol.element import parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.roster import MAX_GROUPS, RosterSet, item_push, removal_push, roster_result

E_ACUTE = "\u00e9"
ACCOUNT = JID.parse("juliet@example.com/balcony")


@dataclass(frozen=True)
class Contact:
    jid: JID
    name: str = ""
    subscription: str = "none"
    ask: bool = False
    approved: bool = False
    groups: tuple[str, ...] = ()
    version: int = 0


def roster_set(content: str) -> RosterSet:
    return RosterSet.parse(parse(f"<query xmlns='jabber:iq:roster'>{content}</query>".encode()), ACCOUNT)


def condition(content: str) -> str:
    with pytest.raises(StanzaError) as raised:
        roster_set(content)
    return raised.value.condition


def groups(*names: str) -> str:
    return "<item jid='nurse@example.com'>" + "".join(f"<group>{name}</group>" for name in names) + "</item>"


def test_a_contact_is_added_with_handle_and_groups() -> None:  # §2.3.1
    content = "<item jid='Nurse@Example.com' name='Nurse'><group>Servants</group><group>Friends</group></item>"
    assert roster_set(content) == RosterSet(JID.parse("nurse@example.com"), "Nurse", ("Servants", "Friends"))


def test_a_contact_needs_neither_handle_nor_groups() -> None:
    assert roster_set("<item jid='nurse@example.com'/>") == RosterSet(JID.parse("nurse@example.com"))
    assert roster_set("<item jid='nurse@example.com' name=''/>").name == ""  # §2.4.1: deleting the handle


def test_a_server_can_be_a_contact() -> None:
    assert roster_set("<item jid='example.net'/>").jid == JID.parse("example.net")


@pytest.mark.parametrize("subscription", ["none", "to", "from", "both", "", "REMOVE", "nonsense"])
def test_a_subscription_other_than_remove_is_ignored(subscription: str) -> None:  # §2.1.5
    content = f"<item jid='nurse@example.com' subscription='{subscription}' ask='subscribe' approved='true'/>"
    assert roster_set(content) == RosterSet(JID.parse("nurse@example.com"))


def test_a_contact_is_removed() -> None:  # §2.5.1
    content = "<item jid='nurse@example.com' subscription='remove'/>"
    assert roster_set(content) == RosterSet(JID.parse("nurse@example.com"), remove=True)


def test_a_removal_needs_no_valid_groups() -> None:
    content = "<item jid='nurse@example.com' subscription='remove'><group/><group/></item>"
    assert roster_set(content).remove


def test_more_or_fewer_items_than_one_are_a_bad_request() -> None:
    assert condition("<item jid='nurse@example.com'/><item jid='mother@example.com'/>") == "bad-request"
    assert condition("") == "bad-request"
    assert condition("<item xmlns='urn:other' jid='nurse@example.com'/>") == "bad-request"


@pytest.mark.parametrize("attribute", ["", "jid=''", "jid='@'", "jid='a@b@c'", "jid='nurse@example.com/room'"])
def test_an_item_without_the_bare_address_of_a_contact_is_a_bad_request(attribute: str) -> None:
    assert condition(f"<item {attribute}/>") == "bad-request"


def test_a_group_that_is_there_twice_is_a_bad_request() -> None:
    assert condition(groups("Friends", "Friends")) == "bad-request"


def test_an_empty_group_is_not_acceptable() -> None:
    assert condition(groups("")) == "not-acceptable"
    assert condition(groups("Friends", "")) == "not-acceptable"


def test_a_handle_or_a_group_beyond_the_limit_is_not_acceptable() -> None:
    assert roster_set(f"<item jid='a@b' name='{'n' * 1023}'/>").name == "n" * 1023
    assert condition(f"<item jid='a@b' name='{'n' * 1024}'/>") == "not-acceptable"
    assert condition(f"<item jid='a@b' name='{E_ACUTE * 512}'/>") == "not-acceptable"
    assert roster_set(groups("g" * 1023)).groups == ("g" * 1023,)
    assert condition(groups("g" * 1024)) == "not-acceptable"


def test_too_many_groups_are_not_acceptable() -> None:
    assert len(roster_set(groups(*map(str, range(MAX_GROUPS)))).groups) == MAX_GROUPS
    assert condition(groups(*map(str, range(MAX_GROUPS + 1)))) == "not-acceptable"


def test_nobody_is_their_own_contact() -> None:
    assert condition("<item jid='juliet@example.com'/>") == "not-allowed"
    assert condition("<item jid='JULIET@example.com' subscription='remove'/>") == "not-allowed"


def test_an_item_tells_all_that_clients_may_see() -> None:
    contact = Contact(JID.parse("romeo@example.net"), "Romeo & co", "from", True, True, ("Friends", "<Lovers>"), 5)
    assert item_push(contact).to_bytes() == (
        b"<query xmlns='jabber:iq:roster' ver='5'><item jid='romeo@example.net' subscription='from'"
        b" name='Romeo &amp; co' ask='subscribe' approved='true'><group>Friends</group>"
        b"<group>&lt;Lovers&gt;</group></item></query>"
    )


def test_a_removal_is_pushed_as_such() -> None:
    assert removal_push(JID.parse("romeo@example.net"), 8).to_bytes() == (
        b"<query xmlns='jabber:iq:roster' ver='8'><item jid='romeo@example.net' subscription='remove'/></query>"
    )


def test_a_roster_has_its_own_version() -> None:
    contacts = [Contact(JID.parse("a@b"), version=3), Contact(JID.parse("c@d"), version=7)]
    assert roster_result(contacts, 9).to_bytes() == (
        b"<query xmlns='jabber:iq:roster' ver='9'><item jid='a@b' subscription='none'/>"
        b"<item jid='c@d' subscription='none'/></query>"
    )
    assert roster_result([], 0).to_bytes() == b"<query xmlns='jabber:iq:roster' ver='0'/>"
