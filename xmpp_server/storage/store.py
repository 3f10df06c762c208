"""All repositories on one database."""

from __future__ import annotations

from xmpp_server.protocol.jid import JID
from xmpp_server.storage.accounts import Accounts
from xmpp_server.storage.archive import Archive
from xmpp_server.storage.archive_preferences import ArchivePreferences
from xmpp_server.storage.blocking import Blocking
from xmpp_server.storage.capabilities import Capabilities
from xmpp_server.storage.database import Database
from xmpp_server.storage.invitations import Invitations
from xmpp_server.storage.last_activity import LastActivities
from xmpp_server.storage.login import LoginState, login_state
from xmpp_server.storage.offline import Offline
from xmpp_server.storage.private_xml import PrivateXML
from xmpp_server.storage.pubsub import PubSub
from xmpp_server.storage.reports import Reports
from xmpp_server.storage.retention import Retention
from xmpp_server.storage.rooms import Rooms
from xmpp_server.storage.roster import Rosters
from xmpp_server.storage.secrets import Secrets
from xmpp_server.storage.sessions import Sessions
from xmpp_server.storage.uploads import Uploads
from xmpp_server.storage.vcards import VCards


class Store:
    """What the server keeps, by feature."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self.accounts = Accounts(database)
        self.rosters = Rosters(database)
        self.offline = Offline(database)
        self.archive = Archive(database)
        self.archive_preferences = ArchivePreferences(database)
        self.blocking = Blocking(database)
        self.capabilities = Capabilities(database)
        self.invitations = Invitations(database)
        self.last_activity = LastActivities(database)
        self.private_xml = PrivateXML(database)
        self.pubsub = PubSub(database)
        self.reports = Reports(database)
        self.retention = Retention(database)
        self.rooms = Rooms(database)
        self.secrets = Secrets(database)
        self.sessions = Sessions(database)
        self.uploads = Uploads(database)
        self.vcards = VCards(database)

    @staticmethod
    async def open(url: str) -> Store:
        """Open the database of this URL; see `Database.open`."""
        return Store(await Database.open(url))

    async def login_state(self, account: JID) -> LoginState | None:
        """Roster, blocklist and the number of waiting messages, by one query; None if there is no such account."""
        return await login_state(self.database, account)

    async def close(self) -> None:
        """Commit what waits, then close."""
        await self.database.close()
