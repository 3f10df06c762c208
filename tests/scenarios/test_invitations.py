"""Pre-authenticated subscription (XEP-0379): who has an account already, and an invitation of somebody else."""

from __future__ import annotations

import time
from typing import Final

import pytest

from xmpp_server.protocol.jid import JID

from .world import Client, World

TOKEN: Final = "a-token-that-nobody-guesses"
ROMEO, JULIET, NURSE = (JID.parse(f"{name}@localhost") for name in ("romeo", "juliet", "nurse"))
SUBSCRIBED: Final = "<presence type='subscribed' to='romeo@localhost'/>"


DELAY: Final = "<delay xmlns='urn:xmpp:delay' from='localhost' stamp='*'/>"


def push(subscription: str, more: str = "") -> str:
    item = f"<item jid='juliet@localhost' subscription='{subscription}' {more}/>"
    return f"<iq type='set'><query xmlns='jabber:iq:roster' ver='*'>{item}</query></iq>"


def subscribe(token: str = TOKEN) -> str:
    return (
        f"<presence type='subscribe' to='romeo@localhost'><preauth xmlns='urn:xmpp:pars:0' token='{token}'/></presence>"
    )


@pytest.fixture
async def romeo(world: World) -> Client:
    soon = time.time_ns() // 1000 + 3_600_000_000
    romeo = await world.login("romeo@localhost/orchard")
    await romeo.request("get", "<query xmlns='jabber:iq:roster'/>")
    await world.store.invitations.add(TOKEN, "localhost", expires=soon, contact=ROMEO)
    return romeo


@pytest.fixture
async def juliet(world: World) -> Client:
    return await world.login("juliet@localhost/balcony")


async def subscription(world: World, owner: JID, contact: JID) -> str:
    item = (await world.store.rosters.load(owner)).items.get(contact)
    return "" if item is None else item.subscription + " pending" * (item.pending_in is not None)


async def test_with_a_token_both_are_contacts_of_each_other_at_once(
    world: World, romeo: Client, juliet: Client
) -> None:
    juliet.send(SUBSCRIBED)
    juliet.send(subscribe())
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    await world.settle()
    await romeo.receives(push("from"))
    await romeo.receives(push("from", "ask='subscribe'"))
    await romeo.receives("<presence type='subscribed' from='juliet@localhost'/>")
    await romeo.receives(push("both"))
    await romeo.receives(f"<presence from='juliet@localhost/balcony'>{DELAY}</presence>")
    assert await subscription(world, ROMEO, JULIET) == "both"
    assert await subscription(world, JULIET, ROMEO) == "both"
    assert await world.store.invitations.find(TOKEN, "localhost") is None


async def test_who_does_not_approve_beforehand_is_asked_in_return(world: World, romeo: Client, juliet: Client) -> None:
    juliet.send(subscribe())
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    await juliet.receives("<presence type='subscribe' from='romeo@localhost'/>")
    await world.settle()
    assert await subscription(world, ROMEO, JULIET) == "from"


@pytest.mark.parametrize("token", ["another", ""])
async def test_with_any_other_token_it_is_a_request_like_all_others(
    world: World, romeo: Client, juliet: Client, token: str
) -> None:
    """§4.1"""
    juliet.send(subscribe(token))
    await romeo.receives("<presence type='subscribe' from='juliet@localhost'/>")
    assert await subscription(world, ROMEO, JULIET) == "none pending"


async def test_a_token_is_good_for_its_inviter_only_and_once(world: World, romeo: Client, juliet: Client) -> None:
    nurse = await world.login("nurse@localhost/x")
    juliet.send(subscribe().replace("romeo@", "nurse@"))
    await nurse.receives("<presence type='subscribe' from='juliet@localhost'/>")
    juliet.send(subscribe())
    juliet.forget("presence", sender="nurse@localhost")
    await juliet.receives(f"<presence from='romeo@localhost/orchard'>{DELAY}</presence>")
    await romeo.receives(push("from"))
    await romeo.receives(push("from", "ask='subscribe'"))
    romeo.forget("presence", sender="juliet@localhost")
    nurse.send(subscribe())
    await romeo.receives("<presence type='subscribe' from='nurse@localhost'/>")
    assert await subscription(world, ROMEO, NURSE) == "none pending"
