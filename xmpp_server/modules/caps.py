"""The server's capabilities as a hash in its stream features, so that clients which know the hash need not ask.

XEP: 0115 (1.6.0) complete
"""

from __future__ import annotations

import msgspec

from xmpp_server.module import Module, on
from xmpp_server.protocol import ns
from xmpp_server.protocol.caps import Caps
from xmpp_server.protocol.disco import Info
from xmpp_server.routing.host import DiscoInfo, Host, StreamFeatures


class CapabilitiesOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What the hash is told with."""

    node: str = "https://xmpp-server.example"
    """The URI that stands for the software (XEP-0115 §4), where people may read about it."""


class Capabilities(Module):
    """Hashes what the host answers to disco#info, and answers the same at the node of the hash (§6.2, §6.3)."""

    name = "caps"
    features = (ns.CAPS,)
    Options = CapabilitiesOptions

    def __init__(self, host: Host, options: CapabilitiesOptions) -> None:
        self._host = host
        self.options = options
        self._caps: Caps | None = None

    def attach(self, host: Host) -> None:
        """All modules are put in their places: what the host can do may have changed."""
        super().attach(host)
        self._caps = None

    @on("stream_features")
    async def offer(self, features: StreamFeatures) -> None:
        """`<c/>` for who has authenticated: strangers learn nothing that they cannot use."""
        if features.authenticated:
            features.elements.append((await self._current()).element())

    @on("disco_info")
    async def info(self, info: DiscoInfo) -> None:
        """The node that the hash belongs to is the host itself."""
        if info.to == self._host.jid and info.node and info.node == (await self._current()).disco_node:
            host = await self._ask()
            info.identities += host.identities
            info.features |= host.features
            info.forms += host.forms

    async def _current(self) -> Caps:
        if self._caps is None:
            info = await self._ask()
            self._caps = Caps.of(self.options.node, Info.of(info.identities, info.features, info.forms))
        return self._caps

    async def _ask(self) -> DiscoInfo:
        return await self._host.hooks.disco_info.run(DiscoInfo(self._host.jid, self._host.jid, ""))
