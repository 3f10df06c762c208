"""XEP-0363: slots for files, and who gets none."""

from __future__ import annotations

import time
from urllib.parse import urlsplit

import pytest

from components.http_upload import HttpUploadOptions
from xmpp_server.config import ConfigError
from xmpp_server.protocol.delay import format_time, parse_time
from xmpp_server.protocol.disco import Info
from xmpp_server.protocol.element import Element
from xmpp_server.storage.uploads import DAY

from .conftest import HOSTS, MakeWorld
from .world import Client, World

NS = "urn:xmpp:http:upload:0"
PURPOSE = "urn:xmpp:http:upload:purpose:0"
SERVICE = "upload.localhost"
STANZAS = "urn:ietf:params:xml:ns:xmpp-stanzas"
DISCO = "http://jabber.org/protocol/disco"


@pytest.fixture
async def romeo(world: World) -> Client:
    return await world.login("romeo@localhost/orchard")


def wanted(name: str = "a.jpg", size: object = 1000, type: str = "image/jpeg", more: str = "") -> str:
    told = f" content-type='{type}'" if type else ""
    return f"<request xmlns='{NS}' filename='{name}' size='{size}'{told}>{more}</request>"


async def slot(person: Client, request: str, to: str = SERVICE) -> tuple[Element, Element]:
    """`<put/>` and `<get/>`."""
    (answer,) = await person.request("get", request, to)
    get, put = answer
    assert (answer.ns, answer.name, put.name, get.name) == (NS, "slot", "put", "get")
    return put, get


async def refused(
    person: Client, request: str, to: str = SERVICE, type: str = "get"
) -> tuple[str, str, Element | None]:
    """Type and condition of the error, and what is said besides."""
    person.send(f"<iq type='{type}' id='refused' to='{to}'>{request}</iq>")
    answer = await person.receives("<iq type='error' id='refused'/>")
    (error,) = (child for child in answer if child.name == "error")
    condition = next(child.name for child in error if child.ns == STANZAS and child.name != "text")
    return error.get("type"), condition, next((child for child in error if child.ns == NS), None)


async def test_the_service_is_found_with_its_limit_and_its_purposes(romeo: Client) -> None:
    """§3, §5"""
    (items,) = await romeo.request("get", f"<query xmlns='{DISCO}#items'/>", "localhost")
    assert {"jid": SERVICE, "name": "HTTP File Upload"} in [item.attrs for item in items]
    (query,) = await romeo.request("get", f"<query xmlns='{DISCO}#info'/>", SERVICE)
    info = Info.parse(query)
    assert [(identity.category, identity.type) for identity in info.identities] == [("store", "file")]
    purposes = {feature for feature in info.features if feature.startswith(PURPOSE)}
    assert purposes == {f"{PURPOSE}#{purpose}" for purpose in ("message", "profile", "ephemeral")}
    assert NS in info.features
    (form,) = info.forms
    assert form.form_type == NS
    assert form.text("max-file-size") == "104857616"
    (items,) = await romeo.request("get", f"<query xmlns='{DISCO}#items'/>", SERVICE)
    assert list(items) == []
    assert (await refused(romeo, f"<query xmlns='{DISCO}#info' node='x'/>"))[1] == "item-not-found"
    assert (await refused(romeo, "<query xmlns='jabber:iq:version'/>"))[1] == "service-unavailable"


async def test_a_slot_has_urls_that_nobody_guesses_and_that_keep_the_name(romeo: Client) -> None:
    """§4, §9.3: percent-encoded, https, only the header that is allowed"""
    put, get = await slot(romeo, wanted("très cool&amp;?.jpg"))
    assert put.get("url") == get.get("url")
    url = urlsplit(get.get("url"))
    assert url.scheme == "https"
    assert url.path.endswith("/tr%C3%A8s%20cool%26%3F.jpg")
    assert url.query == url.fragment == ""
    assert [header.get("name") for header in put] == ["Authorization"]
    assert list(get) == []
    other, _ = await slot(romeo, wanted("très cool&amp;?.jpg"))
    assert other.get("url") != put.get("url")
    assert other.child_text(NS, "header") != put.child_text(NS, "header")


