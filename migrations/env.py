"""What Alembic runs: the upgrade of `xmpp_server.storage.migrate`, or a developer's `alembic` command.

The command works on the SQLite database of the environment's DATABASE_URL:
`alembic revision --autogenerate -m "what" --rev-id 0002`.
"""

from __future__ import annotations

import os

from alembic import context
from sqlalchemy import Connection, create_engine

import xmpp_server.storage.store  # noqa: F401  # every table registers itself
from xmpp_server.storage.schema import metadata


def run(connection: Connection) -> None:
    context.configure(
        connection=connection,
        target_metadata=metadata,
        render_as_batch=True,  # SQLite alters most things by rebuilding the table
        compare_type=True,
        compare_server_default=True,
    )
    with context.begin_transaction():
        context.run_migrations()


given = context.config.attributes.get("connection")
if given is not None:
    run(given)
else:
    with create_engine(os.environ["DATABASE_URL"]).begin() as connection:
        run(connection)
