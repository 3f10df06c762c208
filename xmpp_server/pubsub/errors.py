"""Errors of publish-subscribe: a condition of the RFC with one of XEP-0060 §15 beside it."""

from __future__ import annotations

from typing import Final

from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError

NS: Final = "http://jabber.org/protocol/pubsub"
OWNER: Final = f"{NS}#owner"
EVENT: Final = f"{NS}#event"
ERRORS: Final = f"{NS}#errors"


def refuse(
    condition: str,
    reason: str = "",
    *,
    feature: str = "",
    text: str = "",
    type: str = "",
    about: Element | None = None,
) -> StanzaError:
    """The error to raise; `feature` is what is not supported (§15, `unsupported`), `about` what it is about."""
    application = None
    if reason:
        application = Element(ERRORS, reason, {"feature": feature} if feature else {})
    return StanzaError(condition, text, type=type, application=application, about=about)


def unsupported(feature: str) -> StanzaError:
    """What we do not do."""
    return refuse("feature-not-implemented", "unsupported", feature=feature)
