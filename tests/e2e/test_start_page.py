"""The start page and the page of an invitation, in a browser."""

from __future__ import annotations

import time
from typing import Final

import pytest
import zxingcpp
from playwright.async_api import BrowserContext, Page, expect

from tests.server.conftest import LogIn, log_in
from tests.server.running import RunningServer
from xmpp_server.protocol.jid import JID

from .conftest import OpenBrowser, Shoot

__all__ = ["log_in"]

TOKEN: Final = "a-token-that-nobody-guesses"
PASSWORD: Final = "Calliope und mehr"
PHONE: Final = {"viewport": {"width": 360, "height": 740}, "device_scale_factor": 2, "has_touch": True}


class Watched:
    """A page, what it loaded, and what its console said."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.loaded: list[str] = []
        self.said: list[str] = []
        page.on("request", lambda request: self.loaded.append(request.url))
        page.on("console", lambda message: self.said.append(message.text))
        page.on("pageerror", lambda error: self.said.append(str(error)))

    @classmethod
    async def open(cls, context: BrowserContext, server: RunningServer, path: str) -> Watched:
        watched = cls(await context.new_page())
        await watched.page.goto(f"https://localhost:{server.https_port}{path}")
        return watched

    async def is_clean(self, server: RunningServer) -> bool:
        """Nothing came from elsewhere, nothing was complained of, and nothing is wider than the screen."""
        here = f"https://localhost:{server.https_port}/"
        wide = await self.page.evaluate("document.documentElement.scrollWidth > innerWidth")
        return not wide and not self.said and all(url.startswith((here, "data:")) for url in self.loaded)


async def scanned(page: Page) -> str:
    """What a camera makes of the code on the page."""
    width, height, pixels = await page.evaluate(
        """async () => {
          const image = new Image(), canvas = document.createElement("canvas");
          const text = new XMLSerializer().serializeToString(document.querySelector("svg"));
          image.src = "data:image/svg+xml," + encodeURIComponent(text);
          await image.decode();
          canvas.width = canvas.height = 300;
          const context = canvas.getContext("2d");
          context.fillStyle = "white";
          context.fillRect(0, 0, 300, 300);
          context.drawImage(image, 0, 0, 300, 300);
          const data = context.getImageData(0, 0, 300, 300).data;
          return [300, 300, Array.from({length: 90000}, (_, at) => data[4 * at])];
        }"""
    )
    (code,) = zxingcpp.read_barcodes(memoryview(bytes(pixels)).cast("B", shape=(height, width)))
    text: str = code.text
    return text


async def invite(server: RunningServer, localpart: str = "", contact: JID | None = None) -> str:
    soon = time.time_ns() // 1000 + 3_600_000_000
    await server.store.invitations.add(TOKEN, "localhost", expires=soon, localpart=localpart, contact=contact)
    return f"/invite/{TOKEN}"


@pytest.mark.parametrize("device", [{}, PHONE, {"color_scheme": "dark"}], ids=["desk", "phone", "dark"])
async def test_the_start_page_fits_and_loads_nothing_from_elsewhere(
    server: RunningServer,
    open_browser: OpenBrowser,
    shoot: Shoot,
    device: dict[str, object],
    request: pytest.FixtureRequest,
) -> None:
    watched = await Watched.open(await open_browser(**device), server, "/")
    await expect(watched.page.get_by_text("name@localhost")).to_be_visible()
    await expect(watched.page.get_by_role("link", name="Conversations")).to_have_attribute(
        "href", "https://conversations.im/"
    )
    assert await watched.is_clean(server)
    await shoot(watched.page, f"start-{request.node.callspec.id}")


async def test_an_account_is_made_by_keyboard_on_a_phone(
    server: RunningServer, open_browser: OpenBrowser, shoot: Shoot, log_in: LogIn
) -> None:
    await server.account("romeo")
    path = await invite(server, contact=JID.parse("romeo@localhost"))
    watched = await Watched.open(await open_browser(**PHONE), server, path)
    page = watched.page
    await expect(page.get_by_label("Username")).to_be_focused()
    await page.keyboard.type("romeo")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("alert")).to_have_text("The username is taken.")
    watched.said.clear()  # of the status
    await page.keyboard.press("ControlOrMeta+A")
    await page.keyboard.type("juliet")
    await page.keyboard.press("Tab")
    await page.keyboard.type(PASSWORD)
    await shoot(page, "invitation-phone")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("button", name="Make the account")).to_be_focused()
    await page.keyboard.press("Space")
    await expect(page.get_by_role("heading", name="Your account is there")).to_be_visible()
    await expect(page.get_by_text("juliet@localhost")).to_be_visible()
    assert await watched.is_clean(server)
    juliet = await log_in("juliet@localhost/balcony", password=PASSWORD)
    assert juliet.client_roster["romeo@localhost"]["subscription"] == "both"
    await page.goto(f"https://localhost:{server.https_port}{path}")
    await expect(page.get_by_role("heading", name="This invitation is not valid")).to_be_visible()


async def test_an_app_finds_the_invitation_in_the_link_and_in_the_code(
    server: RunningServer, open_browser: OpenBrowser, shoot: Shoot
) -> None:
    watched = await Watched.open(await open_browser(), server, await invite(server, localpart="juliet"))
    page = watched.page
    uri = f"xmpp:juliet@localhost?register;preauth={TOKEN}"
    await expect(page.get_by_role("link", name="Open the app")).to_have_attribute("href", uri)
    await expect(page.get_by_label("Username")).to_have_value("juliet")
    await expect(page.get_by_label("Username")).not_to_be_editable()
    code = page.get_by_role("img", name="QR code of the invitation")
    await code.scroll_into_view_if_needed()
    box = await code.locator("svg").bounding_box()
    assert box is not None
    assert box["width"] == box["height"] > 150
    assert await scanned(page) == uri
    assert await watched.is_clean(server)
    await shoot(page, "invitation-code")
