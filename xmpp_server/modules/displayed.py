"""What the user has seen, on all devices: the server's help in it.

`<displayed xmlns='urn:xmpp:mds:displayed:0'/>` in a message of the user is cut out before anything else sees the
message, and published to the user's private node, with the address of the message as the item's id. Nothing else is
touched: a marker for the other side goes on, and is archived and copied as it would be. An element without exactly one
stanza-id (§4.1) is cut out and not published.

XEP: 0490 (1.0.1) complete
"""

from __future__ import annotations

from collections.abc import Awaitable
from typing import Final

import structlog

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Child, qname
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import DiscoInfo, Host, Passage
from xmpp_server.routing.pep import PRIVATE, Pep

_log = structlog.get_logger()

NS: Final = "urn:xmpp:mds:displayed:0"
_DISPLAYED: Final = qname(NS, "displayed")


class Displayed(Module):
    """Publishes for the client."""

    name = "displayed"

    def __init__(self, host: Host) -> None:
        self._host = host

    @on("disco_info")
    def told(self, info: DiscoInfo) -> None:
        """On the account (§4.5.2)."""
        if self._host.pep is not None and not info.node and info.to.localpart:
            info.features.add("urn:xmpp:mds:server-assist:0")

    @on("message_out", Stage.GUARD)
    def assist(self, passage: Passage) -> Awaitable[None] | None:
        """§4.5.3: strip, publish, and go on."""
        message, session, pep = passage.stanza, passage.session, self._host.pep
        if _DISPLAYED not in message.keys or session is None or pep is None:
            return None
        displayed = message.child(NS, "displayed")
        assert displayed is not None
        assert message.to is not None
        passage.stanza = message.without(_is_displayed)
        ids = [child for child in displayed if (child.ns, child.name) == (ns.STANZA_ID, "stanza-id")]
        if len(ids) != 1 or message.type == "error":
            return None
        return _publish(pep, session.account.jid, message.to, displayed)


async def _publish(pep: Pep, account: JID, chat: JID, displayed: Element) -> None:
    try:
        await pep.publish(account, NS, str(chat), displayed, PRIVATE)
    except StanzaError as error:  # the message is not to suffer for it
        _log.warning("displayed_not_published", condition=error.condition)


def _is_displayed(child: Child) -> bool:
    return child.key == _DISPLAYED
