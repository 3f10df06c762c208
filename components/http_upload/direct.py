"""Clients put and get files straight to and from the bucket, by URLs that are signed for them; no byte comes by here.

A slot's URL for PUT is the bucket's, good for the slot's size, type and time alone. That for GET is ours, which sends
the client on to the bucket with a URL of the moment: the bucket's own would end after 7 days, the longest that S3 signs
for, and would outlive the account. Nobody tells us that a file came: we ask the bucket when it is first asked for, and
before its slot is forgotten.
"""

from __future__ import annotations

import structlog
from aiohttp import web

from xmpp_server.storage.uploads import Upload, Uploads
from xmpp_server.util.http import Request, Route, text

from .bucket import Bucket
from .files import FilesError
from .web import Lifetime, find, now, presentation, settle

_log = structlog.get_logger()

_SECONDS = 300  # for which the URL of a download is good
_UNSEEN = b""  # in place of a digest: nobody here has seen the bytes


class Direct:
    """Slots and downloads by way of the bucket."""

    def __init__(self, uploads: Uploads, bucket: Bucket, lifetime: Lifetime) -> None:
        self._uploads = uploads
        self._bucket = bucket
        self._lifetime = lifetime

    def route(self, path: str) -> Route:
        """Where downloads begin."""
        return Route(path, {"GET": self.get}, below=True, cross_origin=("If-None-Match", "If-Range", "Range"))

    async def slot(self, upload: Upload) -> str:
        """The URL that the file is to be put to. Raises FilesError."""
        seconds = (upload.expires_at - upload.requested_at) // 1_000_000
        return await self._bucket.url_to_put(upload.id, upload.size, upload.type, seconds)

    async def get(self, request: Request) -> web.StreamResponse:
        """On to the bucket."""
        upload = await find(self._uploads, request)
        try:
            if upload is not None and upload.sha256 is None and await self.arrived(upload):
                upload = await self._uploads.find(upload.id)
            # S3 signs for whole seconds: the URL ends with the file at the latest (§5.3)
            seconds = min(_SECONDS, (upload.expires_at - now()) // 1_000_000) if upload is not None else 0
            if upload is None or upload.sha256 is None or seconds < 1:
                return text(404, "There is no such file, or not any more.")
            kind, disposition = presentation(upload)
            url = await self._bucket.url_to_get(request.method, upload.id, kind, disposition, seconds)
        except FilesError as error:
            _log.error("download_failed", reason=str(error))
            return text(503, "The file cannot be read now.")
        return text(302, "The file is there:", Location=url, **{"Cache-Control": "no-store"})

    async def arrived(self, upload: Upload) -> bool:
        """Whether the file of a slot is there, which is noted then; one of another size is removed. Raises
        FilesError."""
        found = await self._bucket.find(upload.id)
        if found is None:
            return False
        size, at = found
        if size != upload.size:
            await self._bucket.delete(upload.id)
            return False
        if await settle(self._uploads, upload, _UNSEEN, at, self._lifetime):
            return True
        noted = await self._uploads.find(upload.id)  # by another one who looked at the same time
        return noted is not None and noted.sha256 is not None
