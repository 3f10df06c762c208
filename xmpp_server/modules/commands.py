"""The host's ad-hoc commands, as features bring them: they are listed for those who may use them."""

from __future__ import annotations

from xmpp_server.module import Module, iq_set, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.commands import COMMANDS, answer, is_cancelled, submitted
from xmpp_server.protocol.disco import Identity
from xmpp_server.protocol.element import Element
from xmpp_server.protocol.errors import StanzaError
from xmpp_server.routing.host import DiscoInfo, DiscoItem, DiscoItems, Host
from xmpp_server.routing.iq import Request, Target


class Commands(Module):
    """Lists and executes them."""

    name = "commands"

    def __init__(self, host: Host) -> None:
        self._host = host

    @iq_set(COMMANDS, "command", Target.HOST)
    async def execute(self, request: Request) -> Element:
        """XEP-0050 §3. Raises StanzaError: item-not-found, forbidden, bad-request, and what the command raises."""
        asked = request.payload
        command = self._host.commands.get(asked.get("node"))
        if command is None:
            raise StanzaError("item-not-found", "There is no such command.")
        if not command.may(request.sender):
            raise StanzaError("forbidden")
        if is_cancelled(asked):
            return answer(asked, "canceled")
        form = submitted(asked)
        if form is None and command.form is not None:
            return answer(asked, "executing", command.form)
        return answer(asked, "completed", await command.run(request.sender, form))

    @on("disco_info")
    def info(self, info: DiscoInfo) -> None:
        """XEP-0050 §2.1, §2.3: what the host, the list of commands, and one of them are."""
        if info.to != self._host.jid:
            return
        command = self._host.commands.get(info.node)
        if not info.node:
            if self._host.commands:
                info.features.add(COMMANDS)
        elif info.node == COMMANDS:
            info.identities.append(Identity("automation", "command-list", name="Commands"))
            info.features |= {ns.DISCO_INFO, ns.DISCO_ITEMS}
        elif command is not None:
            if not command.may(info.sender):
                raise StanzaError("forbidden")  # §2.3
            info.identities.append(Identity("automation", "command-node", name=command.title))
            info.features |= {COMMANDS, ns.DATA}

    @on("disco_items")
    def items(self, items: DiscoItems) -> None:
        """§2.2: those that the requester may use."""
        if items.to == self._host.jid and items.node == COMMANDS:
            commands = self._host.commands.values()
            items.items += (DiscoItem(items.to, each.node, each.title) for each in commands if each.may(items.sender))
