"""What the host and its accounts are and can do, and what belongs to them.

Other features take part through the hooks `disco_info` and `disco_items`, for a node too: a node that nobody has an
identity for does not exist. Who may not see the presence of an account learns nothing about it, not even that it exists
(§8).

XEP: 0030 (2.5.0) complete
"""

from __future__ import annotations

from xmpp_server.module import Module, iq_get, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.account import Accounts
from xmpp_server.routing.host import DiscoInfo, DiscoItem, DiscoItems, Host
from xmpp_server.routing.iq import Request, Target


class Disco(Module):
    """Answers disco#info and disco#items for the host and for every account."""

    name = "disco"
    features = (ns.DISCO_INFO, ns.DISCO_ITEMS)
    account_features = (ns.DISCO_INFO, ns.DISCO_ITEMS)
    optional = False

    def __init__(self, host: Host, accounts: Accounts) -> None:
        self._host = host
        self._accounts = accounts

    # -- answers

    @iq_get(ns.DISCO_INFO, "query", Target.HOST, Target.OWN, Target.ACCOUNT)
    async def info(self, request: Request) -> Element:
        """Identities, features and forms (§3); `service-unavailable` for whom it does not concern (§8)."""
        to = request.to
        if to != self._host.jid and not await self._accounts.may_see(request.sender, to):
            raise StanzaError("service-unavailable")
        node = request.child.get("node")
        info = await self._host.hooks.disco_info.run(DiscoInfo(to, request.sender, node))
        if not info.identities:
            raise StanzaError("item-not-found")
        return Info.of(info.identities, info.features, info.forms, node).element()

    @iq_get(ns.DISCO_ITEMS, "query", Target.HOST, Target.OWN, Target.ACCOUNT)
    async def items(self, request: Request) -> Element:
        """Items (§4); none for whom they do not concern, as if the account did not exist (§8)."""
        to = request.to
        node = request.child.get("node")
        answer = Element(ns.DISCO_ITEMS, "query", {"node": node} if node else {})
        if to != self._host.jid and not await self._accounts.may_see(request.sender, to):
            return answer
        hooks = self._host.hooks
        collected = await hooks.disco_items.run(DiscoItems(to, request.sender, node))
        if node and not collected.items and not await self._exists(to, request.sender, node):
            raise StanzaError("item-not-found")
        for item in collected.items:
            attrs = {"jid": str(item.jid), "node": item.node, "name": item.name}
            answer.add(Element(ns.DISCO_ITEMS, "item", {key: value for key, value in attrs.items() if value}))
        return answer

    async def _exists(self, to: JID, sender: JID, node: str) -> bool:
        info = await self._host.hooks.disco_info.run(DiscoInfo(to, sender, node))
        return bool(info.identities)

    # -- what there is without any other feature

    @on("disco_info")
    def describe(self, info: DiscoInfo) -> None:
        """A server for instant messaging with the host's features, or a registered account with those of accounts."""
        if info.node:
            return
        if info.to == self._host.jid:
            info.identities.append(Identity("server", "im", name="xmpp-server"))
            info.features |= self._host.features
        else:
            info.identities.append(Identity("account", "registered"))
            info.features |= self._host.account_features

    @on("disco_items")
    def belonging(self, items: DiscoItems) -> None:
        """The host's services, or the account's available resources (§4.1)."""
        if items.node:
            return
        if items.to == self._host.jid:
            items.items += self._host.components
        elif (account := self._accounts.get(items.to)) is not None:
            items.items += (DiscoItem(session.jid) for session in account.available())
