"""A slot: what a client asks for, and the signature that binds it to account, size, type and time."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Collection
from dataclasses import dataclass
from fnmatch import fnmatchcase
from mimetypes import guess_type
from typing import Final
from urllib.parse import quote

from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.storage.uploads import Upload

NS: Final = "urn:xmpp:http:upload:0"
PURPOSE_NS: Final = "urn:xmpp:http:upload:purpose:0"
PURPOSES: Final = ("message", "profile", "ephemeral")

_MAX_NAME: Final = 255  # octets
_MAX_TYPE: Final = 127
_TYPE: Final = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&-^_.+/; =\"'*")


@dataclass(frozen=True, slots=True)
class SlotRequest:
    """A `<request/>`. `before`: the time at which the file must be gone, in microseconds; 0: none."""

    filename: str
    size: int
    type: str
    purpose: str
    before: int = 0

    @classmethod
    def parse(cls, request: Element) -> SlotRequest:
        """Raises StanzaError bad-request, and not-acceptable for a purpose that is not served."""
        name = request.get("filename")
        size = request.get("size")
        type = request.get("content-type").strip()
        if not name.strip(". ") or len(name.encode()) > _MAX_NAME or not name.isprintable() or "/" in name:
            raise StanzaError("bad-request", "Invalid filename")
        if not (size.isascii() and size.isdigit()) or len(size) > 15 or int(size) == 0:
            raise StanzaError("bad-request", "File size must be positive integer")
        if len(type) > _MAX_TYPE or not _TYPE.issuperset(type):
            raise StanzaError("bad-request", "Invalid content-type")
        purpose, before = "message", 0
        told = [child for child in request if child.ns == PURPOSE_NS]
        if len(told) > 1:  # whichever counted, another one's end would not be kept
            raise StanzaError("bad-request", "A file has one purpose")
        for child in told:
            purpose = child.name
            if purpose not in PURPOSES:
                raise StanzaError("not-acceptable", "Files are not kept for this purpose here.")
            if purpose == "ephemeral":
                try:
                    before = parse_time(child.get("expire-before"))
                except ValueError:
                    raise StanzaError("bad-request", "expire-before is no time.") from None
        return cls(name, int(size), type, purpose, before)

    def is_of(self, types: Collection[str]) -> bool:
        """Whether the file is of one of these types, such as `image/png` or `image/*`. One whose type is not told is of
        that which its name ends with."""
        type = self.type or guess_type(self.filename)[0] or "application/octet-stream"
        return any(fnmatchcase(essence(type), each.lower()) for each in types)

    @property
    def path(self) -> str:
        """The name as it stands in a URL (RFC 3986)."""
        return quote(self.filename, safe="")


def essence(type: str) -> str:
    """A type without its parameters, in lower case."""
    return type.partition(";")[0].strip().lower()


def sign(key: bytes, upload: Upload) -> str:
    """What is shown with the PUT; holds for this account, size, type and time, and for no other slot."""
    fields = (str(upload.account), upload.id, upload.type, upload.purpose, str(upload.size), str(upload.expires_at))
    return hmac.new(key, "\0".join(fields).encode(), hashlib.sha256).hexdigest()


def is_signed(key: bytes, upload: Upload, signature: str) -> bool:
    """Whether the signature, of whatever bytes, is the slot's."""
    return hmac.compare_digest(sign(key, upload).encode(), signature.encode(errors="surrogateescape"))
