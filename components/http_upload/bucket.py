"""Files in a bucket of S3, at Amazon or another service that speaks its protocol.

What comes is passed on as it comes: a file by one PUT, a large one in parts, each of them streamed. S3 takes a PUT as a
whole or not at all; parts are there until they are put together, or aborted.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
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

_PART: Final = 16_777_216  # octets; S3 wants 5 MiB at least, and 10,000 parts at most
_PARTS: Final = 10_000
_SECONDS: Final = 30  # for an answer
_TRANSFERS: Final = 4096  # at the same time
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
            connect_timeout=_SECONDS,
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
                    await self._client.put_object(**self._key(id), Body=_Body(source, size), ContentLength=size)
            else:
                await self._write_parts(id, size, source)
        finally:
            self._writing.discard(id)
        return source.digest.digest()

    async def _write_parts(self, id: str, size: int, source: _Source) -> None:
        key = self._key(id)
        with _calling():
            upload = (await self._client.create_multipart_upload(**key))["UploadId"]
        most = max(_PART, -(-size // _PARTS))
        parts: list[dict[str, Any]] = []
        try:
            with _calling(source):
                for start in range(0, size, most):
                    length, number = min(most, size - start), len(parts) + 1
                    answer = await self._client.upload_part(
                        **key, UploadId=upload, PartNumber=number, Body=_Body(source, length), ContentLength=length
                    )
                    parts.append({"ETag": answer["ETag"], "PartNumber": number})
                await whole(
                    self._client.complete_multipart_upload(**key, UploadId=upload, MultipartUpload={"Parts": parts})
                )
        except BaseException:
            try:
                await whole(self._abort(key["Key"], upload))
            except FilesError as error:
                _log.warning("upload_not_aborted", reason=str(error))
            raise

    async def read(self, id: str, start: int, size: int) -> AsyncGenerator[bytes, None]:
        """A part of a file, a chunk at a time."""
        with _calling():
            answer = await self._client.get_object(**self._key(id), Range=f"bytes={start}-{start + size - 1}")
            async with answer["Body"] as body:
                while size > 0 and (chunk := await body.read(min(CHUNK, size))):
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

    def _key(self, id: str) -> dict[str, str]:
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

    async def take(self, size: int) -> AsyncIterator[bytes]:
        while size:
            if not self._rest:
                try:
                    self._rest = memoryview(await anext(self._chunks))
                except StopAsyncIteration:
                    raise FilesError("the file is shorter than was told") from None
                except BaseException as error:
                    self.error = error
                    raise
            piece, self._rest = self._rest[:size], self._rest[size:]
            size -= len(piece)
            self.digest.update(piece)
            yield bytes(piece)


class _Body:
    """What the client library streams: it wants something with `read`, and iterates over it."""

    def __init__(self, source: _Source, size: int) -> None:
        self._source = source
        self._size = size

    def read(self) -> bytes:
        raise NotImplementedError

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self._source.take(self._size)


@contextmanager
def _calling(source: _Source | None = None) -> Iterator[None]:
    """Raises FilesError for what S3 and the way to it do; and what ended the source, where it is that."""
    try:
        yield
    except _ERRORS as error:
        if source is not None and source.error is not None:
            raise source.error from None
        full = isinstance(error, ClientError) and _code(error) in _FULL
        raise FilesError(f"S3: {error}", full=full) from error


def _code(error: ClientError) -> str:
    return str(error.response.get("Error", {}).get("Code", ""))
