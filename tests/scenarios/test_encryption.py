"""A host that takes no plaintext between users."""

from __future__ import annotations

import pytest

from .conftest import HOSTS, MakeWorld
from .world import Client, World

REQUIRED = """
[hosts."localhost".modules.encryption]
required = true
[hosts."capulet.example"]
"""
FALLBACK = "<body>I sent you an OMEMO encrypted message but your client does not support it.</body>"
AXOLOTL = "eu.siacs.conversations.axolotl"
SEALED = {
    "legacy OMEMO": f"<encrypted xmlns='{AXOLOTL}'><header sid='1'/><payload>b64</payload></encrypted>{FALLBACK}",
    "OMEMO": f"<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>b64</payload></encrypted>{FALLBACK}",
    "OMEMO without a body": "<encrypted xmlns='urn:xmpp:omemo:2'><header sid='1'/><payload>b64</payload></encrypted>",
    "OMEMO that carries keys": f"<encrypted xmlns='{AXOLOTL}'><header sid='1'/></encrypted>",
    "OpenPGP": f"<openpgp xmlns='urn:xmpp:openpgp:0'>b64</openpgp>{FALLBACK}",
    "OpenPGP of old": f"<x xmlns='jabber:x:encrypted'>b64</x>{FALLBACK}",
    "a receipt": "<received xmlns='urn:xmpp:receipts' id='1'/>",
    "a marker": "<displayed xmlns='urn:xmpp:chat-markers:0' id='1'/>",
    "typing": "<composing xmlns='http://jabber.org/protocol/chatstates'/>",
    "a reaction": "<reactions xmlns='urn:xmpp:reactions:0' id='1'><reaction>+</reaction></reactions>",
    "call set-up": "<propose xmlns='urn:xmpp:jingle-message:0' id='1'/>",
}
PLAIN = {
    "a body": "<body>But, soft!</body>",
    "a subject": "<subject>The light in yonder window</subject>",
    "a body that is called encrypted": "<encryption xmlns='urn:xmpp:eme:0' namespace='a:b'/><body>Hi</body>",
    "OTR": "<body>?OTR:AAED</body>",
    "a body beside keys": f"<encrypted xmlns='{AXOLOTL}'><header sid='1'/></encrypted><body>But, soft!</body>",
    "a body beside a receipt": "<received xmlns='urn:xmpp:receipts' id='1'/><body>But, soft!</body>",
    "the address of a file": "<x xmlns='jabber:x:oob'><url>https://x.example/letter</url></x>",
    "a private message of a room": "<x xmlns='http://jabber.org/protocol/muc#user'/><body>Psst</body>",
}


KNOWN = {
    "a retraction": "<retract xmlns='urn:xmpp:message-retract:1' id='1'/>",
    "an invitation": "<x xmlns='jabber:x:conference' jid='feast@rooms.example'/>",
    "a mediated invitation": "<x xmlns='http://jabber.org/protocol/muc#user'><invite from='nurse@localhost'/></x>",
}


@pytest.fixture
async def strict(make_world: MakeWorld) -> World:
    return await make_world(REQUIRED)


async def two(world: World, other: str = "juliet@localhost/balcony") -> tuple[Client, Client]:
    return await world.login("romeo@localhost/orchard"), await world.login(other)


@pytest.mark.parametrize("kind", SEALED)
async def test_what_is_encrypted_or_tells_nothing_goes_through(strict: World, kind: str) -> None:
    romeo, juliet = await two(strict)
    romeo.send(f"<message to='juliet@localhost' type='chat' id='m1'>{SEALED[kind]}</message>")
    await juliet.receives(f"<message from='romeo@localhost/orchard' type='chat' id='m1'>{SEALED[kind]}</message>")
    await romeo.receives_nothing()


@pytest.mark.parametrize("kind", PLAIN)
async def test_plaintext_comes_back_with_a_text_to_show(strict: World, kind: str) -> None:
    """RFC 6120 §8.3.3.12"""
    romeo, juliet = await two(strict)
    romeo.send(f"<message to='juliet@localhost' type='chat' id='m1'>{PLAIN[kind]}</message>")
    error = await romeo.receives("""
        <message type='error' from='juliet@localhost' id='m1'>
          <error type='modify'>
            <policy-violation xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
            <text xmlns='urn:ietf:params:xml:ns:xmpp-stanzas'/>
          </error>
        </message>""")
    assert b"OMEMO" in error.to_bytes()
    await juliet.receives_nothing()


@pytest.mark.parametrize("kind", KNOWN)
async def test_what_means_the_same_without_a_body_loses_it(strict: World, kind: str) -> None:
    romeo, juliet = await two(strict)
    readable = "<body>But, soft!</body><subject>Hi</subject>"
    romeo.send(f"<message to='juliet@localhost' type='chat' id='m1'>{KNOWN[kind]}{readable}</message>")
    message = await juliet.receives(f"<message type='chat' id='m1'>{KNOWN[kind]}</message>")
    assert {"body", "subject"}.isdisjoint(child.name for child in message)
    await romeo.receives_nothing()


async def test_plaintext_is_kept_nowhere(strict: World) -> None:
    romeo, _ = await two(strict)
    romeo.send("<message to='juliet@localhost' type='chat' id='m1'><body>canary</body></message>")
    await romeo.receives("<message type='error' id='m1'/>")
    await romeo.request("set", "<query xmlns='urn:xmpp:mam:2'/>")
    await romeo.receives_nothing()


@pytest.mark.parametrize("type", ["chat", "normal", "headline"])
async def test_every_type_of_message_between_users_is_judged(strict: World, type: str) -> None:
    romeo, juliet = await two(strict)
    romeo.send(f"<message to='juliet@localhost' type='{type}' id='m1'><body>Hi</body></message>")
    await romeo.receives("<message type='error' id='m1'/>")
    await juliet.receives_nothing()


async def test_what_comes_from_a_host_without_the_rule_is_judged_too(strict: World) -> None:
    romeo, juliet = await two(strict, "juliet@capulet.example/balcony")
    juliet.send("<message to='romeo@localhost' type='chat' id='m1'><body>Hi</body></message>")
    await juliet.receives("<message type='error' id='m1'/>")
    await romeo.receives_nothing()
    juliet.send(f"<message to='romeo@localhost' type='chat' id='m2'>{SEALED['OMEMO']}</message>")
    await romeo.receives("<message id='m2'/>")


async def test_notes_to_oneself_and_words_to_services_are_not_between_users(strict: World) -> None:
    others = strict.elsewhere()
    romeo, _ = await two(strict)
    romeo.send("<message to='romeo@localhost' type='chat' id='m1'><body>Buy poison</body></message>")
    await romeo.receives("<message type='chat' id='m1'/>")
    romeo.send("<message to='bot.example' type='chat' id='m2'><body>help</body></message>")
    romeo.send("<message to='feast@rooms.example' type='groupchat' id='m3'><body>Hi all</body></message>")
    await strict.settle()
    assert [stanza.id for stanza in others] == ["m2", "m3"]


async def test_by_default_people_write_what_they_like(make_world: MakeWorld) -> None:
    romeo, juliet = await two(await make_world(HOSTS))
    romeo.send("<message to='juliet@localhost' type='chat' id='m1'><body>Hi</body></message>")
    await juliet.receives("<message id='m1'/>")
