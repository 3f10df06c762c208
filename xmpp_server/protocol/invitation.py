"""The links of an invitation: for apps (XEP-0401 §4.1, §5; XEP-0445 §2), and to the page for browsers."""

from __future__ import annotations

import secrets
import string
from typing import Final
from urllib.parse import quote

from .jid import JID

INVITE_PATH: Final = "/invite/"
_ALPHABET: Final = string.ascii_letters + string.digits
_LENGTH: Final = 24


def new_token() -> str:
    """A token that nobody guesses: 142 bits, alphanumeric (XEP-0401 §4.1)."""
    return "".join(secrets.choice(_ALPHABET) for _ in range(_LENGTH))


def invitation_uri(account: JID, token: str, contact: JID | None = None, *, contact_only: bool = False) -> str:
    """What an app opens. `account` is the host alone where any name may be chosen; `contact`, whom the newcomer gets to
    know, stands in its place then, and `contact_only` says that there is no account to be had by it."""
    if contact is not None and not account.localpart:
        return f"xmpp:{_escaped(contact)}?roster;preauth={token}{'' if contact_only else ';ibr=y'}"
    return f"xmpp:{_escaped(account)}?register;preauth={token}"


def landing_path(token: str) -> str:
    """Where the page of the invitation is, below the site's URL. `token` is alphanumeric."""
    return INVITE_PATH + token


def _escaped(jid: JID) -> str:
    """RFC 5122 §2.2: what may not stand in a path is percent-encoded."""
    return quote(str(jid), safe="@!$&'()*+,;=:~-._")
