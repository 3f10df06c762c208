"""The HTTP side: PUT into a slot, GET and HEAD of a file, under a policy by which nothing of it runs in a browser."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from email.utils import formatdate
from typing import Final
from urllib.parse import unquote

import structlog
from aiohttp import web

from xmpp_server.storage.uploads import NEVER, Upload, Uploads
from xmpp_server.util.http import Request, Route, text

from .files import CHUNK, Files, FilesError, whole
from .slots import essence, is_signed

_log = structlog.get_logger()

_SECONDS: Final = 60.0  # for a chunk of an upload or a download: 2 KB a second at least
_ID: Final = re.compile(r"[A-Za-z0-9_-]{32}")
_RANGE: Final = re.compile(r"bytes=(\d{0,15})-(\d{0,15})", re.ASCII)
_SHOWN: Final = frozenset(
    {
        *(f"image/{kind}" for kind in ("avif", "bmp", "gif", "heic", "jpeg", "jxl", "png", "webp")),
        *(f"audio/{kind}" for kind in ("aac", "flac", "mp4", "mpeg", "ogg", "opus", "wav", "webm")),
        *(f"video/{kind}" for kind in ("mp4", "mpeg", "ogg", "quicktime", "webm")),
    }
)
"""What a browser may show: of these types nothing runs. All else is saved."""
_POLICY: Final = "sandbox; default-src 'none'; frame-ancestors 'none'"
_EXPOSED: Final = ("Accept-Ranges", "Content-Disposition", "Content-Length", "Content-Range", "ETag")
_REQUESTED: Final = ("Authorization", "Content-Type", "If-None-Match", "If-Range", "Range")


Lifetime = Callable[[Upload], int]
"""The time in microseconds at which a file goes that came now."""


class Transfers:
    """Uploads and downloads through the server. `key` is what slots are signed with."""

    def __init__(self, uploads: Uploads, files: Files, key: bytes, lifetime: Lifetime) -> None:
        self._uploads = uploads
        self._files = files
        self._key = key
        self._lifetime = lifetime
        self._coming: set[str] = set()

    def route(self, path: str) -> Route:
        """Where they are done."""
        handlers = {"GET": self.get, "PUT": self.put}
        return Route(path, handlers, below=True, cross_origin=_REQUESTED, exposed=_EXPOSED)

    async def put(self, request: Request) -> web.StreamResponse:
        """§7: 201 when the file can be had. One after the other for each file, from before its slot is looked up until
        it is noted: another one would write over what is there by then."""
        id = request.rest.partition("/")[0]
        if id in self._coming:
            return text(409, "The file is being uploaded.")
        self._coming.add(id)
        try:
            return await self._put(request)
        finally:
            self._coming.discard(id)

    async def _put(self, request: Request) -> web.StreamResponse:
        upload = await find(self._uploads, request)
        scheme, _, signature = request.headers.get("Authorization", "").partition(" ")
        if upload is not None and upload.sha256 is not None:
            return text(409, "The file is there already.")
        if upload is None or scheme.lower() != "bearer" or not is_signed(self._key, upload, signature.strip()):
            return text(403, "This is no slot, or it has expired: ask for another one.")
        if upload.expires_at <= now():
            return text(403, "The slot has expired: ask for another one.")
        if request.content_length is None:
            return text(411, "The length of the file has to be told.")
        if request.content_length != upload.size:
            return text(413, f"The slot is for a file of {upload.size} bytes.")
        if upload.type and essence(request.headers.get("Content-Type", upload.type)) != essence(upload.type):
            return text(415, f"The slot is for a file of the type {upload.type}.")
        await request.accept_body()
        try:
            digest = await self._files.write(upload.id, upload.size, _received(request))
            if not await whole(self._note(upload, digest)):
                return text(403, "The slot is not there any more.")
        except TimeoutError:
            return text(408, "The upload is too slow.")
        except web.RequestPayloadError:
            return text(400, "The upload ended early.")
        except FilesError as error:
            _log.error("upload_failed", reason=str(error))
            return text(507 if error.full else 503, "The file cannot be kept here now.")
        return text(201, "The file is there.", Location=upload.url)

    async def _note(self, upload: Upload, digest: bytes) -> bool:
        if await settle(self._uploads, upload, digest, now(), self._lifetime):
            return True
        await self._files.delete(upload.id)
        return False

    async def get(self, request: Request) -> web.StreamResponse:
        """The file, or a range of it (RFC 9110 §14)."""
        upload = await find(self._uploads, request)
        if upload is None or upload.sha256 is None or upload.expires_at <= now():
            return text(404, "There is no such file, or not any more.")
        headers = _headers(upload)
        etag = headers["ETag"]
        if _matches(request.headers.get("If-None-Match", ""), etag):
            return web.Response(status=304, headers=headers)
        start, end, status = 0, upload.size, 200
        wanted = request.headers.get("Range", "") if request.method == "GET" else ""  # a HEAD has none (§14.2)
        match = _RANGE.fullmatch(wanted) if request.headers.get("If-Range", etag) == etag else None
        backwards = match and match[1] and match[2] and int(match[2]) < int(match[1])  # that is none (§14.1.1)
        if match and not backwards:
            span = _span(match[1], match[2], upload.size)
            if span is None:
                return web.Response(status=416, headers={"Content-Range": f"bytes */{upload.size}"})
            (start, end), status = span, 206
            headers["Content-Range"] = f"bytes {start}-{end - 1}/{upload.size}"
        response = web.StreamResponse(status=status, headers=headers)
        response.content_length = end - start
        if request.method == "HEAD":
            await response.prepare(request)
            return response
        async with aclosing(self._files.read(upload.id, start, end - start)) as chunks:
            try:
                chunk = await anext(chunks)  # before the answer begins, so that it can be another one
            except FilesError as error:
                _log.error("download_failed", reason=str(error))
                return text(503, "The file cannot be read now.")
            await response.prepare(request)
            try:
                while chunk:
                    async with asyncio.timeout(2 * _SECONDS):
                        await response.write(chunk)
                    chunk = await anext(chunks, b"")
                async with asyncio.timeout(2 * _SECONDS):
                    await response.write_eof()
            except TimeoutError:
                if request.transport is not None:
                    request.transport.abort()  # what waits for the client would keep its connection open
        return response


async def find(uploads: Uploads, request: Request) -> Upload | None:
    """The upload of a request, if there is one and its URL is that of the request; it may have expired."""
    id, _, name = request.rest.partition("/")
    upload = await uploads.find(id) if _ID.fullmatch(id) else None
    # some libraries decode what they think needs no encoding, such as parentheses
    return upload if upload is not None and unquote(upload.url.rpartition("/")[2]) == unquote(name) else None


async def settle(uploads: Uploads, upload: Upload, digest: bytes, at: int, lifetime: Lifetime) -> bool:
    """The bytes are there since this time. False: they are not wanted any more, or were there before."""
    alone = upload.purpose == "profile"
    return await uploads.fill(upload, sha256=digest, now=at, expires=lifetime(upload), alone=alone)


def presentation(upload: Upload) -> tuple[str, str]:
    """Content-Type and Content-Disposition: what a browser could run is of no type that it knows, and is saved."""
    kind = essence(upload.type)
    name = upload.url.rpartition("/")[2]
    if kind in _SHOWN:
        return kind, f"inline; filename*=UTF-8''{name}"
    return "application/octet-stream", f"attachment; filename*=UTF-8''{name}"


def now() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


def _headers(upload: Upload) -> dict[str, str]:
    kind, disposition = presentation(upload)
    left = min(max(0, upload.expires_at - now()) // 1_000_000, 31_536_000)
    headers = {
        "Content-Type": kind,
        "Content-Disposition": disposition,
        "Content-Security-Policy": _POLICY,
        "Cross-Origin-Resource-Policy": "cross-origin",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "ETag": f'"{upload.sha256.hex() if upload.sha256 else upload.id}"',
        "Cache-Control": f"private, max-age={left}, immutable",
        "Accept-Ranges": "bytes",
    }
    if upload.uploaded_at is not None:
        headers["Last-Modified"] = formatdate(upload.uploaded_at // 1_000_000, usegmt=True)
    if upload.expires_at < NEVER:
        headers["Expires"] = formatdate(upload.expires_at // 1_000_000, usegmt=True)
    return headers


def _matches(tags: str, etag: str) -> bool:
    """If-None-Match (RFC 9110 §13.1.2)."""
    return tags.strip() == "*" or etag in [tag.strip().removeprefix("W/") for tag in tags.split(",")]


def _span(first: str, last: str, size: int) -> tuple[int, int] | None:
    """Start and end of a range; None: there is nothing in it."""
    if first:
        start, end = int(first), min(int(last) + 1 if last else size, size)
    else:
        start, end = max(0, size - int(last or 0)), size
    return (start, end) if start < end else None


async def _received(request: Request) -> AsyncIterator[bytes]:
    """The body, gathered to chunks that are worth a thread; raises TimeoutError if one takes too long."""
    more = True
    while more:
        parts, size = [], 0
        async with asyncio.timeout(_SECONDS):
            while more and size < CHUNK:
                part = await request.content.readany()
                more = bool(part)
                parts.append(part)
                size += len(part)
        if size:
            yield b"".join(parts)
