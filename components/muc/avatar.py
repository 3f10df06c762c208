"""The vCard of a room, which holds its avatar.

XEP: 0486 (0.1.0) complete
"""

from __future__ import annotations

from base64 import b64decode
from binascii import Error
from hashlib import sha1
from typing import Final

from xmpp_server.protocol.element import Element, parse
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.stanza import Stanza

from .names import USER, VCARD
from .privileges import Affiliation
from .room import Room, status

_MOST: Final = 200_000  # octets


def get(room: Room, stanza: Stanza, _vcard: Element) -> None:
    """The vCard, empty if there is none."""
    room.answer(stanza, parse(room.avatar) if room.avatar else Element(VCARD, "vCard"))


def publish(room: Room, stanza: Stanza, vcard: Element) -> None:
    """Another vCard, or none. Raises StanzaError: forbidden for who is no owner, policy-violation if it is too large,
    bad-request for a photo that is none."""
    assert stanza.sender is not None
    if room.affiliation(stanza.sender) is not Affiliation.OWNER:
        raise StanzaError("forbidden", "Only owners set the avatar.")
    data = vcard.to_bytes("") if vcard.children else b""
    if len(data) > _MOST:
        raise StanzaError("policy-violation", f"A vCard has at most {_MOST} octets.")
    _hashes(vcard)
    room.avatar = data
    room.save()
    room.answer(stanza)
    room.tell(Element(USER, "x", {}, status((104,))))


def hashes(room: Room) -> list[str]:
    """Those of the photos (XEP-0153 §3.1)."""
    return _hashes(parse(room.avatar)) if room.avatar else []


def _hashes(vcard: Element) -> list[str]:
    try:
        photos = [
            b64decode("".join(photo.child_text(VCARD, "BINVAL").split()), validate=True)
            for photo in vcard
            if (photo.ns, photo.name) == (VCARD, "PHOTO")
        ]
    except (Error, ValueError) as error:
        raise StanzaError("bad-request", "The photo is not base64.") from error
    return [sha1(photo, usedforsecurity=False).hexdigest() for photo in photos if photo]