@pytest.mark.parametrize(
    "request_",
    [
        wanted(size=""),
        wanted(size=0),
        wanted(size=-1),
        wanted(size="1e3"),
        wanted(size="٣"),
        wanted(size="9" * 400),
        wanted(name=""),
        wanted(name=".."),
        wanted(name="a/b"),
        wanted(name="é" * 128),
        wanted(name="a&#10;b"),
        wanted(type="text/plain&#10;X: y"),
        wanted(type="a" * 200),
        f"<request xmlns='{NS}'/>",
        wanted(more=f"<ephemeral xmlns='{PURPOSE}'/>"),
        wanted(more=f"<ephemeral xmlns='{PURPOSE}' expire-before='tomorrow'/>"),
        wanted(more=f"<ephemeral xmlns='{PURPOSE}' expire-before='2100-01-01T00:00:00Z'/><profile xmlns='{PURPOSE}'/>"),
    ],
)
async def test_what_is_no_request_is_refused(romeo: Client, request_: str) -> None:
    assert (await refused(romeo, request_))[1] == "bad-request"


async def test_a_request_is_an_iq_get_to_the_service_itself(romeo: Client) -> None:
    assert (await refused(romeo, wanted(), type="set"))[1] == "service-unavailable"
    assert (await refused(romeo, wanted(), to=f"a@{SERVICE}"))[1] == "service-unavailable"
    romeo.send(f"<message to='{SERVICE}'><body>Hi</body></message><presence to='{SERVICE}'/>")
    await romeo.receives_nothing()


async def test_a_file_that_is_too_large_is_refused_with_the_limit(make_world: MakeWorld) -> None:
    """§6"""
    world = await make_world(f"{HOSTS}[components.http_upload]\nmax_bytes = 2000\nprofile_bytes = 1000")
    romeo = await world.login("romeo@localhost/orchard")
    await slot(romeo, wanted(size=2000))
    for size, purpose, most in ((2001, "", "2000"), (1001, f"<profile xmlns='{PURPOSE}'/>", "1000")):
        type, condition, more = await refused(romeo, wanted(size=size, more=purpose))
        assert (type, condition) == ("modify", "not-acceptable")
        assert more is not None
        (limit,) = more
        assert (more.name, limit.name, limit.text) == ("file-too-large", "max-file-size", most)


async def test_a_file_that_is_larger_than_the_quota_of_a_day_is_too_large_for_any_day(make_world: MakeWorld) -> None:
    """§6: an error that another attempt would not mend is no temporary one."""
    world = await make_world(f"{HOSTS}[components.http_upload]\ndaily_bytes = 1500")
    romeo = await world.login("romeo@localhost/orchard")
    type, condition, more = await refused(romeo, wanted(size=1501))
    assert (type, condition) == ("modify", "not-acceptable")
    assert more is not None
    assert more.child_text(NS, "max-file-size") == "1500"
    (query,) = await romeo.request("get", f"<query xmlns='{DISCO}#info'/>", SERVICE)
    assert Info.parse(query).forms[0].text("max-file-size") == "1500"
    await slot(romeo, wanted(size=1500))


async def test_the_quota_of_a_day_tells_when_to_come_again_and_is_each_accounts_own(make_world: MakeWorld) -> None:
    """§6"""
    world = await make_world(f"{HOSTS}[components.http_upload]\ndaily_bytes = 1500")
    romeo = await world.login("romeo@localhost/orchard")
    await slot(romeo, wanted())
    type, condition, more = await refused(romeo, wanted())
    assert (type, condition) == ("wait", "resource-constraint")
    assert more is not None
    assert more.name == "retry"
    wait = parse_time(more.get("stamp")) - time.time_ns() // 1000
    assert 0.9 * DAY < wait <= DAY + 1_000_000
    await slot(await world.login("juliet@localhost/balcony"), wanted())


