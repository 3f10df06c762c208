"""Who may do what at a node: access models (XEP-0060 §4.5), publish models, affiliations (§4.1)."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.storage.pubsub_tables import NodeRow, Subscription

from .config import NodeConfig
from .errors import refuse, unsupported
from .options import SubscriptionOptions

AFFILIATIONS: Final = ("owner", "publisher", "publish-only", "member", "none", "outcast")
_BY_ROSTER: Final = ("presence", "roster")


@dataclass(frozen=True, slots=True)
class Node:
    """A node as one request finds it: `row` has the relations of who asks, `config` is the one that is applied, `now`
    the time (microseconds)."""

    owner: JID
    name: str
    config: NodeConfig
    row: NodeRow
    now: int

    @property
    def asks_roster(self) -> bool:
        """Whether it depends on the owner's roster who may read."""
        return self.config.access_model in _BY_ROSTER

    @property
    def owners(self) -> list[JID]:
        """The account, or those whom a service names."""
        if self.owner.localpart:
            return [self.owner]
        return [jid for jid, affiliation in self.row.affiliations.items() if affiliation == "owner"]

    def affiliation(self, jid: JID) -> str:
        """The affiliation of a bare address; the account is the owner of its own nodes."""
        return "owner" if jid.bare == self.owner else self.row.affiliations.get(jid.bare, "none")

    def subscriptions(self, jid: JID) -> Sequence[Subscription]:
        """The subscriptions of exactly this address whose lease has not ended."""
        return [each for each in self.row.subscriptions if each.jid == jid and not self._has_expired(each)]

    def over(self, jid: JID) -> Sequence[Subscription]:
        """Those of exactly this address whose lease has ended."""
        return [each for each in self.row.subscriptions if each.jid == jid and self._has_expired(each)]

    def _has_expired(self, subscription: Subscription) -> bool:
        return SubscriptionOptions.of(subscription).has_expired(self.now)

    def is_subscribed(self, jid: JID) -> bool:
        """Whether any resource of the bare address has a subscription that counts."""
        here = (each for each in self.row.subscriptions if each.jid.bare == jid.bare and each.state == "subscribed")
        return any(not self._has_expired(each) for each in here)

    def reading_error(self, jid: JID, groups: Collection[str] | None) -> StanzaError | None:
        """Why this address may not read (§6.5.9), None: it may. `groups` as `Face.groups` has them."""
        affiliation = self.affiliation(jid)
        if affiliation in ("owner", "publisher", "member"):
            return None
        if affiliation in ("outcast", "publish-only"):
            return refuse("forbidden")
        model = self.config.access_model
        if model == "presence" and groups is None:
            return refuse("not-authorized", "presence-subscription-required")
        if model == "roster" and not set(groups or ()) & set(self.config.roster_groups_allowed):
            return refuse("not-authorized", "not-in-roster-group")
        if model == "whitelist":
            return refuse("not-allowed", "closed-node")
        if model == "authorize" and not self.is_subscribed(jid):
            return refuse("not-authorized", "not-subscribed")
        return None

    def publishing_error(self, jid: JID) -> StanzaError | None:
        """Why this address may not publish (§7.1.3.1), None: it may."""
        affiliation, model = self.affiliation(jid), self.config.publish_model
        if affiliation in ("owner", "publisher", "publish-only"):
            return None
        if affiliation != "outcast" and (model == "open" or (model == "subscribers" and self.is_subscribed(jid))):
            return None
        return refuse("forbidden")

    def expect_owner(self, jid: JID | None) -> None:
        """Raises forbidden unless it is an owner, or the server itself (None)."""
        if jid is not None and self.affiliation(jid) != "owner":
            raise refuse("forbidden")

    def may_associate(self, jid: JID) -> bool:
        """Whether this address may put nodes into the collection (XEP-0248 §7.2.1); an outcast may nothing."""
        policy, affiliation = self.config.children_association_policy, self.affiliation(jid)
        listed = policy == "whitelist" and str(jid.bare) in self.config.children_association_whitelist
        return affiliation == "owner" or (affiliation != "outcast" and (policy == "all" or listed))

    def expect_items(self, feature: str = "persistent-items") -> None:
        """Raises feature-not-implemented unless the node keeps items; of a collection it says that it has not this
        feature."""
        if self.config.is_collection:
            raise unsupported(feature)
        if not self.config.persist_items:
            raise unsupported("persistent-items")
