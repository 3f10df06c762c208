"""The features, one file each."""

from __future__ import annotations

from importlib import import_module
from pkgutil import iter_modules

from xmpp_server.module import Module


def all_modules() -> dict[str, type[Module]]:
    """Every module class by its name."""
    found: dict[str, type[Module]] = {}
    for entry in iter_modules(__path__):
        for member in vars(import_module(f"{__name__}.{entry.name}")).values():
            if isinstance(member, type) and issubclass(member, Module) and member.__module__.startswith(__name__):
                found[member.name] = member
    return found
