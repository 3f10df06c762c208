"""Ad-hoc commands of one step: a command is asked for its form, or sent with it at once. Nothing is remembered between
the two, so a `sessionid` is given back as it came.

XEP: 0050 (1.3.0) complete
"""

from __future__ import annotations

import secrets
from typing import Final, Literal

from . import ns
from .element import Element
from .errors import StanzaError
from .forms import Form

COMMANDS: Final = "http://jabber.org/protocol/commands"
Status = Literal["executing", "completed", "canceled"]
_ACTIONS: Final = ("", "execute", "complete", "next")


def is_cancelled(command: Element) -> bool:
    """Whether the requester gives up; if not, the command is to be executed. Raises StanzaError bad-request (§4.4)."""
    action = command.get("action")
    if action == "cancel":
        return True
    if action not in _ACTIONS:
        raise wrong("bad-action" if action == "prev" else "malformed-action", "This command has a single step.")
    return False


def submitted(command: Element) -> Form | None:
    """The form that came with it, if one did. Raises StanzaError bad-request."""
    x = command.child(ns.DATA, "x")
    return None if x is None else Form.parse(x, "submit")


def answer(command: Element, status: Status, form: Form | None = None) -> Element:
    """What the requester is told; with a form that waits for him (executing), what can be done with it (§3.4)."""
    attrs = {
        "node": command.get("node"),
        "sessionid": command.get("sessionid") or secrets.token_urlsafe(9),
        "status": status,
    }
    element = Element(COMMANDS, "command", attrs)
    if status == "executing":
        element.add(Element(COMMANDS, "actions", {"execute": "complete"}, [Element(COMMANDS, "complete")]))
    return element if form is None else element.add(form.element())


def wrong(condition: str, text: str) -> StanzaError:
    """A bad-request with the condition of §4.4."""
    return StanzaError("bad-request", text, application=Element(COMMANDS, condition))
