"""The route to what we serve: a host itself, or an account of it (RFC 6121 §8)."""

from __future__ import annotations

from functools import partial
from typing import Final

from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.routing.account import Account, Accounts
from xmpp_server.routing.delivery import Action, decide
from xmpp_server.routing.hooks import Dropped
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.iq import Target
from xmpp_server.routing.ledger import Ledger
from xmpp_server.routing.router import Router
from xmpp_server.storage.patience import patiently

from .presence import Presence
from .rosters import seen_by
from .subscriptions import Subscriptions

_DELIVER: Final = Action.DELIVER  # looking up a member is a call in Python 3.11


class LocalRoute:
    """Takes every stanza to a domain that we serve."""

    name = "local"

    def __init__(
        self,
        router: Router,
        accounts: Accounts,
        ledger: Ledger,
        presence: Presence,
        subscriptions: Subscriptions,
    ) -> None:
        self._router = router
        self._accounts = accounts
        self._ledger = ledger
        self._presence = presence
        self._subscriptions = subscriptions

    async def take(self, passage: Passage) -> bool:
        """Handle the stanza; False if its domain is not ours. Raises StanzaError for what its sender is to be told."""
        to = passage.stanza.to
        assert to is not None
        host = self._router.hosts.get(to.domain)
        if host is None:
            return False
        if not to.localpart:
            await self._to_host(host, passage)
            return True
        # held to the end of this: when its last session ends meanwhile, what is changed here must not be forgotten
        name = passage.stanza.name
        account = self._accounts.hold(to.bare)
        if account is None:
            acquire = partial(self._accounts.acquire, to.bare)
            account = await (patiently(acquire) if name == "message" else acquire())
        passage.account = account
        try:
            if name == "message":
                await self._message(host, account, passage)
            elif name == "iq":
                await self._iq(host, account, passage)
            else:
                await self._to_presence(host, account, passage)
        finally:
            if account is not None:
                self._accounts.release(account)
        return True

    async def _to_host(self, host: Host, passage: Passage) -> None:
        stanza = passage.stanza
        if stanza.name == "iq":
            await self._answer(host, passage, Target.HOST)
        elif stanza.name == "message" and stanza.type not in ("error", "headline"):
            raise StanzaError("service-unavailable")
        # presence to the server itself means nothing to it

    async def _answer(self, host: Host, passage: Passage, *targets: Target) -> None:
        answer = await host.requests.answer(passage.stanza, passage.session, *targets)
        if answer is None:
            return
        if passage.session is not None:
            passage.session.deliver(answer)
        else:
            await self._router.send(answer)

    async def _message(self, host: Host, account: Account | None, passage: Passage) -> None:
        hooks = host.hooks
        if account is not None:
            verdict = hooks.message_in.ask(passage)
            if verdict is not None and (isinstance(verdict, Dropped) or await verdict is not None):
                return
        stanza = passage.stanza
        assert stanza.to is not None
        sessions = account.sessions if account is not None else None
        action, chosen = decide("message", stanza.type, stanza.to.resource, sessions)
        while action is _DELIVER:
            if passage.tracked or chosen[0].is_managed:
                entry = passage.entry = self._ledger.open(host, passage)
            else:
                entry = None
            targets = passage.targets
            for session in chosen:
                if session.deliver(stanza) if entry is None else entry.give(session, stanza):
                    targets.append(session)
            if targets:
                if entry is not None and entry.kept:
                    passage.effect = entry
                    self._ledger.enter(entry)
                pending = hooks.message_delivered.tell(passage)
                try:
                    if pending is not None:
                        await pending
                finally:
                    if entry is not None:
                        entry.complete()
                return
            assert sessions is not None
            sessions = {name: session for name, session in sessions.items() if session not in chosen}
            action, chosen = decide("message", stanza.type, stanza.to.resource, sessions)
        if action is Action.OFFLINE and account is not None:
            if await hooks.message_offline.run(passage) is None:
                raise StanzaError("service-unavailable")
        elif action is not Action.IGNORE:
            raise StanzaError("service-unavailable")

    async def _iq(self, host: Host, account: Account | None, passage: Passage) -> None:
        if account is not None and await host.hooks.iq_in.run(passage) is not None:
            return
        stanza = passage.stanza
        assert stanza.to is not None
        assert stanza.sender is not None
        sessions = account.sessions if account is not None else None
        action, chosen = decide("iq", stanza.type, stanza.to.resource, sessions)
        if action is Action.HANDLE:
            own = account is not None and stanza.sender.bare == account.jid
            await self._answer(host, passage, *((Target.OWN, Target.ACCOUNT) if own else (Target.ACCOUNT,)))
        elif action is Action.DELIVER or (action is Action.REQUEST and _may_know(account, stanza)):
            if not chosen[0].deliver(stanza) and stanza.type in ("get", "set"):
                raise StanzaError("service-unavailable")
        elif action is Action.ERROR and stanza.to.is_bare:
            # no such account: the handlers that judge who may ask answer as if it did not want to tell
            await self._answer(host, passage, Target.ACCOUNT)
        elif action is not Action.IGNORE:
            raise StanzaError("service-unavailable")

    async def _to_presence(self, host: Host, account: Account | None, passage: Passage) -> None:
        if account is not None and await host.hooks.presence_in.run(passage) is not None:
            return
        stanza = passage.stanza
        assert stanza.to is not None
        sessions = account.sessions if account is not None else None
        if stanza.type == "probe":
            await self._presence.probe(host, account, stanza)
            return
        action, chosen = decide("presence", stanza.type, stanza.to.resource, sessions)
        if action is Action.DELIVER:
            for session in chosen:
                session.deliver(stanza)
        elif action is Action.HANDLE and account is not None:
            await self._subscriptions.inbound(account, stanza)


def _may_know(account: Account | None, stanza: Stanza) -> bool:
    """Whether the sender of a request may learn that the resource is there (RFC 6121 §8.5.3.1: no presence leak)."""
    assert account is not None
    assert stanza.to is not None
    assert stanza.sender is not None
    viewer = stanza.sender
    if viewer.bare == account.jid:
        return True
    item = account.roster.items.get(viewer.bare)
    if item is not None and seen_by(item):
        return True
    directed = account.sessions[stanza.to.resource].directed
    if directed is None:
        return False
    # to an address in a room it was sent, and the room sends in the name of all that are in it (XEP-0045 §17.4)
    return viewer in directed or any(jid.bare == viewer.bare for jid in directed)
