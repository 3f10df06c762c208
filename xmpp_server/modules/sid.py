"""Stanza ids: whoever reads one that bears an address of ours can trust that it is from there.

What others forged is cut out where a message comes from a client and where it comes in for an account (§3 rule 2), with
`by` compared as an address. Ids that bear foreign addresses, and that of a room on what the room sends, stay (rule 3).

An id must be stable (rule 1). Where messages are archived, it is that of the archive. Elsewhere a message that is kept
until it is delivered gets one here: a keyed hash of sender, receiver, origin-id and content, so that what is sent again
has the same id, also after a crash, and its receiver shows it once. Without an origin-id it is random.

XEP: 0359 (0.7.0) complete
"""

from __future__ import annotations

import secrets
from base64 import urlsafe_b64encode
from collections.abc import Coroutine
from functools import partial
from hashlib import blake2b
from typing import Any, Final

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.protocol.stanza import Child
from xmpp_server.protocol.stanza_ids import STANZA_ID, with_stanza_id
from xmpp_server.routing.fate import Fate, fate
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Host, Passage
from xmpp_server.routing.resends import ORIGIN_ID, content
from xmpp_server.routing.router import Router
from xmpp_server.storage.errors import StorageError
from xmpp_server.storage.patience import patiently
from xmpp_server.storage.secrets import Secrets

_BYTES: Final = 15
_KEEP: Final = Fate.KEEP  # looking up a member is a call in Python 3.11


class StanzaIds(Module):
    """Cuts out forged `<stanza-id/>`, and gives true ones where there is no archive."""

    name = "sid"
    features = (ns.STANZA_ID,)
    account_features = (ns.STANZA_ID,)
    optional = False

    def __init__(self, host: Host, router: Router, secrets: Secrets) -> None:
        self._host = host
        self._router = router
        self._secrets = secrets
        self._key = b""

    @on("message_out", Stage.GUARD)
    def leaving(self, passage: Passage) -> None:
        """A client is none of the entities of ours that give ids, its own account included."""
        if STANZA_ID in passage.stanza.keys:
            self._strip(passage, passage.stanza.sender)

    @on("message_in", Stage.GUARD)
    def entering(self, passage: Passage) -> None:
        """A room gives ids in its own name; nobody gives them in that of the account that gets the message."""
        if STANZA_ID in passage.stanza.keys:
            sender = passage.stanza.sender
            assert sender is not None
            self._strip(passage, sender.bare)

    @on("message_in", Stage.LAST)
    def giving(self, passage: Passage) -> Coroutine[Any, Any, None] | None:
        """An id for what is kept, where there is no archive whose id it would be taken for."""
        if fate(passage.stanza) is not _KEEP or ns.MAM in self._host.account_features:
            return None
        if not self._key:
            return self._give_first(passage)
        self._give(passage)
        return None

    async def _give_first(self, passage: Passage) -> None:
        try:
            self._key = await patiently(partial(self._secrets.get, "", "stanza ids"))
        except StorageError as error:
            raise StanzaError("resource-constraint") from error
        self._give(passage)

    def _give(self, passage: Passage) -> None:
        message, account = passage.stanza, passage.account
        assert message.sender is not None
        assert account is not None
        if ORIGIN_ID in message.keys:
            origin = message.attribute(ORIGIN_ID, "id")
            named = f"{message.sender.bare}\n{account.jid}\n{origin}\n".encode()
            digest = blake2b(named + content(message), key=self._key, digest_size=_BYTES).digest()
        else:
            digest = secrets.token_bytes(_BYTES)
        id = urlsafe_b64encode(digest).decode()
        passage.stanza = with_stanza_id(message, account.jid, id)

    def _strip(self, passage: Passage, giver: JID | None) -> None:
        def forged(child: Child) -> bool:
            if child.key != STANZA_ID:
                return False
            try:
                by = JID.parse(child.get("by"))
            except InvalidJID:
                return False
            return by != giver and self._router.is_ours(by)

        passage.stanza = passage.stanza.without(forged)
