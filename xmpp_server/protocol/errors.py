"""Stream errors and stanza errors (RFC 6120 §4.9 and §8.3), with the legacy codes of XEP-0086.

XEP: 0086 (1.0) complete
"""

from __future__ import annotations

from typing import Final

from . import ns
from .element import Element

# condition -> (error type, legacy code): RFC 6120 §8.3.3 and XEP-0086 §3. COMPAT(profanity, 0.13): it publishes its
# first OMEMO device list only on an error that carries the code 404.
STANZA_CONDITIONS: Final[dict[str, tuple[str, int]]] = {
    "bad-request": ("modify", 400),
    "conflict": ("cancel", 409),
    "feature-not-implemented": ("cancel", 501),
    "forbidden": ("auth", 403),
    "gone": ("cancel", 302),
    "internal-server-error": ("cancel", 500),
    "item-not-found": ("cancel", 404),
    "jid-malformed": ("modify", 400),
    "not-acceptable": ("modify", 406),
    "not-allowed": ("cancel", 405),
    "not-authorized": ("auth", 401),
    "payment-required": ("auth", 402),
    "policy-violation": ("modify", 403),
    "recipient-unavailable": ("wait", 404),
    "redirect": ("modify", 302),
    "registration-required": ("auth", 407),
    "remote-server-not-found": ("cancel", 404),
    "remote-server-timeout": ("wait", 504),
    "resource-constraint": ("wait", 500),
    "service-unavailable": ("cancel", 503),
    "subscription-required": ("auth", 407),
    "undefined-condition": ("cancel", 500),
    "unexpected-request": ("wait", 400),
}


class StanzaError(Exception):
    """An error to be answered to a stanza.

    `condition` is one of STANZA_CONDITIONS, `type` one of auth, cancel, continue, modify, wait (by default the one that
    the RFC gives), `text` a sentence for people, `application` an application-specific condition (RFC 6120 §8.3.4),
    `about` an element that is returned with it (§8.3.1).
    """

    def __init__(
        self,
        condition: str,
        text: str = "",
        *,
        type: str = "",
        application: Element | None = None,
        about: Element | None = None,
    ) -> None:
        super().__init__(condition, text)
        default_type, self.code = STANZA_CONDITIONS[condition]
        self.condition = condition
        self.type = type or default_type
        self.text = text
        self.application = application
        self.about = about

    def element(self) -> Element:
        """The `<error/>` of the stanza that answers."""
        error = Element(ns.CLIENT, "error", {"type": self.type, "code": str(self.code)})
        error.add(Element(ns.STANZA_ERRORS, self.condition))
        if self.text:
            error.attrs["xml:lang"] = "en"  # the text inherits it, and looks as other servers send it
            error.add(Element(ns.STANZA_ERRORS, "text", {}, [self.text]))
        if self.application is not None:
            error.add(self.application)
        return error


STREAM_CONDITIONS: Final = frozenset(
    {
        "bad-format",
        "bad-namespace-prefix",
        "conflict",
        "connection-timeout",
        "host-gone",
        "host-unknown",
        "improper-addressing",
        "internal-server-error",
        "invalid-from",
        "invalid-namespace",
        "invalid-xml",
        "not-authorized",
        "not-well-formed",
        "policy-violation",
        "remote-connection-failed",
        "reset",
        "resource-constraint",
        "restricted-xml",
        "see-other-host",
        "system-shutdown",
        "undefined-condition",
        "unsupported-encoding",
        "unsupported-feature",
        "unsupported-stanza-type",
        "unsupported-version",
    }
)


class StreamError(Exception):
    """An error after which the stream is closed. `condition` is one of STREAM_CONDITIONS (RFC 6120 §4.9.3)."""

    def __init__(self, condition: str, text: str = "", *, application: Element | None = None) -> None:
        super().__init__(condition, text)
        if condition not in STREAM_CONDITIONS:
            raise ValueError(condition)
        self.condition = condition
        self.text = text
        self.application = application

    def element(self) -> Element:
        """The `<stream:error/>`."""
        error = Element(ns.STREAMS, "error", {}, [Element(ns.STREAM_ERRORS, self.condition)])
        if self.text:
            error.add(Element(ns.STREAM_ERRORS, "text", {"xml:lang": "en"}, [self.text]))
        if self.application is not None:
            error.add(self.application)
        return error
