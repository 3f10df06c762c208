"""Subscriptions that an owner approves or denies, by a form in a message (XEP-0060 §8.6, §8.7)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from msgspec.structs import replace

from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import answer, is_cancelled, submitted
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form, boolean
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza, qname
from xmpp_server.storage.pubsub_relations import Relations
from xmpp_server.storage.pubsub_tables import NodeRow, Subscription

from .access import Node
from .engine import Engine, refusing
from .errors import NS, refuse

AUTHORIZATION: Final = f"{NS}#subscribe_authorization"
GET_PENDING: Final = f"{NS}#get-pending"
_X: Final = qname(ns.DATA, "x")
_ASKED: Final = 100
"""Subscriptions that an owner is asked for at once; those that wait behind them come when he asks again."""


class Approvals:
    """Asks owners, and does what they answer."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    async def ask(self, node: Node, pending: Iterable[Subscription], owners: Sequence[JID]) -> None:
        """Ask these owners for each of the subscriptions."""
        for each in pending:
            text = f"{each.jid} wants to subscribe to {node.name}."
            form = Form.of(
                "form",
                AUTHORIZATION,
                Field("pubsub#subid", (each.subid,), "hidden"),
                Field("pubsub#node", (node.name,), "text-single", "Node ID"),
                Field("pubsub#subscriber_jid", (str(each.jid),), "jid-single", "Subscriber Address"),
                boolean("pubsub#allow", False, "Allow this JID to subscribe to this pubsub node?"),
                title="PubSub subscriber request",
                instructions=f"{text} Choose whether it may.",
            )
            body = Element(ns.CLIENT, "body", {}, [text])
            for owner in owners:
                message = Stanza.build("message", body, form.element(), sender=node.owner, to=owner, id=each.subid)
                await self._engine.face.send(message)

    @staticmethod
    def answer_in(message: Stanza) -> Form | None:
        """The form by which an owner answers, if the message carries one."""
        if message.type == "error" or _X not in message.keys:
            return None
        x = message.child(ns.DATA, "x")
        assert x is not None
        try:
            form = Form.parse(x)
        except StanzaError:
            return None
        return form if form.kind in ("submit", "cancel") and form.form_type == AUTHORIZATION else None

    async def answered(self, owner: JID, form: Form, by: JID) -> None:
        """An owner approves or denies; a form that was cancelled leaves all as it is (§8.6). One that is answered late,
        as another owner did already, changes nothing."""
        if form.kind == "cancel":
            return
        name, jid = form.text("pubsub#node"), form.jid("pubsub#subscriber_jid")
        if jid is None:
            raise refuse("bad-request", "jid-required")
        await self._engine.owned(owner, name, by)
        state = "subscribed" if form.boolean("pubsub#allow") else "none"

        def change(row: NodeRow) -> Relations:
            waits = _waiting(row, jid, form)
            return Relations() if waits is None else Relations([replace(waits, state=state)])

        with refusing():
            row = await self._engine.store.relate(owner, name, jid.bare, change)
        if (waited := _waiting(row, jid, form)) is not None:
            await self.tell(self._engine.found(owner, name, row), [replace(waited, state=state)])

    async def tell(self, node: Node, changed: Iterable[Subscription]) -> None:
        """An owner changed the state of subscriptions: the subscribers hear of it (§12.14)."""
        notifications = self._engine.notifications
        several = self._engine.face.multi_subscribe
        for each in changed if several else {each.jid: each for each in changed}.values():
            await notifications.tell_of_subscription(node.owner, node.name, each, [each.jid])
            if each.state == "subscribed":
                await notifications.tell_last(node, each.jid, each.subid)

    async def command(self, owner: JID, command: Element, by: JID) -> Element:
        """The ad-hoc command by which an owner asks for what waits (§8.7)."""
        if command.get("node") != GET_PENDING:
            raise StanzaError("item-not-found")
        if is_cancelled(command):
            return answer(command, "canceled")
        form = submitted(command)
        if form is None:
            nodes = tuple((name, "") for name in await self._engine.store.pending(owner, by.bare))
            choice = Field("pubsub#node", (), "list-single", "", nodes)
            return answer(command, "executing", Form.of("form", AUTHORIZATION, choice))
        node = await self._engine.owned(owner, form.text("pubsub#node"), by)
        await self.ask(node, await self._engine.store.waiting(owner, node.name, _ASKED), [by])
        return answer(command, "completed")


def _waiting(row: NodeRow, jid: JID, form: Form) -> Subscription | None:
    """The subscription that the form is about, if it still waits."""
    waiting = (each for each in row.subscriptions if each.jid == jid and each.state == "pending")
    return next((each for each in waiting if form.text("pubsub#subid", each.subid) == each.subid), None)
