"""Converse.js in a browser: its page is served from an origin of its own, as that of another site would be.

romeo = await Converse.log_in(context, url, "romeo", websocket="wss://localhost:5281/xmpp-websocket")
chat = await romeo.chat("juliet@localhost")
await chat.say("Hi")
"""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final, Self

from aiohttp import web
from playwright.async_api import BrowserContext, Locator, Page, expect

from tests.server.running import PASSWORD

DEADLINE: Final = 60_000  # milliseconds
DIST: Final = Path(__file__).parents[2] / ".venvs/converse/package/dist"
_PAGE: Final = """<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>Converse</title>
<link rel="stylesheet" href="/dist/converse.min.css"><script type="module" src="/dist/converse.min.js"></script></head>
<body class="converse-fullscreen"><script type="module">
converse.plugins.add("test", {initialize() { window.api = this._converse.api; }});
converse.initialize(Object.assign({
  assets_path: "/dist/", authentication: "login", view_mode: "fullscreen", whitelisted_plugins: ["test"],
  discover_connection_methods: false, allow_non_roster_messaging: true, auto_register_muc_nickname: false,
  muc_nickname_from_jid: true, i18n: "en", loglevel: "warn", theme: "classic", enable_smacks: true,
}, JSON.parse(decodeURIComponent(location.hash.slice(1)))));
</script></body></html>"""


@asynccontextmanager
async def served() -> AsyncIterator[str]:
    """The URL of the page, which takes its settings behind the #."""

    async def page(_: web.Request) -> web.StreamResponse:
        return web.Response(text=_PAGE, content_type="text/html")

    app = web.Application()
    app.router.add_get("/", page)
    app.router.add_static("/dist", DIST)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class Converse:
    """One person's page."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.transports: set[str] = set()
        """How it spoke XMPP."""
        page.on("websocket", lambda socket: self.transports.add(socket.url.partition(":")[0]))
        page.on("request", lambda request: self._requested(request.url))

    @classmethod
    async def log_in(cls, context: BrowserContext, url: str, name: str, **settings: str) -> Self:
        """Somebody who types name and password, and is online."""
        person = cls(await context.new_page())
        page = person.page
        await page.goto(f"{url}#{json.dumps(settings)}")
        await page.get_by_label("XMPP Address").fill(f"{name}@localhost")
        await page.get_by_label("Password").fill(PASSWORD)
        await page.get_by_role("button", name="Log in").click()
        await page.wait_for_function("window.api && window.api.connection.connected()")
        await page.evaluate("api.waitUntil('OMEMOInitialized')")  # the device is published
        return person

    def _requested(self, url: str) -> None:
        if url.endswith("/http-bind"):
            self.transports.add("bosh")

    async def chat(self, address: str) -> Chat:
        """The open chat with somebody."""
        await self.page.evaluate("api.waitUntil('rosterContactsFetched')")
        await self.page.evaluate("jid => api.chats.open(jid, {}, true)", address)
        return Chat(self.page, self.page.locator(f"converse-chat[jid='{address}']"))

    async def join(self, address: str) -> Chat:
        """The open room."""
        await self.page.evaluate("jid => api.rooms.open(jid, {}, true)", address)
        return Chat(self.page, self.page.locator(f"converse-muc[jid='{address}']"))


class Chat:
    """A chat or a room, as it is on the screen."""

    def __init__(self, page: Page, box: Locator) -> None:
        self.page = page
        self.box = box

    async def say(self, text: str) -> None:
        """Type it, and press the key."""
        field = self.box.locator("textarea.chat-textarea")
        await field.fill(text)
        await field.press("Enter")

    async def shows(self, text: str) -> None:
        """Somebody else's message, or one's own, is there."""
        await expect(self.box.locator(".chat-msg__text", has_text=text).last).to_be_visible(timeout=DEADLINE)

    async def encrypt(self) -> None:
        """Switch OMEMO on by its button."""
        button = self.box.locator("button.toggle-omemo")
        await expect(button).not_to_have_attribute("data-disabled", "true", timeout=DEADLINE)
        await button.click()
        await expect(button.locator(".fa-lock")).to_be_visible(timeout=DEADLINE)

    async def send_file(self, file: Path) -> None:
        """Choose a file of the disk."""
        await self.box.locator("input.fileupload").set_input_files(file)

    async def picture(self) -> tuple[int, int]:
        """The last picture's width and height, as soon as it is there."""
        picture = self.box.locator("img.chat-image").last
        await expect(picture).to_be_visible(timeout=DEADLINE)
        shown = "image => image.complete && image.naturalWidth > 0"
        await self.page.wait_for_function(shown, arg=await picture.element_handle())
        width, height = await picture.evaluate("image => [image.naturalWidth, image.naturalHeight]")
        return width, height
