"""What is needed of an account when somebody goes online, by one query."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import Select, bindparam, func, literal_column, null, select, union_all

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import accounts
from xmpp_server.storage.blocking import blocks
from xmpp_server.storage.counters import counters
from xmpp_server.storage.database import Database
from xmpp_server.storage.offline import inbox
from xmpp_server.storage.roster import ITEM, Roster, RosterItem, is_current, is_owner, is_version, item_of
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.vcards import vcards

_NUMBER: Final = [column.name for column in ITEM].index("version")


def _part(kind: int, **columns: Any) -> Select[Any]:
    return select(literal_column(str(kind)), *(columns.get(column.name, null()).label(column.name) for column in ITEM))


_CONTACT, _BLOCKED, _VERSION, _WAITING, _PHOTO = range(5)
_NOBODY: Final[frozenset[JID]] = frozenset()  # an empty one of its own takes 216 bytes
_version = select(counters.c.value).where(is_version).scalar_subquery()
_STATE: Final = Statement(
    union_all(
        select(literal_column(str(_CONTACT)), *ITEM).where(is_owner, is_current),
        _part(_BLOCKED, jid=blocks.c.jid).where(blocks.c.account == bindparam("account")),
        _part(_VERSION, version=func.coalesce(_version, 0)).where(accounts.c.account == bindparam("account")),
        _part(_WAITING, version=func.coalesce(func.max(inbox.c.id), 0))
        .select_from(inbox)
        .where(inbox.c.account == bindparam("account")),
        _part(_PHOTO, jid=vcards.c.photo).where(vcards.c.account == bindparam("account")),
    )
)


@dataclass(frozen=True, slots=True)
class LoginState:
    """Roster, blocklist, the id of the newest message that waits (0: none does), and the hash of the photo in the vCard
    (empty: there is none), all of one moment."""

    roster: Roster
    blocked: frozenset[JID]
    newest: int
    photo: str


async def login_state(database: Database, account: JID) -> LoginState | None:
    """The state of an account; None if it does not exist."""
    items: dict[JID, RosterItem] = {}
    blocked: set[JID] = set()
    version: int | None = None
    newest = 0
    photo = ""
    for kind, *columns in await database.all(_STATE, account=str(account)):
        if kind == _CONTACT:
            item = item_of(columns)
            items[item.jid] = item
        elif kind == _BLOCKED:
            blocked.add(JID.parse(columns[0]))
        elif kind == _VERSION:
            version = columns[_NUMBER]
        elif kind == _PHOTO:
            photo = columns[0]
        else:
            newest = columns[_NUMBER]
    if version is None:
        return None
    return LoginState(Roster(version, items), frozenset(blocked) if blocked else _NOBODY, newest, photo)
