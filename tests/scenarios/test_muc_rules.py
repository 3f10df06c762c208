"""Rules of XEP-0045 that are each one sentence of it: lists, status codes, and what a room is silent about."""

from __future__ import annotations

import pytest

from .rooms import ADMIN, JOIN, OWNER, ROOM, STANZAS, USER, admin, configure, crone, enter, form, hag, make_room
from .world import Client, World

__all__ = ["crone", "hag"]

REGISTER = "jabber:iq:register"


async def listed(client: Client, item: str) -> list[dict[str, str]] | str:
    """What a list has, or the condition of the error."""
    answer = await client.request("get", f"<query xmlns='{ADMIN}'><item {item}/></query>", ROOM)
    error = answer.child("jabber:client", "error")
    if error is not None:
        return next(iter(error)).name
    query = answer.child(ADMIN, "query")
    assert query is not None
    return [dict(each.attrs) for each in query]


async def test_lists_of_roles_name_people_with_all_four_attributes(world: World, crone: Client, hag: Client) -> None:
    """§8.5, §9.8, §17.4"""
    hag_is = {"affiliation": "none", "jid": hag.jid, "nick": "thirdwitch", "role": "participant"}
    assert await listed(crone, "role='participant'") == [hag_is]
    crone_is = {"affiliation": "owner", "jid": crone.jid, "nick": "firstwitch", "role": "moderator"}
    assert await listed(crone, "role='moderator'") == [crone_is]
    assert await listed(hag, "role='participant'") == "forbidden"
    assert await admin(crone, "<item nick='thirdwitch' role='moderator'/>") == "result"
    assert await listed(hag, "role='participant'") == []
    assert await listed(hag, "role='moderator'") == "forbidden", "§9.8: the list is the admins'"


@pytest.mark.parametrize("affiliation", ["owner", "admin", "member", "outcast"])
@pytest.mark.parametrize("whois", ["anyone", "moderators"])
async def test_lists_of_affiliations_are_no_secret_where_addresses_are_none(
    world: World, affiliation: str, whois: str
) -> None:
    """§5.2.1, §9.2, §9.5, §10.5, §10.8"""
    crone = await make_room(world, whois=whois)
    assert await admin(crone, f"<item affiliation='{affiliation}' jid='witch@localhost'/>") == "result"
    wanted = {"affiliation": affiliation, "jid": "witch@localhost"}
    found = await listed(crone, f"affiliation='{affiliation}'")
    assert wanted in found
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    open_to_all = whois == "anyone" and affiliation != "outcast"
    assert await listed(hag, f"affiliation='{affiliation}'") == (found if open_to_all else "forbidden")


async def test_a_ban_takes_the_reserved_nickname_away(crone: Client) -> None:
    """§9.1"""
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost' nick='thirdwitch'/>") == "result"
    assert await admin(crone, "<item affiliation='outcast' jid='hag66@localhost'/>") == "result"
    assert await listed(crone, "affiliation='outcast'") == [{"affiliation": "outcast", "jid": "hag66@localhost"}]
    assert await admin(crone, "<item affiliation='member' jid='witch@localhost' nick='thirdwitch'/>") == "result"


async def test_who_is_no_member_any_more_leaves_a_room_of_members(world: World) -> None:
    """§9.4"""
    crone = await make_room(world, membersonly="1")
    assert await admin(crone, "<item affiliation='member' jid='hag66@localhost'/>") == "result"
    hag = await world.login("hag66@localhost/pda")
    await enter(hag, "thirdwitch")
    crone.inbox.clear()
    assert await admin(crone, "<item affiliation='none' jid='hag66@localhost'/>") == "result"
    gone = f"<x xmlns='{USER}'><item affiliation='none' role='none'/><status code='321'/></x>"
    await hag.receives(f"<presence type='unavailable' from='{ROOM}/thirdwitch'>{gone}</presence>")
    await crone.receives(f"<presence type='unavailable' from='{ROOM}/thirdwitch'>{gone}</presence>")


