"""Files for messages and profiles: a client gets a slot, puts its file there over HTTP, and sends the URL.

A file goes when its time is over, or its account; one of a profile when another takes its place. The purpose
`permanent`, which is optional as all are (§5.4), is not offered: what is kept here has an end.

XEP: 0363 (1.2.0) complete
"""

from __future__ import annotations

import asyncio
import math
import secrets
import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Annotated, Final
from urllib.parse import quote, urlsplit

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
from xmpp_server.util.domains import ascii_domain
from xmpp_server.util.http import Route, Site
from xmpp_server.util.limits import Allowance

from .files import Files, FilesError
from .folder import Folder
from .slots import NS, PURPOSE_NS, PURPOSES, SlotRequest, sign
from .web import Transfers, now

if TYPE_CHECKING:
    from .direct import Direct

_log = structlog.get_logger()

_SLOT: Final = 300_000_000  # microseconds (§8)
_EVERY: Final = 60.0  # seconds
_RESTART: Final = msgspec.Meta(extra={"restart": True})


class HttpUploadOptions(ComponentOptions, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """How much, and for how long."""

    subdomain: str = "upload"
    """What stands before the host's domain in that of the component."""
    path: Annotated[str, _RESTART, msgspec.Meta(pattern="^/[!$&-;=@-Z_a-z~]+$")] = "/upload"
    """The path under which files are put and got. Addresses that were given before another one are lost."""
    max_bytes: Annotated[int, msgspec.Meta(ge=1)] = 104_857_616
    """Bytes of one file: 100 MB, and the tag that encryption adds."""
    profile_bytes: Annotated[int, msgspec.Meta(ge=1)] = 10_485_760
    """Bytes of a file for a profile, such as an avatar."""
    daily_bytes: Annotated[int, msgspec.Meta(ge=0)] = 2_147_483_648
    """Bytes that an account may upload in 24 hours; 0: any."""
    days: Annotated[int, msgspec.Meta(ge=1)] = 30
    """For how long files of messages are kept."""
    slots: Annotated[int, msgspec.Meta(ge=1)] = 100
    """Files that an account may upload at once."""
    slots_seconds: Annotated[float, msgspec.Meta(gt=0)] = 60
    """Seconds after which it may upload as many again."""
    types: tuple[str, ...] = ()
    """Types of files that are taken, such as `image/*`; empty: any, as encrypted files need it."""
    s3_bucket: Annotated[str, _RESTART] = ""
    """A bucket of S3 to keep files in, which has to be there; empty: they are in the folder `uploads`. What was kept
    before does not move."""
    s3_endpoint: Annotated[str, _RESTART] = ""
    """The URL of an S3 that is not Amazon's."""
    s3_region: Annotated[str, _RESTART] = "us-east-1"
    """The bucket's region."""
    s3_access_key: Annotated[str, _RESTART] = ""
    """Who we are there; empty: as the environment or the machine tells (`AWS_ACCESS_KEY_ID`, `~/.aws`, roles)."""
    s3_secret_key: Annotated[str, _RESTART] = ""
    """The secret of it."""
    s3_direct: Annotated[bool, _RESTART] = False
    """Clients put and get files straight to and from the bucket, by URLs that are signed for them; its endpoint is
    https then, or on this machine. For web clients the bucket has to allow GET, HEAD and PUT to any origin, with any
    header (CORS)."""

    def __post_init__(self) -> None:
        endpoint = urlsplit(self.s3_endpoint)
        if self.s3_endpoint and not (endpoint.scheme in ("http", "https") and endpoint.hostname):
            raise ValueError(f"s3_endpoint: expected a URL such as https://s3.example, got {self.s3_endpoint!r}")
        if bool(self.s3_access_key) != bool(self.s3_secret_key):
            raise ValueError("s3_access_key: expected together with s3_secret_key")
        if self.s3_direct and not self.s3_bucket:
            raise ValueError("s3_direct: expected together with s3_bucket")
        if self.s3_direct and endpoint.scheme == "http" and not _is_loopback(endpoint.hostname or ""):
            # §4: clients are given URLs of it, which are https; nothing leaves the machine where one tries it out
            raise ValueError("s3_direct: expected an s3_endpoint of https, or on this machine")


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
        self._host = port.jid.domain.removeprefix(f"{options.subdomain}.")
        self._path = f"{options.path.rstrip('/')}/{quote(ascii_domain(port.jid.domain))}/"
        self._key = b""
        self._files: Files
        self._direct: Direct | None = None
        self._route: Route | None = None
        self._upkeep: asyncio.Task[None] | None = None
        self.reconfigure(options)

    def reconfigure(self, options: HttpUploadOptions) -> None:
        self.options = options
        self._allowance = Allowance(time.monotonic, count=options.slots, period=options.slots_seconds)

    async def start(self) -> None:
        self._key = await self._secrets.get(self._port.jid.domain, "upload slots")
        if self.options.s3_bucket:
            self._use_bucket()
        else:
            self._files = Folder(self._site.data / "uploads")
        try:
            await self._files.open()
        except FilesError as error:
            raise OSError(f"{self._port.jid}: files cannot be kept: {error}") from error
        transfers = self._direct or Transfers(self._uploads, self._files, self._key, self._lifetime)
        self._route = transfers.route(self._path)
        self._site.routes.add(self._route)
        self._upkeep = asyncio.get_running_loop().create_task(self._keep_up())
        self._port.receive(self.handle)

    def _use_bucket(self) -> None:
        from .bucket import Account, Bucket  # here: its library takes 30 MB of memory
        from .direct import Direct

        options = self.options
        keys = (options.s3_access_key, options.s3_secret_key)
        account = Account(options.s3_bucket, options.s3_endpoint, options.s3_region, *keys)
        self._files = bucket = Bucket(account, f"{ascii_domain(self._port.jid.domain)}/")
        if options.s3_direct:
            self._direct = Direct(self._uploads, bucket, self._lifetime)

    async def stop(self) -> None:
        if self._upkeep is not None:
            self._upkeep.cancel()
        if self._route is not None:
            self._site.routes.remove(self._route)
            await self._files.close()

    async def handle(self, stanza: Stanza) -> None:
        """Answers disco#info, disco#items and slot requests."""
        if stanza.name != "iq" or stanza.type not in ("get", "set"):
            return
        if stanza.type == "get" and stanza.to == self._port.jid:
            if (query := stanza.child(ns.DISCO_INFO, "query")) is not None:
                if query.get("node"):
                    raise StanzaError("item-not-found")
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
        form = Form.of("result", NS, Field("max-file-size", (str(self._most(self.options.max_bytes)),)))
        return Info.of([Identity("store", "file", name=self.title)], features, [form])

    def _most(self, size: int) -> int:
        """The largest size of a file: what is more than a day's quota has no time to come again for (§6)."""
        return min(size, self.options.daily_bytes or size)

    async def _slot(self, stanza: Stanza, element: Element) -> Element:
        assert stanza.sender is not None
        account = stanza.sender.bare
        if account.domain != self._host or not account.localpart:
            raise StanzaError("forbidden", "Only users of this server may upload files.")
        options, request, at = self.options, SlotRequest.parse(element), now()
        if options.types and not request.is_of(options.types):
            raise StanzaError("not-acceptable", "File type not allowed")
        most = self._most(options.profile_bytes if request.purpose == "profile" else options.max_bytes)
        if request.size > most:
            too_large = Element(NS, "file-too-large", children=[Element(NS, "max-file-size", children=[str(most)])])
            raise StanzaError("not-acceptable", "File too large", application=too_large)
        if request.purpose == "ephemeral" and request.before <= at:
            raise StanzaError("not-acceptable", "The file would be gone already")
        if not self._allowance.take(str(account)):
            text = f"Quota reached. You can upload {options.slots} files in {options.slots_seconds:g} seconds"
            raise _again(text, at + math.ceil(options.slots_seconds / options.slots * 1_000_000))
        upload = self._upload(account, request, at)
        try:
            await self._uploads.reserve(upload, quota=options.daily_bytes)
        except QuotaExceeded as error:
            text = f"Quota reached. You can upload {options.daily_bytes} bytes in 24 hours"
            raise _again(text, int(str(error))) from None
        if self._direct is not None:
            try:
                put = Element(NS, "put", {"url": await self._direct.slot(upload)})
            except FilesError as error:
                _log.error("slot_failed", reason=str(error))
                raise StanzaError("internal-server-error", "Files cannot be kept here now.") from None
        else:
            header = Element(NS, "header", {"name": "Authorization"}, [f"Bearer {sign(self._key, upload)}"])
            put = Element(NS, "put", {"url": upload.url}, [header])
        return Element(NS, "slot", children=[Element(NS, "get", {"url": upload.url}), put])

    def _upload(self, account: JID, request: SlotRequest, at: int) -> Upload:
        id = secrets.token_urlsafe(24)
        url = f"{self._site.url(self._host)}{self._path}{id}/{request.path}"
        # an ephemeral file says with its purpose when it ends
        purpose = f"{request.purpose} {request.before}" if request.before else request.purpose
        end = min(at + _SLOT, request.before or at + _SLOT)  # what comes later could not be had (§7)
        return Upload(account, id, url, request.type, purpose, request.size, at, end)

    def _lifetime(self, upload: Upload) -> int:
        purpose, _, before = upload.purpose.partition(" ")
        if purpose == "profile":
            return NEVER
        end: int = now() + self.options.days * DAY
        return min(end, int(before)) if before else end

    async def _keep_up(self) -> None:
        while True:
            try:
                await self.keep_up()
            except (StorageError, FilesError) as error:
                _log.warning("removing_uploads_failed", reason=str(error))
            await asyncio.sleep(_EVERY)

    async def keep_up(self) -> None:
        """Remove what is over: bytes first, then rows, so that what is interrupted is done again. Raises StorageError
        and FilesError."""
        try:
            await self._files.sweep()
        finally:  # what is over goes also where parts cannot be listed
            await self._remove()

    async def _remove(self) -> None:
        while gone := await self._uploads.gone(now=now()):
            for upload in gone:
                if self._direct is None or upload.sha256 is not None or not await self._direct.arrived(upload):
                    await self._files.delete(upload.id)
            await self._uploads.removed(gone, now=now())


def _is_loopback(host: str) -> bool:
    """Whether nobody else reads what is sent there."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")  # RFC 6761 §6.3


def _again(text: str, at: int) -> StanzaError:
    """§6: refused for now; try again at this time, in microseconds."""
    retry = Element(NS, "retry", {"stamp": format_time(at // 1_000_000 * 1_000_000 + 1_000_000)})
    return StanzaError("resource-constraint", text, application=retry)
