"""What happens while something else is under way: a slow database or a slow way out never makes two states of one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account
from xmpp_server.routing.host import Passage

from .world import Client, World

CHAT = "<message to='juliet@localhost' type='chat'><body>x</body></message>"


class Gate:
    """Holds back the first call of a coroutine function until it is opened."""

    def __init__(self, call: Callable[..., Any]) -> None:
        self._call = call
        self._open = asyncio.Event()
        self.reached = asyncio.Event()

    async def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if not self.reached.is_set():
            self.reached.set()
            await self._open.wait()
        return await self._call(*args, **kwargs)

    def open(self) -> None:
        self._open.set()


class SlowWay:
    """The route to `montague.example`, on which the first stanza waits at a gate."""

    name = "slow"

    def __init__(self, world: World) -> None:
        self.stanzas: list[Stanza] = []
        self.gate = Gate(self._take)
        world.core.router.routes.append(self)

    async def take(self, passage: Passage) -> bool:
        await self.gate(passage)
        return True

    async def _take(self, passage: Passage) -> None:
        self.stanzas.append(passage.stanza)


async def handled(client: Client) -> None:
    """Return when what this client sent is handled; others may wait."""
    while client.worker is not None:
        await client.worker
    await client.session.inbound.rest(60)


async def see_each_other(world: World, *contacts: str) -> None:
    for contact in contacts:
        await world.subscribe("romeo@localhost", contact, "both")


async def bind(world: World, address: str) -> Client:
    """As `World.connect`, for when a session of this address may still be ending."""
    client = Client(world)
    jid = JID.parse(address)
    client.session = await world.core.binder.bind(world.core.router.hosts[jid.domain], jid.bare, jid.resource, client)
    world.clients.append(client)
    return client


def kinds(client: Client, sender: str) -> list[str]:
    return [stanza.get("type") for stanza in client.inbox if stanza.get("from") == sender]


# -- one account


async def test_one_object_stands_for_an_account_however_its_users_come_and_go(world: World) -> None:
    jid = await world.account("juliet@localhost")
    accounts = world.core.accounts
    load = Gate(accounts._load)
    accounts._load = load

    async def twice() -> Account | None:
        account = await accounts.acquire(jid)
        assert account is not None
        accounts.release(account)  # and the other one has not woken up yet
        return await accounts.acquire(jid)

    first, cancelled, second = map(asyncio.ensure_future, (twice(), accounts.acquire(jid), accounts.acquire(jid)))
    await load.reached.wait()
    cancelled.cancel()
    load.open()
    account = await first
    assert account is not None
    assert await second is account
    assert accounts.get(jid) is account
    accounts.release(account)
    assert accounts.get(jid) is account
    accounts.release(account)
    assert not accounts.busy


async def test_an_account_that_nobody_waits_for_any_more_does_not_stay_in_memory(world: World) -> None:
    jid = await world.account("juliet@localhost")
    accounts = world.core.accounts
    load = Gate(accounts._load)
    accounts._load = load
    waiting = asyncio.ensure_future(accounts.acquire(jid))
    await load.reached.wait()
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    load.open()
    while accounts._loading:
        await asyncio.sleep(0)
    assert not accounts.busy


async def test_a_message_that_is_kept_while_its_receiver_comes_back_is_handed_to_the_new_session(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    old = await world.login("juliet@localhost/balcony", "<presence><priority>-1</priority></presence>")
    waiting = world.store.offline
    waiting.keep = store = Gate(waiting.keep)  # type: ignore[method-assign]
    romeo.send(CHAT)
    await store.reached.wait()
    old.closed = True
    await world.core.binder.unbind(old.session)
    new = await bind(world, "juliet@localhost/balcony")
    new.send("<presence/>")
    await asyncio.sleep(0)
    store.open()
    await world.settle()
    assert any(stanza.name == "message" for stanza in new.inbox)


async def test_a_subscription_that_is_written_while_its_receiver_comes_back_is_known_to_the_new_session(
    world: World,
) -> None:
    await world.account("juliet@localhost")
    romeo = await world.login("romeo@localhost/orchard")
    old = await world.login("juliet@localhost/balcony")
    rosters = world.store.rosters
    slow = Gate(rosters.put)

    async def put(account: JID, item: Any) -> int:
        return await (
            slow(account, item) if account.localpart == "juliet" else type(rosters).put(rosters, account, item)
        )

    rosters.put = put  # type: ignore[method-assign]
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>")
    await slow.reached.wait()
    old.closed = True
    await world.core.binder.unbind(old.session)
    new = await bind(world, "juliet@localhost/balcony")
    slow.open()
    await world.settle()
    new.send("<presence type='subscribed' to='romeo@localhost'/>")
    await world.settle()
    async with world.core.accounts.use(JID.parse("juliet@localhost")) as account:
        assert account is not None
        assert account.roster.items[JID.parse("romeo@localhost")].subscription == "from"
    async with world.core.accounts.use(JID.parse("romeo@localhost")) as account:
        assert account is not None
        assert account.roster.items[JID.parse("juliet@localhost")].subscription == "to"


# -- sessions that are replaced and end


async def test_a_session_that_is_replaced_in_the_middle_of_its_broadcast_leaves_no_ghost(world: World) -> None:
    await see_each_other(world, "benvolio@montague.example", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    way = SlowWay(world)
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await way.gate.reached.wait()
    binding = asyncio.ensure_future(bind(world, "romeo@localhost/orchard"))
    await asyncio.sleep(0)
    assert romeo.error == "conflict"
    way.gate.open()
    await binding
    await world.settle()
    assert kinds(juliet, "romeo@localhost/orchard")[-1:] == ["unavailable"]
    assert [(s.type, str(s.to)) for s in way.stanzas][-1] == ("unavailable", "benvolio@montague.example")


async def test_of_many_who_bind_one_resource_at_a_time_the_last_stays_and_the_others_are_told(world: World) -> None:
    way = SlowWay(world)
    way.gate.open()
    old = await world.login("romeo@localhost/orchard")
    old.send("<presence to='benvolio@montague.example'/>")
    await world.settle()
    way.gate = Gate(way._take)
    binding = [asyncio.ensure_future(bind(world, "romeo@localhost/orchard")) for _ in range(3)]
    await way.gate.reached.wait()
    way.gate.open()
    clients = await asyncio.gather(*binding)
    assert [client.error for client in clients] == ["conflict", "conflict", ""]
    account = world.core.accounts.get(JID.parse("romeo@localhost"))
    assert account is not None
    assert account.sessions == {"orchard": clients[2].session}
    assert account.users == 1
    for client in clients:
        await client.disconnect()
    assert not world.core.accounts.busy


async def test_the_end_of_a_session_does_not_overtake_the_next_one_of_its_resource(world: World) -> None:
    await see_each_other(world, "benvolio@montague.example", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    way = SlowWay(world)
    way.gate.open()
    romeo = await world.login("romeo@localhost/orchard")
    way.gate = Gate(way._take)
    romeo.closed = True
    ending = asyncio.ensure_future(world.core.binder.unbind(romeo.session))
    await way.gate.reached.wait()

    async def come_back() -> None:
        again = await bind(world, "romeo@localhost/orchard")
        again.send("<presence/>")
        await handled(again)

    coming = asyncio.ensure_future(come_back())
    for _ in range(20):
        await asyncio.sleep(0)
    way.gate.open()
    await asyncio.gather(ending, coming)
    await world.settle()
    assert kinds(juliet, "romeo@localhost/orchard")[-2:] == ["unavailable", ""]


async def test_a_message_waits_for_a_session_that_goes_away_before_it_is_available_and_is_kept(world: World) -> None:
    await world.subscribe("juliet@localhost", "nurse@localhost", "both")
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.connect("juliet@localhost/balcony")
    rosters = world.store.rosters
    rosters.subscriptions_to = query = Gate(rosters.subscriptions_to)  # type: ignore[method-assign]
    juliet.send("<presence/>")
    await query.reached.wait()
    romeo.send(CHAT)
    romeo.send("<message to='juliet@localhost/balcony' type='groupchat' id='g'/>")
    await handled(romeo)
    juliet.closed = True
    query.open()
    await world.settle()
    again = await world.login("juliet@localhost/balcony")
    await again.receives("<message from='romeo@localhost/orchard'><body>x</body></message>")
    await again.receives_nothing()
    await romeo.receives("<message type='error' id='g'><error type='cancel'/></message>")


async def test_a_chat_message_to_a_resource_that_is_going_away_goes_to_another(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    balcony = await world.login("juliet@localhost/balcony")
    chamber = await world.login("juliet@localhost/chamber")
    balcony.closed = True  # and its session has not ended yet
    romeo.send("<message to='juliet@localhost/balcony' type='chat'><no-store xmlns='urn:xmpp:hints'/></message>")
    await chamber.receives("<message type='chat' to='juliet@localhost/balcony'/>")
    await romeo.receives_nothing()


# -- presence and subscriptions


async def test_who_comes_online_while_somebody_looks_around_is_not_shown_as_offline_afterwards(world: World) -> None:
    await see_each_other(world, "juliet@localhost")
    rosters = world.store.rosters
    rosters.subscriptions_to = query = Gate(rosters.subscriptions_to)  # type: ignore[method-assign]
    romeo = await world.connect("romeo@localhost/orchard")
    romeo.send("<presence/>")
    await query.reached.wait()
    juliet = await world.connect("juliet@localhost/balcony")
    juliet.send("<presence/>")
    await handled(juliet)
    query.open()
    await world.settle()
    assert kinds(romeo, "juliet@localhost/balcony") == [""]
    assert kinds(romeo, "juliet@localhost") == []


async def test_who_lost_his_subscription_in_the_middle_of_a_broadcast_does_not_see_it(world: World) -> None:
    await see_each_other(world, "benvolio@montague.example", "juliet@localhost")
    juliet = await world.login("juliet@localhost/balcony")
    street = await world.login("romeo@localhost/street")
    juliet.inbox.clear()
    way = SlowWay(world)
    orchard = await world.connect("romeo@localhost/orchard")
    orchard.send("<presence/>")
    await way.gate.reached.wait()
    street.send("<presence type='unsubscribed' to='juliet@localhost'/>")
    await handled(street)
    juliet.inbox.clear()
    way.gate.open()
    await world.settle()
    assert kinds(juliet, "romeo@localhost/orchard") == []


async def test_who_is_approved_while_a_resource_leaves_does_not_see_it_for_ever(world: World) -> None:
    street = await world.login("romeo@localhost/street")
    orchard = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    juliet.send("<presence type='subscribe' to='romeo@localhost'/>")
    await world.settle()
    await see_each_other(world, "benvolio@montague.example")
    way = SlowWay(world)
    orchard.send("<presence type='unavailable'/>")
    await way.gate.reached.wait()
    street.send("<presence type='subscribed' to='juliet@localhost'/>")
    await handled(street)
    way.gate.open()
    await world.settle()
    assert kinds(juliet, "romeo@localhost/street") == [""]
    assert kinds(juliet, "romeo@localhost/orchard") == []
    assert kinds(orchard, "romeo@localhost/orchard") == ["unavailable"]


async def test_a_refusal_and_a_new_request_do_not_cross_each_other(world: World) -> None:
    romeo = await world.login("romeo@localhost/orchard")
    juliet = await world.login("juliet@localhost/balcony")
    romeo.send("<presence type='subscribe' to='juliet@localhost'/>")
    await world.settle()
    for _ in range(3):
        juliet.send("<presence type='unsubscribed' to='romeo@localhost'/>")
        romeo.send("<presence type='subscribe' to='juliet@localhost'/>")
        await world.settle()
        async with world.core.accounts.use(JID.parse("juliet@localhost")) as account:
            assert account is not None
            waits = JID.parse("romeo@localhost") in account.roster.items
        async with world.core.accounts.use(JID.parse("romeo@localhost")) as account:
            assert account is not None
            assert account.roster.items[JID.parse("juliet@localhost")].ask == waits
    assert not world.core.subscriptions._turns


async def test_presence_survives_a_database_that_does_not_answer(world: World) -> None:
    await see_each_other(world, "juliet@localhost")
    romeo = await world.connect("romeo@localhost/orchard")

    async def fail(*_args: Any) -> Any:
        raise OSError("the database is away")

    rosters = world.store.rosters
    rosters.subscriptions_to = rosters.put = fail  # type: ignore[method-assign]
    romeo.send("<presence/>")
    await romeo.receives("<presence from='romeo@localhost/orchard'/>")
    await romeo.receives("<presence type='error'><error type='cancel'/></presence>")
    romeo.send("<presence type='subscribe' to='nurse@localhost'/>")
    await romeo.receives("<presence type='error' from='nurse@localhost'><error type='cancel'/></presence>")
    assert romeo.error == ""
    assert not romeo.closed
