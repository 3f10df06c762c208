"""The ids of archived messages: the number that a message has in its archive, sealed with a key of the server.

So an id is found without an index of its own, is of one archive alone, tells nothing about the archive (XEP-0359 §6:
neither its size nor its order), and cannot be guessed (XEP-0313 §3): half of it is a checksum.
"""

from __future__ import annotations

from base64 import urlsafe_b64decode, urlsafe_b64encode
from binascii import Error
from hashlib import blake2b
from hmac import compare_digest
from typing import Final

from .jid import JID

_HALF: Final = 8
_LENGTH: Final = 22  # characters


class ArchiveIds:
    """Ids under this key, of 32 octets."""

    def __init__(self, key: bytes) -> None:
        self._check = blake2b(key=key, digest_size=_HALF, person=b"check")
        self._mask = blake2b(key=key, digest_size=_HALF, person=b"mask")
        self._mark = blake2b(key=key, digest_size=_HALF, person=b"mark")

    def seal(self, archive: JID, number: int) -> str:
        """The id of the message of this number (0 to 2^63 - 1) in the archive of this bare address."""
        check = self._checksum(archive, number)
        hidden = (number ^ self._pad(check)).to_bytes(_HALF, "big")
        return urlsafe_b64encode(check + hidden).rstrip(b"=").decode()

    def open(self, archive: JID, id: str) -> int | None:
        """The number, or None: no message of this archive ever had that id."""
        if len(id) != _LENGTH or not id.isascii():
            return None
        try:
            sealed = urlsafe_b64decode(f"{id}==")
        except Error:
            return None
        if len(sealed) != 2 * _HALF:
            return None
        number = int.from_bytes(sealed[_HALF:], "big") ^ self._pad(sealed[:_HALF])
        if number >> 63 or not compare_digest(self.seal(archive, number), id):
            return None
        return number

    def mark(self, archive: JID, peer: JID, sender: JID, id: str) -> int:
        """What a message is found by that has this id of its sender's, in the conversation with `peer`: a keyed hash,
        so that nobody can make messages that are taken for others (-2^63 to 2^63 - 1). All addresses are bare."""
        mark = self._mark.copy()
        mark.update(f"{archive}\n{peer}\n{sender}\n{id}".encode())
        return int.from_bytes(mark.digest(), "big", signed=True)

    def _checksum(self, archive: JID, number: int) -> bytes:
        check = self._check.copy()
        check.update(f"{number} {archive}".encode())
        return check.digest()

    def _pad(self, check: bytes) -> int:
        mask = self._mask.copy()
        mask.update(check)
        return int.from_bytes(mask.digest(), "big")
