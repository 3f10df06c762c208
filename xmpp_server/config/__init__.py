"""The configuration: a TOML file, read into structs that name, type, limit and document every option.

`load` reads it, with every mistake reported at once; `changes` tells what a reload alters.
"""

from .changes import Change, Changes, changes
from .loading import Config, Overrides, load
from .options import Database, Host, Limits, Listen, Listener, Log, ModuleConfig, Options, Sasl, Server, Tls
from .reader import ConfigError, Mistake

__all__ = [
    "Change",
    "Changes",
    "Config",
    "ConfigError",
    "Database",
    "Host",
    "Limits",
    "Listen",
    "Listener",
    "Log",
    "Mistake",
    "ModuleConfig",
    "Options",
    "Overrides",
    "Sasl",
    "Server",
    "Tls",
    "changes",
    "load",
]
