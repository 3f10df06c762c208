"""XEP-0215: services outside of XMPP, and credentials for them."""

from __future__ import annotations

import hmac
import time
from base64 import b64decode

import pytest

from xmpp_server.protocol.delay import parse_time
from xmpp_server.protocol.disco import Info
from xmpp_server.protocol.element import Element

from .conftest import MakeWorld
from .world import Client, World

NS = "urn:xmpp:extdisco:2"
INFO = "<query xmlns='http://jabber.org/protocol/disco#info'/>"
ALL = f"<services xmlns='{NS}'/>"
SERVICES = """
[modules.external_services]
seconds = 3600
[[modules.external_services.services]]
type = "stun"
[[modules.external_services.services]]
type = "turn"
host = "turn.example"
port = 9999
secret = "north"
[[modules.external_services.services]]
type = "turns"
host = "turn.example"
transport = "tcp"
secret = "north"
[[modules.external_services.services]]
type = "ftp"
host = "ftp.example"
port = 21
transport = "tcp"
name = "Files"
username = "guest"
password = "welcome"
"""


@pytest.fixture
async def romeo(make_world: MakeWorld) -> Client:
    return await (await make_world(SERVICES)).login("romeo@localhost/orchard")


async def ask(person: Client, payload: str) -> list[Element]:
    (answer,) = await person.request("get", payload, "localhost")
    assert answer.ns == NS
    return list(answer)


def credentials_for(attributes: str) -> str:
    return f"<credentials xmlns='{NS}'><service {attributes}/></credentials>"


async def test_the_host_tells_that_it_knows_services(world: World) -> None:
    """§5"""
    romeo = await world.login("romeo@localhost/orchard")
    (query,) = await romeo.request("get", INFO, "localhost")
    assert NS in Info.parse(query).features
    assert await ask(romeo, ALL) == []


async def test_all_services_are_listed_with_defaults_of_their_kind(romeo: Client) -> None:
    """§3.1; RFC 8489 §8.1, RFC 8656 §3.1: ports"""
    stun, turn, turns, ftp = await ask(romeo, ALL)
    assert stun.attrs == {"type": "stun", "host": "localhost", "port": "3478", "transport": "udp"}
    assert (turn.get("host"), turn.get("port"), turn.get("restricted")) == ("turn.example", "9999", "1")
    assert (turns.get("port"), turns.get("transport")) == ("5349", "tcp")
    assert ftp.attrs == {
        "type": "ftp", "host": "ftp.example", "port": "21", "transport": "tcp", "name": "Files", "username": "guest",
        "password": "welcome", "restricted": "1",
    }  # fmt: skip


async def test_services_of_one_type_are_listed_alone(romeo: Client) -> None:
    """§3.2"""
    (answer,) = await romeo.request("get", f"<services xmlns='{NS}' type='turn'/>", "localhost")
    assert [service.get("type") for service in answer] == ["turn"]
    assert await ask(romeo, f"<services xmlns='{NS}' type='gopher'/>") == []


async def test_credentials_made_with_a_secret_expire_and_do_not_name_the_account(romeo: Client) -> None:
    """§3.3; draft-uberti-behave-turn-rest §2.2: HMAC-SHA1 of the user name, which begins with the time of expiry"""
    (turn,) = await ask(romeo, credentials_for("host='turn.example' type='turn'"))
    username = turn.get("username")
    expires, _, user = username.partition(":")
    assert time.time() + 3500 < int(expires) <= time.time() + 3600
    assert parse_time(turn.get("expires")) == int(expires) * 1_000_000
    assert turn.get("expires").endswith("Z")
    assert b64decode(turn.get("password")) == hmac.digest(b"north", username.encode(), "sha1")
    assert user
    assert "romeo" not in username


async def test_a_port_tells_services_of_one_host_apart(romeo: Client) -> None:
    """§3.3"""
    (turn,) = await ask(romeo, credentials_for("host='turn.example' type='turn' port='9999'"))
    assert turn.get("port") == "9999"


async def test_a_service_that_wants_no_credentials_is_answered_as_it_is(romeo: Client) -> None:
    """§3.3"""
    (stun,) = await ask(romeo, credentials_for("host='localhost' type='stun'"))
    assert (stun.get("type"), stun.get("port"), stun.get("username")) == ("stun", "3478", "")


@pytest.mark.parametrize(
    ("attributes", "condition"),
    [
        ("host='turn.example'", "bad-request"),
        ("type='turn'", "bad-request"),
        ("host='other.example' type='turn'", "item-not-found"),
        ("host='turn.example' type='turn' port='1'", "item-not-found"),
        ("host='localhost' type='turns'", "item-not-found"),
    ],
)
async def test_credentials_that_cannot_be_had_are_an_error(romeo: Client, attributes: str, condition: str) -> None:
    romeo.send(f"<iq type='get' id='c' to='localhost'>{credentials_for(attributes)}</iq>")
    await romeo.receives(f"""
        <iq type='error' id='c' from='localhost'>
          <error><{condition} xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/></error>
        </iq>""")
