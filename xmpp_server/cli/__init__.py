"""The command `xmpp-server`.

Exit codes: 0 done; 1 it could not be done, and why is said in one line; 2 the command line or the configuration is
wrong. What a subcommand needs is imported when it runs, so that `--help` is quick.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from xmpp_server import __version__

from .arguments import addresses, days, domain, endpoint, kind, port, positive

LOCAL_CONFIG: Final = "config/local.toml"

PASSWORDS: Final = "The password is asked for, unless one of these is given:"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    args = _parser().parse_args(arguments)
    from .commands import run

    return run(args)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="xmpp-server", description="A messenger for everybody's own server.")
    parser.add_argument("--version", action="version", version=f"xmpp-server {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    common = _common()
    _serve(commands.add_parser("serve", parents=[common], help="run the server until SIGINT or SIGTERM"))
    commands.add_parser("check-config", parents=[common], help="say what is wrong with the configuration")
    _account(commands.add_parser("account", help="create, list, change and delete accounts"), common)
    _component(commands.add_parser("component", parents=[common], help="run a component of ours outside of a server"))
    _explain(commands.add_parser("explain", help="show how the server is put together"), common)
    return parser


def _common() -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config",
        metavar="FILE",
        default=LOCAL_CONFIG if Path(LOCAL_CONFIG).exists() else None,
        help=f"the configuration (without it {LOCAL_CONFIG}, if there is one, or else the defaults)",
    )
    common.add_argument("--data", metavar="FOLDER", help="instead of server.data")
    return common


def _serve(parser: argparse.ArgumentParser) -> None:
    parser.description = "Run the server. SIGHUP reloads the configuration and the certificates."
    parser.add_argument("--domain", type=domain, help="a domain to serve, besides those of the configuration")
    parser.add_argument("--listen", type=addresses, metavar="ADDRESS[,ADDRESS]", help="instead of listen.addresses")
    parser.add_argument("--port", type=port, help="instead of listen.c2s.port; P+1 is direct TLS, P+2 HTTP, P+3 HTTPS")
    parser.add_argument("--direct-tls-port", type=port, metavar="PORT", help="instead of listen.direct_tls.port")
    parser.add_argument("--admin", metavar="NAME", help="an administrator, whose account is made if there is none")


def _account(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    parser.description = (
        "Works on the database, whether the server runs or not; sessions of accounts that are disabled or deleted end."
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    listing = actions.add_parser("list", parents=[common], help="print the accounts with the times of their logins")
    listing.add_argument("--domain", type=domain, help="of this host alone")
    invite = actions.add_parser("invite", parents=[common], help="print a link by which somebody makes an account")
    invite.add_argument(
        "address", metavar="[NAME@]DOMAIN", help="the account, or the host where any name may be chosen"
    )
    invite.add_argument(
        "--contact", metavar="ADDRESS", help="who is to be a contact of the new account, and it of them"
    )
    invite.add_argument("--days", type=positive, default=7, help="for how many days it is valid (7)")
    invite.add_argument("--uses", type=positive, default=1, help="for how many accounts (1)")
    for action, text in (
        ("create", "make an account"),
        ("password", "set another password"),
        ("disable", "refuse further logins"),
        ("enable", "allow logins again"),
        ("kind", "say what kind of account it is, for the days that its archive is kept"),
        ("archive-days", "keep the archive of this account for so many days"),
        ("delete", "remove an account with all that is kept for it"),
    ):
        command = actions.add_parser(action, parents=[common], help=text)
        command.add_argument("address", metavar="NAME@DOMAIN")
        if action in ("create", "password"):
            group = command.add_argument_group("password", PASSWORDS).add_mutually_exclusive_group()
            group.add_argument("--generate", action="store_true", help="make one up and print it")
            group.add_argument("--password-stdin", action="store_true", help="read it from one line of standard input")
        if action == "kind":
            command.add_argument("kind", type=kind, help="a name of modules.archive.kinds, or none")
        if action == "archive-days":
            command.add_argument("days", type=days, help="a number, 0: for ever; or default, as all of its kind")
        if action == "delete":
            command.add_argument("--yes", action="store_true", help="do not ask")


def _component(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Run a component as a process of its own, connected to a server of any make (XEP-0114), until SIGINT or "
        "SIGTERM. Its options are those of [components.NAME], its database that of [database] and its secret that of "
        '[outside."DOMAIN"]; it wants a data folder of its own. The streams of XEP-0114 have no acknowledgements: a '
        "message is lost where one of them breaks."
    )
    parser.add_argument("name", metavar="NAME", help="of the component, such as muc")
    parser.add_argument("--connect", required=True, type=endpoint, metavar="HOST:PORT", help="where the server listens")
    parser.add_argument("--domain", type=domain, help="of the component; without it that of the first host's")


def _explain(parser: argparse.ArgumentParser, common: argparse.ArgumentParser) -> None:
    topics = parser.add_subparsers(dest="topic", metavar="TOPIC", required=True)
    for topic, text in (
        ("hooks", "which module listens where, in order, for each host"),
        ("routes", "where a stanza may go, in order"),
        ("config", "every option with its value, what it is for and what is expected"),
    ):
        topics.add_parser(topic, parents=[common], help=text)
