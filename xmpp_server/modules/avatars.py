"""Avatars: one image for clients of every age, and its hash in every available presence.

The photo of the vCard and the avatar in the nodes of XEP-0084 follow each other. A vCard's photo is for everybody; so a
node's avatar gets there only if its data is open to everybody (XEP-0398 §7), and a photo goes to open nodes.

Presence that says there is no avatar for now (an empty `<photo/>`) stays as it is; any other says what the server knows
(XEP-0398 §4). When the photo changes, the presence of all of the account's resources is broadcast anew; directed
presence, as to rooms, is for the client to send again.

XEP: 0153 (1.1.1) complete
XEP: 0398 (1.0.0) complete
"""

from __future__ import annotations

from functools import partial
from typing import Final
from weakref import WeakSet

from xmpp_server.module import Module, on
from xmpp_server.protocol import avatar, vcard
from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, Stanza, qname
from xmpp_server.routing.account import Accounts, Session
from xmpp_server.routing.host import DiscoInfo, Host, Passage, VCardChange
from xmpp_server.routing.pep import Pep, Published
from xmpp_server.session.presence import Presence
from xmpp_server.storage.vcards import VCards

_UPDATE: Final = qname(vcard.UPDATE, "x")
_OPEN: Final = {"pubsub#access_model": "open"}


class Avatars(Module):
    """Converts, and stamps presence."""

    name = "avatars"

    def __init__(self, host: Host, accounts: Accounts, presence: Presence, vcards: VCards) -> None:
        self._host = host
        self._accounts = accounts
        self._presence = presence
        self._vcards = vcards
        self._without: WeakSet[Session] = WeakSet()
        """Sessions whose clients say that there is no avatar."""

    @on("disco_info")
    def told(self, info: DiscoInfo) -> None:
        """On the account (XEP-0398 §2)."""
        if self._host.pep is not None and not info.node and info.to.localpart:
            info.features.add("urn:xmpp:pep-vcard-conversion:0")

    # -- presence

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
        # a room is told of no photo too, for those who see the occupant do not know its presence elsewhere
        if (told is not None or hash or stanza.to is not None) and not says_none:
            passage.stanza = _stamped(hash, stanza)

    async def _show(self, jid: JID) -> None:
        """Whoever sees the account learns of the other photo."""
        account = self._accounts.get(jid)
        for session in account.available() if account is not None else ():
            if session not in self._without:
                await self._presence.refresh(session, partial(_stamped, session.account.photo))

    # -- from the vCard to the nodes (XEP-0398 §3.2)

    @on("vcard_changed")
    async def vcard_changed(self, change: VCardChange) -> None:
        """Publish the image and then what it is, or that there is none any more."""
        if not change.is_other_photo:
            return
        await self._show(change.account)
        pep, photo = self._host.pep, change.photo
        if pep is None:
            return
        published = await _published(pep, change.account)
        try:
            if photo is None:
                if published:
                    await pep.publish(change.account, avatar.METADATA, published, avatar.metadata(None), {})
            elif photo.hash != published:
                await pep.publish(change.account, avatar.DATA, photo.hash, avatar.data(photo), _OPEN)
                await pep.publish(change.account, avatar.METADATA, photo.hash, avatar.metadata(photo), _OPEN)
        except (
            StanzaError
        ):  # nodes that a client keeps for some only, or an image too large for an item: it stays there
            return

    # -- from the nodes to the vCard (XEP-0398 §3.1)

    @on("pep_published")
    async def node_changed(self, item: Published) -> None:
        """A client published what the avatar is: its image becomes the photo."""
        pep = self._host.pep
        if pep is None or item.by is None or item.node != avatar.METADATA:
            return
        photo = None
        if (described := avatar.described(item.payload)) is not None:
            if await pep.access_model(item.account, avatar.DATA) != "open":
                return
            images = dict(await pep.items(item.account, avatar.DATA))
            image = images.get(described.id)
            photo = avatar.image(image, described.type) if image is not None else None
            if photo is None or photo.hash != described.id:
                return
        elif list(item.payload):  # there is one, but elsewhere
            return
        if await self._store(item.account, photo):
            await self._show(item.account)

    async def _store(self, jid: JID, photo: vcard.Photo | None) -> bool:
        """Whether the vCard had another photo before."""
        hash = photo.hash if photo is not None else ""
        async with self._accounts.use(jid) as account:
            if account is None or account.photo == hash:
                return False
            async with account.lock:
                data = await self._vcards.load(jid)
                card = parse(data) if data is not None else Element(vcard.NS, "vCard")
                await self._vcards.save(jid, vcard.with_photo(card, photo).to_bytes(), hash)
                account.photo = hash
        return True


async def _published(pep: Pep, account: JID) -> str:
    """The id of the avatar that the nodes have; empty if they have none."""
    id = ""
    for item_id, metadata in await pep.items(account, avatar.METADATA):
        id = item_id if avatar.described(metadata) is not None else ""
    return id


def _stamped(hash: str, presence: Stanza) -> Stanza:
    return presence.without(_is_update).with_child(vcard.update(hash))


def _is_update(child: Child) -> bool:
    return child.key == _UPDATE
