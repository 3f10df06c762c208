"""What a host does by ad-hoc command."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from xmpp_server.protocol.forms import Form
from xmpp_server.protocol.jid import JID


@dataclass(frozen=True, slots=True)
class Command:
    """One command: its node and title, who may use it, and what is done for him with what he submitted (None: no form)
    and answered. `form`, if there is one, is asked for first."""

    node: str
    title: str
    may: Callable[[JID], bool]
    run: Callable[[JID, Form | None], Awaitable[Form]]
    form: Form | None = None
