"""A hat as it is kept and shown (XEP-0317 §3.1)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.jid import JID

from .names import HATS


@dataclass(frozen=True, slots=True)
class Hat:
    """What people are called in a room: `wearers` are accounts, `hue` is an angle as text, or empty."""

    uri: str
    title: str
    hue: str = ""
    wearers: frozenset[JID] = frozenset()


def worn(hats: Iterable[Hat], account: JID) -> Element | None:
    """The `<hats/>` of an account's presence; None if it has none."""
    found = [_element(hat) for hat in hats if account in hat.wearers]
    return Element(HATS, "hats", {}, found) if found else None


def _element(hat: Hat) -> Element:
    attrs = {"title": hat.title, "uri": hat.uri}
    return Element(HATS, "hat", attrs | {"hue": hat.hue} if hat.hue else attrs)
