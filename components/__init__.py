"""The services with domains of their own, one package each: they know their `Port` and nothing else of the server."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from xmpp_server.port import Component


def all_components() -> dict[str, type[Component]]:
    """Every component class by its name."""
    found: dict[str, type[Component]] = {}
    for entry in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{entry.name}")).values():
            if isinstance(member, type) and issubclass(member, Component) and member is not Component:
                found[member.name] = member
    return found
