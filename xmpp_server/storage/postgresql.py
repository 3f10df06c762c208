"""PostgreSQL by asyncpg: a pool that reads, and one connection at a time that writes."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

import asyncpg

from xmpp_server.storage.batch import Unit, commit
from xmpp_server.storage.database import MOST_WAITING, Driver
from xmpp_server.storage.errors import Interrupted, NoSuchAccount, StorageError, Unavailable
from xmpp_server.storage.statement import Statement
from xmpp_server.storage.transaction import Control, Row, Transaction, Work

T = TypeVar("T")

_CONNECTIONS: Final = 8
_TIMEOUT: Final = 30.0  # seconds that one statement may take
_CONNECT_TIMEOUT: Final = 10.0  # seconds
_BROKEN: Final = ("08", "57P01", "57P02", "57P03")  # SQLSTATE: connection exceptions, and the server going down
_UNAVAILABLE: Final = ("25006", "53", "55P03", "57", "58", "XX")  # read-only, resources, locks, operators, system, bugs
_DURABLE: Final = """
    SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'
"""  # an operator may ask for more than that, not for less


class ConnectionLost(Unavailable):
    """The connection broke; another one may work."""


def meaning(error: Exception) -> Exception:
    """Our error for the driver's; what is none of the driver's is returned as it is."""
    if isinstance(error, asyncpg.ForeignKeyViolationError):  # every foreign key names the account
        return NoSuchAccount("no such account")
    if isinstance(error, asyncpg.SerializationError | asyncpg.DeadlockDetectedError):
        return Interrupted(str(error))
    if isinstance(error, asyncpg.PostgresError):
        state = error.sqlstate or ""
        if state.startswith(_BROKEN):
            return ConnectionLost(str(error))
        return Unavailable(str(error)) if state.startswith(_UNAVAILABLE) else StorageError(str(error))
    if isinstance(error, TimeoutError):
        return Unavailable("the database does not answer")
    if isinstance(error, asyncpg.InterfaceError | asyncpg.InternalClientError | OSError):
        return ConnectionLost(str(error))
    return error


class PostgreSQLTransaction(Transaction):
    """Runs in the loop, on one connection of the pool."""

    def __init__(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        self._connection = connection

    async def all(self, statement: Statement, /, **values: Any) -> Sequence[Row]:
        compiled = statement.postgresql
        try:
            rows: list[Row] = await self._connection.fetch(compiled.sql, *compiled.arguments(values))
        except Exception as error:
            self.changed = True
            raise meaning(error) from error
        if rows and statement.writes:
            self.changed = True
        return rows

    async def run(self, statement: Statement, /, **values: Any) -> int:
        compiled = statement.postgresql
        try:
            status = await self._connection.execute(compiled.sql, *compiled.arguments(values))
        except Exception as error:
            self.changed = True
            raise meaning(error) from error
        count = int(status.rpartition(" ")[2])
        if count:
            self.changed = True
        return count

    async def many(self, statement: Statement, values: Sequence[Mapping[str, Any]], /) -> None:
        await self.insert(statement, [statement.postgresql.arguments(each) for each in values])

    async def insert(self, statement: Statement, rows: Sequence[Row], /) -> None:
        self.changed = True
        try:
            await self._connection.executemany(statement.postgresql.sql, rows)
        except Exception as error:
            raise meaning(error) from error

    async def control(self, command: Control) -> None:
        try:
            await self._connection.execute(command)
        except Exception as error:
            raise meaning(error) from error


class PostgreSQLDriver(Driver):
    """The database of a PostgreSQL server."""

    def __init__(self, pool: asyncpg.Pool) -> None:
        self._pool = pool
        self._idle: list[asyncpg.pool.PoolConnectionProxy] = []  # taking one from the pool costs as much as a query
        self._wanting = 0  # who waits for one of the pool
        self._reading = 0

    async def read(self, work: Work[T]) -> T:
        if self._reading >= MOST_WAITING:
            raise Unavailable("too many reads wait for the database")
        self._reading += 1
        try:
            return await self._use(work)
        except ConnectionLost:
            await self._renew()
            return await self._use(work)
        finally:
            self._reading -= 1

    async def commit(self, units: Sequence[Unit]) -> None:
        async def together(transaction: Transaction) -> None:
            await commit(units, transaction)
            if isinstance(units[0].error, Unavailable):
                raise units[0].error

        try:
            await self._use(together)
        except ConnectionLost as error:
            if units[0].attempts:  # something may have been committed
                _fail(units, error)
                return
            try:
                await self._renew()
                await self._use(together)
            except Unavailable as again:
                _fail(units, again)
        except Unavailable as error:
            _fail(units, error)

    async def scrub(self) -> None:
        """Vacuum and the recycling of the log do it."""

    async def close(self) -> None:
        try:
            async with asyncio.timeout(_CONNECT_TIMEOUT):
                await self._release_idle()
                await self._pool.close()
        except TimeoutError:
            self._pool.terminate()

    async def _use(self, work: Work[T]) -> T:
        connection = self._idle.pop() if self._idle else await self._acquire()
        try:
            result = await work(PostgreSQLTransaction(connection))
        except BaseException as error:
            if isinstance(error, Unavailable):  # its state is not known
                with suppress(asyncpg.InterfaceError):  # it was closed before, and so is no longer ours
                    connection.terminate()
            await self._give_back(connection)
            raise
        if self._wanting:
            await self._give_back(connection)
        else:
            self._idle.append(connection)
        return result

    async def _acquire(self) -> asyncpg.pool.PoolConnectionProxy:
        # asyncpg's time-out wants a task, and a caller may run outside of any (`util.tasks.run_eagerly`)
        acquiring = asyncio.create_task(self._take())
        self._wanting += 1
        try:
            return await acquiring
        except asyncio.CancelledError:
            if acquiring.done() and not acquiring.cancelled() and acquiring.exception() is None:
                await self._give_back(acquiring.result())
            raise
        finally:
            self._wanting -= 1

    async def _take(self) -> asyncpg.pool.PoolConnectionProxy:
        try:
            return await self._pool.acquire(timeout=_CONNECT_TIMEOUT)
        except Exception as error:
            raise meaning(error) from error

    async def _renew(self) -> None:
        """Connections that a restart of the server closed are found out by using them: give all of them up."""
        await self._pool.expire_connections()
        await self._release_idle()

    async def _give_back(self, connection: asyncpg.pool.PoolConnectionProxy) -> None:
        # it broke on its way back, or before it could be closed, and the pool let go of it by itself
        with suppress(asyncpg.InternalClientError, OSError):
            await self._pool.release(connection)

    async def _release_idle(self) -> None:
        while self._idle:
            await self._give_back(self._idle.pop())


def _fail(units: Sequence[Unit], error: Unavailable) -> None:
    for unit in units:
        unit.error = error


async def connect(dsn: str) -> PostgreSQLDriver:
    """Connect to the database of this URL; raises Unavailable."""
    try:
        pool = await asyncpg.create_pool(
            dsn,
            min_size=1,
            max_size=_CONNECTIONS,
            timeout=_CONNECT_TIMEOUT,
            command_timeout=_TIMEOUT,
            statement_cache_size=512,
            max_cached_statement_lifetime=0,
            init=_prepare,
            reset=_keep,
            server_settings={"application_name": "xmpp-server", "jit": "off"},
        )
    except Exception as error:
        raise meaning(error) from error
    return PostgreSQLDriver(pool)


async def _prepare(connection: asyncpg.Connection) -> None:
    await connection.execute(_DURABLE)


async def _keep(connection: asyncpg.Connection) -> None:
    """Spare the query that resets a session: nothing of ours changes one, unless a transaction was left open."""
    if connection.is_in_transaction():
        await connection.execute("ROLLBACK")