async def test_a_room_that_is_for_members_from_now_on_puts_out_the_others(crone: Client, hag: Client) -> None:
    """§10.2"""
    await configure(crone, membersonly="1")
    await hag.receives(f"<message from='{ROOM}'><x xmlns='{USER}'><status code='104'/></x></message>")
    gone = f"<x xmlns='{USER}'><item affiliation='none' role='none'/><status code='322'/></x>"
    await hag.receives(f"<presence type='unavailable' from='{ROOM}/thirdwitch'>{gone}</presence>")


@pytest.mark.parametrize(
    ("field", "value", "code", "back"),
    [
        ("enablelogging", "1", "170", "171"),
        ("whois", "anyone", "172", "173"),
        ("roomname", "Cave", "104", "104"),
    ],
)
async def test_a_change_of_the_configuration_is_told_by_its_code(
    crone: Client, hag: Client, field: str, value: str, code: str, back: str
) -> None:
    """§10.2.1"""
    for chosen, told in ((value, code), ({"1": "0", "anyone": "moderators"}.get(value, ""), back)):
        await configure(crone, **{field: chosen})
        message = await hag.receives(f"<message type='groupchat' from='{ROOM}'><x xmlns='{USER}'/></message>")
        x = message.child(USER, "x")
        assert x is not None
        assert [each.get("code") for each in x] == [told]
    await configure(crone, **{field: {"1": "0", "anyone": "moderators"}.get(value, "")})
    await hag.receives_nothing()


@pytest.mark.parametrize(("field", "value", "code"), [("enablelogging", "1", "170"), ("whois", "anyone", "100")])
async def test_who_enters_is_warned(world: World, field: str, value: str, code: str) -> None:
    """§7.2.3, §7.2.12"""
    await make_room(world, **{field: value})
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/firstwitch'/>")
    own = f"<x xmlns='{USER}'><status code='110'/><status code='{code}'/></x>"
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'>{own}</presence>")


async def test_a_password_that_is_blank_is_not_acceptable(crone: Client) -> None:
    """§10.1.3"""
    query = f"<query xmlns='{OWNER}'>{form(passwordprotectedroom='1', roomsecret='')}</query>"
    error = (await crone.request("set", query, ROOM)).child("jabber:client", "error")
    assert error is not None
    assert (error.get("type"), next(iter(error)).name) == ("modify", "not-acceptable")


async def test_an_owner_who_leaves_before_the_room_is_configured_destroys_it(world: World) -> None:
    """§10.1.3"""
    crone = await world.login("crone@localhost/desktop")
    await enter(crone, "firstwitch")
    crone.send(f"<presence type='unavailable' to='{ROOM}/firstwitch'/>")
    await crone.receives(f"<presence type='unavailable' from='{ROOM}/firstwitch'/>")
    hag = await world.login("hag66@localhost/pda")
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='201'/></x></presence>")


async def test_presence_with_a_type_neither_enters_nor_leaves(world: World, crone: Client, hag: Client) -> None:
    """§17.3"""
    witch = await world.login("witch@localhost/laptop")
    witch.send(f"<presence type='unavailable' to='{ROOM}/second'/>")
    await witch.receives_nothing()
    for kind in ("subscribe", "subscribed", "unsubscribe", "unsubscribed"):
        hag.send(f"<presence type='{kind}' to='{ROOM}/thirdwitch'/>")
    await crone.receives_nothing()
    assert (await hag.request("get", "<ping xmlns='urn:xmpp:ping'/>", f"{ROOM}/thirdwitch")).get("type") == "result"


async def test_a_probe_is_answered_to_occupants_alone(world: World, crone: Client, hag: Client) -> None:
    """§17.3"""
    hag.send(f"<presence type='probe' to='{ROOM}/firstwitch'/>")
    answer = await hag.receives(
        f"<presence from='{ROOM}/firstwitch'><x xmlns='{USER}'><item role='moderator'/></x></presence>"
    )
    assert b"crone@" not in answer.to_bytes()
    hag.send(f"<presence type='probe' id='n' to='{ROOM}/nobody'/>")
    await hag.receives(f"<presence type='error' id='n'><error><item-not-found xmlns='{STANZAS}'/></error></presence>")
    witch = await world.login("witch@localhost/laptop")
    witch.send(f"<presence type='probe' id='p' to='{ROOM}/firstwitch'/>")
    await witch.receives(f"<presence type='error' id='p'><error><not-acceptable xmlns='{STANZAS}'/></error></presence>")


