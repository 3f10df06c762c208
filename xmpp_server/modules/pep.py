"""Personal eventing: every account is a publish-subscribe service, whose nodes are made when something is published.

Contacts are notified of what their clients want to be told of (`+notify`), as far as the access model lets them, and
get the last items when they become available. Nodes of OMEMO keys are open unless a client says otherwise, and one that
is for contacts only counts as open (`open_nodes`): a key that the sender cannot read makes a message that cannot be
read.

What clients keep here by other specifications: nicknames (`http://jabber.org/protocol/nick`), vCard4
(`urn:xmpp:vcard4`), keys of OpenPGP, whose secret part is for the user alone by default.

XEP: 0163 (1.2.2) partial: notifications to contacts at other servers wait for federation
XEP: 0172 (1.1) complete
XEP: 0222 (1.0) complete
XEP: 0223 (1.1.1) complete
XEP: 0292 (0.12.0) complete
XEP: 0373 (0.7.0) complete
XEP: 0374 (0.2.0) complete
XEP: 0384 (0.9.1) complete
"""

from __future__ import annotations

from collections.abc import Awaitable, Collection, Iterable, Mapping, Sequence
from typing import Final

import msgspec

from xmpp_server.module import Module, iq_get, iq_set, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS
from xmpp_server.protocol.disco import Identity
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.pubsub.config import MAX, NodeConfig
from xmpp_server.pubsub.engine import Engine
from xmpp_server.pubsub.errors import NS, OWNER
from xmpp_server.pubsub.face import Count
from xmpp_server.pubsub.inside import Inside, payload_of
from xmpp_server.pubsub.requests import FEATURES, Requests
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.blocklist import blocks
from xmpp_server.routing.hooks import DROPPED, Stage, Verdict
from xmpp_server.routing.host import DiscoInfo, DiscoItem, DiscoItems, Host, Interests, Passage, RosterChange
from xmpp_server.routing.iq import Request, Target
from xmpp_server.routing.pep import Published, Retracted
from xmpp_server.routing.router import Router
from xmpp_server.session.rosters import seen_by
from xmpp_server.storage.pubsub import PubSub
from xmpp_server.storage.pubsub_tables import Item
from xmpp_server.util.tasks import keep

_PEP: Final = frozenset(
    f"{NS}#{name}"
    for name in (
        "access-presence",
        "access-roster",
        "auto-create",
        "auto-subscribe",
        "filtered-notifications",
        "last-published",
        "presence-notifications",
        "presence-subscribe",
        "pubsub-on-a-jid",
    )
)


_PRIVATE: Final = frozenset(
    {
        "urn:xmpp:bookmarks:1",  # XEP-0402 §4.3
        "storage:bookmarks",  # XEP-0048 §3
        "urn:xmpp:mds:displayed:0",  # XEP-0490 §4.2
        "urn:xmpp:contacts",  # XEP-0292 §4
        "urn:xmpp:openpgp:0:secret-key",  # XEP-0373 §5
    }
)


class PersonalEventingOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How much one account may keep, and whose nodes are open."""

    nodes: Count = 500
    """Nodes of one account."""
    items: Count = 1000
    """Items of one node, which is what `max` stands for."""
    item_bytes: Count = 262_144
    """Octets of one item."""
    total_bytes: Count = 67_108_864
    """Octets of all items of one account, within some items more."""
    subscribers: Count = 1000
    """Subscriptions at one node, besides contacts, who need none."""
    publishes_per_minute: Count = 600
    """Items that one account may publish in a minute."""
    open_nodes: tuple[str, ...] = (
        "eu.siacs.conversations.axolotl.devicelist",
        "eu.siacs.conversations.axolotl.bundles:*",
        "urn:xmpp:omemo:2:devices",
        "urn:xmpp:omemo:2:bundles",
        "urn:xmpp:openpgp:0:public-keys",
        "urn:xmpp:openpgp:0:public-keys:*",
    )
    """Nodes that everybody may read by default, also where a client made them for contacts only. One that ends in `*`
    stands for all that begin so."""


class AccountFace:
    """What the engine has to know of accounts (`pubsub.face.Face`)."""

    auto_creates = True
    names_publishers = False
    knows_presence = True
    has_collections = False
    multi_subscribe = False

    def __init__(self, host: Host, router: Router, accounts: Accounts, options: PersonalEventingOptions) -> None:
        self._host = host
        self._router = router
        self._accounts = accounts
        self.limits = options

    @property
    def octets(self) -> int:
        """Of all nodes of an account."""
        return self.limits.total_bytes

    def default(self, node: str) -> NodeConfig:
        """One item, for contacts; all bundles of OMEMO 2 stand in one node. Nodes that are for the user's own clients
        by their specifications keep all items."""
        if node in _PRIVATE:
            return NodeConfig(access_model="whitelist", max_items=MAX, send_last_published_item="never")
        many = node == "urn:xmpp:omemo:2:bundles"
        return NodeConfig(
            access_model="open" if self._is_open(node) else "presence",
            max_items=MAX if many else 1,
            send_last_published_item="on_sub_and_presence",
        )

    def effective(self, node: str, config: NodeConfig) -> NodeConfig:
        """A node of keys is not for contacts alone."""
        if config.access_model == "presence" and self._is_open(node):
            return msgspec.structs.replace(config, access_model="open")
        return config

    def _is_open(self, node: str) -> bool:
        return any(
            node.startswith(name[:-1]) if name.endswith("*") else node == name for name in self.limits.open_nodes
        )

    def may_create(self, owner: JID, jid: JID) -> bool:
        """Nobody but the account."""
        return jid == owner

    async def groups(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str] | None]:
        """By the owner's roster."""
        async with self._accounts.use(owner) as account:
            if account is None:
                return {}
            roster = account.roster.items
            shown = [jid for jid in jids if account.shows_presence_to(jid)]
            return {jid: roster[jid].groups if jid in roster else () for jid in shown}

    async def blocked(self, owner: JID, jids: Iterable[JID]) -> Collection[JID]:
        """By the account's blocklist (XEP-0191)."""
        async with self._accounts.use(owner) as account:
            if account is None or not account.blocked:
                return ()
            return [jid for jid in jids if blocks(account.blocked, owner, jid)]

    async def shows(self, owner: JID, jids: Iterable[JID]) -> Mapping[JID, Collection[str]]:
        """Of accounts of ours that show it to the owner."""
        return {jid: self._shows(owner, jid) for jid in jids}

    def _shows(self, owner: JID, jid: JID) -> Collection[str]:
        account = self._accounts.get(jid.bare)
        if account is None or not account.shows_presence_to(owner):
            return ()
        presences = (each.presence for each in account.available() if jid.is_bare or each.jid == jid)
        shows = (presence.child(ns.CLIENT, "show") for presence in presences if presence is not None)
        return {show.text.strip() if show is not None else "online" for show in shows}

    async def followers(self, owner: JID, node: str) -> Collection[JID]:
        """The clients of the account and of contacts who see its presence, if they want to be told of the node."""
        found: list[JID] = []
        async with self._accounts.use(owner) as account:
            if account is None:
                return found
            for jid in (owner, *account.roster.items):
                other = self._accounts.get(jid)
                if other is None or not account.shows_presence_to(jid) or blocks(account.blocked, owner, jid):
                    continue
                found += [session.jid for session in other.available() if node in (session.interests or ())]
        return found

    async def send(self, stanza: Stanza) -> None:
        """By the router, as everything."""
        await self._router.send(stanza)

    async def published(self, owner: JID, node: str, items: Sequence[Item], by: JID | None) -> None:
        """Other modules hear of what was published."""
        if self._host.hooks.pep_published:
            for item in items:
                if item.payload:
                    published = Published(owner, node, item.id, payload_of(item), by)
                    await self._host.hooks.pep_published.run(published)

    async def retracted(self, owner: JID, node: str, ids: Sequence[str], by: JID | None) -> None:
        """Other modules hear of what is gone."""
        await self._host.hooks.pep_retracted.run(Retracted(owner, node, ids, by))


