"""Files in a bucket of S3, at Amazon or another service that speaks its protocol.

What comes is passed on as it comes: a file by one PUT, a large one in parts, each of them streamed. S3 takes a PUT as a
whole or not at all; parts are there until they are put together, or aborted.

A store that is slow slows the clients down: nothing more is read from them until it has taken what there is, and it
gets some parts at a time rather than a little of all, so that it answers each in time. One that is too busy to begin is
asked again; what it has taken a piece of cannot be, for that piece is not kept here.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Final

import aiohttp
import structlog
from aiobotocore.config import AioConfig
from aiobotocore.session import AioSession
from botocore.exceptions import BotoCoreError, ClientError

from .files import CHUNK, FilesError, whole

_log = structlog.get_logger()

_PART: Final = 8_388_608  # octets, as Amazon's tools do; S3 wants 5 MiB at least, and 10,000 parts at most
_PARTS: Final = 10_000
_PIECE: Final = CHUNK // 2  # octets of a download in our hands: the client library has some more in its own
_CONNECT: Final = 30  # seconds
_SECONDS: Final = 300  # in which a store may take nothing, answer nothing, or be too busy
_PAUSE: Final = 0.5  # seconds before a busy store is asked again; longer each time
_PAUSE_MOST: Final = 10.0
_TRANSFERS: Final = 4096  # at the same time
_PLACES: Final = 16  # for uploads that the store is the slow side of
_SLOW: Final = 0.25  # seconds for a chunk, after which it is the client that is slow
_BUSY: Final = (429, 500, 503)
_MISSING: Final = ("404", "NoSuchKey", "NoSuchUpload", "NotFound")
_FULL: Final = ("EntityTooLarge", "InsufficientStorage", "QuotaExceeded", "ServiceQuotaExceeded", "XMinioStorageFull")
_ERRORS: Final = (BotoCoreError, ClientError, aiohttp.ClientError, OSError)


@dataclass(frozen=True, slots=True)
class Account:
    """Where the bucket is, and who we are there. What is empty is as the tools of Amazon find it."""

    bucket: str
    endpoint: str
    region: str
    access_key: str
    secret_key: str


class Bucket:
    """Files by their ids (`files.Files`), under a prefix that is this object's alone."""

    def __init__(self, account: Account, prefix: str) -> None:
        self._account = account
        self._prefix = prefix
        self._writing: set[str] = set()
        self._places = asyncio.Semaphore(_PLACES)
        self._opened = AsyncExitStack()
        self._client: Any = None

    async def open(self) -> None:
        """Make the client. Nothing is asked of the bucket yet."""
        account = self._account
        config = AioConfig(
            signature_version="s3v4",
            s3={"payload_signing_enabled": False, "addressing_style": "path" if account.endpoint else "auto"},
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            retries={"total_max_attempts": 1},  # what streams cannot be sent again
            connect_timeout=_CONNECT,
            read_timeout=_SECONDS,
            max_pool_connections=_TRANSFERS,
        )
        with _calling():
            self._client = await self._opened.enter_async_context(
                AioSession().create_client(
                    "s3",
                    region_name=account.region or None,
                    endpoint_url=account.endpoint or None,
                    aws_access_key_id=account.access_key or None,
                    aws_secret_access_key=account.secret_key or None,
                    config=config,
                )
            )

    async def close(self) -> None:
        """Close the connections."""
        await self._opened.aclose()

    async def sweep(self) -> None:
        """Abort the uploads in parts that nobody is at: a crash left them, or they could not be aborted at once."""
        marker: dict[str, str] = {}
        while True:
            with _calling():
                page = await self._client.list_multipart_uploads(**self._bucket, Prefix=self._prefix, **marker)
            for found in page.get("Uploads", ()):
                key = found["Key"]
                if key.startswith(self._prefix) and key.removeprefix(self._prefix) not in self._writing:
                    await self._abort(key, found["UploadId"])
            if not page.get("IsTruncated"):
                return
            marker = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}

    async def write(self, id: str, size: int, chunks: AsyncIterator[bytes]) -> bytes:
        """Keep a file; its SHA-256. Whatever ends the chunks early leaves nothing."""
        self._writing.add(id)
        source = _Source(chunks)
        try:
            if size <= _PART:
                with _calling(source):
                    await self._send(source, size, self._client.put_object, **self._key(id))
            else:
                await self._write_parts(id, size, source)
        finally:
            self._writing.discard(id)
        return source.digest.digest()

    async def _write_parts(self, id: str, size: int, source: _Source) -> None:
        key = self._key(id)
        with _calling():
            upload = (await _ask(self._client.create_multipart_upload, **key))["UploadId"]
        most = max(_PART, -(-size // _PARTS))
        parts: list[dict[str, Any]] = []
        try:
            with _calling(source):
                for start in range(0, size, most):
                    part = {"UploadId": upload, "PartNumber": len(parts) + 1}
                    length = min(most, size - start)
                    answer = await self._send(source, length, self._client.upload_part, **key, **part)
                    parts.append({"ETag": answer["ETag"], "PartNumber": part["PartNumber"]})
                end = {"UploadId": upload, "MultipartUpload": {"Parts": parts}}
                await whole(_ask(self._client.complete_multipart_upload, **key, **end))
        except BaseException:
            try:
                await whole(self._abort(key["Key"], upload))
            except FilesError as error:
                _log.warning("upload_not_aborted", reason=str(error))
            raise

    async def _send(self, source: _Source, size: int, call: Callable[..., Awaitable[Any]], **parameters: Any) -> Any:
        """Stream so much of the source, when it is its turn. Who has nothing to send takes no place."""
        await source.fill()
        async with _Place(self._places) as place:
            body = _Body(source, size, place)
            return await _ask(call, body, **parameters, Body=body, ContentLength=size)

    async def read(self, id: str, start: int, size: int) -> AsyncGenerator[bytes, None]:
        """A part of a file, a chunk at a time."""
        with _calling():
            answer = await self._client.get_object(**self._key(id), Range=f"bytes={start}-{start + size - 1}")
            async with answer["Body"] as body:
                while size > 0 and (chunk := await body.read(min(_PIECE, size))):
                    size -= len(chunk)
                    yield chunk
        if size:
            raise FilesError("the file is shorter than it was")

    async def delete(self, id: str) -> None:
        """Remove a file; one that is not there is none."""
        with _calling():
            await self._client.delete_object(**self._key(id))

    async def find(self, id: str) -> tuple[int, int] | None:
        """The size of a file in octets, and when it came in microseconds; None if there is none."""
        try:
            with _calling():
                found = await self._client.head_object(**self._key(id))
        except FilesError as error:
            if isinstance(error.__cause__, ClientError) and _code(error.__cause__) in _MISSING:
                return None
            raise
        return found["ContentLength"], int(found["LastModified"].timestamp() * 1_000_000)

    # -- URLs that are signed

    async def url_to_put(self, id: str, size: int, type: str, seconds: int) -> str:
        """For a file of this size, and of this type if there is one."""
        wanted: dict[str, Any] = {"ContentLength": size} | ({"ContentType": type} if type else {})
        return await self._sign("put_object", {**self._key(id), **wanted}, seconds)

    async def url_to_get(self, method: str, id: str, type: str, disposition: str, seconds: int) -> str:
        """For GET or HEAD, with an answer that has this type and Content-Disposition."""
        if method == "HEAD":
            return await self._sign("head_object", self._key(id), seconds)
        answer = {"ResponseContentType": type, "ResponseContentDisposition": disposition}
        return await self._sign("get_object", {**self._key(id), **answer}, seconds)

    async def _sign(self, operation: str, parameters: dict[str, Any], seconds: int) -> str:
        with _calling():
            url: str = await self._client.generate_presigned_url(operation, Params=parameters, ExpiresIn=seconds)
        return url

    @property
    def _bucket(self) -> dict[str, str]:
        return {"Bucket": self._account.bucket}

    def _key(self, id: str) -> dict[str, Any]:
        return {**self._bucket, "Key": self._prefix + id}

    async def _abort(self, key: str, upload: str) -> None:
        try:
            with _calling():
                await self._client.abort_multipart_upload(**self._bucket, Key=key, UploadId=upload)
        except FilesError as error:
            if not (isinstance(error.__cause__, ClientError) and _code(error.__cause__) in _MISSING):
                raise


class _Source:
    """The chunks of a file, to be taken in pieces of any size; what ends them early is in `error`."""

    def __init__(self, chunks: AsyncIterator[bytes]) -> None:
        self._chunks = chunks
        self._rest = memoryview(b"")
        self.digest = hashlib.sha256()
        self.error: BaseException | None = None

    async def fill(self) -> None:
        """Wait until there is a piece to take."""
        if self._rest:
            return
        try:
            self._rest = memoryview(await anext(self._chunks))
        except StopAsyncIteration:
            raise FilesError("the file is shorter than was told") from None
        except Exception as error:  # not that the store answered first, which cancels whoever sends to it
            self.error = error
            raise

    def take(self, size: int) -> bytes:
        """A piece of at most this size."""
        piece, self._rest = self._rest[:size], self._rest[size:]
        self.digest.update(piece)
        return bytes(piece)


class _Place:
    """One of the places, until it is left."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._taken = False

    async def __aenter__(self) -> _Place:
        self._taken = await self._places.acquire()
        return self

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def leave(self) -> None:
        """Once or more."""
        if self._taken:
            self._taken = False
            self._places.release()


class _Body:
    """What the client library streams: it wants something with `read`, and iterates over it."""

    def __init__(self, source: _Source, size: int, place: _Place) -> None:
        self._source = source
        self._size = size
        self._place = place
        self.begun = False
        self.patience: asyncio.Timeout
        """With the store: it does not run while we wait for the client."""

    def read(self) -> bytes:
        raise NotImplementedError

    async def __aiter__(self) -> AsyncIterator[bytes]:
        self.begun = True
        now, later = asyncio.get_running_loop().time, asyncio.get_running_loop().call_later
        left = self._size
        while left:
            self.patience.reschedule(None)
            leaving = later(_SLOW, self._place.leave)
            try:
                await self._source.fill()
            finally:
                leaving.cancel()
            self.patience.reschedule(now() + _SECONDS)
            piece = self._source.take(left)
            left -= len(piece)
            yield piece


async def _ask(call: Callable[..., Awaitable[Any]], body: _Body | None = None, **parameters: Any) -> Any:
    """Call it, and again while the store is too busy. It says that before it takes any of a body, since we ask first
    (`Expect: 100-continue`)."""
    now = asyncio.get_running_loop().time
    end, pause = now() + _SECONDS, _PAUSE
    while True:
        try:
            async with asyncio.timeout(_SECONDS) as patience:
                if body is not None:
                    body.patience = patience
                return await call(**parameters)
        except ClientError as error:
            busy = error.response["ResponseMetadata"].get("HTTPStatusCode") in _BUSY
            if not busy or (body is not None and body.begun) or now() > end:
                raise
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 - so that not all ask at the same time
        pause = min(2 * pause, _PAUSE_MOST)


@contextmanager
def _calling(source: _Source | None = None) -> Iterator[None]:
    """Raises FilesError for what S3 and the way to it do; and what ended the source, where it is that."""
    try:
        yield
    except _ERRORS as error:
        if source is not None and source.error is not None:
            raise source.error from None
        full = isinstance(error, ClientError) and _code(error) in _FULL
        reason = str(error) or f"it did nothing for {_SECONDS} seconds"
        raise FilesError(f"S3: {reason}", full=full) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
