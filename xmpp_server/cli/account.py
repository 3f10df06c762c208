"""Accounts, by the database."""

from __future__ import annotations

import argparse
import getpass
import os
import secrets
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from xmpp_server.app.lock import serving_process
from xmpp_server.config import Config
from xmpp_server.protocol.credentials import Hash, Verifier
from xmpp_server.protocol.invitation import invitation_uri, landing_path, new_token
from xmpp_server.protocol.jid import JID, InvalidJID
from xmpp_server.storage.accounts import LONGEST_NAME, AccountEntry
from xmpp_server.storage.invitations import DAY
from xmpp_server.storage.migrate import migrate
from xmpp_server.storage.store import Store
from xmpp_server.stream.sasl import InvalidPassword, make_verifiers

from .failure import Failure

Action = Callable[[Config, Store, argparse.Namespace], Awaitable[None]]

_GENERATED_BYTES: Final = 15
_PAGE: Final = 500


async def with_store(config: Config, args: argparse.Namespace, action: Action) -> None:
    """Run an action on the configured database, which is made if there is none."""
    config.data.mkdir(mode=0o700, parents=True, exist_ok=True)
    await migrate(config.database_url)
    store = await Store.open(config.database_url)
    try:
        await action(await _with_host(config, store, args), store, args)
    finally:
        await store.close()


async def _with_host(config: Config, store: Store, args: argparse.Namespace) -> Config:
    """A host that was named on the server's command line alone is known by its accounts."""
    domain = getattr(args, "address", "").rpartition("@")[2].partition("/")[0].lower()
    return config.with_host(domain) if domain not in config.hosts and domain in await store.accounts.hosts() else config


