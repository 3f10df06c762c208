"""Which messages are worth keeping: by type and content, for every feature that keeps, counts or answers them.

By XEP-0160 §3, hints (XEP-0334 §4.2, §4.4), and standalone chat states (XEP-0085 §5.1); `docs/ledger.md` is the table.
The extensions below are spoken between clients. What they ask of a server is decided here: receipts, corrections,
markers, calls and reactions reach every device and wait for who is away, typing is never kept.

XEP: 0085 (2.1) complete
XEP: 0184 (1.4.0) complete
XEP: 0308 (1.2.1) complete
XEP: 0333 (1.0.0) complete
XEP: 0353 (0.8.0) complete
XEP: 0444 (0.2.1) complete
"""

from __future__ import annotations

from enum import Enum
from typing import Final

from xmpp_server.protocol import ns
from xmpp_server.protocol.hints import NO_STORE, STORE, hinted
from xmpp_server.protocol.stanza import Stanza, qname

_CHAT_STATES: Final = "http://jabber.org/protocol/chatstates\n"
_THREAD: Final = qname(ns.CLIENT, "thread")
_ASIDE: Final = (f"{ns.HINTS}\n", f"{ns.STANZA_ID}\n")
_REMEMBERED: Final = 1000
_LONG: Final = 1000  # characters


class Fate(Enum):
    """What becomes of a message for an account that is away, or whose sessions end before they acknowledge it.

    REFUSE: it is answered with an error, where it is of a kind that is answered.
    """

    KEEP = "keep"
    DROP = "drop"
    REFUSE = "refuse"


_REFUSE: Final = Fate.REFUSE  # looking up a member is a call in Python 3.11


def fate(message: Stanza) -> Fate:
    """The fate of this message. What is alike is judged once: clients send few kinds of messages."""
    if message.type == "groupchat":  # many at a time
        return _REFUSE
    kind = (message.type, *message.keys)
    judged = _judged.get(kind)
    if judged is None:
        judged = _judge(message)
        if sum(map(len, kind)) < _LONG:
            if len(_judged) >= _REMEMBERED:
                _judged.clear()
            _judged[kind] = judged
    return judged


_judged: dict[tuple[str, ...], Fate] = {}


def _judge(message: Stanza) -> Fate:
    if message.type in ("error", "groupchat", "headline"):
        return Fate.REFUSE
    if hinted(message, NO_STORE):
        return Fate.DROP if _is_chat_state(message) else Fate.REFUSE
    if hinted(message, STORE):
        return Fate.KEEP
    if _is_chat_state(message):
        return Fate.DROP
    return Fate.KEEP if any(map(_is_content, message.keys)) else Fate.REFUSE


def _is_content(key: str) -> bool:
    return key != _THREAD and not key.startswith(_ASIDE)


def _is_chat_state(message: Stanza) -> bool:
    content = [key for key in message.keys if _is_content(key)]
    return bool(content) and all(key.startswith(_CHAT_STATES) for key in content)
