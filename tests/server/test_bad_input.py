"""What bad input gets over a socket: the error that RFC 6120 names, and nobody else notices."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio

from tests.databases import Servers
from tests.server.bystanders import Bystanders, bystanders
from tests.server.raw_client import HEADER, RawClient, stanza_error
from tests.server.running import RunningServer
from xmpp_server.protocol import ns
from xmpp_server.protocol.element import Element

pytestmark = pytest.mark.asyncio(loop_scope="module")

Login = Callable[[], Awaitable[RawClient]]

MEGABYTE = 1_000_000
SETTLE = 10.0  # seconds


@pytest_asyncio.fixture(scope="module", loop_scope="module", params=["sqlite", "postgresql"])
async def server(
    request: pytest.FixtureRequest, servers: Servers, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[RunningServer]:
    """One server for all of these tests, for no test leaves anything behind."""
    folder = tmp_path_factory.mktemp("server")
    if request.param == "sqlite":
        url = await servers.sqlite(folder / "test.db")
    else:
        url = await servers.postgresql.take()
    server = await RunningServer.start(folder, url)
    await server.account("romeo")
    await server.account("juliet")
    yield server
    for hang_up in server.hang_up:
        hang_up()
    await server.stop()
    if request.param == "postgresql":
        await servers.postgresql.give_back(url)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def pair(server: RunningServer) -> Bystanders:
    return await bystanders(server)


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def undisturbed(server: RunningServer, pair: Bystanders) -> AsyncIterator[None]:
    """Bystanders chat meanwhile, and in the end nothing is left of the test but they."""
    before = len(server.hang_up)
    async with pair.undisturbed():
        yield
    for hang_up in server.hang_up[before:]:
        hang_up()
    del server.hang_up[before:]
    async with asyncio.timeout(SETTLE):
        while len(server.connections) > 2 or len(server.users) > 2:
            await asyncio.sleep(0.01)


@pytest.fixture
def login(server: RunningServer) -> Login:
    """Romeo, logged in."""
    return lambda: RawClient.login(server, "romeo", resource="orchard")


def deep(levels: int) -> bytes:
    return b"<message>" + b"<a>" * levels


def wide(attributes: int) -> bytes:
    return b"<message " + b" ".join(b"a%d='1'" % i for i in range(attributes)) + b"/>"


# RFC 6120 §4.9.3, §11.1, §11.3, §11.6, §13.12
BROKEN = [
    ("end tags that do not match", b"<message></presence>", "not-well-formed"),
    ("an attribute without quotes", b"<message to=juliet/>", "not-well-formed"),
    ("an attribute twice", b"<message to='a@b' to='a@b'/>", "not-well-formed"),
    ("no name", b"< message/>", "not-well-formed"),
    ("an end of CDATA in text", b"<message><body>]]></body></message>", "not-well-formed"),
    ("a bare ampersand", b"<message><body>a & b</body></message>", "not-well-formed"),
    ("a control character", b"<message><body>\x01</body></message>", "not-well-formed"),
    ("a reference to a control character", b"<message><body>&#1;</body></message>", "not-well-formed"),
    ("a DTD", b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>]><message/>", "not-well-formed"),  # past the root it is no XML
    ("an entity", b"<message><body>&lol;</body></message>", "restricted-xml"),
    ("an entity in an attribute", b"<message id='&lol;'/>", "restricted-xml"),
    ("a processing instruction", b"<?php echo 1 ?>", "restricted-xml"),
    ("a processing instruction in a stanza", b"<message><?a?></message>", "restricted-xml"),
    ("a comment", b"<!-- quiet -->", "restricted-xml"),
    ("a comment in a stanza", b"<message><!-- quiet --></message>", "restricted-xml"),
    ("a second declaration of another encoding", b"<?xml version='1.0' encoding='UTF-16'?>", "not-well-formed"),
    ("Latin-1", "<message><body>É</body></message>".encode("latin-1"), "not-well-formed"),
    ("UTF-16", "<message><body>hello</body></message>".encode("utf-16-le"), "not-well-formed"),
    ("overlong UTF-8", b"<message><body>\xc0\xbc</body></message>", "not-well-formed"),
    ("a surrogate in UTF-8", b"<message><body>\xed\xa0\x80</body></message>", "not-well-formed"),
    ("an element with an undeclared prefix", b"<message><x:y/></message>", "not-well-formed"),
    ("an attribute with an undeclared prefix", b"<message x:y='1'/>", "not-well-formed"),
    ("a stanza with an undeclared prefix", b"<x:message/>", "not-well-formed"),
    ("text between stanzas", b"hello <message/>", "bad-format"),
    ("a deep stanza", deep(10_000), "policy-violation"),
    ("many attributes", wide(10_000), "policy-violation"),
    ("10 MB in a text", b"<message><body>" + b"a" * (10 * MEGABYTE), "policy-violation"),
    ("10 MB in children", b"<message>" + b"<a/>" * (10 * MEGABYTE // 4), "policy-violation"),
    ("10 MB in an attribute", b"<message id='" + b"a" * (10 * MEGABYTE), "policy-violation"),
    ("10 MB in a name", b"<" + b"a" * (10 * MEGABYTE), "policy-violation"),
]
_names = [name for name, _, _ in BROKEN]


async def end_of(client: RawClient, data: bytes) -> tuple[list[Element], str]:
    """What the client gets while it sends this, until the connection ends."""
    sending = asyncio.create_task(client.send(data))
    try:
        return await client.ended()
    finally:
        sending.cancel()
        await asyncio.wait([sending])


@pytest.mark.parametrize(("_what", "data", "expected"), BROKEN, ids=_names)
async def test_bad_xml_after_login_ends_the_stream(login: Login, _what: str, data: bytes, expected: str) -> None:
    romeo = await login()
    assert await end_of(romeo, data) == ([], expected)
    assert romeo.closed


@pytest.mark.parametrize(("_what", "data", "expected"), BROKEN, ids=_names)
async def test_bad_xml_before_login_ends_the_stream(
    server: RunningServer, _what: str, data: bytes, expected: str
) -> None:
    stranger = await RawClient.open(server)
    assert await end_of(stranger, data) == ([], expected)
    assert stranger.closed


HEADERS = [
    ("HTTP", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", "not-well-formed"),
    ("TLS", b"\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03", "not-well-formed"),
    ("a DTD", b"<!DOCTYPE lolz [<!ENTITY lol 'lol'>]>" + HEADER.encode(), "restricted-xml"),
    ("a comment", b"<!-- quiet -->" + HEADER.encode(), "restricted-xml"),
    ("a processing instruction", b"<?php echo 1 ?>" + HEADER.encode(), "restricted-xml"),
    ("a declared Latin-1", b"<?xml version='1.0' encoding='ISO-8859-1'?><a/>", "unsupported-encoding"),
    ("UTF-16", HEADER.encode("utf-16"), "unsupported-encoding"),
    ("UTF-32", HEADER.encode("utf-32"), "unsupported-encoding"),
    ("another namespace", b"<stream xmlns='http://example.com/'>", "invalid-namespace"),
    ("an undeclared prefix", b"<stream:stream xmlns='jabber:client' to='localhost' version='1.0'>", "not-well-formed"),
    ("a server's", HEADER.format(to="localhost").replace("client", "server").encode(), "invalid-namespace"),
    (
        "no version",
        HEADER.format(to="localhost").replace(" version='1.0' xmlns", " xmlns").encode(),
        "unsupported-version",
    ),
    ("another host", HEADER.format(to="example.com").encode(), "host-unknown"),
    ("no host", HEADER.format(to="@").encode(), "host-unknown"),
    ("a megabyte", b"<stream:stream to='" + b"a" * MEGABYTE, "policy-violation"),
    (
        "many attributes",
        HEADER.encode()[:-1] + b"".join(b" a%d='1'" % i for i in range(1000)) + b">",
        "policy-violation",
    ),
]


@pytest.mark.parametrize(("_what", "data", "expected"), HEADERS, ids=[name for name, _, _ in HEADERS])
async def test_a_bad_header_is_answered_by_a_header_and_the_error(
    server: RunningServer, _what: str, data: bytes, expected: str
) -> None:
    stranger = await RawClient.connect(server)
    assert await end_of(stranger, data) == ([], expected)
    assert stranger.closed
    assert stranger.header["from"] == "localhost"
    assert stranger.header["version"] == "1.0"


async def test_bytes_one_at_a_time_are_as_good_as_others(server: RunningServer) -> None:
    romeo = await RawClient.connect(server)
    for byte in HEADER.format(to="localhost").encode():
        await romeo.send(bytes([byte]))
    assert (await romeo.read()).child(ns.TLS, "starttls") is not None
    await romeo.secure()
    assert (await romeo.authenticate("romeo")).name == "success"
    await romeo.open_stream()
    await romeo.bind("orchard")
    for byte in f"<message to='{romeo.jid}' id='slow'><body>É &amp; è</body></message>".encode():
        await romeo.send(bytes([byte]))
    message = await romeo.read()
    assert message.get("id") == "slow"
    assert message.child_text(ns.CLIENT, "body") == "É & è"


# -- STARTTLS (RFC 6120 §5)

STARTTLS = b"<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
EARLY = [b"\n<", HEADER.format(to="localhost").encode(), b"<iq type='get' id='1'/>", b"\x16\x03\x01", b"<!--"]


@pytest.mark.parametrize("early", EARLY)
async def test_what_is_sent_right_after_starttls_closes_the_connection(server: RunningServer, early: bytes) -> None:
    stranger = await RawClient.open(server, tls="none")
    await stranger.send(STARTTLS + early)
    assert await stranger.ended() == ([], "policy-violation")


@pytest.mark.parametrize("early", EARLY[1:3])
async def test_what_is_sent_in_the_clear_once_tls_is_due_closes_the_connection(
    server: RunningServer, early: bytes
) -> None:
    stranger = await RawClient.open(server, tls="none")
    await stranger.send(STARTTLS)
    assert (await stranger.read()).name == "proceed"
    await stranger.send(early)
    assert await stranger.ended() == ([], "")


async def test_nothing_but_starttls_is_taken_before_tls(server: RunningServer) -> None:
    stranger = await RawClient.open(server, tls="none")
    assert [feature.name for feature in stranger.features if feature.name != "limits"] == ["starttls"]
    assert (await stranger.authenticate("romeo", mechanism="PLAIN")).child(ns.SASL, "encryption-required") is not None
    await stranger.send("<iq type='get' id='1'><query xmlns='jabber:iq:register'/></iq>")
    assert await stranger.ended() == ([], "not-authorized")


# -- stanzas


async def test_a_second_client_of_the_same_name_and_resource_ends_the_first(login: Login) -> None:
    first, second = await login(), await login()
    assert await first.ended() == ([], "conflict")
    assert (await second.ask("<iq type='get' id='p' to='localhost'><ping xmlns='urn:xmpp:ping'/></iq>", "p")).get(
        "type"
    ) == "result"


@pytest.mark.parametrize("sender", ["juliet@localhost", "juliet@localhost/balcony", "localhost", "romeo@localhost/b"])
@pytest.mark.parametrize(
    "stanza",
    [
        "<message from='{}' to='juliet@localhost' id='forged'><body>hello</body></message>",
        "<presence from='{}' to='juliet@localhost' id='forged'/>",
        "<presence from='{}' id='forged'/>",
        "<presence from='{}' to='juliet@localhost' type='subscribe' id='forged'/>",
        "<iq from='{}' to='juliet@localhost/balcony' type='get' id='forged'><a xmlns='b'/></iq>",
        "<iq from='{}' type='result' id='forged'/>",
    ],
)
async def test_a_forged_sender_ends_the_stream_and_nobody_gets_the_stanza(
    server: RunningServer, login: Login, stanza: str, sender: str
) -> None:
    juliet = await RawClient.login(server, "juliet", resource="balcony")
    await juliet.send("<presence/>")
    romeo = await login()
    await romeo.send(stanza.format(sender))
    assert await romeo.ended() == ([], "invalid-from")  # RFC 6120 §4.9.3.9, §8.1.2.1
    await juliet.send("<iq type='get' id='last'><ping xmlns='urn:xmpp:ping'/></iq>")
    seen = []
    while (element := await juliet.read()).get("id") != "last":
        seen.append(element.get("id"))
    assert "forged" not in seen


@pytest.mark.parametrize("sender", ["romeo@localhost", "romeo@localhost/orchard", "ROMEO@LOCALHOST/orchard"])
async def test_the_own_address_is_no_forged_sender(login: Login, sender: str) -> None:
    romeo = await login()
    await romeo.send(f"<message from='{sender}' to='{romeo.jid}' id='own'/>")
    message = await romeo.read()
    assert (message.get("id"), message.get("from")) == ("own", str(romeo.jid))


@pytest.mark.parametrize(
    "to",
    ["@", "@localhost", "juliet@", "juliet@localhost/", "a@b@c", "a b@localhost", "a&quot;b@localhost", "x" * 2000],
)
@pytest.mark.parametrize(
    "stanza",
    [
        "<message to='{}' id='1'><body>hello</body></message>",
        "<presence to='{}' id='1'/>",
        "<iq to='{}' type='get' id='1'><ping xmlns='urn:xmpp:ping'/></iq>",
    ],
)
async def test_an_address_that_is_none_is_answered_and_the_stream_goes_on(login: Login, stanza: str, to: str) -> None:
    romeo = await login()
    answer = None
    await romeo.send(stanza.format(to))
    answer = await romeo.read()
    assert (answer.get("id"), stanza_error(answer)) == ("1", "jid-malformed")  # RFC 6120 §8.3.3.8
    await romeo.send(f"<message to='{romeo.jid}' id='2'/>")
    assert (await romeo.read()).get("id") == "2"


@pytest.mark.parametrize("stanza", ["<message type='error' to='@'/>", "<iq type='result' to='@' id='1'/>"])
async def test_an_error_or_result_to_no_address_is_dropped(login: Login, stanza: str) -> None:
    romeo = await login()
    await romeo.send(stanza + f"<message to='{romeo.jid}' id='2'/>")
    assert (await romeo.read()).get("id") == "2"


async def test_a_namespace_that_is_no_uri_is_a_bad_request(login: Login) -> None:
    romeo = await login()
    await romeo.send(f"<message to='{romeo.jid}' id='1'><x xmlns='a b'/></message>")
    answer = await romeo.read()
    assert (answer.get("id"), stanza_error(answer)) == ("1", "bad-request")


@pytest.mark.parametrize(
    "element",
    [
        "<foo/>",
        "<foo xmlns='urn:example'><bar/></foo>",
        "<message xmlns='jabber:server'/>",
        "<message xmlns=''/>",
        "<stream:features/>",
        "<stream:error><reset xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
        "<auth xmlns='urn:ietf:params:xml:ns:xmpp-sasl' mechanism='PLAIN'>AHIAcg==</auth>",
        "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>",
        "<compress xmlns='http://jabber.org/protocol/compress'><method>zlib</method></compress>",
    ],
)
async def test_an_element_that_is_no_stanza_ends_the_stream(login: Login, element: str) -> None:
    romeo = await login()
    await romeo.send(element)
    assert await romeo.ended() == ([], "unsupported-stanza-type")  # RFC 6120 §4.9.3.24


PING = "<ping xmlns='urn:xmpp:ping'/>"


@pytest.mark.parametrize("to", ["", " to='localhost'", " to='romeo@localhost'", " to='juliet@localhost'"])
@pytest.mark.parametrize(
    ("attributes", "payload"),
    [
        ("type='get'", PING),
        ("type='set'", PING),
        ("id='1' type='get'", ""),
        ("id='1' type='get'", PING + PING),
        ("id='1' type='set'", ""),
        ("id='1'", PING),
        ("id='1' type='take'", PING),
    ],
)
async def test_an_iq_against_the_rules_is_a_bad_request(login: Login, to: str, attributes: str, payload: str) -> None:
    romeo = await login()
    await romeo.send(f"<iq {attributes}{to}>{payload}</iq>")  # RFC 6120 §8.2.3
    assert stanza_error(await romeo.read()) == "bad-request"
    answer = await romeo.ask(f"<iq id='2' type='get' to='localhost'>{PING}</iq>", "2")
    assert answer.get("type") == "result"


@pytest.mark.parametrize("to", ["", " to='localhost'", " to='romeo@localhost'", " to='juliet@localhost'"])
async def test_an_unknown_request_is_answered(login: Login, to: str) -> None:
    romeo = await login()
    for type in ("get", "set"):
        answer = await romeo.ask(f"<iq id='1' type='{type}'{to}><a xmlns='urn:example'/></iq>", "1")
        assert stanza_error(answer) == "service-unavailable"  # RFC 6120 §8.4


@pytest.mark.parametrize("to", ["", " to='localhost'", " to='romeo@localhost'"])
async def test_a_second_bind_is_not_allowed_and_changes_nothing(login: Login, to: str) -> None:
    romeo = await login()
    bind = f"<iq id='1' type='set'{to}><bind xmlns='{ns.BIND}'><resource>other</resource></bind></iq>"
    assert stanza_error(await romeo.ask(bind, "1")) == "not-allowed"
    await romeo.send("<message to='romeo@localhost/orchard' id='2'/>")
    assert (await romeo.read()).get("id") == "2"


@pytest.mark.parametrize("resource", ["a&#9;b", "x" * 2000])
async def test_a_resource_that_is_none_is_a_bad_request_and_another_may_follow(
    server: RunningServer, resource: str
) -> None:
    romeo = await RawClient.open(server)
    await romeo.authenticate("romeo")
    await romeo.open_stream()
    bind = f"<iq id='1' type='set'><bind xmlns='{ns.BIND}'><resource>{resource}</resource></bind></iq>"
    assert stanza_error(await romeo.ask(bind, "1")) == "bad-request"
    assert (await romeo.bind("orchard")).resource == "orchard"


@pytest.mark.parametrize("stanza", ["<message to='juliet@localhost'/>", "<presence/>"])
async def test_a_stanza_before_login_ends_the_stream(server: RunningServer, stanza: str) -> None:
    stranger = await RawClient.open(server)
    await stranger.send(stanza)
    assert await stranger.ended() == ([], "not-authorized")


@pytest.mark.parametrize("stanza", ["<message to='juliet@localhost'/>", "<presence/>", f"<iq type='get'>{PING}</iq>"])
async def test_a_stanza_before_bind_ends_the_stream(server: RunningServer, stanza: str) -> None:
    romeo = await RawClient.open(server)
    await romeo.authenticate("romeo")
    await romeo.open_stream()
    await romeo.send(stanza)
    assert await romeo.ended() == ([], "not-authorized")


# -- what one client writes is not markup for another (the class of CVE-2026-113867)

NASTY = "&apos;&quot;&lt;a/&gt;&amp;&#10;&#9;&#13;]]&gt; from=&apos;juliet@localhost&apos;"
MEANT = "'\"<a/>&\n\t\r]]> from='juliet@localhost'"


@pytest.mark.parametrize("form", ["<body>hello</body>", "<c:body xmlns:c='jabber:client'>hello</c:body>"])
async def test_attributes_arrive_as_they_were_meant(login: Login, form: str) -> None:
    romeo = await login()
    await romeo.send(
        f"<message to='{romeo.jid}' id='{NASTY}' xml:lang='{NASTY}' type='{NASTY}' x='{NASTY}'>{form}</message>"
    )
    message = await romeo.read()
    for name in ("id", "xml:lang", "type", "x"):
        assert message.get(name) == MEANT, name
    assert message.get("from") == str(romeo.jid)
    assert message.child_text(ns.CLIENT, "body") == "hello"
    assert [child.name for child in message] == ["body", "stanza-id"]


async def test_a_resource_full_of_markup_is_a_resource(server: RunningServer) -> None:
    romeo = await RawClient.login(server, "romeo", resource="'\"&lt;a/&gt;&amp;]]&gt; x='1'")
    assert romeo.jid is not None
    assert romeo.jid.resource == "'\"<a/>&]]> x='1'"
    await romeo.send("<presence/>")
    assert (await romeo.read()).get("from") == str(romeo.jid)
    await romeo.send("<message to='romeo@localhost' id='1'><body>hello</body></message>")
    message = await romeo.read()
    assert (message.get("id"), message.get("from"), message.get("to")) == ("1", str(romeo.jid), "romeo@localhost")
    answer = await romeo.ask("<iq type='get' id='2'><a xmlns='urn:example'/></iq>", "2")
    assert answer.get("to") == str(romeo.jid)


async def test_errors_return_ids_and_texts_as_they_were_meant(login: Login) -> None:
    romeo = await login()
    await romeo.send(f"<iq type='get' id='{NASTY}'><a xmlns='urn:example'/></iq>")
    assert (await romeo.read()).get("id") == MEANT
    await romeo.send(f"<message to='@' id='{NASTY}'/>")
    assert (await romeo.read()).get("id") == MEANT


async def test_a_name_full_of_markup_is_told_back_in_no_header(server: RunningServer) -> None:
    stranger = await RawClient.connect(server)
    await stranger.send(HEADER.format(to=NASTY))
    assert await stranger.ended() == ([], "host-unknown")
    assert stranger.header["from"] == "localhost"