async def _create(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    if await store.accounts.exists(account):
        raise Failure(f"{account} exists")
    password = _password(args)
    await store.accounts.create(account, _verifiers(password, config))
    print(f"{account} is made.")
    _tell(args, password)


async def _invite(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _jid(args.address, config)
    contact = _jid(args.contact, config) if args.contact else None
    if contact is not None and not await store.accounts.exists(contact):
        raise Failure(f"{contact} does not exist")
    if account.localpart and (args.uses > 1 or await store.accounts.exists(account)):
        raise Failure(f"{account} exists" if args.uses == 1 else f"only one can be {account}")
    if not config.hosts[account.domain].modules["invitations"].enabled:
        raise Failure(f"modules.invitations is not enabled for {account.domain}")
    token = new_token()
    expires = time.time_ns() // 1000 + args.days * DAY
    await store.invitations.add(
        token, account.domain, expires=expires, localpart=account.localpart, contact=contact, uses=args.uses
    )
    if url := _site_url(config, account.domain):
        print(f"In a browser:  {url}{landing_path(token)}")
    print(f"In an app:     {invitation_uri(account, token, contact)}")
    print(f"Valid until:   {_time(expires)} UTC")


def _site_url(config: Config, domain: str) -> str:
    """As the configuration has it; a server that was started with other ports has another one."""
    options = config.options
    if options.http.url:
        return options.http.url.rstrip("/")
    https = options.listen.https
    return f"https://{domain}:{https.port}" if https.enabled and https.port else ""


async def _set_password(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    if not await store.accounts.exists(account):
        raise Failure(f"{account} does not exist")
    password = _password(args)
    await store.accounts.set_verifiers(account, _verifiers(password, config))
    print(f"{account} has another password.")
    _tell(args, password)


async def _disable(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    await store.accounts.set_disabled(account, True)
    print(f"{account} cannot log in any more.")
    _end_sessions(config)


async def _enable(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    await store.accounts.set_disabled(account, False)
    print(f"{account} can log in.")


async def _set_kind(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    known = config.hosts[account.domain].modules["archive"].options.kinds if account.domain in config.hosts else {}
    if args.kind and args.kind not in known:
        names = ", ".join(known) or "there are none"
        raise Failure(f"modules.archive.kinds does not name {args.kind}: {names}")
    await store.retention.set_kind(account, args.kind)
    print(f"{account} is of the kind {args.kind}." if args.kind else f"{account} is of no kind.")


async def _set_archive_days(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    await store.retention.set_days(account, args.days)
    period = "as long as others of its kind" if args.days is None else f"{args.days} days" if args.days else "for ever"
    print(f"The archive of {account} is kept {period}.")


async def _delete(config: Config, store: Store, args: argparse.Namespace) -> None:
    account = _address(config, args)
    if not await store.accounts.exists(account):
        raise Failure(f"{account} does not exist")
    if not args.yes:
        answer = input(f"All that is kept for {account} goes too. Write its address once more to delete it: ")  # noqa: ASYNC250
        if answer.strip() != str(account):
            raise Failure("that is another address; nothing was deleted")
    await store.accounts.delete(account)
    print(f"{account} is deleted.")
    _end_sessions(config)


def _end_sessions(config: Config) -> None:
    """Let a server that runs on the same data look for accounts that cannot be used any more."""
    process = serving_process(config.data)
    if process is not None:
        with suppress(ProcessLookupError, PermissionError):
            os.kill(process, signal.SIGHUP)


async def _list(config: Config, store: Store, args: argparse.Namespace) -> None:
    print(f"{'ACCOUNT':40} {'MADE':16}  {'LAST LOGIN':16}")
    for domain in [args.domain] if args.domain else await store.accounts.hosts():
        after: JID | None = None
        while page := await store.accounts.list(domain, after=after, limit=_PAGE):
            for entry in page:
                print(_line(entry))
            after = page[-1].account


def _line(entry: AccountEntry) -> str:
    login = "never" if entry.last_login is None else _time(entry.last_login)
    notes = [
        "disabled" if entry.disabled else "",
        entry.kind,
        "" if entry.archive_days is None else f"archive: {entry.archive_days or 'all'} days",
    ]
    more = "".join(f"  {note}" for note in notes if note)
    return f"{entry.account!s:40} {_time(entry.created)}  {login:16}{more}".rstrip()


def _time(microseconds: int) -> str:
    return f"{datetime.fromtimestamp(microseconds / 1_000_000, UTC):%Y-%m-%d %H:%M}"


def _jid(text: str, config: Config) -> JID:
    """An address without a resource at a host that is served, or the host."""
    try:
        jid = JID.parse(text)
    except InvalidJID:
        jid = None
    if jid is None or jid.resource:
        raise Failure(f"expected an address such as ann@{next(iter(config.hosts))}, got {text}")
    if jid.domain not in config.hosts:
        raise Failure(f"{jid.domain} is not served; the hosts are: {', '.join(config.hosts)}")
    return jid


def _address(config: Config, args: argparse.Namespace) -> JID:
    try:
        account = JID.parse(args.address)
    except InvalidJID:
        account = None
    if account is None or not account.localpart or account.resource:
        raise Failure(f"expected an address such as ann@{next(iter(config.hosts))}, got {args.address}")
    if args.action == "create" and len(account.localpart.encode()) > LONGEST_NAME:
        raise Failure(f"a name has at most {LONGEST_NAME} octets")
    # Accounts of a host that is served no more can be dealt with, but for making new ones.
    if args.action == "create" and account.domain not in config.hosts:
        raise Failure(f"{account.domain} is not served; the hosts are: {', '.join(config.hosts)}")
    return account


def _password(args: argparse.Namespace) -> str:
    if args.generate:
        return secrets.token_urlsafe(_GENERATED_BYTES)
    if args.password_stdin:
        return sys.stdin.readline().rstrip("\r\n")
    password = getpass.getpass("Password: ")
    if getpass.getpass("Once more: ") != password:
        raise Failure("the two passwords differ; nothing was changed")
    return password


def _tell(args: argparse.Namespace, password: str) -> None:
    if args.generate:
        print(f"Password: {password}")


def _verifiers(password: str, config: Config) -> dict[Hash, Verifier]:
    try:
        return make_verifiers(password, config.options.sasl.iterations)
    except InvalidPassword as error:
        raise Failure(f"the password is refused: {error}") from None


ACTIONS: Final[dict[str, Action]] = {
    "create": _create,
    "invite": _invite,
    "list": _list,
    "password": _set_password,
    "disable": _disable,
    "enable": _enable,
    "kind": _set_kind,
    "archive-days": _set_archive_days,
    "delete": _delete,
}
