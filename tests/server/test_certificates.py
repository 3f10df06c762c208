"""Certificates as a client sees them: exchanged while it runs, refused where they are wrong, made anew in time."""

from __future__ import annotations

from datetime import timedelta

import pytest

from tests.server.bystanders import bystanders
from tests.server.conftest import MakeServer
from tests.server.raw_client import RawClient
from tests.server.running import RunningServer
from xmpp_server.net import certificates
from xmpp_server.net.certificates import generate


async def serial(server: RunningServer, domain: str = "") -> int:
    """What a new connection is shown, which is the same with STARTTLS and direct TLS."""
    one, other = await RawClient.open(server, domain), await RawClient.open(server, domain, tls="direct")
    assert one.serial == other.serial
    one.abort()
    other.abort()
    return one.serial


async def test_a_new_certificate_is_for_new_connections_while_old_streams_live(server: RunningServer) -> None:
    await server.account("romeo")
    pair = await bystanders(server)
    old = await serial(server)
    assert pair.one.serial == old
    new = generate("localhost", server.certificate.parent).leaf.serial_number
    assert new != old
    assert await serial(server) == old  # until it is told
    async with pair.undisturbed():
        await server.app.reload()
        assert await serial(server) == new
        for binding in ("tls-server-end-point", "tls-exporter"):
            client = await RawClient.open(server)
            answer = await client.authenticate("romeo", mechanism="SCRAM-SHA-256-PLUS", binding=binding)
            assert answer.name == "success"
            client.abort()
    assert pair.one.serial == old
    await pair.chat()


async def test_who_has_begun_on_the_old_certificate_may_end_on_it(server: RunningServer) -> None:
    await server.account("romeo")
    client = await RawClient.open(server)
    generate("localhost", server.certificate.parent)
    await server.app.reload()
    answer = await client.authenticate("romeo", mechanism="SCRAM-SHA-512-PLUS", binding="tls-server-end-point")
    assert answer.name == "success"


@pytest.mark.parametrize("wrong", ["another key", "no key", "no certificate", "an expired one"])
async def test_what_is_wrong_is_refused_with_a_reason_and_the_old_one_stays(
    server: RunningServer, wrong: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = await bystanders(server)
    old = await serial(server)
    chain = server.certificate
    key = chain.with_suffix(".key")
    if wrong == "another key":
        kept = chain.read_bytes()
        generate("localhost", chain.parent)
        chain.write_bytes(kept)
        reason = f"{key}: is not the key of the certificate in {chain}"
    elif wrong == "no key":
        key.write_text("nonsense")
        reason = f"{key}: holds no private key in PEM form"
    elif wrong == "no certificate":
        chain.unlink()
        reason = f"{chain}: No such file or directory"
    else:
        with monkeypatch.context() as patch:
            patch.setattr(certificates, "VALID_DAYS", -1)
            patch.setattr(certificates, "_BEHIND", timedelta(days=2))
            generate("localhost", chain.parent)
        reason = f"{chain}: expired at "
    async with pair.undisturbed():
        await server.app.reload()
    said = capsys.readouterr().err
    assert "certificate_refused" in said
    assert reason in said
    assert await serial(server) == old


async def test_a_certificate_made_here_is_made_anew_before_it_expires(
    make_server: MakeServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(certificates, "VALID_DAYS", 29)
        server = await make_server()
        first = await serial(server)
        await server.reload()
        second = await serial(server)
        assert second != first
    await server.stop()
    server = await make_server()  # with a certificate of 29 days, which was not made by the rules of today
    assert await serial(server) == second


async def test_a_certificate_of_other_names_is_served_with_a_warning(
    server: RunningServer, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = server.certificate.parent
    generate("other.example", folder)
    for suffix in ("crt", "key"):
        (folder / f"other.example.{suffix}").replace(folder / f"localhost.{suffix}")
    await server.reload(level="warning")
    said = capsys.readouterr().err
    assert "certificate_of_other_names" in said
    assert "other.example" in said
    await serial(server)


async def test_each_host_is_served_with_its_own_certificate(make_server: MakeServer) -> None:
    server = await make_server('[hosts."localhost"]\n[hosts."b.example"]')
    assert await serial(server) != await serial(server, "b.example")
