"""How a feature is written.

A module is a class in a file of its own in `modules/`, one object of it for each host. Its constructor names what it
needs by type (its `Options`, the `Host`, the `Router`, a repository) and gets just that. Methods become handlers and
listeners by decorators:

    class Ping(Module):
        name = "ping"
        features = ("urn:xmpp:ping",)

        @iq_get("urn:xmpp:ping", "ping", Target.HOST, Target.OWN)
        def ping(self, request: Request) -> None:
            return None
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar, TypeVar

import msgspec

from xmpp_server.protocol.stanza import qname
from xmpp_server.routing.hooks import Stage
from xmpp_server.routing.host import Host
from xmpp_server.routing.iq import Target

F = TypeVar("F", bound=Callable[..., Any])


class NoOptions(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """For a module that has nothing to choose."""


class Module:
    """Base of all modules.

    `name` is the module's name in the configuration and in stages' `after`; `features` are advertised by disco on the
    host, `account_features` on every account (XEP-0030); `optional` modules can be disabled for a host. A change of
    options on reload is given to `reconfigure`.
    """

    name: ClassVar[str]
    features: ClassVar[tuple[str, ...]] = ()
    account_features: ClassVar[tuple[str, ...]] = ()
    optional: ClassVar[bool] = True
    Options: ClassVar[type[msgspec.Struct]] = NoOptions

    options: Any = None

    def reconfigure(self, options: Any) -> None:
        """Take new options without a restart."""
        self.options = options

    def attach(self, host: Host) -> None:
        """Put handlers, listeners and features in their places at the host."""
        host.features.update(self.features)
        host.account_features.update(self.account_features)
        for attribute in dir(type(self)):
            member = getattr(type(self), attribute)
            for type_, target, key in getattr(member, "_requests", ()):
                host.requests.add(type_, target, key, getattr(self, attribute), self.name)
            for hook, stage, after in getattr(member, "_hooks", ()):
                getattr(host.hooks, hook).add(getattr(self, attribute), owner=self.name, stage=stage, after=after)


def iq_get(ns: str, name: str, *targets: Target) -> Callable[[F], F]:
    """The method answers iq get with this payload for these targets: `(request) -> Answer`, may be a coroutine."""
    return _request("get", ns, name, targets)


def iq_set(ns: str, name: str, *targets: Target) -> Callable[[F], F]:
    """The method answers iq set with this payload for these targets: `(request) -> Answer`, may be a coroutine."""
    return _request("set", ns, name, targets)


def _request(type: str, ns: str, name: str, targets: tuple[Target, ...]) -> Callable[[F], F]:
    def mark(method: F) -> F:
        places = [(type, target, qname(ns, name)) for target in targets]
        method._requests = (*getattr(method, "_requests", ()), *places)  # type: ignore[attr-defined]
        return method

    return mark


def on(hook: str, stage: Stage = Stage.LAST, *, after: str = "") -> Callable[[F], F]:
    """The method listens to this hook of the host (an attribute of `routing.host.Hooks`)."""

    def mark(method: F) -> F:
        method._hooks = (*getattr(method, "_hooks", ()), (hook, stage, after))  # type: ignore[attr-defined]
        return method

    return mark