async def test_who_asks_for_many_slots_at_once_is_told_when_to_come_again(make_world: MakeWorld) -> None:
    world = await make_world(f"{HOSTS}[components.http_upload]\nslots = 3\nslots_seconds = 3600")
    romeo = await world.login("romeo@localhost/orchard")
    for _ in range(3):
        await slot(romeo, wanted())
    _, condition, more = await refused(romeo, wanted())
    assert condition == "resource-constraint"
    assert more is not None
    assert parse_time(more.get("stamp")) > time.time_ns() // 1000
    await slot(await world.login("juliet@localhost/balcony"), wanted())


async def test_only_the_hosts_own_accounts_get_slots(world: World) -> None:
    tybalt = await world.login("tybalt@capulet.example/street")
    assert (await refused(tybalt, wanted()))[:2] == ("auth", "forbidden")
    await slot(tybalt, wanted(), "upload.capulet.example")


async def test_only_types_that_are_wanted_are_taken(make_world: MakeWorld) -> None:
    """A type that is not told is that of the name."""
    world = await make_world(f'{HOSTS}[components.http_upload]\ntypes = ["text/plain", "image/*"]')
    romeo = await world.login("romeo@localhost/orchard")
    for name, type in (("a", "image/png"), ("a", "Text/Plain; charset=utf-8"), ("a.txt", ""), ("a.png", "")):
        await slot(romeo, wanted(name, type=type))
    for name, type in (("a.png", "application/x-executable"), ("a.exe", ""), ("a", "")):
        assert (await refused(romeo, wanted(name, type=type)))[1] == "not-acceptable"


async def test_a_purpose_that_is_not_served_is_refused_and_what_is_no_purpose_passed_over(romeo: Client) -> None:
    """§5"""
    for purpose in ("message", "profile"):
        await slot(romeo, wanted(more=f"<{purpose} xmlns='{PURPOSE}'/>"))
    await slot(romeo, wanted(more="<permanent xmlns='urn:example:other'/>"))
    for purpose in ("permanent", "unheard-of"):
        assert (await refused(romeo, wanted(more=f"<{purpose} xmlns='{PURPOSE}'/>")))[1] == "not-acceptable"


async def test_an_ephemeral_file_that_would_be_gone_already_gets_no_slot(romeo: Client) -> None:
    """§5.3"""
    now = time.time_ns() // 1000

    def until(time: int) -> str:
        return wanted(more=f"<ephemeral xmlns='{PURPOSE}' expire-before='{format_time(time)}'/>")

    await slot(romeo, until(now + DAY))
    assert (await refused(romeo, until(now - DAY)))[1] == "not-acceptable"


@pytest.mark.parametrize(
    ("options", "mistake"),
    [
        ('s3_bucket = "a"\ns3_endpoint = "s3.example"', "s3_endpoint: expected a URL"),
        ('s3_bucket = "a"\ns3_access_key = "b"', "s3_access_key: expected together with s3_secret_key"),
        ("s3_direct = true", "s3_direct: expected together with s3_bucket"),
        ('s3_direct = true\ns3_bucket = "a"\ns3_endpoint = "http://s3.example"', "s3_direct: expected an s3_endpoint"),
        ("slots_seconds = 0", "slots_seconds"),
    ],
)
async def test_options_that_cannot_work_are_mistakes(make_world: MakeWorld, options: str, mistake: str) -> None:
    with pytest.raises(ConfigError, match=mistake):
        await make_world(f"{HOSTS}[components.http_upload]\n{options}")


@pytest.mark.parametrize(
    "endpoint",
    ["https://s3.example", "http://localhost:9000", "http://s3.localhost", "http://127.0.0.2", "http://[::1]:9"],
)
async def test_clients_are_sent_to_a_bucket_by_https_or_on_this_machine(endpoint: str) -> None:
    """§4: URLs are https; whoever tries it out on one machine needs no certificate."""
    options = HttpUploadOptions(s3_bucket="a", s3_endpoint=endpoint, s3_direct=True)
    assert options.s3_endpoint == endpoint
    for elsewhere in ("http://s3.example", "http://192.0.2.1", "http://localhost.example"):
        HttpUploadOptions(s3_bucket="a", s3_endpoint=elsewhere)  # between the server and the bucket it is their affair
        with pytest.raises(ValueError, match="s3_direct"):
            HttpUploadOptions(s3_bucket="a", s3_endpoint=elsewhere, s3_direct=True)
