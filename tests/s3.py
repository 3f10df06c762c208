"""A real S3 for the tests: SeaweedFS in a folder of its own, with one bucket.

Who has the keys may do anything; it can be killed, and started again with what it has on the disk.
"""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

from aiobotocore.session import AioSession

BUCKET: Final = "uploads"
ACCESS_KEY: Final = "romeo"
SECRET_KEY: Final = "a rose by any other name"
_DEADLINE: Final = 60.0
_PORTS: Final = ("master.port", "volume.port", "filer.port", "s3.port")


class S3:
    """A server that runs until `stop`."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="xmpp-s3-"))
        identity = {
            "name": "xmpp-server",
            "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
            "actions": ["Admin", "Read", "Write", "List"],
        }
        (self._folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
        names = [*_PORTS, *(f"{name}.grpc" for name in _PORTS)]
        self._ports = dict(zip(names, _free_ports(len(names)), strict=True))
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    @property
    def url(self) -> str:
        """Its endpoint."""
        return f"http://127.0.0.1:{self._ports['s3.port']}"

    @property
    def pid(self) -> int:
        """Its process."""
        assert self._process is not None
        return self._process.pid

    def options(self, **more: str | bool) -> str:
        """TOML: the options of uploads that keep files here."""
        values = {
            "s3_bucket": BUCKET,
            "s3_endpoint": self.url,
            "s3_access_key": ACCESS_KEY,
            "s3_secret_key": SECRET_KEY,
            **more,
        }
        return "[components.http_upload]\n" + "".join(f"{key} = {json.dumps(value)}\n" for key, value in values.items())

    def start(self) -> None:
        """Start it, with what it had when it was killed, and wait until it answers."""
        options = {
            "dir": self._folder,
            "ip": "127.0.0.1",
            "ip.bind": "127.0.0.1",
            "s3.config": self._folder / "s3.json",
            "s3.autoCreateBucket": "false",
            "s3.allowedOrigins": "https://nobody.example",  # pages are let in by the bucket alone
            "s3.port.iceberg": 0,
            "s3.port.lance": 0,
            "master.volumeSizeLimitMB": 1024,
            "master.telemetry": "false",
            "master.electionTimeout": "500ms",  # it is alone; after a kill it waits for so long, 10 seconds by default
            "master.heartbeatInterval": "100ms",
            "volume.max": 8,
            **self._ports,
        }
        weed = Path(sys.executable).with_name("weed")
        arguments = [f"-{name}={value}" for name, value in options.items()]
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen([weed, "server", "-s3", *arguments], stdout=log, stderr=log)
        end = time.monotonic() + _DEADLINE
        while not self._answers():
            assert self._process.poll() is None, (self._folder / "log").read_text()[-2000:]
            assert time.monotonic() < end, "SeaweedFS does not start"
            time.sleep(0.1)

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/healthz", timeout=5):
                return True
        except OSError:
            return False

    def client(self) -> Any:
        """A client of aiobotocore with the right keys, to be entered."""
        keys = {"aws_access_key_id": ACCESS_KEY, "aws_secret_access_key": SECRET_KEY}
        return AioSession().create_client("s3", region_name="us-east-1", endpoint_url=self.url, **keys)

    async def make_bucket(self) -> None:
        """Make the bucket, empty: what an earlier test left goes."""
        async with self.client() as client:
            if any(bucket["Name"] == BUCKET for bucket in (await client.list_buckets())["Buckets"]):
                for upload in (await client.list_multipart_uploads(Bucket=BUCKET)).get("Uploads", ()):
                    await client.abort_multipart_upload(Bucket=BUCKET, Key=upload["Key"], UploadId=upload["UploadId"])
                for key in await self.keys():
                    await client.delete_object(Bucket=BUCKET, Key=key)
                return
            await client.create_bucket(Bucket=BUCKET)

    async def keys(self) -> list[str]:
        """What is in the bucket."""
        async with self.client() as client:
            return [each["Key"] for each in (await client.list_objects_v2(Bucket=BUCKET)).get("Contents", ())]

    async def unfinished(self) -> list[str]:
        """The keys of uploads in parts that were begun, and neither put together nor aborted."""
        async with self.client() as client:
            return [each["Key"] for each in (await client.list_multipart_uploads(Bucket=BUCKET)).get("Uploads", ())]

    def kill(self) -> None:
        """As a loss of power does."""
        assert self._process is not None
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()

    def pause(self) -> None:
        """It does nothing more, and its connections stay, until `go_on`."""
        assert self._process is not None
        self._process.send_signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """As if nothing had been."""
        assert self._process is not None
        self._process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        """Stop it, and remove all that it wrote."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)


def _free_ports(count: int) -> list[int]:
    with ExitStack() as opened:
        sockets = [opened.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]
