"""Logging in with slixmpp."""

from __future__ import annotations

import ssl

import pytest

from .conftest import LogIn
from .person import DEADLINE, Person
from .running import RunningServer


async def test_slixmpp_logs_in_over_starttls(log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard")
    assert romeo.boundjid.full == "romeo@localhost/orchard"
    assert romeo.tls_version == "TLSv1.3"
    assert romeo.plugin["feature_mechanisms"].mech.name == "SCRAM-SHA-512"


async def test_slixmpp_logs_in_over_direct_tls(log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost/orchard", tls="direct")
    assert romeo.socket.selected_alpn_protocol() == "xmpp-client"
    assert "starttls" not in romeo.features


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-1", "SCRAM-SHA-256", "SCRAM-SHA-512", "PLAIN"])
async def test_slixmpp_logs_in_with_each_mechanism(log_in: LogIn, mechanism: str) -> None:
    romeo = await log_in("romeo@localhost/orchard", mechanism=mechanism)
    assert romeo.plugin["feature_mechanisms"].mech.name == mechanism


async def test_slixmpp_gets_a_resource_if_it_names_none(log_in: LogIn) -> None:
    romeo = await log_in("romeo@localhost")
    assert romeo.boundjid.bare == "romeo@localhost"
    assert romeo.boundjid.resource


async def test_slixmpp_falls_back_from_a_binding_that_tls_1_2_does_not_make_unique(
    server: RunningServer, log_in: LogIn
) -> None:
    """It asks for tls-unique there (RFC 5929 §3), which is not offered: XEP-0440 names those that are."""
    await server.account("romeo")
    romeo = Person(server, "romeo@localhost/orchard")
    romeo.ssl_context.maximum_version = ssl.TLSVersion.TLSv1_2
    await romeo.log_in()
    assert romeo.tls_version == "TLSv1.2"
    assert not romeo.plugin["feature_mechanisms"].mech.name.endswith("-PLUS")
    await romeo.disconnect()


async def test_a_wrong_password_lets_nobody_in(server: RunningServer) -> None:
    await server.account("romeo")
    romeo = Person(server, "romeo@localhost/orchard", "another", mechanism="SCRAM-SHA-256")
    with pytest.raises(AssertionError, match="the login failed"):
        await romeo.log_in()
    failure = await romeo.next("failed_auth")
    assert failure["condition"] == "not-authorized"
    romeo.abort()


async def test_slixmpp_is_told_the_limits_of_the_stream(log_in: LogIn) -> None:
    """XEP-0478"""
    romeo = await log_in("romeo@localhost/orchard")
    assert romeo.limits.max_bytes == 262_144


async def test_another_client_with_the_same_resource_takes_its_place(log_in: LogIn) -> None:
    """RFC 6120 §7.7.2.2: the older session ends"""
    first = await log_in("romeo@localhost/orchard")
    second = await log_in("romeo@localhost/orchard")
    await first.next("disconnected")
    await second.plugin["xep_0199"].send_ping("localhost", timeout=DEADLINE)
