"""Namespaces and names that more than one file of this component needs."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol.stanza import qname

MUC: Final = "http://jabber.org/protocol/muc"
USER: Final = f"{MUC}#user"
ADMIN: Final = f"{MUC}#admin"
OWNER: Final = f"{MUC}#owner"
STABLE_ID: Final = f"{MUC}#stable_id"
SELF_PING: Final = f"{MUC}#self-ping-optimization"
REGISTER: Final = "jabber:iq:register"
INVITATION: Final = "jabber:x:conference"
OCCUPANT_ID: Final = "urn:xmpp:occupant-id:0"
MODERATE: Final = "urn:xmpp:message-moderate:1"
HATS: Final = "urn:xmpp:hats:0"
PING: Final = "urn:xmpp:ping"
VCARD: Final = "vcard-temp"
VCARD_UPDATE: Final = "vcard-temp:x:update"

JOIN: Final = qname(MUC, "x")
USER_X: Final = qname(USER, "x")
OCCUPANT_ID_KEY: Final = qname(OCCUPANT_ID, "occupant-id")
HATS_KEY: Final = qname(HATS, "hats")
