"""The pages for people at the server's root: what this is, how to connect, and what an invitation is good for.

They are whole without scripts, load nothing from elsewhere, and leave no trace: no cookies, no referrers. Who is
invited makes an account there, or takes the link, or its QR code, to an app.
"""

from __future__ import annotations

import asyncio
import time
from html import escape
from typing import Final
from urllib.parse import parse_qsl

import msgspec
import segno
import structlog
from aiohttp import web

from xmpp_server.module import Module
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.invitation import INVITE_PATH, invitation_uri
from xmpp_server.protocol.jid import JID
from xmpp_server.routing.host import Host
from xmpp_server.session.newcomers import Newcomers
from xmpp_server.storage.errors import Unavailable
from xmpp_server.storage.invitations import Invitation, Invitations
from xmpp_server.util.http import Request, Route
from xmpp_server.util.limits import Allowance

_log = structlog.get_logger()

_HOUR: Final = 3600
_TRIES: Final = 20
_MOST: Final = 4096  # octets of a form
_SECONDS: Final = 30.0  # for it to come
_FORM: Final = "application/x-www-form-urlencoded"
_HEADERS: Final = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; img-src data:; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "Referrer-Policy": "no-referrer",
    "X-Frame-Options": "DENY",
}
_OPEN: Final = "Everybody may have one: choose this server in an app, which makes the account for you."
_INVITED: Final = (
    "Accounts are given by the people who run this server. If you have an invitation, open its link, or scan its code "
    "with an app."
)
_APPS: Final = (
    ("Android", "Conversations", "https://conversations.im/"),
    ("iPhone, iPad, Mac", "Monal", "https://monal-im.org/"),
    ("Linux, Windows", "Gajim", "https://gajim.org/"),
    ("Linux", "Dino", "https://dino.im/"),
    ("Terminal", "profanity", "https://profanity-im.github.io/"),
)
_STYLE: Final = """
:root { color-scheme: light dark; font: 1.05rem/1.55 system-ui, sans-serif; --accent: #0b6b57; --on: #fff;
  --edge: #8885; --card: #8881; --bad: #a3201b; }
@media (prefers-color-scheme: dark) { :root { --accent: #6fd6be; --on: #10211d; --bad: #ff9d97; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 38rem; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: .5rem 0 1rem; }
h2 { font-size: 1.15rem; margin: .9rem 0 .5rem; }
a { color: var(--accent); }
section { border: 1px solid var(--edge); background: var(--card); border-radius: .8rem; padding: .2rem 1.1rem 1.1rem;
  margin: 1.2rem 0; }
dl { display: grid; grid-template-columns: minmax(5rem, auto) 1fr; gap: .3rem .8rem; margin: 0; }
dt { opacity: .75; }
dd { margin: 0; }
label { display: block; margin: .8rem 0 .2rem; font-weight: 600; }
.field { display: flex; align-items: center; gap: .4rem; }
input { flex: 1; min-width: 0; width: 100%; font: inherit; padding: .6rem .7rem; border: 1px solid var(--edge);
  border-radius: .5rem; background: Field; color: FieldText; }
button, .button { display: inline-block; font: inherit; font-weight: 600; padding: .7rem 1.2rem; margin-top: 1rem;
  border: 0; border-radius: .5rem; background: var(--accent); color: var(--on); text-decoration: none;
  cursor: pointer; }
:focus-visible { outline: 3px solid var(--accent); outline-offset: 2px; }
[role=alert] { color: var(--bad); font-weight: 600; }
svg { display: block; width: 100%; max-width: 15rem; height: auto; margin: 1rem auto 0; background: #fff;
  border-radius: .5rem; }
"""


class StartPageOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the pages say and do."""

    title: str = ""
    """What stands above the start page; empty: the host's name."""
    text: str = ""
    """A sentence of the operator's on the start page, such as who runs the server."""
    accounts: bool = True
    """Whether who is invited makes an account on the page; otherwise by an app alone."""


