"""Whose messages a user wants in his archive.

XEP: 0441 (0.2.0) complete
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, cast, get_args

from . import ns
from .element import Element
from .errors import StanzaError
from .jid import JID, InvalidJID

Default = Literal["always", "never", "roster"]
DEFAULTS: Final = frozenset(get_args(Default))
_MOST: Final = 1000


@dataclass(frozen=True, slots=True)
class Preferences:
    """Addresses whose messages are archived `always` or `never`, and what is done with those of others."""

    default: Default = "always"
    always: tuple[JID, ...] = ()
    never: tuple[JID, ...] = ()

    @classmethod
    def parse(cls, prefs: Element) -> Preferences:
        """From the `<prefs/>` of a request; raises StanzaError bad-request, jid-malformed, or, for more than 1,000
        addresses, policy-violation."""
        default = prefs.get("default")
        if default not in DEFAULTS:
            raise StanzaError("bad-request", "The default is always, never or roster.")
        return cls(cast(Default, default), _jids(prefs, "always"), _jids(prefs, "never"))

    def element(self) -> Element:
        """The `<prefs/>`."""
        prefs = Element(ns.MAM, "prefs", {"default": self.default})
        for name, jids in (("always", self.always), ("never", self.never)):
            prefs.add(Element(ns.MAM, name, {}, [Element(ns.MAM, "jid", {}, [str(jid)]) for jid in jids]))
        return prefs

    def decided(self, target: JID) -> bool | None:
        """Whether messages to or from `target` are archived; None: it depends on whether it is in the roster.

        An address with a resource counts for that resource alone, before one without (§2.3.1); `never` before
        `always`.
        """
        if self.never or self.always:
            for jid in (target, target.bare):
                if jid in self.never:
                    return False
                if jid in self.always:
                    return True
        return None if self.default == "roster" else self.default == "always"


def _jids(prefs: Element, name: str) -> tuple[JID, ...]:
    listed: Iterable[Element] = prefs.child(ns.MAM, name) or ()
    texts = [jid.text.strip() for jid in listed if (jid.ns, jid.name) == (ns.MAM, "jid")]
    if len(texts) > _MOST:
        raise StanzaError("policy-violation", f"There are more than {_MOST} addresses.")
    try:
        return tuple(dict.fromkeys(map(JID.parse, texts)))
    except InvalidJID as error:
        raise StanzaError("jid-malformed") from error
