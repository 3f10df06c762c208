"""Avatars: the hash of the photo in every available presence, so that clients need not know their own vCard.

Presence that says there is no avatar for now (an empty `<photo/>`) stays as it is; any other says what the server knows
(XEP-0398 §4). When the vCard's photo changes, the presence of all of the account's resources is broadcast anew;
directed presence, as to rooms, is for the client to send again.

XEP: 0153 (1.1.1) complete
"""

from __future__ import annotations

from functools import partial
from typing import Final
from weakref import WeakSet

from xmpp_server.module import Module, on
from xmpp_server.protocol import vcard
from xmpp_server.protocol.stanza import Child, Stanza, qname
from xmpp_server.routing.account import Accounts, Session
from xmpp_server.routing.host import Passage, VCardChange
from xmpp_server.session.presence import Presence

_UPDATE: Final = qname(vcard.UPDATE, "x")


class Avatars(Module):
    """Stamps presence."""

    name = "avatars"

    def __init__(self, accounts: Accounts, presence: Presence) -> None:
        self._accounts = accounts
        self._presence = presence
        self._without: WeakSet[Session] = WeakSet()
        """Sessions whose clients say that there is no avatar."""

    @on("available_out")
    def stamp(self, passage: Passage) -> None:
        """Put the hash into presence, broadcast or directed."""
        session, stanza = passage.session, passage.stanza
        if session is None:
            return
        hash = session.account.photo
        told = stanza.child(vcard.UPDATE, "x")
        photo = told.child(vcard.UPDATE, "photo") if told is not None else None
        says_none = photo is not None and not photo.text.strip()
        if stanza.to is None:
            (self._without.add if says_none else self._without.discard)(session)
        if (told is not None or hash) and not says_none:
            passage.stanza = _stamped(hash, stanza)

    @on("vcard_changed")
    async def changed(self, change: VCardChange) -> None:
        """Whoever sees the account learns of the other photo."""
        account = self._accounts.get(change.account)
        if account is not None and change.is_other_photo:
            for session in account.available():
                if session not in self._without:
                    await self._presence.refresh(session, partial(_stamped, account.photo))


def _stamped(hash: str, presence: Stanza) -> Stanza:
    return presence.without(_is_update).with_child(vcard.update(hash))


def _is_update(child: Child) -> bool:
    return child.key == _UPDATE