async def test_who_asks_to_enter_where_he_is_is_shown_all_again_and_others_nothing(crone: Client, hag: Client) -> None:
    """§17.3"""
    hag.send(f"<presence to='{ROOM}/thirdwitch'>{JOIN}</presence>")
    await hag.receives(f"<presence from='{ROOM}/firstwitch'/>")
    await hag.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><status code='110'/></x></presence>")
    await hag.receives(f"<message type='groupchat' from='{ROOM}'><subject/></message>")
    await crone.receives_nothing()


async def test_a_request_about_an_occupant_by_who_is_none_is_refused(world: World, crone: Client) -> None:
    """§6.6"""
    witch = await world.login("witch@localhost/laptop")
    for kind in ("info", "items"):
        query = f"<query xmlns='http://jabber.org/protocol/disco#{kind}'/>"
        error = (await witch.request("get", query, f"{ROOM}/firstwitch")).child("jabber:client", "error")
        assert error is not None
        assert (error.get("type"), next(iter(error)).name) == ("modify", "bad-request")


async def test_registering_takes_a_form_and_is_given_back(world: World) -> None:
    """§7.10"""
    crone = await make_room(world)
    query = f"<query xmlns='{OWNER}'><x xmlns='jabber:x:data' type='submit'>"
    query += "<field var='x-muc#roomconfig_registration'><value>1</value></field></x></query>"
    assert (await crone.request("set", query, ROOM)).get("type") == "result"
    hag = await world.login("hag66@localhost/pda")

    async def condition(payload: str) -> str:
        answer = await hag.request("set", f"<query xmlns='{REGISTER}'>{payload}</query>", ROOM)
        error = answer.child("jabber:client", "error")
        return next(iter(error)).name if error is not None else "result"

    field = "<field var='muc#register_roomnick'><value>%s</value></field>"
    assert await condition("") == "bad-request"
    assert await condition("<x xmlns='jabber:x:data' type='form'/>") == "bad-request"
    assert await condition(f"<x xmlns='jabber:x:data' type='submit'>{field % 'firstwitch'}</x>") == "conflict"
    assert await condition(f"<x xmlns='jabber:x:data' type='submit'>{field % 'thirdwitch'}</x>") == "result"
    assert await listed(crone, "affiliation='member'") == [
        {"affiliation": "member", "jid": "hag66@localhost", "nick": "thirdwitch"}
    ]
    answer = await hag.request("get", f"<query xmlns='{REGISTER}'/>", ROOM)
    query_element = answer.child(REGISTER, "query")
    assert query_element is not None
    assert query_element.child(REGISTER, "registered") is not None
    assert query_element.child_text(REGISTER, "username") == "thirdwitch"
    assert await condition("<remove/>") == "result"
    assert await listed(crone, "affiliation='member'") == []


async def test_an_owner_who_is_none_any_more_is_shown_so(world: World, crone: Client, hag: Client) -> None:
    """§10.4, §10.7: and moderates no more"""
    assert await admin(crone, "<item affiliation='owner' jid='hag66@localhost'/>") == "result"
    up = f"<x xmlns='{USER}'><item affiliation='owner' role='moderator'/></x>"
    await crone.receives(f"<presence from='{ROOM}/thirdwitch'>{up}</presence>")
    assert await admin(crone, "<item affiliation='none' jid='hag66@localhost'/>") == "result"
    down = f"<x xmlns='{USER}'><item affiliation='none' role='participant'/></x>"
    await crone.receives(f"<presence from='{ROOM}/thirdwitch'>{down}</presence>")


async def test_an_address_is_shown_in_full_to_moderators(crone: Client, hag: Client) -> None:
    """§17.3"""
    hag.send(f"<presence to='{ROOM}/thirdwitch'><show>away</show></presence>")
    await crone.receives(f"<presence from='{ROOM}/thirdwitch'><x xmlns='{USER}'><item jid='{hag.jid}'/></x></presence>")
