"""New passwords: what is kept of them takes a while to compute, and is computed off the loop."""

from __future__ import annotations

import asyncio

from xmpp_server.protocol.credentials import Hash, Verifier
from xmpp_server.stream.sasl import make_verifiers


class Passwords:
    """Makes verifiers with this number of `iterations`."""

    def __init__(self, iterations: int) -> None:
        self.iterations = iterations

    async def verifiers(self, password: str) -> dict[Hash, Verifier]:
        """What is to be kept of a password; raises InvalidPassword."""
        return await asyncio.to_thread(make_verifiers, password, self.iterations)