class StartPage(Module):
    """The start page, and one for each invitation."""

    name = "start_page"
    Options = StartPageOptions

    def __init__(self, host: Host, newcomers: Newcomers, invitations: Invitations, options: StartPageOptions) -> None:
        self._host = host
        self._newcomers = newcomers
        self._invitations = invitations
        self._wrong = Allowance(time.monotonic, count=_TRIES, period=_HOUR)
        self._made = Allowance(time.monotonic, count=_TRIES, period=_HOUR)
        self.options = options

    def attach(self, host: Host) -> None:
        super().attach(host)
        host.web.add(Route("/", {"GET": self.start}))
        host.web.add(Route("/start.css", {"GET": self.style}))
        host.web.add(Route(INVITE_PATH, {"GET": self.invitation, "POST": self.register}, below=True))

    async def start(self, request: Request) -> web.StreamResponse:
        """What this is."""
        domain = escape(self._host.domain)
        own = f"<p>{escape(self.options.text)}</p>" if self.options.text else ""
        title = self.options.title or self._host.domain
        return _page(
            title,
            f"""<h1>{escape(title)}</h1>
<p>This is a server for XMPP, the open standard for messaging: chats, groups and pictures, encrypted from end to end,
with the app that you choose.</p>{own}
<section><h2>Connect</h2><dl>
<dt>Your address</dt><dd><b>name@{domain}</b></dd>
<dt>Server</dt><dd>{domain}; apps find it by your address</dd></dl></section>
<section><h2>Apps</h2>{_apps()}</section>
<section><h2>Get an account</h2><p>{_OPEN if self._host.is_open else _INVITED}</p></section>""",
            root="",
        )

    async def style(self, request: Request) -> web.StreamResponse:
        """How the pages look."""
        return web.Response(text=_STYLE, content_type="text/css", headers={"Cache-Control": "max-age=3600"})

    # -- invitations

    async def invitation(self, request: Request) -> web.StreamResponse:
        """The landing page (XEP-0379 §3.3)."""
        try:
            found = await self._find(request)
        except Unavailable:
            return _later()
        return self._landing(request, found) if found is not None else self._unknown(request)

    async def register(self, request: Request) -> web.StreamResponse:
        """Make the account."""
        if not self.options.accounts or not request.secure:
            return _message(403, "Not here", "Make the account with an app, by the link of the invitation.")
        try:
            form = await _form(request)
        except (ValueError, TimeoutError):
            return _message(400, "No form", "This is no form of ours.")
        name, password = form.get("name", ""), form.get("password", "")
        try:
            found = await self._find(request)
        except Unavailable:
            return _later()
        if found is None:
            return self._unknown(request)
        if found.contact_only:
            return _message(403, "Not here", "This invitation is for people who have an account.")
        try:
            if not self._made.take(request.key):
                return _message(429, "Too many attempts", "Try again in an hour.")
            if not name or not password:
                raise StanzaError("not-acceptable", "A username and a password are needed.")
            account = await self._newcomers.make(self._host, name, password, found)
        except StanzaError as error:
            return self._landing(request, found, name=name, error=error)
        except Unavailable:
            return _later()
        _log.info("account_registered", account=str(account), address=request.key, invited=True)
        return _page(
            "Your account is there",
            f"""<h1>Your account is there</h1>
<p>Your address is <b>{escape(str(account))}</b>.
Open an app, and log in with it and with the password that you chose.</p>
<section><h2>Apps</h2>{_apps()}</section>""",
            201,
        )

    async def _find(self, request: Request) -> Invitation | None:
        return await self._invitations.find(request.rest, self._host.domain)

    def _unknown(self, request: Request) -> web.Response:
        if not self._wrong.take(request.key):
            return _message(429, "Too many attempts", "Try again in an hour.")
        return _message(404, "This invitation is not valid", "It was used, or its time is over. Ask for another one.")

    def _landing(
        self, request: Request, found: Invitation, name: str = "", error: StanzaError | None = None
    ) -> web.Response:
        contact = JID.parse(found.contact) if found.contact else None
        account = JID(found.localpart, found.host, "")
        uri = invitation_uri(account, request.rest, contact, contact_only=found.contact_only)
        inviter = f"<b>{escape(str(contact))}</b> invites you" if contact else "You are invited"
        offered = self.options.accounts and request.secure and not found.contact_only
        form = self._form(found, name, error) if offered else ""
        where = "chat" if found.contact_only else self._host.domain
        # The code is black on white whatever the colours are, with the margin that readers need.
        code = segno.make(uri, error="m", micro=False).svg_inline(
            border=4, omitsize=True, svgclass=None, lineclass=None
        )
        status = 200 if error is None else 409 if error.condition == "conflict" else 400
        return _page(
            f"An invitation to {where}",
            f"""<h1>{inviter} to {escape(where)}</h1>
<p>{escape(self._host.domain)} is a server for XMPP, the open standard for messaging, which you use with the app of your
choice.</p>{form}
<section><h2>With an app</h2><p>On this device, if the app is installed:</p>
<a class="button" href="{escape(uri)}">Open the app</a><p>On another one, scan this with its app:</p>
<div role="img" aria-label="QR code of the invitation">{code}</div></section>
<section><h2>Apps</h2>{_apps()}</section>""",
            status,
        )

    def _form(self, found: Invitation, name: str, error: StanzaError | None) -> str:
        fixed = "readonly" if found.localpart else "autofocus"
        alert = f'<p role="alert" id="error">{escape(error.text or "That did not work.")}</p>' if error else ""
        invalid = 'aria-invalid="true" aria-describedby="error"' if error else ""
        return f"""<section><h2>Make your account here</h2>{alert}<form method="post">
<label for="name">Username</label><div class="field">
<input id="name" name="name" value="{escape(found.localpart or name)}" required maxlength="255" {fixed} {invalid}
 autocapitalize="none" autocomplete="username" spellcheck="false"><span>@{escape(self._host.domain)}</span></div>
<label for="password">Password</label>
<input id="password" name="password" type="password" required minlength="8" maxlength="1023"
 autocomplete="new-password">
<button>Make the account</button></form></section>"""


async def _form(request: Request) -> dict[str, str]:
    """The fields that were sent. Raises ValueError where that is no form of ours, and TimeoutError."""
    if request.content_type != _FORM or not 0 < (request.content_length or 0) <= _MOST:
        raise ValueError(request.content_type)
    await request.accept_body()
    async with asyncio.timeout(_SECONDS):
        body = await request.read()
    return dict(parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=10))


def _apps() -> str:
    rows = "".join(f'<dt>{where}</dt><dd><a href="{url}" rel="noreferrer">{app}</a></dd>' for where, app, url in _APPS)
    return f"<dl>{rows}</dl>"


def _message(status: int, title: str, text: str) -> web.Response:
    return _page(title, f"<h1>{escape(title)}</h1><p>{escape(text)}</p>", status)


def _later() -> web.Response:
    return _message(503, "Not now", "The server cannot look this up at the moment. Try again in a minute.")


def _page(title: str, body: str, status: int = 200, *, root: str = "../") -> web.Response:
    """`root` leads to the start page; a proxy may have put it below a path."""
    text = f"""<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1"><link rel="icon" href="data:,">
<link rel="stylesheet" href="{root}start.css"></head><body><main>{body}</main></body></html>"""
    return web.Response(status=status, text=text, content_type="text/html", headers=_HEADERS)