class PersonalEventing(Module):
    """The publish-subscribe service of every account; `engine` is for other modules' codecs in the process."""

    name = "pep"
    # COMPAT(Smack, 4.5): it asks the domain whether its users can have OMEMO and keep OpenPGP keys.
    features = account_features = tuple(sorted(FEATURES | _PEP))
    Options = PersonalEventingOptions

    def __init__(
        self, host: Host, router: Router, accounts: Accounts, store: PubSub, options: PersonalEventingOptions
    ) -> None:
        self._host = host
        self._accounts = accounts
        self._face = AccountFace(host, router, accounts, options)
        self.engine = Engine(self._face, store)
        self._requests = Requests(self.engine)
        self.options = options

    def attach(self, host: Host) -> None:
        """Other modules find the nodes at the host."""
        super().attach(host)
        host.pep = Inside(self.engine)

    def reconfigure(self, options: PersonalEventingOptions) -> None:
        """The limits are others."""
        self.options = self._face.limits = options

    @iq_get(NS, "pubsub", Target.OWN, Target.ACCOUNT)
    @iq_set(NS, "pubsub", Target.OWN, Target.ACCOUNT)
    @iq_get(OWNER, "pubsub", Target.OWN, Target.ACCOUNT)
    @iq_set(OWNER, "pubsub", Target.OWN, Target.ACCOUNT)
    async def answer(self, request: Request) -> Element | None:
        """All requests; one for an account that does not exist is answered like one for a node that does not."""
        return await self._requests.answer(request.to, request.sender, request.stanza.type, request.payload)

    @on("interests_known")
    async def interests(self, known: Interests) -> None:
        """A client became available, or wants to be told of more: the last items (§4.3.4)."""
        session = known.session
        if session.interests:
            nodes = sorted(session.interests)
            await self.engine.notifications.tell_last_items(session.jid, nodes, known.account)

    @on("presence_in")
    def approved(self, passage: Passage) -> None:
        """Somebody shows the account its presence from now on: the last items, for those of its clients that want
        them."""
        stanza, account = passage.stanza, passage.account
        if stanza.type != "subscribed" or account is None or stanza.sender is None:
            return
        owner = stanza.sender.bare
        for session in account.available():
            if session.interests:
                nodes = sorted(session.interests)
                keep(self.engine.notifications.tell_last_items(session.jid, nodes, owner), "last items")

    @on("roster_changed")
    def roster_changed(self, change: RosterChange) -> None:
        """Who sees the account's presence no more, or is in other groups, may be subscribed to what it may read no more
        (§7.1)."""
        before, after = change.before, change.after
        if seen_by(before) and (after is None or not seen_by(after) or after.groups != before.groups):
            keep(self.engine.notifications.recheck(change.account, before.jid), "subscriptions of a contact")

    @iq_set(COMMANDS, "command", Target.OWN, Target.ACCOUNT)
    async def command(self, request: Request) -> Element:
        """Who waits for an approval (XEP-0060 §8.7)."""
        return await self._requests.approvals.command(request.to, request.payload, request.sender)

    @on("message_in", Stage.GUARD)
    def answered(self, passage: Passage) -> Awaitable[Verdict] | None:
        """A message to the account: a notification came back (XEP-0060 §12.4), or an owner answers a form that the
        account sent (§8.6), which is for nobody else."""
        message = passage.stanza
        to, sender = message.to, message.sender
        if to is None or sender is None or not to.is_bare:
            return None
        if message.type == "error":
            return self.engine.notifications.bounced(to, message)
        form = self._requests.approvals.answer_in(message)
        return None if form is None else self._approve(to, form, sender)

    async def _approve(self, account: JID, form: Form, by: JID) -> Verdict:
        await self._requests.approvals.answered(account, form, by)
        return DROPPED

    @on("disco_info")
    async def info(self, info: DiscoInfo) -> None:
        """The account, and its nodes."""
        if not info.to.localpart:
            return
        if not info.node:
            info.identities.append(Identity("pubsub", "pep"))
            return
        try:
            form = await self._requests.meta_data(info.to, info.node, info.sender)
        except StanzaError:
            return
        info.identities.append(Identity("pubsub", "leaf"))
        info.features |= {NS}
        info.forms.append(form)

    @on("disco_items")
    async def items(self, items: DiscoItems) -> None:
        """The nodes that the asker may read, and their items."""
        if not items.to.localpart:
            return
        if not items.node:
            for name, config in await self.engine.nodes(items.to, items.sender):
                items.items.append(DiscoItem(items.to, name, config.title))
            return
        try:
            found = await self.engine.ids(items.to, items.node, items.sender)
        except StanzaError:
            return
        items.items += (DiscoItem(items.to, name=id) for id in found)
