"""The photo of a vCard, and the hash of it that presence carries.

XEP: 0153 (1.1.1) complete
"""

from __future__ import annotations

import hashlib
from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from .element import Element

NS: Final = "vcard-temp"
UPDATE: Final = "vcard-temp:x:update"


@dataclass(frozen=True, slots=True)
class Photo:
    """An image: its media type, empty if it was not told, and its bytes."""

    type: str
    data: bytes

    @property
    def hash(self) -> str:
        """SHA-1 in hexadecimal, as XEP-0153 §3.1 and XEP-0084 §4.1 name an image."""
        return hashlib.sha1(self.data, usedforsecurity=False).hexdigest()

    def element(self) -> Element:
        """The `<PHOTO/>`."""
        photo = Element(NS, "PHOTO")
        if self.type:
            photo.add(Element(NS, "TYPE", {}, [self.type]))
        return photo.add(Element(NS, "BINVAL", {}, [b64encode(self.data).decode()]))


def photo(vcard: Element) -> Photo | None:
    """The image that the vCard holds; None if there is none, only the address of one, or nothing that is base64."""
    element = vcard.child(NS, "PHOTO")
    if element is None:
        return None
    try:
        data = b64decode("".join(element.child_text(NS, "BINVAL").split()), validate=True)
    except ValueError:
        return None
    return Photo(element.child_text(NS, "TYPE").strip(), data) if data else None


def with_photo(vcard: Element, photo: Photo | None) -> Element:
    """The vCard with this photo in the place of those that it has, or without any."""
    others = [child for child in vcard.children if isinstance(child, str) or (child.ns, child.name) != (NS, "PHOTO")]
    return Element(NS, "vCard", dict(vcard.attrs), [*others, photo.element()] if photo is not None else others)


def update(hash: str) -> Element:
    """What presence says of the photo (§2.1): this is its hash, or there is none."""
    return Element(UPDATE, "x", {}, [Element(UPDATE, "photo", {}, [hash] if hash else [])])
