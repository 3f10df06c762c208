"""What the subcommands do."""

from __future__ import annotations

import argparse
import asyncio
import os
import sys

from components import all_components
from xmpp_server.config import Config, ConfigError, Overrides, load
from xmpp_server.modules import all_modules
from xmpp_server.net.certificates import CertificateError
from xmpp_server.storage.errors import StorageError
from xmpp_server.util import log

from .failure import Failure


def run(args: argparse.Namespace) -> int:
    """The exit code of the command in `args`."""
    try:
        _COMMANDS[args.command](_config(args), args)
    except ConfigError as error:
        print(error, file=sys.stderr)
        return 2
    except BrokenPipeError:
        # Whoever reads has enough, as `head` does; nothing more may be written on the way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (Failure, StorageError, CertificateError, OSError) as error:
        print(f"xmpp-server: {error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, EOFError):
        print("xmpp-server: stopped, nothing was changed", file=sys.stderr)
        return 1
    return 0


def _config(args: argparse.Namespace) -> Config:
    overrides = Overrides(data=args.data)
    if args.command == "serve":
        direct, http, https = (_beside(args.port, distance) for distance in (1, 2, 3))
        overrides = Overrides(
            data=args.data,
            domain=args.domain,
            addresses=args.listen,
            port=args.port,
            direct_tls_port=direct if args.direct_tls_port is None else args.direct_tls_port,
            http_port=http,
            https_port=https,
            admin=args.admin,
        )
    return load(args.config, all_modules(), overrides, all_components())


def _beside(port: int | None, distance: int) -> int | None:
    """The port so far from the one that was asked for."""
    return port + distance if port else port


def _serve(config: Config, args: argparse.Namespace) -> None:
    from xmpp_server import app

    app.run(config)


def _check_config(config: Config, args: argparse.Namespace) -> None:
    print(f"{config.file or 'defaults'}: no mistake; serves {', '.join(config.hosts)}")


def _account(config: Config, args: argparse.Namespace) -> None:
    from .account import ACTIONS, with_store

    log.configure("warning", "text")
    asyncio.run(with_store(config, args, ACTIONS[args.action]))


def _explain(config: Config, args: argparse.Namespace) -> None:
    from .explain import TOPICS

    log.configure("warning", "text")
    for line in TOPICS[args.topic](config):
        print(line)
    sys.stdout.flush()


def _component(config: Config, args: argparse.Namespace) -> None:
    try:
        from xmpp_server.app import outside
    except ModuleNotFoundError as error:
        raise Failure(f"components outside need {error.name}: install xmpp-server[outside]") from None
    try:
        outside.run(config, args.name, args.domain, *args.connect)
    except outside.CannotRun as error:
        raise Failure(str(error)) from None


_COMMANDS = {
    "serve": _serve,
    "check-config": _check_config,
    "account": _account,
    "component": _component,
    "explain": _explain,
}
