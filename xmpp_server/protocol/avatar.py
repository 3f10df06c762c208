"""The payloads of avatars in nodes of their own.

XEP: 0084 (1.1.4) complete
"""

from __future__ import annotations

from base64 import b64decode, b64encode
from dataclasses import dataclass
from typing import Final

from .element import Element
from .vcard import Photo

DATA: Final = "urn:xmpp:avatar:data"
METADATA: Final = "urn:xmpp:avatar:metadata"
_PNG: Final = "image/png"


@dataclass(frozen=True, slots=True)
class Described:
    """An `<info/>`: the id of the image, which is its SHA-1, and its media type."""

    id: str
    type: str


def data(photo: Photo) -> Element:
    """The `<data/>` of an image (§4.1)."""
    return Element(DATA, "data", {}, [b64encode(photo.data).decode()])


def image(element: Element, type: str) -> Photo | None:
    """The image in a `<data/>`; None if it is none."""
    try:
        content = b64decode("".join(element.text.split()), validate=True)
    except ValueError:
        return None
    return Photo(type, content) if content and (element.ns, element.name) == (DATA, "data") else None


def metadata(photo: Photo | None) -> Element:
    """The `<metadata/>` that says what the image is, or that there is none (§4.2)."""
    element = Element(METADATA, "metadata")
    if photo is not None:
        attrs = {"bytes": str(len(photo.data)), "id": photo.hash, "type": photo.type or _PNG}
        element.add(Element(METADATA, "info", attrs))
    return element


def described(element: Element) -> Described | None:
    """The image that is at the data node: the first that is not elsewhere; None if there is none."""
    for info in element:
        if (info.ns, info.name) == (METADATA, "info") and "url" not in info.attrs and info.get("id"):
            return Described(info.get("id").lower(), info.get("type"))
    return None
