"""A whole server on the test's loop, and real browsers: Chromium without a window, from the distribution."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from playwright.async_api import Browser, BrowserContext, async_playwright

from tests.databases import servers
from tests.server.conftest import make_server, people, pytest_asyncio_loop_factories, server

__all__ = ["make_server", "people", "pytest_asyncio_loop_factories", "server", "servers"]

OpenBrowser = Callable[..., Awaitable[BrowserContext]]
Shoot = Callable[..., Awaitable[None]]


@pytest_asyncio.fixture
async def database_url(servers: Any, tmp_path: Path) -> str:
    """A database of the kind that one gets by `make run`."""
    url: str = await servers.sqlite(tmp_path / "test.db")
    return url


@pytest_asyncio.fixture
async def browser() -> AsyncIterator[Browser]:
    path = shutil.which("chromium")
    assert path is not None, "make e2e installs Chromium"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=[
                "--no-sandbox",  # the tests may run as root
                "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE localhost, EXCLUDE 127.0.0.1",
            ],
        )
        yield browser
        await browser.close()


@pytest_asyncio.fixture
async def open_browser(browser: Browser, tmp_path: Path) -> AsyncIterator[OpenBrowser]:
    """A person's browser, with a storage of its own; the certificate, which signed itself, is taken. How its pages look
    in the end is kept in the test's folder."""
    contexts: list[BrowserContext] = []

    async def make(**options: Any) -> BrowserContext:
        context = await browser.new_context(ignore_https_errors=True, locale="en", **options)
        context.set_default_timeout(60_000)
        contexts.append(context)
        return context

    yield make
    for context in contexts:
        for page in context.pages:
            await page.screenshot(path=tmp_path / f"browser-{contexts.index(context)}.png")
        await context.close()


@pytest.fixture
def shoot() -> Shoot:
    """Keeps a picture of a page in docs/screenshots, where SCREENSHOTS=1 asks for it."""

    async def take(page: Any, name: str) -> None:
        if os.environ.get("SCREENSHOTS"):
            folder = Path(__file__).parents[2] / "docs/screenshots"
            folder.mkdir(exist_ok=True)
            await page.screenshot(path=folder / f"{name}.png")

    return take
