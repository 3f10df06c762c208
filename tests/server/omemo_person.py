"""Somebody with slixmpp who talks encrypted (XEP-0384), by the legacy protocol and by version 2.

romeo = await log_in("romeo@localhost/orchard", OmemoPerson)
await romeo.omemo_ready()
await romeo.say_encrypted("juliet@localhost", "Hi", LEGACY)
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any, Final
from xml.etree import ElementTree

import oldmemo.etree
import oldmemo.oldmemo
import twomemo.etree
import twomemo.twomemo
from omemo.storage import Just, Maybe, Nothing, Storage
from slixmpp import JID, Message
from slixmpp.plugins import register_plugin
from slixmpp_omemo import XEP_0384

from .person import DEADLINE, Person
from .running import PASSWORD, RunningServer

LEGACY: Final[str] = oldmemo.oldmemo.NAMESPACE
OMEMO_2: Final[str] = twomemo.twomemo.NAMESPACE
_CLIENT: Final = "jabber:client"
_SCE: Final = "urn:xmpp:sce:1"


class Keys(Storage):  # type: ignore[misc]
    """What a device keeps, in memory; it outlasts the connections of the device."""

    def __init__(self) -> None:
        super().__init__()
        self._values: dict[str, Any] = {}

    async def _load(self, key: str) -> Maybe[Any]:
        return Just(self._values[key]) if key in self._values else Nothing()

    async def _store(self, key: str, value: Any) -> None:
        self._values[key] = value

    async def _delete(self, key: str) -> None:
        self._values.pop(key, None)


class Omemo(XEP_0384):  # type: ignore[misc]
    """Trusts every device that it meets."""

    default_config = {**XEP_0384.default_config, "keys": None}

    @property
    def storage(self) -> Storage:
        return self.keys

    @property
    def _btbv_enabled(self) -> bool:
        return True

    async def _prompt_manual_trust(self, manually_trusted: Any, identifier: str | None) -> None:
        raise AssertionError("a device of one of whose devices another is trusted")


register_plugin(Omemo)


class OmemoPerson(Person):
    """One device of one account."""

    def __init__(
        self, server: RunningServer, address: str, password: str = PASSWORD, *, keys: Keys | None = None, **more: str
    ) -> None:
        super().__init__(server, address, password, **more)
        self.keys = keys or Keys()
        self.add_event_handler("omemo_initialized", self.came["omemo_initialized"].put_nowait)
        self.register_plugin("xep_0384", {"keys": self.keys}, module=sys.modules[__name__])

    async def omemo_ready(self) -> None:
        """Returns once the device's keys are published."""
        await asyncio.wait_for(self.plugin["xep_0384"].get_session_manager(), DEADLINE)

    async def encrypted(
        self, to: str, text: str, version: str = LEGACY, *, members: frozenset[str] = frozenset()
    ) -> Message:
        """The message as it is sent, for all devices of the receiver and the sender's others; to a room, for those of
        its members."""
        receivers = members or frozenset({to})
        await self.plugin["xep_0384"].refresh_device_lists({JID(each) for each in receivers}, force_download=True)
        manager = await self.plugin["xep_0384"].get_session_manager()
        plain = {version: text.encode() if version == LEGACY else _envelope(self.boundjid.bare, text)}
        sealed, errors = await manager.encrypt(receivers, plain, [version])
        assert not errors, errors
        message = self.make_message(to, "You received a message encrypted with OMEMO.")
        message["type"] = "groupchat" if members else "chat"
        message.enable("store")
        for each in sealed:
            etree = oldmemo.etree if version == LEGACY else twomemo.etree
            message.append(etree.serialize_message(each))
        return message

    async def say_encrypted(self, to: str, text: str, version: str = LEGACY) -> str:
        """Send it; its id."""
        message = await self.encrypted(to, text, version)
        message.send()
        return str(message["id"])

    async def decrypted(self, message: Message, sender: str = "") -> str:
        """What the message says. `sender` is the account that it is from, where its address is that of an occupant."""
        manager = await self.plugin["xep_0384"].get_session_manager()
        sender = sender or message["from"].bare
        found = message.xml.find(f"{{{OMEMO_2}}}encrypted")
        if found is not None:
            plain = (await manager.decrypt(twomemo.etree.parse_message(found, sender)))[0]
            body = ElementTree.fromstring(plain).find(f"{{{_SCE}}}content/{{{_CLIENT}}}body")
            assert body is not None
            return body.text or ""
        found = message.xml.find(f"{{{LEGACY}}}encrypted")
        assert found is not None, str(message)
        parsed = await oldmemo.etree.parse_message(found, sender, self.boundjid.bare, manager)
        plain = (await manager.decrypt(parsed))[0]
        assert plain is not None, "it only carries keys"
        return str(plain.decode())

    async def reads(self, event: str = "message") -> str:
        """The text of the next encrypted message with content: one to this device, or a carbon."""
        while True:
            message = await self.next(event)
            if event != "message":
                message = message[event]
            if is_content(message):
                return await self.decrypted(message)


def is_content(message: Message) -> bool:
    """Whether it says something; others only complete an exchange of keys."""
    return any(message.xml.find(f"{{{v}}}encrypted/{{{v}}}payload") is not None for v in (LEGACY, OMEMO_2))


def _envelope(sender: str, text: str) -> bytes:
    """XEP-0420: what is encrypted is a piece of the stanza."""
    envelope = ElementTree.Element(f"{{{_SCE}}}envelope")
    content = ElementTree.SubElement(envelope, f"{{{_SCE}}}content")
    ElementTree.SubElement(content, f"{{{_CLIENT}}}body").text = text
    ElementTree.SubElement(envelope, f"{{{_SCE}}}rpad").text = "0" * 16
    ElementTree.SubElement(envelope, f"{{{_SCE}}}from", {"jid": sender})
    return ElementTree.tostring(envelope)
