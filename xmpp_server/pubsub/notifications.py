"""Notifications (XEP-0060 §7.1.2): each node's in their order, and to many without stalling anybody.

A node has a line of what is to be told, which one task works off; who publishes faster than the line goes waits for
room in it. Receivers are read in pages and told in slices, between which the loop serves others.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections import deque
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from typing import Final

import structlog

from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import delay
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.pubsub import PubSub
from xmpp_server.storage.pubsub_last_items import LastItem
from xmpp_server.storage.pubsub_relations import NoSuchNode, Relations
from xmpp_server.storage.pubsub_tables import Item, NodeRow, Subscription
from xmpp_server.util.tasks import keep

from . import events
from .access import Node
from .config import NodeConfig
from .face import Face
from .options import SubscriptionOptions

_log = structlog.get_logger()

_TOGETHER: Final = 50
"""Notifications that are sent in one turn of the loop."""
_PAGE: Final = 500
"""Subscriptions that are read at once."""
_WAITING: Final = 20
"""What may wait to be told of one node."""

Job = Callable[[], Awaitable[None]]
Receivers = Mapping[JID, Sequence[str]]
"""With the SubIDs of the subscriptions by which each is told, where an address may have several."""
Wants = Callable[[SubscriptionOptions], bool]


class _Line:
    __slots__ = ("jobs", "room")

    def __init__(self) -> None:
        self.jobs: deque[Job] = deque()
        self.room = asyncio.Semaphore(_WAITING)


class Notifications:
    """What an engine tells."""

    def __init__(self, face: Face, store: PubSub) -> None:
        self._face = face
        self._store = store
        self._lines: dict[tuple[JID, str], _Line] = {}

    # -- what is told

    async def tell(
        self,
        node: Node,
        event: Element,
        receivers: Receivers | None = None,
        *,
        through: str = "",
        wants: Wants | None = None,
    ) -> None:
        """Tell all who are to know of the node and want to, or these; returns when it has its place in the line.
        `through` is a collection that the node is in: then its subscribers are meant, and told in the way of the node
        (XEP-0248 §5.3.1)."""
        if not node.config.deliver_notifications:
            return
        more = (("Collection", through),) if through else ()
        by_subid = self._face.multi_subscribe and events.tells_of_items(event)
        headers = () if by_subid else events.headers(*more)
        stanza = events.message(node.owner, event, node.config.notification_type, *headers)
        at = through or node.name

        async def job() -> None:
            to = await self.receivers(node.owner, at, wants=wants) if receivers is None else receivers

            def headers_for(jid: JID) -> Sequence[Element]:  # §7.1.2.4, §7.2.2.2
                return events.headers(*more, *(("SubID", subid) for subid in to[jid]))

            await self._give(at, stanza, to, headers_for if by_subid else None)

        await self._enqueue(node.owner, at, job)

    async def tell_last(self, node: Node, jid: JID, subid: str = "") -> None:
        """The last item, to a new subscriber (§6.1.7)."""
        owner, name, config = node.owner, node.name, node.config
        if config.send_last_published_item == "never" or not config.deliver_notifications:
            return

        async def job() -> None:
            for item in await self._store.newest(owner, name):
                await self._last(node, item, jid, subid)

        await self._enqueue(owner, name, job)

    async def tell_last_items(self, viewer: JID, interests: Sequence[str], owner: JID | None = None) -> None:
        """A client became available: the last items of what it wants to be told of, of its own account and of those
        whose presence it sees, or of this one alone (XEP-0163 §4.3.4)."""
        async for some in self._store.last_items(viewer, interests):
            for last in some:
                if owner in (None, last.owner):
                    await self._tell_last_item(last, viewer)

    async def _tell_last_item(self, last: LastItem, viewer: JID) -> None:
        config = self._face.effective(last.node, NodeConfig.of(last.config))
        if config.send_last_published_item != "on_sub_and_presence" or not config.deliver_notifications:
            return
        row = NodeRow(last.config, {viewer.bare: last.affiliation})
        node = Node(last.owner, last.node, config, row, time.time_ns() // 1000)
        if node.reading_error(viewer, last.groups) is not None:
            return
        if (last.owner, last.node) in self._lines:
            await self.tell_last(node, viewer)  # behind what was published before it was read
            return
        found = await self._store.named(last.owner, last.node, [last.item.id]) if last.is_large else [last.item]
        for item in found:
            await self._last(node, item, viewer)

    async def tell_of_subscription(self, owner: JID, name: str, change: Subscription, to: Iterable[JID]) -> None:
        """A subscription has another state (§12.14): to the subscriber, or to owners."""
        event = events.subscription_changed(name, change, subid=self._face.multi_subscribe)
        await self._give(name, events.message(owner, event, "headline"), to)

    async def _last(self, node: Node, item: Item, jid: JID, subid: str = "") -> None:
        if item.at < node.config.since(node.now):
            return
        event = events.published(node, [item], publisher=self._face.names_publishers)
        late = delay(node.owner, item.at)  # §6.1.7
        headers = events.headers(("SubID", subid)) if subid and self._face.multi_subscribe else ()
        stanza = events.message(node.owner, event, node.config.notification_type, late, *headers)
        await self._give(node.name, stanza, [jid])

    # -- who is told

    async def receivers(self, owner: JID, name: str, *, pending: bool = False, wants: Wants | None = None) -> Receivers:
        """Who is told of a node: subscribers as they want it, which `wants` can restrict, and followers who have no
        subscription; with `pending` also those who wait for approval (§8.4.2)."""
        found: dict[JID, tuple[str, ...]] = {}  # an address is told once, however many subscriptions it has (§6.1.6)
        row = await self._store.node(owner, name, owner)
        if row is None:
            return found
        related = NodeRow(row.config, dict(await self._store.affiliates(owner, name)))
        after = ""
        while page := await self._store.subscribers(owner, name, after, _PAGE):
            after = str(page[-1].jid)
            node = self._node(owner, name, NodeRow(row.config, related.affiliations, page))
            asked = [each for each in page if pending or each.state == "subscribed"]
            willing = await self._willing(node, asked, wants)
            if self._face.multi_subscribe:
                for each in willing:
                    found[each.jid] = (*found.get(each.jid, ()), each.subid)
            else:
                found |= dict.fromkeys([each.jid for each in willing], ())
        followers = await self._face.followers(owner, name)
        if not followers:
            return found
        node = self._node(owner, name, related)
        groups = await self._groups(node, followers)
        followers = [jid for jid in followers if node.reading_error(jid, groups.get(jid.bare)) is None]
        # XEP-0163 §4.3.3: instead of the bare address its clients, where it is known which of them want it
        instead = {*followers, *(jid.bare for jid in followers)}
        return {jid: subids for jid, subids in found.items() if jid not in instead} | dict.fromkeys(followers, ())

    async def recheck(self, owner: JID, jid: JID) -> None:
        """This bare address has lost its place in the owner's roster: its subscriptions end where it may read no more
        (XEP-0163 §7.1)."""
        for name, subscription in await self._store.subscriptions(owner, jid):
            row = await self._store.node(owner, name, jid)
            if row is not None:
                await self._willing(self._node(owner, name, row), [subscription])

    async def _willing(
        self, node: Node, subscriptions: Sequence[Subscription], wants: Wants | None = None
    ) -> Sequence[Subscription]:
        """Those of who may know, and wants to now. Subscriptions whose lease has ended, or whose subscriber has lost
        his place in the owner's roster (XEP-0163 §7.1), end by this."""
        jids = [each.jid for each in subscriptions]
        groups = await self._groups(node, jids)
        read = [each for each in subscriptions if each.state != "pending"]
        barred = {each.jid for each in read if node.reading_error(each.jid, groups.get(each.jid.bare)) is not None}
        blocked = await self._face.blocked(node.owner, jids)
        out = barred.union(blocked)
        able = [(each, SubscriptionOptions.of(each)) for each in subscriptions]
        over = [each for each, options in able if options.has_expired(node.now)]
        if node.asks_roster:
            over += [each for each in read if each.jid in barred and node.affiliation(each.jid) == "none"]
        if over:
            keep(self._end(node, over, blocked), "subscriptions that are over")
            gone = set(over)
            able = [each for each in able if each[0] not in gone]
        able = [each for each in able if each[1].deliver and each[0].jid not in out]
        if wants is not None:
            able = [each for each in able if wants(each[1])]
        by_presence = [each.jid for each, options in able if node.config.presence_based_delivery or options.shows]
        shows = await self._face.shows(node.owner, by_presence) if by_presence else {}
        return [each for each, options in able if each.jid not in shows or _is_among(shows[each.jid], options.shows)]

    async def _groups(self, node: Node, jids: Iterable[JID]) -> Mapping[JID, Collection[str] | None]:
        return await self._face.groups(node.owner, [jid.bare for jid in jids]) if node.asks_roster else {}

    async def _end(self, node: Node, over: Iterable[Subscription], blocked: Collection[JID]) -> None:
        """The subscribers hear of it (XEP-0060 §12.14), but for those who are blocked."""
        for each in over:
            with suppress(NoSuchNode):
                row = await self._store.relate(node.owner, node.name, each.jid.bare, partial(_ending, each))
                if each in row.subscriptions and each.jid not in blocked:
                    await self.tell_of_subscription(node.owner, node.name, each.ended(), [each.jid])

    def _node(self, owner: JID, name: str, row: NodeRow) -> Node:
        config = self._face.effective(name, NodeConfig.of(row.config))
        return Node(owner, name, config, row, time.time_ns() // 1000)

    # -- how

    async def _give(
        self,
        name: str,
        stanza: Stanza,
        receivers: Iterable[JID],
        headers: Callable[[JID], Sequence[Element]] | None = None,
    ) -> None:
        """The same to all, but for what is at its end for each. What one's server refuses stops nobody."""
        owner = stanza.sender
        assert owner is not None
        stanza = stanza.stamped(id=f"{_mark(name)}-{secrets.token_hex(8)}")
        for number, receiver in enumerate(receivers, 1):
            told = stanza.stamped(to=receiver)
            try:
                await self._face.send(told if headers is None else told.with_child(*headers(receiver)))
            except StanzaError as error:
                await self._refused(owner, stanza.id, receiver, error.type, error.condition)
            finally:
                if number % _TOGETHER == 0:
                    await asyncio.sleep(0)

    async def bounced(self, owner: JID, stanza: Stanza) -> None:
        """An error came back (§12.4)."""
        error = stanza.child(ns.CLIENT, "error")
        if error is not None and stanza.sender is not None:
            condition = next((child.name for child in error if child.ns == ns.STANZA_ERRORS), "")
            await self._refused(owner, stanza.id, stanza.sender, error.get("type"), condition)

    async def _refused(self, owner: JID, id: str, receiver: JID, type: str, condition: str) -> None:
        """Who cannot be reached for good is subscribed no more, to the node that the notification was of."""
        if (type != "cancel" and condition != "gone") or condition == "remote-server-not-found":
            return
        there = await self._store.subscriptions(owner, receiver.bare)
        for name in dict.fromkeys(name for name, each in there if each.jid == receiver):
            if id.startswith(f"{_mark(name)}-"):
                with suppress(NoSuchNode):
                    await self._store.relate(owner, name, receiver.bare, partial(_leaving, receiver))

    async def _enqueue(self, owner: JID, name: str, job: Job) -> None:
        key = (owner, name)
        line = self._lines.get(key)
        if line is None:
            line = self._lines[key] = _Line()
            keep(self._work(key, line), "notifications")
        await line.room.acquire()
        line.jobs.append(job)

    async def _work(self, key: tuple[JID, str], line: _Line) -> None:
        try:
            while line.jobs:
                try:
                    await line.jobs.popleft()()
                except Exception:
                    _log.exception("notification_failed", node=key[1])
                finally:
                    line.room.release()
                await asyncio.sleep(0)  # who waited for room takes it
        finally:
            del self._lines[key]


def _ending(subscription: Subscription, row: NodeRow) -> Relations:
    """One that was made anew meanwhile, or prolonged, is another and stays."""
    return Relations([subscription.ended()] if subscription in row.subscriptions else ())


def _leaving(jid: JID, row: NodeRow) -> Relations:
    return Relations([each.ended() for each in row.subscriptions if each.jid == jid])


def _mark(name: str) -> str:
    """What notifications of a node have in their ids, by which errors are known."""
    return blake2b(name.encode(), digest_size=6).hexdigest()


def _is_among(shows: Collection[str], wanted: Collection[str]) -> bool:
    """Whether who has these states of presence is available, and in one of those wanted, if any are named."""
    return bool(shows) and (not wanted or not set(wanted).isdisjoint(shows))
