"""Files for messages and profiles: a client gets a slot, puts its file there over HTTP, and sends the URL.

A file goes when its time is over, or its account; one of a profile when another takes its place.

XEP: 0363 (1.2.0) partial: without the purpose permanent
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Sequence
from typing import Annotated, Final

import msgspec
import structlog

from xmpp_server.port import Component, ComponentOptions, Port
from xmpp_server.protocol import ns
from xmpp_server.protocol.delay import format_time
from xmpp_server.protocol.disco import Identity, Info
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.protocol.forms import Field, Form
from xmpp_server.protocol.jid import JID
from xmpp_server.protocol.stanza import Stanza
from xmpp_server.storage.database import Database
from xmpp_server.storage.errors import QuotaExceeded, StorageError
from xmpp_server.storage.secrets import Secrets
from xmpp_server.storage.uploads import DAY, NEVER, Upload, Uploads
from xmpp_server.util.http import Site

from .folder import Folder
from .slots import NS, PURPOSE_NS, PURPOSES, SlotRequest, sign
from .web import Transfers

_log = structlog.get_logger()

_SLOT: Final = 300_000_000  # microseconds (§7)
_EVERY: Final = 600.0  # seconds
_PATH: Final = "/upload/"


class HttpUploadOptions(ComponentOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much, and for how long."""

    subdomain: str = "upload"
    """What stands before the host's domain in that of the component."""
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 104_857_616
    """Bytes of one file: 100 MB, and the tag that encryption adds."""
    profile_bytes: Annotated[int, msgspec.Meta(ge=1)] = 10_485_760
    """Bytes of a file for a profile, such as an avatar."""
    daily_bytes: Annotated[int, msgspec.Meta(ge=0)] = 2_147_483_648
    """Bytes that an account may upload in 24 hours; 0: any."""
    days: Annotated[int, msgspec.Meta(ge=1)] = 30
    """For how long files of messages are kept."""


class HttpUpload(Component):
    """The service that gives slots."""

    name = "http_upload"
    title = "HTTP File Upload"
    Options = HttpUploadOptions

    def __init__(self, port: Port, database: Database, site: Site, options: HttpUploadOptions) -> None:
        self._port = port
        self._site = site
        self._uploads = Uploads(database)
        self._secrets = Secrets(database)
        self._folder = Folder(site.data / "uploads")
        self._host = port.jid.domain.removeprefix(f"{options.subdomain}.")
        self._key = b""
        self._upkeep: asyncio.Task[None] | None = None
        self.options = options

    async def start(self) -> None:
        self._key = await self._secrets.get(self._port.jid.domain, "upload slots")
        await asyncio.to_thread(self._folder.prepare)
        self._route = Transfers(self._uploads, self._folder, self._key, self._lifetime).route(
            f"{_PATH}{self._port.jid.domain}/"
        )
        self._site.routes.add(self._route)
        self._upkeep = asyncio.get_running_loop().create_task(self._remove_expired())
        self._port.receive(self.handle)

    async def stop(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
            self._site.routes.remove(self._route)

    async def handle(self, stanza: Stanza) -> None:
        """Answers disco#info, disco#items and slot requests."""
        if stanza.name != "iq" or stanza.type not in ("get", "set"):
            return
        if stanza.type == "get" and stanza.to == self._port.jid:
            if (query := stanza.child(ns.DISCO_INFO, "query")) is not None and not query.get("node"):
                await self._port.send(stanza.result(self._info().element()))
                return
            if stanza.child(ns.DISCO_ITEMS, "query") is not None:
                await self._port.send(stanza.result(Element(ns.DISCO_ITEMS, "query")))
                return
            if (request := stanza.child(NS, "request")) is not None:
                await self._port.send(stanza.result(await self._slot(stanza, request)))
                return
        raise StanzaError("service-unavailable")

    def _info(self) -> Info:
        features = (NS, ns.DISCO_INFO, ns.DISCO_ITEMS, *(f"{PURPOSE_NS}#{purpose}" for purpose in PURPOSES))
        form = Form.of("result", NS, Field("max-file-size", (str(self.options.max_bytes),)))
        return Info.of([Identity("store", "file", name=self.title)], features, [form])

    async def _slot(self, stanza: Stanza, element: Element) -> Element:
        assert stanza.sender is not None
        account = stanza.sender.bare
        if account.domain != self._host or not account.localpart:
            raise StanzaError("forbidden", "Only users of this server may upload files.")
        request = SlotRequest.parse(element)
        most = self.options.profile_bytes if request.purpose == "profile" else self.options.max_bytes
        if request.size > most:
            too_large = Element(NS, "file-too-large", children=[Element(NS, "max-file-size", children=[str(most)])])
            text = f"File too large. The maximum file size is {most} bytes"
            raise StanzaError("not-acceptable", text, application=too_large)
        now = time.time_ns() // 1000
        if request.purpose == "ephemeral" and request.before <= now:
            raise StanzaError("not-acceptable", "The file would be gone already.")
        upload = self._upload(account, request, now)
        try:
            await self._uploads.reserve(upload, quota=self.options.daily_bytes)
        except QuotaExceeded as error:
            retry = Element(NS, "retry", {"stamp": format_time(int(str(error)) // 1_000_000 * 1_000_000 + 1_000_000)})
            text = f"Quota reached. You can upload {self.options.daily_bytes} bytes in 24 hours"
            raise StanzaError("resource-constraint", text, application=retry) from None
        header = Element(NS, "header", {"name": "Authorization"}, [f"Bearer {sign(self._key, upload)}"])
        put = Element(NS, "put", {"url": upload.url}, [header])
        return Element(NS, "slot", children=[put, Element(NS, "get", {"url": upload.url})])

    def _upload(self, account: JID, request: SlotRequest, now: int) -> Upload:
        id = secrets.token_urlsafe(24)
        url = f"{self._site.url(self._host)}{_PATH}{self._port.jid.domain}/{id}/{request.path}"
        # an ephemeral file says with its purpose when it ends
        purpose = f"{request.purpose} {request.before}" if request.before else request.purpose
        return Upload(account, id, url, request.type, purpose, request.size, now, now + _SLOT)

    def _lifetime(self, upload: Upload) -> int:
        purpose, _, before = upload.purpose.partition(" ")
        if purpose == "profile":
            return NEVER
        end: int = time.time_ns() // 1000 + self.options.days * DAY
        return min(end, int(before)) if before else end

    async def _remove_expired(self) -> None:
        """Bytes first, then rows: what is interrupted is done again."""
        while True:
            try:
                while gone := await self._uploads.gone(now=time.time_ns() // 1000):
                    await self._remove(gone)
            except (StorageError, OSError) as error:
                _log.warning("removing_uploads_failed", reason=str(error))
            await asyncio.sleep(_EVERY)

    async def _remove(self, gone: Sequence[Upload]) -> None:
        for upload in gone:
            await self._folder.delete(upload.id)
        await self._uploads.delete(gone)
